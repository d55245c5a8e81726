"""Matrices as the engine applies them: sparse and dense on the device, operators on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dispatch_cuda.memory import DeviceMemory
from dispatch_cuda.runtime import Runtime

ELEMENTS_A_THREAD = 8
"""Stored elements of a row of mean length that one thread takes, before it shares the row with a neighbour."""

LONG_ROW = 1024
"""Stored elements from which a row may be given to a whole block of threads ..."""

LONG_AGAINST_MEAN = 8
"""... when it is also so many times longer than the mean."""


class SparseMatrix:
    """A CSR matrix on the device, with what its row lengths say about sharing the work.

    Attributes
    ----------
    shape : (int, int)
        Shape of the matrix.
    arrays : tuple of DeviceMemory
        Row pointers, column indices and elements.
    team : int
        Threads that share a row.
    most : int
        Stored elements up to which they do.
    long : DeviceMemory or None
        The rows that are longer.
    long_rows : int
        How many these are.
    """

    def __init__(self, runtime: Runtime, matrix: csr_array, dtype: np.dtype[Any]) -> None:
        self.shape = matrix.shape
        wide = max(matrix.nnz, 1) > np.iinfo(np.int32).max
        indptr = np.ascontiguousarray(matrix.indptr, np.int64 if wide else np.int32)
        indices = np.ascontiguousarray(matrix.indices, np.int32)
        data = np.ascontiguousarray(matrix.data, dtype)
        self.arrays = tuple(runtime.constant(array) for array in (indptr, indices, data))
        self.team, self.most = shares(indptr)
        long = np.flatnonzero(np.diff(indptr) > self.most).astype(np.int32)
        self.long_rows = len(long)
        self.long = runtime.constant(long) if len(long) else None
        runtime.synchronize()  # the host arrays may be copies of our own


def shares(indptr: NDArray[Any]) -> tuple[int, int]:
    """Return how many threads share a row, a power of two up to a warp, and the length of the rows that they take."""
    rows = max(len(indptr) - 1, 1)
    mean = float(indptr[-1]) / rows
    team = min(1 << max(int(mean / ELEMENTS_A_THREAD) - 1, 0).bit_length(), 32) if mean >= 2 * ELEMENTS_A_THREAD else 1
    return team, int(max(LONG_ROW, LONG_AGAINST_MEAN * mean))


@dataclass(frozen=True)
class DenseMatrix:
    """A dense matrix on the device, in rows padded to whole vectors."""

    shape: tuple[int, int]
    row: int
    memory: DeviceMemory
