"""`Block`: vectors on the device, and `Arithmetic`: the form in which kernels hold their elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.devices import PooledBuffer

VECTOR_BYTES = 32
"""Bytes of a kernel's VEC; the rows of a block are padded with zeros to a whole number of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """An n-by-p array on the device, in rows of `vecs` VECs."""

    memory: PooledBuffer
    n: int
    p: int
    vecs: int


class Arithmetic:
    """The working dtype as kernels see it.

    Attributes
    ----------
    dtype, real : numpy.dtype
        Type of the elements, and of their real and imaginary parts.
    parts : int
        Reals of an element: two when it is complex.
    lanes : int
        Reals of a VEC.
    options : tuple of str
        Build options that select it.
    """

    def __init__(self, dtype: np.dtype[Any], fp64: bool) -> None:
        self.dtype = np.dtype(dtype)
        self.real = np.dtype(self.dtype.char.lower())
        self.parts = 2 if self.dtype.kind == "c" else 1
        self.lanes = VECTOR_BYTES // self.real.itemsize
        double = self.real == np.float64
        self.options = (
            f"-DREAL={'double' if double else 'float'}",
            f"-DDOUBLE={int(double)}",
            f"-DCOMPLEX={int(self.parts == 2)}",
        )
        self._fp64 = fp64

    def vecs(self, p: int) -> int:
        """Return how many VECs hold p elements."""
        return max(-(-p * self.parts // self.lanes), 1)

    def padded(self, p: int) -> int:
        """Return p rounded up to whole VECs."""
        return self.vecs(p) * self.lanes // self.parts

    def rows(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return a matrix in the working dtype with its rows padded by zeros; itself, where it is so already."""
        n, p = matrix.shape
        if p == self.padded(p) and matrix.dtype == self.dtype and matrix.flags.c_contiguous:
            return matrix
        result = np.zeros((n, self.padded(p)), self.dtype)
        result[:, :p] = matrix
        return result

    def scalars(self, *vectors: NDArray[Any]) -> NDArray[Any]:
        """Return real vectors of one number a column as padded rows, each number as often as an element has parts."""
        p = len(vectors[0])
        result = np.zeros((len(vectors), self.padded(p), self.parts), self.real)
        for row, vector in zip(result, vectors, strict=True):
            row[:p] = vector[:, None]
        return result

    def sum_bytes(self) -> int:
        """Return the bytes of a kernel's SUM: 8 for each lane, one double or two singles."""
        return 8 * self.lanes

    def sums(self, raw: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the values of the SUMs in `raw`, in order, lane by lane."""
        if self._fp64:
            return raw.view(np.float64)
        pairs = raw.view(np.float32).reshape(-1, 2, self.lanes).astype(np.float64)
        return np.asarray(pairs.sum(axis=1)).ravel()
