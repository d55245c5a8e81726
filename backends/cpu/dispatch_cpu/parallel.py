"""Row ranges of fixed size, run on all cores: what is computed never depends on how many there are.

The threads belong to this process alone: they are created by the first call that needs them and again after a fork.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_over_rows(kernel: Callable[[int, int], None], rows: int, chunk: int) -> None:
    """Call ``kernel(start, stop)`` for each range of `chunk` rows, on all cores; the kernel must release the GIL.

    The calling thread takes part, so that a call never waits for threads that are busy with another one. An exception
    in one range is raised here, after the ranges that had begun are done.
    """
    starts = deque(range(0, rows, chunk))
    # A cancelled helper stays in the queue until a thread comes by: it must not keep the kernel's arrays alive so long.
    held = [kernel]

    def work() -> None:
        while starts:
            try:
                start = starts.popleft()
            except IndexError:
                return
            held[0](start, min(start + chunk, rows))

    helpers = [_threads().submit(work) for _ in range(min(cores(), len(starts)) - 1)]
    try:
        work()
    finally:
        starts.clear()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        held.clear()


def run_together(kernel: Callable[[int], None]) -> None:
    """Call ``kernel(number)`` on all cores at once; the kernel shares its work out itself, and must release the GIL.

    It must get done on the calling thread alone: threads that are busy with another call come late, or not at all.
    """
    run_over_rows(lambda number, _: kernel(number), cores(), 1)


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(cores(), thread_name_prefix="dispatch-cpu")
        return _pool


def _after_fork() -> None:
    """Forget the threads: those of the parent process do not exist in the child."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
