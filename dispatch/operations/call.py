"""What a backend is told about a call before it is asked to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, as `Backend.supports` and `Backend.cost` see it.

    Attributes
    ----------
    operation : {"sum", "eigsh"}
        The operation's name.
    operand : object
        The main argument: the array of `sum`, the matrix of `eigsh`. Must not be modified.
    array_type : type
        ``type(operand)``.
    shape : tuple of int
        Shape of the operand.
    dtype : numpy.dtype or None
        Its dtype; None when it is not known before the call (nested lists).
    nbytes : int
        Bytes that a backend has to read of the operand: the stored elements of a sparse matrix.
    arguments : mapping of str to object
        The other arguments by name, those left out not among them.
    """

    operation: str
    operand: Any
    array_type: type
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    nbytes: int
    arguments: Mapping[str, Any]
