"""Which compiled sums are ready to be called: they are loaded, or compiled, in the background.

No call waits for a compiler. The first call that could use a kernel asks for it and is served by NumPy, which adds in
the same order (`summation`), so that nothing but the speed depends on when the kernel is ready. The thread that loads
kernels ends when all that were asked for are there; the process does not exit before that, which keeps what it
compiled on disk for the next one. ``python -m dispatch_cpu.kernels`` compiles all of them at once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

logger = logging.getLogger("dispatch")


class Recipe(NamedTuple):
    """The dtypes of a kernel: those that elements are read as, that lanes are added in, and of the sums."""

    element: str
    stage: str
    total: str

    @property
    def result(self) -> str:
        """The dtype of finished sums: the element's if it is a float that a kernel can write, else that of the sums."""
        return "f4" if self.element == "f4" else self.total

    @property
    def neutral(self) -> float:
        """What changes no sum."""
        return -0.0 if self.total == "f8" else 0

    @property
    def carriers(self) -> tuple[Any, Any]:
        """Empty arrays that carry the dtypes of the stage and of the sums."""
        return CARRIERS[self.stage], CARRIERS[self.total]


CARRIERS = {name: np.empty(0, name) for name in ("i2", "i4", "i8", "f4", "f8")}
"""An empty array of each dtype."""


RECIPES = {
    "b1": Recipe("u1", "i2", "i8"),
    "i1": Recipe("i1", "i2", "i8"),
    "u1": Recipe("u1", "i2", "i8"),
    "i2": Recipe("i2", "i4", "i8"),
    "u2": Recipe("u2", "i4", "i8"),
    "i4": Recipe("i4", "i8", "i8"),
    "u4": Recipe("u4", "i8", "i8"),
    "i8": Recipe("i8", "i8", "i8"),
    "u8": Recipe("i8", "i8", "i8"),
    "f2": Recipe("u2", "f4", "f8"),
    "f4": Recipe("f4", "f8", "f8"),
    "f8": Recipe("f8", "f8", "f8"),
    "c8": Recipe("f4", "f8", "f8"),
    "c16": Recipe("f8", "f8", "f8"),
}
"""The recipe for each dtype; complex numbers are pairs of floats, unsigned sums are signed sums modulo ``2**64``."""


def recipe(dtype: np.dtype[Any]) -> Recipe:
    """Return the recipe for elements of a dtype."""
    return RECIPES[f"{dtype.kind}{dtype.itemsize}"]


Key = tuple[str, Recipe, str, bool]
"""The name of a kernel in `sum_kernels`, its dtypes, that of the sums it writes, and whether there is a mask."""

_lock = threading.Lock()
_ready: dict[Key, Callable[..., Any] | None] = {}
_wanted: list[Key] = []
_loading = False


VECTOR: Key = ("sum_vector", RECIPES["f4"], "f8", False)
"""The kernel for float32 vectors."""


def find(name: str, recipe: Recipe, result: str, masked: bool) -> Callable[..., Any] | None:
    """Return the compiled kernel of that name if it is ready for these dtypes; otherwise ask for it."""
    key = (name, recipe, result, masked)
    if key in _ready:
        return _ready[key]
    _ask(key)
    return None


def wait(timeout: float | None = None) -> None:
    """Wait until the kernels that were asked for are ready."""
    for thread in threading.enumerate():
        if thread.name == "dispatch-cpu-kernels":
            thread.join(timeout)


def _ask(key: Key) -> None:
    global _loading
    with _lock:
        if key in _ready or key in _wanted:
            return
        _wanted.append(key)
        if not _loading:
            try:
                threading.Thread(target=_load_wanted, name="dispatch-cpu-kernels").start()
                _loading = True
            except RuntimeError:  # the interpreter is shutting down: NumPy serves
                _wanted.clear()


def _load_wanted() -> None:
    global _loading
    while True:
        with _lock:
            if not _wanted:
                _loading = False
                return
            key = _wanted[0]
        kernel = load(*key)
        with _lock:
            _ready[key] = kernel
            _wanted.remove(key)


def load(name: str, recipe: Recipe, result: str, masked: bool) -> Callable[..., Any] | None:
    """Return the kernel once it is compiled for these dtypes; None, with a warning in the log, where that fails."""
    try:
        from dispatch_cpu import sum_kernels

        kernel: Callable[..., Any] = getattr(sum_kernels, name)
        x = np.zeros(2, recipe.element)
        if name == "sum_vector":
            kernel(x)
        x.flags.writeable = False  # read-only arrays are a type of their own to Numba
        if name == "sum_vector":
            kernel(x)
            return kernel
        mask = np.zeros(2, np.bool_) if masked else None
        if mask is not None:
            mask.flags.writeable = False
        kernel(x, mask, *ONE_SUM[name], recipe.neutral, 0, 1, *recipe.carriers, np.empty((1, 1, 1), result))
    except Exception as error:  # noqa: BLE001 - any failure of the compiler leaves the sum to NumPy
        logger.warning("dispatch_cpu: no compiled sum for %s: %s; NumPy takes its place", recipe.element, error)
        return None
    return kernel


ONE_SUM: dict[str, tuple[Any, ...]] = {"sum_rows": ((1, 1, 1), 1, 1, 1, 16, 1), "sum_short_rows": ((1, 1), 2)}
"""For each kernel its arguments from `strides` to `start` for one sum."""


def _all_keys() -> list[Key]:
    return [
        (name, recipe, result, masked)
        for name in ONE_SUM
        for recipe in dict.fromkeys(RECIPES.values())
        for result in dict.fromkeys((recipe.total, recipe.result))
        for masked in (False, True)
        if not (masked and result != recipe.total)
    ] + [VECTOR]


def _after_fork() -> None:
    """Leave to NumPy, in a child, what its parent was loading: the compiler's lock is held for ever."""
    global _lock
    _lock = threading.Lock()
    if _loading:
        _ready.update(dict.fromkeys(key for key in _all_keys() if key not in _ready))


def compile_all() -> None:
    """Compile every kernel and keep them on disk."""
    for key in _all_keys():
        _ready[key] = load(*key)


os.register_at_fork(after_in_child=_after_fork)

if __name__ == "__main__":
    compile_all()
