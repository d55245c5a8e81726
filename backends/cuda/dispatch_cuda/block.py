"""`Block`: vectors on the device, and `Arithmetic`: the form in which kernels hold their elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cuda.memory import DeviceMemory

VECTOR_BYTES = 16
"""Bytes that a thread moves at once; the rows of a block are padded with zeros to a whole number of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """An n-by-p array on the device, in rows of `vecs` vectors, or `row` elements."""

    memory: DeviceMemory
    n: int
    p: int
    vecs: int
    row: int


class Arithmetic:
    """The working dtype as kernels see it.

    Attributes
    ----------
    dtype, real, wide : numpy.dtype
        Type of the elements, of their real and imaginary parts, and of sums in double precision.
    lanes : int
        Elements of a vector.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = np.dtype(dtype)
        self.real = np.dtype(self.dtype.char.lower())
        self.wide = np.result_type(self.dtype, np.float64)
        self.lanes = VECTOR_BYTES // self.dtype.itemsize

    def vecs(self, p: int) -> int:
        """Return how many vectors hold p elements."""
        return max(-(-p // self.lanes), 1)

    def rows(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return a matrix in the working dtype with its rows padded by zeros; itself, where it is so already."""
        n, p = matrix.shape
        width = self.vecs(p) * self.lanes
        if p == width and matrix.dtype == self.dtype and matrix.flags.c_contiguous:
            return matrix
        result = np.zeros((n, width), self.dtype)
        result[:, :p] = matrix
        return result

    def scalars(self, *numbers: NDArray[Any]) -> NDArray[Any]:
        """Return vectors of one real number a column as padded rows."""
        p = len(numbers[0])
        result = np.zeros((len(numbers), self.vecs(p) * self.lanes), self.real)
        for row, vector in zip(result, numbers, strict=True):
            row[:p] = vector
        return result
