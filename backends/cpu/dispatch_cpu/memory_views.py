"""Arrays over any memory that belongs to another array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Memory:
    """A description of memory that NumPy makes an array of; it keeps alive what the memory belongs to."""

    def __init__(
        self, owner: NDArray[Any], offset: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int]
    ) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "data": (owner.__array_interface__["data"][0] + offset, False),
            "typestr": dtype.str,
            "shape": tuple(shape),
            "strides": tuple(strides),
        }


def view(
    owner: NDArray[Any], offset: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int]
) -> NDArray[Any]:
    """Return an array over the owner's memory, `offset` bytes after its first element, to be read alone.

    It is not marked as read-only, whatever the owner is: to Numba, read-only arrays are a type of their own.
    """
    return np.asarray(_Memory(owner, offset, dtype, shape, strides))


def writeable(a: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or one over the same memory that is not marked as read-only."""
    return a if a.flags.writeable else view(a, 0, a.dtype, a.shape, a.strides)
