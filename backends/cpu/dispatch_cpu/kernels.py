"""Which compiled sums are ready to be called: they are loaded in the background, and compiled in another process.

No call waits. The first call that could use a kernel asks for it and is served by NumPy, which adds in the same order
(`summation`), so that nothing but the speed depends on when the kernel is ready. A thread loads it from Numba's cache;
what is not there is compiled by another process (`compilation`), and looked for again by calls that could use it.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from dispatch_cpu.recipes import KERNELS, Key, Recipe

logger = logging.getLogger("dispatch")

PATIENCE = 60.0
"""Most seconds between two looks for a kernel that is being compiled; the first is 1, and each one is doubled."""

ATTEMPTS = 3
"""How often a compiler is started for the same kernel."""


HEAD_START = 0.05
"""Seconds that a thread waits before it loads kernels: importing Numba holds up the call that asked for them."""

SMALL_SUMS = 64
"""How many sums of few elements a process takes before it asks for their kernels."""


class _Search(NamedTuple):
    """How it stands with a kernel that was asked for: when to look again, and after that, and compilers started."""

    due: float = 0.0
    pause: float = 1.0
    attempts: int = 0


class Kernel(NamedTuple):
    """A compiled function: as Python calls it, and where its code begins; or that of `pass_kernels.passes`."""

    call: Callable[..., int]
    address: int


_ready: dict[Key, Kernel | None] = {}
_wanted: dict[Key, _Search] = {}
_loading = threading.Lock()
"""Held while a thread loads kernels, from before it starts."""


_small_sums = itertools.count(1)


class NotCompiledError(Exception):
    """A kernel is not on disk."""


def find(name: str, recipe: Recipe, result: str, masked: bool) -> Kernel | None:
    """Return the compiled kernel of that name if it is ready for these dtypes; otherwise ask for it."""
    key = Key(name, recipe, result, masked)
    if key in _ready:
        return _ready[key]
    search = _wanted.setdefault(key, _Search())
    if time.monotonic() >= search.due and _loading.acquire(blocking=False):
        try:
            threading.Thread(target=_load_wanted, name="dispatch-cpu-kernels").start()
        except RuntimeError:  # the interpreter is shutting down: NumPy serves
            _loading.release()
    return None


def is_worth_loading() -> bool:
    """Count one more sum of few elements, and return whether there have been enough of them to ask for kernels."""
    return next(_small_sums) > SMALL_SUMS


def wait(timeout: float = 300.0) -> None:
    """Wait until the kernels that were asked for are ready, or given up."""
    end = time.monotonic() + timeout
    while _wanted and time.monotonic() < end:
        with _loading:
            for key, search in _wanted.items():
                _wanted[key] = search._replace(due=0.0)
        for key in list(_wanted):
            find(*key)
        time.sleep(0.05)


def _load_wanted() -> None:
    try:
        main = threading.main_thread()
        main.join(HEAD_START)
        if not main.is_alive():  # the process ends, and would have to wait
            return
        missing = [key for key in list(_wanted) if not _load_wanted_one(key)]
        if missing:
            _compile_elsewhere(missing)
    finally:
        _loading.release()


def _load_wanted_one(key: Key) -> bool:
    """Whether it is known who serves sums with this kernel: it, or NumPy for good."""
    try:
        with _nothing_compiles():
            _ready[key] = call_once(key)
    except NotCompiledError:
        return False
    except Exception as error:  # noqa: BLE001 - whatever fails in Numba leaves the sum to NumPy
        _give_up(key, str(error))
    _wanted.pop(key, None)
    return True


def _compile_elsewhere(keys: list[Key]) -> None:
    from dispatch_cpu import compilation

    hopeless = {key for key in keys if _wanted[key].attempts == ATTEMPTS}
    for key in hopeless:
        _give_up(key, "the compiler failed; python -m dispatch_cpu.compilation tells why")
    keys = [key for key in keys if key not in hopeless]
    try:
        started = bool(keys) and compilation.start(keys)
    except (OSError, RuntimeError) as error:
        for key in keys:
            _give_up(key, str(error))
        return
    for key in keys:
        _, pause, attempts = _wanted[key]
        _wanted[key] = _Search(time.monotonic() + pause, min(2 * pause, PATIENCE), attempts + started)


def _give_up(key: Key, reason: str) -> None:
    name = "float16" if key.recipe.reads_halves else np.dtype(key.recipe.element).name
    logger.warning("dispatch_cpu: no compiled sum for %s: %s; NumPy takes its place", name, reason)
    _ready[key] = None
    _wanted.pop(key, None)


@contextmanager
def _nothing_compiles() -> Iterator[None]:
    """Raise `NotCompiledError` where Numba would begin to compile in this thread."""
    from numba.core import event

    this_thread = threading.get_ident()

    class Refusal(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            if threading.get_ident() == this_thread:
                raise NotCompiledError

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Refusal()):
        yield


def call_once(key: Key) -> Kernel:
    """Return the kernel after a first call, for which Numba loads it from disk or else compiles it.

    Raises
    ------
    NotImplementedError
        For float16 where the processor cannot read it.
    """
    import numba

    from dispatch_cpu import pass_kernels, sum_kernels

    if key.name not in KERNELS:
        return Kernel(*pass_kernels.entry(key.name))
    if key.recipe.reads_halves and not sum_kernels.converts_halves():
        raise NotImplementedError("no instructions for float16 in this processor, or in NUMBA_CPU_NAME")
    kernel = getattr(sum_kernels, key.name)
    mask = np.zeros(2, np.bool_) if key.masked else None
    plan = np.array([1, 1, 1, 2, 1, 1, 16, 16, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    arguments = (np.zeros(2, key.recipe.element), mask, plan, 0, 1, np.empty(1, key.result))
    types = tuple(map(numba.typeof, arguments))
    kernel.compile(types)
    if types not in kernel.overloads:  # another process writes what this one reads
        raise RuntimeError(f"Numba loaded {key.name} for other dtypes than it was asked for")
    kernel(*arguments)
    compiled = kernel.overloads[types]
    return Kernel(kernel, int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)))


# A process forks when nothing is being loaded: in the child, imports that its parent was in the middle of would never
# end.
os.register_at_fork(before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release)
