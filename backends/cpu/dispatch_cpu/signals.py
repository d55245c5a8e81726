"""Overflow and invalid operations, signalled as NumPy signals them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction


def signal(a: NDArray[Any], reduction: Reduction, sums: NDArray[Any], result: np.dtype[Any] | None = None) -> None:
    """Signal, by `numpy.errstate`, what led to `sums` of `a` that are not finite, by default in the sum's own dtype.

    Of finite elements it is overflow, and where sums are NaN infinite parts of both signs, too. What infinite elements
    lead to, or NaN, which pass through in silence, NumPy finds out: it adds them again, in a dtype in which they do not
    overflow on the way.
    """
    if _are_finite(a, reduction.where):
        signal_overflow()
        if np.isnan(sums).any():
            _signal_invalid()
        return
    where = True if reduction.where is None else reduction.where
    totals = np.add.reduce(a, tuple(reduction.axes), reduction.accumulator, keepdims=True, where=where)
    with np.errstate(over="ignore", under="ignore"):
        sums = totals.astype(result or reduction.dtype)
    if (np.isfinite(_parts(totals)) & np.isinf(_parts(sums))).any():
        signal_overflow()


def _are_finite(a: NDArray[Any], where: NDArray[np.bool_] | None) -> bool:
    """Whether those elements are that a mask does not leave out."""
    marks = np.True_ if where is None else where
    chunks = np.nditer([a, marks], flags=["external_loop", "buffered", "zerosize_ok"], buffersize=1 << 16)
    return all(np.isfinite(elements).all(where=selected) for elements, selected in chunks)


def _parts(sums: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(sums).view(sums.real.dtype)


def signal_overflow() -> None:
    """Signal that a sum is beyond the largest number."""
    np.add.reduce(np.full(2, np.finfo(np.float64).max))


def _signal_invalid() -> None:
    """Signal that infinite sums of both signs were added."""
    np.add.reduce(np.array([np.inf, -np.inf]))
