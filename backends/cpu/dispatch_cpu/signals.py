"""Overflow and invalid operations, signalled as NumPy signals them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction


def signal(a: NDArray[Any], reduction: Reduction, dtype: np.dtype[Any] | None = None) -> None:
    """Signal, by `numpy.errstate`, what led to sums of `a`, in that dtype, that are not finite.

    Of finite elements it is overflow. What infinite ones lead to, or NaN, which pass through in silence, NumPy finds
    out: it adds them again.
    """
    for chunk in np.nditer(a, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=1 << 16):
        if not np.isfinite(chunk).all():
            where = True if reduction.where is None else reduction.where
            np.add.reduce(a, tuple(reduction.axes), dtype or reduction.dtype, where=where)
            return
    signal_overflow()


def signal_overflow() -> None:
    """Signal that a sum is beyond the largest number."""
    np.add.reduce(np.full(2, np.finfo(np.float64).max))
