"""Exact sums, and how far from them a sum may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def allowed_error(a: NDArray[Any], axis: int | tuple[int, ...] | None, exact: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far each sum over `axis` may be from the `exact` one: what its additions may cost, and one rounding.

    float64 has the bound of pairwise summation, which is off by at most ``log2(n) u Σ|x|`` (N. J. Higham, "The accuracy
    of floating point summation", SIAM J. Sci. Comput. 14 (1993), section 3); the constant allows for short runs that
    are added in order. Narrower types accumulate wider: only in such a run are there roundings to float32, so that
    their number does not grow with that of the elements.
    """
    axes = _normalized(axis, a.ndim)
    count = math.prod(a.shape[i] for i in axes)
    sizes = sum_of_sizes(a, axes)
    wide = a.dtype.char in "dD"
    additions = (math.log2(count + 1) + 20) * unit_roundoff(np.float64) if wide else 16 * unit_roundoff(np.float32)
    rounding = unit_roundoff(a.dtype) * abs(exact) + float(np.finfo(a.dtype).smallest_subnormal)
    return np.asarray(additions * sizes + rounding)


def sum_of_sizes(a: NDArray[Any], axis: int | tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Return ``Σ|x|`` over `axis`, where the size of a complex number is that of both its parts."""
    return np.asarray(exact_sum(abs(a.real), axis) + (exact_sum(abs(a.imag), axis) if a.dtype.kind == "c" else 0.0))


def unit_roundoff(dtype: Any) -> float:
    """Return the largest relative error of one rounding to a dtype."""
    return float(np.finfo(dtype).eps) / 2


def _normalized(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(sorted(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,))))
