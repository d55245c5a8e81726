"""`Pencil`: the matrices A and M of a problem on an engine, scaled to order one, their products counted."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.engine import Block, BlockEngine, Operator
from dispatch.solvers.lengths import lengths
from dispatch.solvers.problem import EigenProblem, Operand


class Sizes(NamedTuple):
    """The 2-norms of M-normalized vectors x, and of their products ``M x``; ones where there is no M."""

    vectors: NDArray[np.float64]
    products: NDArray[np.float64]


class Pencil:
    """The pencil ``(A / 2^a, M / 2^m)`` on an engine.

    The powers of two bring the largest elements to order one, without rounding, so that neither overflow nor underflow
    can occur in what is computed of them and every threshold holds at any scale. Eigenvalues of the scaled pencil are
    multiplied by `eigenvalue_scale` to be those of the problem, vectors by `vector_scale`.
    """

    metric = "M"
    """Name of the matrix whose inner product the basis is orthonormal in."""

    def __init__(self, problem: EigenProblem, engine: BlockEngine) -> None:
        self.engine = engine
        self.n = problem.n
        self.eps = problem.eps
        self.applications = 0
        a = _exponent(problem.A, problem)
        m = 2 * (_exponent(problem.M, problem) // 2) if problem.M is not None else 0
        self.scale_A = math.ldexp(1.0, a)
        self.eigenvalue_scale = math.ldexp(1.0, a - m)
        self.vector_scale = math.ldexp(1.0, -m // 2)
        self.residual_scale = self.scale_A * self.vector_scale
        self.scaled_A = _scaled(problem.A, -a, problem.dtype)
        self._A = engine.operator(self.scaled_A)
        self.scaled_M = None if problem.M is None else _scaled(problem.M, -m, problem.dtype)
        self._M = None if self.scaled_M is None else engine.operator(self.scaled_M)

    @property
    def generalized(self) -> bool:
        """Whether M is something else than the identity."""
        return self._M is not None

    @property
    def operator(self) -> Operator:
        """The scaled A on the engine, for products that are counted by who makes them."""
        return self._A

    def refuse_metric(self, square: float) -> NoReturn:
        """Raise ValueError for a vector x whose ``xᴴ M x`` is negative, M being the matrix of the inner product."""
        name = self.metric
        raise ValueError(f"{name} is not positive definite: a vector x has xᴴ {name} x = {square:.3g}")

    def apply_A(self, X: Block, vectors: int) -> Block:
        """Return ``A X`` for a block of so many vectors."""
        self.applications += vectors
        return self.engine.apply(self._A, X)

    def apply_M(self, X: Block) -> Block:
        """Return ``M X``, which is `X` itself when there is no M."""
        return X if self._M is None else self.engine.apply(self._M, X)

    def test_block(self, X: Block, MX: Block) -> Block:
        """Return the block whose products with ``A X`` are the elements of the projected matrix: `X` itself."""
        return X

    def image(self, X: Block, MX: Block) -> Block:
        """Return the block that ``A X`` is a multiple of, column by column, when X are eigenvectors: ``M X``."""
        return MX

    def residuals(
        self, X: Block, AX: Block, MX: Block, theta: NDArray[np.float64]
    ) -> tuple[Block, NDArray[np.float64], Sizes]:
        """Return the residuals of M-normalized pairs, their norms, and the sizes of the vectors: in one copy."""
        blocks = (X, MX) if self.generalized else ()
        R, (norms, *sizes) = self.engine.residual_and_norms(AX, self.image(X, MX), theta, blocks)
        return R, norms, Sizes(*sizes) if sizes else Sizes(np.ones(len(theta)), np.ones(len(theta)))


def _exponent(operand: Operand | None, problem: EigenProblem) -> int:
    """Return the binary exponent of a matrix's largest element; of an operator, of a product with a random vector."""
    if operand is None:
        return 0
    if isinstance(operand, LinearOperator):
        x = np.random.default_rng(1).standard_normal((problem.n, 1))
        size = float(lengths(operand.matmat((x / np.linalg.norm(x)).astype(problem.dtype)))[0])
    else:
        elements = operand.data if isinstance(operand, csr_array) else operand
        size = float(abs(elements).max()) if elements.size else 0.0
    return math.frexp(size)[1] if size > 0.0 else 0


def _scaled(operand: Operand, exponent: int, dtype: np.dtype[Any]) -> Operand:
    if exponent == 0:
        return operand
    if isinstance(operand, LinearOperator):
        return operand * math.ldexp(1.0, exponent)
    if isinstance(operand, csr_array):
        data = np.ldexp(operand.data, exponent) if dtype.kind == "f" else operand.data * math.ldexp(1.0, exponent)
        return csr_array((data, operand.indices, operand.indptr), shape=operand.shape)
    return np.ldexp(operand, exponent) if dtype.kind == "f" else operand * math.ldexp(1.0, exponent)
