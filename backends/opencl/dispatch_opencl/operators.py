"""Matrices as the engine applies them: sparse and dense on the device, operators on the host."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dispatch_opencl.memory import HostMemory
from dispatch_opencl.runtime import Runtime

ITEMS_A_UNIT = 16
"""Work-items to a core of a CPU: enough that a slow one does not hold up the others."""

LONG_ROW = 64
"""Stored elements from which a row may be given to a whole work-group of a GPU ..."""

LONG_AGAINST_MEAN = 8
"""... when it is also so many times longer than the mean, or when most rows are as long."""


class SparseMatrix:
    """A CSR matrix on the device, with its rows distributed by what they hold.

    On a CPU each work-item gets a range of rows with an equal share of the stored elements. On a GPU a row is an
    item's, an item a VEC, unless it is long: then it is a group's.

    Attributes
    ----------
    shape : (int, int)
        Shape of the matrix.
    indptr, indices, data : HostMemory
        Its arrays.
    options : tuple of str
        Build options for its index types.
    bounds : HostMemory
        Row ranges of the work-items of a CPU.
    items : int
        Number of these.
    short, long : (int, HostMemory) or None
        How many rows of a GPU's two kinds, and which.
    """

    def __init__(self, runtime: Runtime, matrix: csr_array, dtype: np.dtype[Any]) -> None:
        self.shape = matrix.shape
        indptr = np.ascontiguousarray(matrix.indptr)
        indices = np.ascontiguousarray(matrix.indices, np.int32) if matrix.nnz else np.zeros(1, np.int32)
        data = np.ascontiguousarray(matrix.data, dtype) if matrix.nnz else np.zeros(1, dtype)
        self.options = (f"-DOFFSET={'long' if indptr.dtype.itemsize == 8 else 'int'}",)
        self.indptr, self.indices, self.data = (runtime.wrap(array) for array in (indptr, indices, data))
        if runtime.traits.streams:
            self.items = ITEMS_A_UNIT * runtime.traits.units
            self.bounds = runtime.wrap(balanced_rows(indptr, self.items))
        else:
            short, long = split_by_length(indptr)
            self.short = (len(short), runtime.wrap(short)) if len(short) else None
            self.long = (len(long), runtime.wrap(long)) if len(long) else None
        self._elements = data
        self._converted: SparseMatrix | None = None

    def converted(self, runtime: Runtime, dtype: np.dtype[Any]) -> SparseMatrix:
        """Return the same matrix with its elements in another dtype, of which there is one; it is kept."""
        if self._converted is None:
            self._converted = copy.copy(self)
            self._converted.data = runtime.wrap(self._elements.astype(dtype))
        return self._converted


def balanced_rows(indptr: NDArray[Any], items: int) -> NDArray[np.int64]:
    """Return the bounds of `items` ranges of rows with about equally many stored elements, a row counting as one too.

    The sums of a row are in the order of the matrix whatever the ranges, so results do not depend on them.
    """
    rows = len(indptr) - 1
    work = indptr.astype(np.int64) + np.arange(rows + 1)
    return np.searchsorted(work, np.linspace(0, work[-1], items + 1)).astype(np.int64).clip(0, rows)


def split_by_length(indptr: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows that one item walks, and those that a group shares."""
    lengths = np.diff(indptr)
    mean = float(lengths.mean())
    long = lengths > (LONG_ROW if mean > LONG_ROW else max(LONG_ROW, LONG_AGAINST_MEAN * mean))
    return np.flatnonzero(~long).astype(np.int32), np.flatnonzero(long).astype(np.int32)


@dataclass(frozen=True)
class DenseMatrix:
    """A dense matrix on the device, in rows padded to whole VECs."""

    shape: tuple[int, int]
    memory: HostMemory
