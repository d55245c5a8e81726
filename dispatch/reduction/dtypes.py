"""In which dtype a sum is taken, and in which it is accumulated."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

ACCUMULATORS = {"b": np.int64, "i": np.int64, "u": np.uint64, "f": np.float64, "c": np.complex128}
"""The accumulator of each kind of dtype."""

WIDEST = {"f": 8, "c": 16}
"""Item sizes beyond which a kind has no accumulator: extended precision."""


def operation_dtype(
    operand: np.dtype[Any], dtype: np.dtype[Any] | None = None, out: np.dtype[Any] | None = None
) -> np.dtype[Any]:
    """Return the dtype to which ``sum(a, dtype=dtype, out=out)`` casts each element of `a` before it is added.

    The rules are NumPy's own, errors included: `dtype` if it is given, else that of `out`, else that of `a`, but
    never a boolean or an integer narrower than the platform's.

    Raises
    ------
    TypeError
        When elements of that dtype have no sum.
    """
    return _operation_dtype(operand, dtype, out, tuple(None if d is None else d.char for d in (operand, dtype, out)))


@lru_cache(maxsize=256)
def _operation_dtype(
    operand: np.dtype[Any], dtype: np.dtype[Any] | None, out: np.dtype[Any] | None, _: tuple[str | None, ...]
) -> np.dtype[Any]:
    # The characters are part of the key: C's long and long long are equal as dtypes and different as results.
    if dtype is not None and not dtype.isnative:
        native = dtype.newbyteorder("=")
        raise TypeError(
            f"dtype={dtype.str!r} has not the machine's byte order, in which sums are taken; pass {native.str!r}"
        )
    signature: Any = {} if dtype is None else {"signature": (dtype, None, None)}
    resolved = np.add.resolve_dtypes((out, operand, None), casting="unsafe", reduction=True, **signature)
    return resolved[1]


def real_part(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the real and imaginary parts; of a real dtype, itself."""
    return np.dtype(dtype.char.lower()) if dtype.kind == "c" else dtype


def accumulator_dtype(operation: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype in which raw sums of elements of dtype `operation` are accumulated, or None if there is none.

    Integers are exact modulo ``2**64``, so int64 and uint64 hold every narrower sum too; booleans are counted. Floats
    accumulate in float64, complex numbers in complex128. Extended precision and everything that is not a number is
    left to NumPy.
    """
    if operation.kind not in ACCUMULATORS or operation.itemsize > WIDEST.get(operation.kind, 8):
        return None
    return np.dtype(ACCUMULATORS[operation.kind])
