"""What a backend is told about a call before it is asked to run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
    shape : tuple of int
        Shape of the operand; ``()`` when it is not known before the call (nested lists).
    dtype : numpy.dtype or None
        Its dtype; None when it is not known before the call.
    nbytes : int
        Bytes that a backend has to read of the operand: of a sparse matrix, those of its stored elements.
    arguments : mapping of str to object
        The other arguments by name. `sum`: those that were given. `eigsh`: ``problem``, the `EigenProblem`.
    """

    operation: str
    operand: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    nbytes: int
    arguments: Mapping[str, Any]

    @property
    def array_type(self) -> type:
        """The operand's class."""
        return type(self.operand)


def describe(operation: str, operand: Any, arguments: Mapping[str, Any]) -> Call:
    """Return the `Call` of `operation` on `operand`, which may be any array, sparse matrix, operator or list."""
    dtype = getattr(operand, "dtype", None)
    shape = getattr(operand, "shape", None)
    return Call(
        operation,
        operand,
        tuple(shape) if isinstance(shape, tuple) else (),
        dtype if isinstance(dtype, np.dtype) else None,
        _bytes_of(operand),
        arguments,
    )


def _bytes_of(operand: Any) -> int:
    """Bytes of an array; of a sparse matrix, those of its CSR form: values, column indices and row pointers."""
    stored = getattr(operand, "nnz", None)
    if isinstance(stored, int):
        itemsize = int(getattr(operand.dtype, "itemsize", 8))
        return stored * (itemsize + 4) + 4 * int(operand.shape[0])
    nbytes = getattr(operand, "nbytes", 0)
    return int(nbytes) if isinstance(nbytes, int) else 0


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, those that were left out with their defaults."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments
