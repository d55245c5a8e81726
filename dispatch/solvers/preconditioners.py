"""What is done to the residuals before they extend the basis: chosen from cheap evidence, or given by the caller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.chebyshev import chebyshev, unwanted_interval, useful_degree
from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem, Which


@dataclass(frozen=True)
class State:
    """How far the iteration is.

    Attributes
    ----------
    theta : (p,) ndarray
        The Ritz value of each residual.
    reduction : (p,) ndarray
        The factor by which each residual norm still has to fall.
    ritz_values : (m,) ndarray
        All Ritz values that are kept, the most wanted first.
    iteration : int
        Counts from 0.
    """

    theta: NDArray[np.float64]
    reduction: NDArray[np.float64]
    ritz_values: NDArray[np.float64]
    iteration: int


class Preconditioner(ABC):
    """Turns residuals into directions that the search space is extended by.

    Attributes
    ----------
    name, reason : str
        What it is, and why it was chosen: for `EigshInfo`.
    """

    name: str
    reason: str

    @abstractmethod
    def __call__(self, R: Block, state: State) -> Block:
        """Return an approximation of ``(A - θ_i M)⁻¹ r_i`` for each column of the residual block `R`."""


class Nothing(Preconditioner):
    """The residuals themselves."""

    name = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, R: Block, state: State) -> Block:
        """Return `R`."""
        return R


class Product(Preconditioner):
    """The product with one fixed matrix or operator on the engine: Jacobi's inverse diagonal, or the caller's."""

    def __init__(self, name: str, reason: str, engine: BlockEngine, matrix: Any) -> None:
        self.name, self.reason = name, reason
        self._engine = engine
        self._operator = engine.operator(matrix)

    def __call__(self, R: Block, state: State) -> Block:
        """Return the matrix times `R`."""
        return self._engine.apply(self._operator, R)


class Chebyshev(Preconditioner):
    """The Chebyshev filter on the interval of the unwanted eigenvalues, as the current Ritz values show it."""

    def __init__(self, reason: str, pencil: Pencil, which: Which, bounds: tuple[float, float], degree: int) -> None:
        self.name = f"chebyshev({degree})"
        self.reason = reason
        self._pencil, self._which, self._bounds, self._degree = pencil, which, bounds, degree

    def __call__(self, R: Block, state: State) -> Block:
        """Return the filtered residuals."""
        interval = unwanted_interval(self._which, state.ritz_values, self._bounds, state.iteration)
        degree = useful_degree(interval, state.theta, self._bounds, state.reduction, self._degree)
        return chebyshev(self._pencil, R, state.theta, interval, degree)


def filter_degree(problem: EigenProblem, vectors: int) -> int:
    """Return the degree at which filtering costs about four times what the rest of an iteration does, in bytes moved.

    An iteration on m vectors of w bytes streams about ``39 m w n`` bytes; a product ``(w + 4) nnz + 4 m w n``.
    """
    w = problem.dtype.itemsize
    iteration = 39 * vectors * w * problem.n
    product = (w + 4) * problem.stored + 4 * vectors * w * problem.n
    return int(np.clip(4 * iteration // product, 8, 40))


def jacobi(problem: EigenProblem, pencil: Pencil, reason: str) -> Product:
    """Return the preconditioner by the inverse of A's diagonal; zeros in it count as its mean."""
    diagonal = _diagonal(pencil)
    size = abs(diagonal)
    safe = np.where(size > 1e-3 * size.mean(), diagonal, np.copysign(max(float(size.mean()), 1e-300), diagonal))
    return Product("jacobi", reason, pencil.engine, diags_array(1.0 / safe, format="csr", dtype=problem.dtype))


def _diagonal(pencil: Pencil) -> NDArray[np.float64]:
    matrix = pencil.scaled_A
    if isinstance(matrix, LinearOperator):
        raise ValueError("preconditioner 'jacobi' needs the diagonal of A, and A is an operator: give a matrix")  # noqa: TRY004 - the option does not fit
    return np.asarray(matrix.diagonal().real, np.float64)
