"""`CpuEngine`: the eigensolver's primitives on the host, in NumPy, SciPy and compiled sparse products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers import BlockEngine, EigenProblem, Small
from dispatch_cpu.parallel import run_over_rows

ROWS = 2048
"""Rows of a block that are worked on at a time: they stay in the cache of a core."""

WORTH_COMPILING = 200_000
"""Elements times vectors below which SciPy's product serves: the compiled one is not loaded for it."""


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
        """Return the matrix itself."""
        return matrix

    def apply(self, A: Any, X: NDArray[Any]) -> NDArray[Any]:
        """Return ``A X``: sparse rows by the compiled product, an operator by its own."""
        if isinstance(A, csr_array) and self._compiled:
            from dispatch_cpu.spmm import product

            Y = np.empty((A.shape[0], X.shape[1]), self.dtype)
            arguments = (A.indptr, A.indices, A.data, X, Y)
            run_over_rows(lambda start, stop: product(*arguments, start, stop), A.shape[0], 4 * ROWS)
            return Y
        if isinstance(A, LinearOperator):
            return self._checked(A, X)
        return np.ascontiguousarray(A @ X, dtype=self.dtype)

    def gram(self, X: NDArray[Any], Y: NDArray[Any]) -> Small:
        """Return ``Xᴴ Y``, in double precision; single-precision blocks are widened a few rows at a time."""
        if self.dtype == self.small_dtype:
            return np.asarray(X.conj().T @ Y)
        total = np.zeros((X.shape[1], Y.shape[1]), self.small_dtype)
        for start in range(0, self.n, ROWS):
            rows = slice(start, start + ROWS)
            total += X[rows].astype(self.small_dtype).conj().T @ Y[rows].astype(self.small_dtype)
        return total

    def combine(self, blocks: Sequence[NDArray[Any]], coefficients: Sequence[Small]) -> NDArray[Any]:
        """Return ``Σ X_j C_j``, a few rows of all blocks at a time, so that each is read once."""
        C = [np.asarray(coefficient).astype(self.dtype) for coefficient in coefficients]
        result = np.empty((len(blocks[0]), C[0].shape[1]), self.dtype)

        def rows(start: int, stop: int) -> None:
            part = result[start:stop]
            np.matmul(blocks[0][start:stop], C[0], out=part)
            for X, coefficient in zip(blocks[1:], C[1:], strict=True):
                part += X[start:stop] @ coefficient

        run_over_rows(rows, len(result), ROWS)
        return result

    def columns(self, X: NDArray[Any], indices: Sequence[int] | NDArray[np.intp]) -> NDArray[Any]:
        """Return a copy of the columns."""
        return np.ascontiguousarray(X[:, np.asarray(indices, np.intp)])

    def residual(self, AX: NDArray[Any], BX: NDArray[Any], theta: Small) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return ``AX - BX diag(θ)`` and the norms of its columns."""
        R = AX - BX * theta.astype(self.dtype.char.lower())
        squares = np.einsum("ij,ij->j", R, R.conj(), dtype=self.small_dtype).real
        return R, np.sqrt(np.asarray(squares, np.float64))

    def chebyshev_step(
        self, A: Any, theta: Small, a: Small, b: Small, R: NDArray[Any], D: NDArray[Any], Y: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Take the step in one pass over the matrix and the three blocks."""
        if not (isinstance(A, csr_array) and self._compiled):
            return super().chebyshev_step(A, theta, a, b, R, D, Y)
        from dispatch_cpu.spmm import chebyshev_step

        if Y is D:
            Y = D.copy()
        following = np.empty_like(D)
        real = self.dtype.char.lower()
        scalars = (theta.astype(real), a.astype(real), b.astype(real))
        arguments = (A.indptr, A.indices, A.data, *scalars, R, D, Y, following)
        run_over_rows(lambda start, stop: chebyshev_step(*arguments, start, stop), self.n, 4 * ROWS)
        return R, following, Y

    def _checked(self, A: LinearOperator, X: NDArray[Any]) -> NDArray[Any]:
        Y = np.asarray(A.matmat(X))
        if Y.shape != (A.shape[0], X.shape[1]):
            raise ValueError(f"the operator returned shape {Y.shape} for a block of shape {X.shape}")
        if not np.isfinite(Y).all():
            raise ValueError("the operator returned NaN or infinity for a finite block of vectors")
        return np.ascontiguousarray(Y, dtype=self.dtype)
