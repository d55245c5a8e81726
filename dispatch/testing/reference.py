"""Exact sums, and how far from them a sum may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACCUMULATOR = {"e": "f", "f": "d", "F": "d", "d": "d", "D": "d"}
"""The real type whose precision the contract grants each type of elements: what is narrow accumulates wider."""


def exact_sum(a: NDArray[Any], axis: int | tuple[int, ...] | None = None) -> NDArray[Any]:
    """Return the sum of finite floating-point elements, each result correctly rounded to double precision.

    By `math.fsum`: J. R. Shewchuk, "Adaptive precision floating-point arithmetic", Discrete Comput. Geom. 18 (1997).
    """
    if a.dtype.kind == "c":
        return np.asarray(exact_sum(a.real, axis) + 1j * exact_sum(a.imag, axis))
    axes = _normalized(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    shape = [a.shape[i] for i in kept]
    groups = a.transpose(*kept, *axes).reshape(math.prod(shape), math.prod(a.shape[i] for i in axes))
    return np.array([math.fsum(group) for group in groups.astype(np.float64).tolist()], np.float64).reshape(shape)


def allowed_error(
    a: NDArray[Any], axis: int | tuple[int, ...] | None = None, *, has_double: bool = True
) -> NDArray[np.float64]:
    """Return how far each sum over `axis` may be from the exact one: the bound of pairwise summation, and a rounding.

    What has no double precision adds float32 in float32. Whatever has it adds float32 in float64 and rounds once.

    N. J. Higham, "The accuracy of floating point summation", SIAM J. Sci. Comput. 14 (1993), section 3: pairwise
    summation is off by at most ``log2(n) u Σ|x|``. The constant allows for short runs that are added in order.
    """
    axes = _normalized(axis, a.ndim)
    count = math.prod(a.shape[i] for i in axes)
    sizes = exact_sum(abs(a.real), axes) + (exact_sum(abs(a.imag), axes) if a.dtype.kind == "c" else 0.0)
    unit = unit_roundoff(ACCUMULATOR[a.dtype.char] if has_double else np.float32)
    rounding = unit_roundoff(a.dtype) * abs(exact_sum(a, axes)) + float(np.finfo(a.dtype).smallest_subnormal)
    return np.asarray((math.log2(count + 1) + 20) * unit * sizes + rounding)


def unit_roundoff(dtype: Any) -> float:
    """Return the largest relative error of one rounding to a dtype."""
    return float(np.finfo(dtype).eps) / 2


def _normalized(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(sorted(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,))))
