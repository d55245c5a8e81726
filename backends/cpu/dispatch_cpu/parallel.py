"""Row ranges of fixed size, run on all cores: what is computed never depends on how many there are.

The threads belong to this process alone: they are created by the first call that needs them and again after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_over_rows(kernel: Callable[[int, int], None], rows: int, chunk: int) -> None:
    """Call ``kernel(start, stop)`` for each range of `chunk` rows, on all cores; the kernel must release the GIL.

    An exception in one range is raised here, after the ranges that had begun are done.
    """
    ranges = [(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]
    if len(ranges) < 2 or cores() == 1:
        for start, stop in ranges:
            kernel(start, stop)
        return
    futures = [_threads().submit(kernel, start, stop) for start, stop in ranges]
    for future in futures:
        future.result()


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
