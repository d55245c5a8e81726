"""`SparseOperator`: the rows of a sparse matrix, and what compiled kernels compute with them on all cores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dispatch.solvers import Small
from dispatch_cpu.compiled_blocks import ROWS, real_parts
from dispatch_cpu.parallel import cores, run_over_rows, run_together

SINGLE = {"d": np.dtype(np.float32), "D": np.dtype(np.complex64)}
"""What a filter computes in, where the blocks are double precision."""

LARGE_PAGE = 1 << 21
"""Bytes of a large page of memory on most systems."""


class SparseOperator:
    """Sparse rows, and their elements in single precision once a filter has asked for them."""

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix

    @cached_property
    def single(self) -> NDArray[Any]:
        """The elements in the precision of filters."""
        data = self.matrix.data
        return np.asarray(data, SINGLE.get(data.dtype.char, data.dtype))

    def product(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the matrix times a C-contiguous block of the same dtype."""
        from dispatch_cpu.block_kernels import VECTOR, narrow_product, product

        Y = np.empty((self.matrix.shape[0], X.shape[1]), X.dtype)
        rows = (self.matrix.indptr, self.matrix.indices, self.matrix.data)
        if X.shape[1] * X.itemsize < VECTOR:
            kernel = partial(narrow_product, *rows, X, Y)
        else:
            kernel = partial(product, *rows, real_parts(X).ravel(), real_parts(Y).ravel(), real_parts(X).shape[1])
        run_over_rows(kernel, len(Y), ROWS)
        return Y

    def filter(
        self, theta: Small, steps: Sequence[tuple[Small, Small]], R: NDArray[Any], D: NDArray[Any]
    ) -> NDArray[Any]:
        """Return what a Chebyshev iteration makes of two blocks, each step in one pass over the matrix and the blocks.

        It computes in single precision, since half the bytes move. Columns are brought to size one before they are
        rounded, and filled up with zeros to whole vectors.
        """
        from dispatch_cpu.block_kernels import VECTOR, chebyshev, scaled

        single = self.single.dtype
        real = np.dtype(single.char.lower())
        lanes, parts = VECTOR // single.itemsize, single.itemsize // real.itemsize
        n, p = R.shape
        width = -(-p // lanes) * lanes * parts
        sizes = np.repeat(np.maximum(_largest(R), np.finfo(np.float64).tiny), parts)
        blocks = _on_large_pages(4 * n * width, real).reshape(4, n, width)
        for X, rounded in zip((R, D, D), blocks[:3], strict=True):
            run_over_rows(partial(scaled, real_parts(X), 1.0 / sizes, rounded), n, ROWS)

        def coefficients(x: Any) -> NDArray[Any]:
            filled = np.zeros((*np.shape(x)[:-1], width), real)
            filled[..., : p * parts] = np.repeat(x, parts, axis=-1)
            return filled

        a, b = zip(*steps, strict=True)
        numbers = (coefficients(theta), coefficients(a), coefficients(b))
        taken, done = np.zeros((len(steps), cores()), np.int64), np.zeros(len(steps), np.int64)
        rows = (self.matrix.indptr, self.matrix.indices, self.single)
        run_together(partial(chebyshev, *rows, *numbers, *blocks.reshape(4, -1), taken, done))
        Y = np.empty_like(R)
        run_over_rows(partial(scaled, blocks[2], sizes, real_parts(Y)), n, ROWS)
        return Y


def _largest(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the magnitude of the largest element of each column."""
    largest = np.zeros((-(-len(X) // ROWS), X.shape[1]))

    def part(start: int, stop: int) -> None:
        largest[start // ROWS] = abs(X[start:stop]).max(axis=0)

    run_over_rows(part, len(X), ROWS)
    return np.asarray(largest.max(axis=0))


def _on_large_pages(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an uninitialised array that begins where a large page of memory can.

    NumPy asks for large pages, where the system grants them on request. A product gathers rows of a block from all over
    it, which on small pages takes half as long again.
    """
    need = size * dtype.itemsize
    memory = np.empty(need + LARGE_PAGE, np.uint8)
    skip = -memory.ctypes.data % LARGE_PAGE
    return memory[skip : skip + need].view(dtype)
