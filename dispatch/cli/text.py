"""Read arrays from text: one row a line, in the narrowest of int64, float64 and complex128 that holds them exactly."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np

_INTEGERS = re.compile(r"(?:[-+0-9\s]++|#[^\n]*+)*+")


def read_text(path: str) -> Any:
    """Return the array in a text file, which may be compressed; ``#`` starts a comment.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it holds no numbers, rows of different lengths, or integers that do not fit int64.
    """
    with np.lib.npyio.DataSource().open(path, "rt", encoding="utf-8-sig") as file:
        text = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about no numbers, which is an error here
        warnings.simplefilter("error", DeprecationWarning)  # older NumPy reads 1.5 as an integer, and says so
        array = _narrowest(text)
    if not array.size:
        raise ValueError("it holds no numbers")
    refuse_overflow(array, text)
    if array.dtype == np.float64 and _INTEGERS.fullmatch(text):
        raise ValueError("it holds integers that do not fit int64; write them as 1e19 if they may be rounded")
    return array


def refuse_overflow(numbers: Any, text: str | bytes) -> None:
    """Raise ValueError where finite numbers of a text, such as 1e400, have been read as infinity."""
    word: Any = b"inf" if isinstance(text, bytes) else "inf"
    if numbers.dtype.kind in "fc" and np.isinf(numbers).any() and word not in text.lower():
        raise ValueError("it holds numbers that do not fit float64, such as 1e400")


def _narrowest(text: str) -> Any:
    for dtype in (np.int64, np.float64):
        try:
            return np.loadtxt(io.StringIO(text), dtype)
        except (ValueError, DeprecationWarning):
            pass
    return np.loadtxt(io.StringIO(text), np.complex128)
