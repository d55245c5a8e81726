"""What a preconditioner is, and those that are one product: nothing, Jacobi, and what the caller gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array

from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem


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


def jacobi(problem: EigenProblem, pencil: Pencil, reason: str) -> Product:
    """Return the preconditioner by the inverse of A's diagonal; zeros in it count as its mean, or as ones."""
    matrix = pencil.scaled_A
    diagonal = np.asarray(matrix.diagonal().real, np.float64)
    size = abs(diagonal)
    mean = float(size.mean()) or 1.0
    safe = np.where(size > 1e-3 * mean, diagonal, np.copysign(mean, diagonal))
    return Product("jacobi", reason, pencil.engine, diags_array(1.0 / safe, format="csr", dtype=problem.dtype))
