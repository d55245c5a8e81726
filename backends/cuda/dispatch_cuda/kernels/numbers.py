"""Arithmetic on the elements of blocks, which Numba has for complex numbers only in part."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels.vectors import device


def wide(dtype: np.dtype[Any]) -> Any:
    """Return the type of double precision for blocks of a dtype."""
    return types.complex128 if dtype.kind == "c" else types.float64


def scalar(dtype: np.dtype[Any]) -> Any:
    """Return the type of the elements of blocks of a dtype."""
    return getattr(types, dtype.name)


@cache
def conjugate(dtype: np.dtype[Any]) -> Any:
    """Return the function of a number that conjugates it."""
    return device(lambda x: x.conjugate()) if dtype.kind == "c" else device(lambda x: x)


@cache
def add_square(dtype: np.dtype[Any]) -> Any:
    """Return the function that adds the square of a number's absolute value to a sum, in double precision."""
    double = types.float64
    if dtype.kind == "c":
        return device(lambda total, x: total + (double(x.real) * double(x.real) + double(x.imag) * double(x.imag)))
    return device(lambda total, x: total + double(x) * double(x))


@cache
def add_shuffled(dtype: np.dtype[Any]) -> Any:
    """Return the function of a number and a step: its sum with that of the thread that is so many lanes further."""
    if dtype.kind == "c":
        return device(
            lambda x, step: complex(
                x.real + cuda.shfl_down_sync(0xFFFFFFFF, x.real, step),
                x.imag + cuda.shfl_down_sync(0xFFFFFFFF, x.imag, step),
            )
        )
    return device(lambda x, step: x + cuda.shfl_down_sync(0xFFFFFFFF, x, step))


add = device(lambda x, y: x + y)
subtract = device(lambda x, y: x - y)
multiply = device(lambda x, y: x * y)
multiply_add = device(lambda total, x, y: total + x * y)
multiply_subtract = device(lambda total, x, y: total - x * y)
