"""`CpuEngine`: the eigensolver's primitives on the host, in NumPy, SciPy and compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers import BlockEngine, EigenProblem, Small
from dispatch_cpu import compiled_blocks
from dispatch_cpu.compiled_blocks import ROWS, diagonal_of
from dispatch_cpu.parallel import run_over_rows
from dispatch_cpu.sparse import SparseOperator

MULTIPLICATIONS = 1 << 18
"""Multiplications of one dense product: as many as OpenBLAS still does on the calling thread, so that our threads, each
with rows of its own, do not wait for its threads, and what is computed does not depend on how many it has."""

WORTH_COMPILING = 250_000
"""Elements times vectors below which NumPy and SciPy serve: compiled kernels take longer to load than they save in two
calls or three."""


class CpuEngine(BlockEngine):
    """Blocks are C-contiguous arrays on the host."""

    def __init__(self, problem: EigenProblem) -> None:
        super().__init__(problem.n, problem.dtype)
        self._compiled = problem.stored * problem.k >= WORTH_COMPILING

    def upload(self, host: NDArray[Any]) -> NDArray[Any]:
        """Return a contiguous copy in the engine's dtype."""
        return np.array(host, dtype=self.dtype, order="C")

    def download(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the block itself."""
        return X

    def operator(self, matrix: csr_array | NDArray[Any] | LinearOperator) -> Any:
        """Return the matrix itself, sparse rows with room for their copy in single precision."""
        return SparseOperator(matrix) if isinstance(matrix, csr_array) else matrix

    def apply(self, A: Any, X: NDArray[Any]) -> NDArray[Any]:
        """Return ``A X``: sparse rows by the compiled product, an operator by its own."""
        if isinstance(A, LinearOperator):
            return np.ascontiguousarray(A.matmat(X), dtype=self.dtype)
        if not isinstance(A, SparseOperator):
            return np.ascontiguousarray(A @ X, dtype=self.dtype)
        if self._compiled:
            return A.product(X)
        return np.ascontiguousarray(A.matrix @ X, dtype=self.dtype)

    def gram(self, X: NDArray[Any], Y: NDArray[Any]) -> Small:
        """Return ``Xᴴ Y``, in double precision: the sum of the products of a few rows each, in their order."""
        wide = self.small_dtype
        rows = _rows(X.shape[1] * Y.shape[1])
        parts = np.empty((-(-len(X) // rows), X.shape[1], Y.shape[1]), wide)

        def part(start: int, stop: int) -> None:
            x, y = X[start:stop].astype(wide, copy=False), Y[start:stop].astype(wide, copy=False)
            np.matmul(x.conj().T if wide.kind == "c" else x.T, y, out=parts[start // rows])

        run_over_rows(part, len(X), rows)
        return np.asarray(parts.sum(axis=0))

    def combine(self, blocks: Sequence[NDArray[Any]], coefficients: Sequence[Small]) -> NDArray[Any]:
        """Return ``Σ X_j C_j``, a few rows of all blocks at a time, so that each is read once."""
        columns = np.shape(coefficients[0])[1]
        result = np.empty((len(blocks[0]), columns), self.dtype)
        kernel = compiled_blocks.combination_kernel(blocks, coefficients, result) if self._compiled else None
        if kernel is not None:
            run_over_rows(kernel, len(result), ROWS)
            return result
        whole = [np.asarray(c).astype(self.dtype) for c in coefficients]
        C = [c if (diagonal := diagonal_of(c)) is None else diagonal for c in whole]

        def rows(start: int, stop: int) -> None:
            total = result[start:stop]
            if C[0].ndim == 1:
                np.multiply(blocks[0][start:stop], C[0], out=total)
            else:
                np.matmul(blocks[0][start:stop], C[0], out=total)
            for X, c in zip(blocks[1:], C[1:], strict=True):
                total += X[start:stop] * c if c.ndim == 1 else X[start:stop] @ c

        run_over_rows(rows, len(result), _rows(max(X.shape[1] for X in blocks) * columns))
        return result

    def columns(self, X: NDArray[Any], indices: Sequence[int] | NDArray[np.intp]) -> NDArray[Any]:
        """Return a copy of the columns."""
        chosen = np.asarray(indices, np.intp)
        result = np.empty((len(X), len(chosen)), self.dtype)

        def rows(start: int, stop: int) -> None:  # mode="raise" takes twice the time
            np.take(X[start:stop], chosen, axis=1, out=result[start:stop], mode="clip")

        run_over_rows(rows, len(X), ROWS)
        return result

    def residual(self, AX: NDArray[Any], BX: NDArray[Any], theta: Small) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return ``AX - BX diag(θ)`` and the norms of its columns."""
        if self._compiled:
            R, squares = compiled_blocks.residual(AX, BX, theta)
            return R, np.sqrt(squares)
        R = np.empty_like(AX)
        shifts = theta.astype(self.dtype.char.lower())
        parts = np.empty((-(-len(R) // ROWS), R.shape[1]))

        def part(start: int, stop: int) -> None:
            r = np.subtract(AX[start:stop], BX[start:stop] * shifts, out=R[start:stop])
            parts[start // ROWS] = np.einsum("ij,ij->j", r, r.conj(), dtype=self.small_dtype).real

        run_over_rows(part, len(R), ROWS)
        return R, np.sqrt(parts.sum(axis=0))

    def chebyshev_step(
        self, A: Any, theta: Small, a: Small, b: Small, R: NDArray[Any], D: NDArray[Any], Y: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Take the step in place."""
        real = self.dtype.char.lower()
        AD = self.apply(A, D)
        AD -= D * theta.astype(real)
        R -= AD
        following: NDArray[Any] = D * a.astype(real)
        following += R * b.astype(real)
        return R, following, Y + following

    def chebyshev_iteration(
        self, A: Any, theta: Small, steps: Sequence[tuple[Small, Small]], R: NDArray[Any], D: NDArray[Any]
    ) -> NDArray[Any]:
        """Take the steps; with compiled kernels in single precision: a preconditioner need not be more accurate."""
        if isinstance(A, SparseOperator) and self._compiled:
            return A.filter(theta, steps, R, D)
        return np.asarray(super().chebyshev_iteration(A, theta, steps, R, D))


def _rows(multiplications: int) -> int:
    """Return how many rows a dense product of so many multiplications a row takes at a time."""
    return max(64, min(4096, MULTIPLICATIONS // max(multiplications, 1)))
