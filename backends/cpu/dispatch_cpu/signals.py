"""Overflow and invalid operations, signalled as NumPy signals them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def signal(sums: NDArray[Any], a: NDArray[Any]) -> None:
    """Signal, by `numpy.errstate`, overflow or infinities of both signs in sums of `a`.

    A sum that is not finite is reported only if it need not have been: NaN and infinity pass through in silence.
    """
    finite, has_nan = True, False
    for chunk in np.nditer(a, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=1 << 16):
        finite = finite and bool(np.isfinite(chunk).all())
        has_nan = has_nan or bool(np.isnan(chunk).any())
    if finite:
        signal_overflow()
    elif not has_nan and np.isnan(sums).any():
        np.add.reduce(np.array([np.inf, -np.inf]))


def signal_overflow() -> None:
    """Signal, by `numpy.errstate`, that a sum is beyond the largest number."""
    np.add.reduce(np.full(2, np.finfo(np.float64).max))
