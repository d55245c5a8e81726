"""Sums of so few elements that what counts is the call: they are NumPy's, or Python's, where these add accurately."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import summation

EXACT = 16
"""Narrow floats up to which Python adds them exactly (`math.fsum`)."""

SMALL = 2048
"""Elements below which NumPy is called where it adds accurately."""

UNHURRIED = dict.fromkeys("?bBhHiIlLqQ", 1 << 14) | {"d": 1 << 20, "D": 1 << 19}
"""Elements, by character of the dtype, below which no kernel is faster where NumPy adds accurately in that dtype."""


WIDER: dict[str, Any] = {"e": np.float64, "f": np.float64, "F": np.complex128}
"""The dtypes in which NumPy adds a few elements, by character."""


def sum_wider(a: NDArray[Any], axis: Any, keepdims: bool) -> Any:
    """Return the sum of narrow floats, which NumPy adds in a wider dtype."""
    total = np.add.reduce(a, axis, WIDER[a.dtype.char], None, keepdims)  # type: ignore[call-overload]
    narrow = a.dtype.type
    return total.astype(narrow) if type(total) is np.ndarray else narrow(total)


def sum_exactly(a: NDArray[Any]) -> Any:
    """Return the sum of a few float16 or float32, rounded once; None for infinities of both signs."""
    try:
        return a.dtype.type(fsum(a.ravel().tolist()) + 0.0)
    except ValueError:
        return None


def numpy_is_accurate(a: NDArray[Any], axis: Any, char: str, *, masked: bool) -> bool:
    """Whether NumPy adds in the dtype `char` exactly, or in pairs, or 16 elements at most.

    It adds in pairs along the innermost axis in memory alone, and where there is no mask.
    """
    if char not in "dD":
        return char not in "efF"
    if type(axis) is int and -a.ndim <= axis < a.ndim:
        return (a.strides[axis] == a.itemsize and not masked) or a.shape[axis] <= summation.SERIAL
    return ((a.ndim == 1 or (axis is None and a.flags.forc)) and not masked) or a.size <= summation.SERIAL
