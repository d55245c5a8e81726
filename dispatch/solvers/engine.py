"""`BlockEngine`: the primitives that a backend implements so that the core's eigensolver runs on its devices.

The solver keeps blocks of vectors on the device and the small dense matrices on the host, in double precision. A block
is an n-by-p array of the engine's own type, in rows, since every operation runs through it row by row; the solver never
looks inside. A backend that has the seven abstract methods has a solver; the other methods have defaults in terms of
these, which a device replaces by fused kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

Block: TypeAlias = Any
"""An n-by-p array on the engine's device."""

Operator: TypeAlias = Any
"""A matrix on the engine's device, as `BlockEngine.operator` returned it."""

Small: TypeAlias = NDArray[Any]
"""A dense matrix or vector on the host, float64 or complex128, whose sizes are numbers of vectors."""


class BlockEngine(ABC):
    """Blocks of vectors on one device, and the products that a block eigensolver is made of.

    Every method returns new blocks and leaves its arguments alone. Results are deterministic: the same arguments give
    the same bits.

    Parameters
    ----------
    n : int
        Length of the vectors.
    dtype : numpy.dtype
        float32, float64, complex64 or complex128: the type of the blocks' elements.
    """

    def __init__(self, n: int, dtype: np.dtype[Any]) -> None:
        self.n = n
        self.dtype = np.dtype(dtype)

    @property
    def small_dtype(self) -> np.dtype[Any]:
        """The type of the small matrices: double precision, real or complex as the blocks are."""
        return np.result_type(self.dtype, np.float64)

    @abstractmethod
    def upload(self, host: NDArray[Any]) -> Block:
        """Return a block with the elements of an (n, p) host array, converted to `dtype`."""

    @abstractmethod
    def download(self, X: Block) -> NDArray[Any]:
        """Return the block as an (n, p) host array, which may share memory with it."""

    @abstractmethod
    def operator(self, matrix: csr_array | NDArray[Any] | LinearOperator) -> Operator:
        """Return a handle on a matrix of any shape, for `apply`: those of a multigrid hierarchy are not n-by-n.

        A sparse or dense matrix moves to the device. A `LinearOperator` stays the caller's: it is applied on the host,
        and those of the solver check their products.
        """

    @abstractmethod
    def apply(self, A: Operator, X: Block) -> Block:
        """Return the block ``A X``."""

    @abstractmethod
    def gram(self, X: Block, Y: Block) -> Small:
        """Return the Gram matrix ``Xᴴ Y`` on the host, its sums taken in double precision at least."""

    def grams(self, pairs: Sequence[tuple[Block, Block]]) -> list[Small]:
        """Return the Gram matrices of some pairs of blocks; a device can be waited for once for all of them."""
        return [self.gram(X, Y) for X, Y in pairs]

    @abstractmethod
    def combine(self, blocks: Sequence[Block], coefficients: Sequence[Small]) -> Block:
        """Return the block ``Σ X_j C_j`` for blocks ``X_j`` of p_j columns and p_j-by-q matrices ``C_j``."""

    @abstractmethod
    def columns(self, X: Block, indices: Sequence[int] | NDArray[np.intp]) -> Block:
        """Return the block of the given columns of `X`, in the given order."""

    def residual(self, AX: Block, BX: Block, theta: Small) -> tuple[Block, NDArray[np.float64]]:
        """Return the residual block ``AX - BX diag(θ)`` and the 2-norms of its columns."""
        p = len(theta)
        R = self.combine([AX, BX], [np.eye(p), -np.diag(theta)])
        return R, column_norms(self, R)[0]

    def residual_and_norms(
        self, AX: Block, BX: Block, theta: Small, blocks: Sequence[Block]
    ) -> tuple[Block, list[NDArray[np.float64]]]:
        """Return the residual block, and the 2-norms of its columns and then of those of each of `blocks`.

        A device may bring all norms to the host in one copy.
        """
        R, norms = self.residual(AX, BX, theta)
        return R, [norms, *(column_norms(self, *blocks) if blocks else [])]

    def chebyshev_step(
        self, A: Operator, theta: Small, a: Small, b: Small, R: Block, D: Block, Y: Block
    ) -> tuple[Block, Block, Block]:
        """Return the next residual, direction and iterate of a Chebyshev iteration for ``(A - θ) Y = R₀``.

        ``R' = R - (A - θ) D``, ``D' = a D + b R'``, ``Y' = Y + D'``; θ, a and b have one number a column. The
        arguments `R`, `D` and `Y` are given up: a device may write into them.
        """
        eye = np.eye(len(theta))
        R = self.combine([R, self.apply(A, D), D], [eye, -eye, np.diag(theta)])
        D = self.combine([D, R], [np.diag(a), np.diag(b)])
        return R, D, self.combine([Y, D], [eye, eye])

    def chebyshev_iteration(
        self, A: Operator, theta: Small, steps: Sequence[tuple[Small, Small]], R: Block, D: Block
    ) -> Block:
        """Return the iterate after a Chebyshev step for each ``(a, b)`` of `steps`; the first iterate is `D`.

        A device may compute it less accurately than in `dtype`: what comes out is a direction to search in.
        `R` and `D` are given up.
        """
        Y = D
        for a, b in steps:
            R, D, Y = self.chebyshev_step(A, theta, a, b, R, D, Y)
        return Y


def column_norms(engine: BlockEngine, *blocks: Block) -> list[NDArray[np.float64]]:
    """Return the 2-norms of the columns of each block, which come to the host in one copy."""
    squares = (np.asarray(np.diag(G).real, np.float64) for G in engine.grams([(X, X) for X in blocks]))
    return [np.sqrt(np.maximum(some, 0.0)) for some in squares]
