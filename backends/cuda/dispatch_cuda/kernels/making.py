"""`kernel`: what makes a kernel for given types, made once a process and compiled once a machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from dispatch_cuda.kernels.cache import KernelCache

MAKERS: dict[str, Callable[..., Any]] = {}
"""Every function that makes kernels, by the name of the kernels that it makes."""


def kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator of functions that make a kernel of that name, specialised by their arguments."""

    def decorate(make: Callable[..., Any]) -> Callable[..., Any]:
        @cache
        @wraps(make)
        def made(*specialisation: Any) -> Any:
            function = make(*specialisation)
            if hasattr(function, "_cache"):  # Numba's simulator compiles nothing
                function.py_func.specialised = f"{name}{specialisation}"
                function._cache = KernelCache(function.py_func.specialised, str(sorted(function.targetoptions.items())))
            return function

        MAKERS[name] = made
        return made

    return decorate
