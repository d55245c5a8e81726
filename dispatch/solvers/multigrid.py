"""Algebraic multigrid as a preconditioner: set up by PyAMG on the host, cycled through on the engine.

A V-cycle is products with sparse matrices and Chebyshev smoothing, the primitives that every engine has. Each level's
matrix is brought to a unit diagonal at set-up, so that smoothing needs no diagonal of its own.

P. Vaněk, J. Mandel, M. Brezina, "Algebraic multigrid by smoothed aggregation for second and fourth order elliptic
problems", Computing 56 (1996); M. Adams, M. Brezina, J. Hu, R. Tuminaro, "Parallel multigrid smoothing: polynomial
versus Gauss-Seidel", J. Comput. Phys. 188 (2003).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, diags_array
from scipy.sparse.linalg import norm

from dispatch.errors import one_line
from dispatch.solvers.chebyshev import recurrence
from dispatch.solvers.engine import Block, BlockEngine, Operator, Small
from dispatch.solvers.inverse_preconditioner import InversePreconditioner, NoInverseError
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.polynomial_preconditioners import cannot_be_negative, low_end, unit_diagonal
from dispatch.solvers.problem import EigenProblem

SMOOTHING = 4
"""Degree of the smoother before and after each correction."""

SMOOTHED = 16.0
"""The smoother damps the upper part of a level's spectrum, down to its largest eigenvalue divided by this."""

LIFT = 1e-6
"""What is added to a unit diagonal, so that a singular matrix has an inverse, at least.

Two cycles amplify what rounding leaves of a null vector in a residual by the square of the inverse: it must not cover
the rest. In single precision the square root of ε is added.
"""

SMALLEST = 1e-12
"""Smallest element of a coarse level's diagonal, in the largest one, that the level is scaled by."""

COARSEST = 300
"""Unknowns that a dense inverse serves for."""


def available() -> bool:
    """Return whether PyAMG is installed."""
    return importlib.util.find_spec("pyamg") is not None


@dataclass(frozen=True)
class Level:
    """A level's matrix, its transfer to the next one and back, and the steps of its smoother for one column."""

    A: Operator
    restriction: Operator
    prolongation: Operator
    centre: float
    halfwidth: float


class HierarchyError(NoInverseError):
    """A matrix for which PyAMG makes no hierarchy: it is far from positive definite, or has no links to aggregate."""

    def __init__(self, why: str) -> None:
        super().__init__(f"preconditioner 'amg' cannot be set up: {why}; use 'chebyshev-jacobi'")
        self.why = why


class Multigrid(InversePreconditioner):
    """Two symmetric V-cycles of smoothed aggregation for ``D^(-1/2) (A - σ M) D^(-1/2)``, D being the diagonal.

    The shift σ is zero where A is known to be positive semidefinite, or there is an M; otherwise it is the lower one of
    the `bounds` of the spectrum. It moves up to the wanted eigenvalues where convergence is slow.

    Attributes
    ----------
    complexity : float
        Stored elements of all levels' matrices, in those of the finest: what a cycle costs.

    Raises
    ------
    HierarchyError
        When PyAMG fails.
    """

    name = "amg"

    def __init__(self, reason: str, problem: EigenProblem, pencil: Pencil, bounds: tuple[float, float]) -> None:
        self._dtype, self._lift = problem.dtype, max(LIFT, problem.eps**0.5)
        A = low_end(pencil)
        known = pencil.generalized or cannot_be_negative(A, unit_diagonal(A)[0])
        super().__init__(reason, pencil, 0.0 if known else min(bounds[0], 0.0))

    def _inverse(self, R: Block, p: int) -> Block:
        """Return the result of one V-cycle from zero."""
        engine = self._pencil.engine
        self._pencil.applications += 2 * SMOOTHING * p
        return engine.apply(self._scaling, self._cycle(0, engine.apply(self._scaling, R), np.eye(p)))

    def _shift_to(self, shift: float) -> None:
        engine = self._pencil.engine
        matrix, root = unit_diagonal(low_end(self._pencil, shift))
        try:
            # What PyAMG and LAPACK divide by zero comes out as an error or as a number that is not finite.
            with np.errstate(all="ignore"):
                hierarchy = _aggregated(csr_array(matrix), 1.0 / root, self._lift)
                levels = _to_engine(engine, hierarchy, self._dtype)
        except Exception as error:
            raise HierarchyError(f"PyAMG found no hierarchy for A ({one_line(error)})") from error
        self.complexity = sum(level.A.nnz for level in hierarchy) / hierarchy[0].A.nnz
        self._scaling = engine.operator(diags_array(root, format="csr", dtype=self._dtype))
        self._levels, self._coarsest = levels

    def _cycle(self, depth: int, B: Block, eye: Small) -> Block:
        engine = self._pencil.engine
        if depth == len(self._levels):
            return engine.apply(self._coarsest, B)
        level = self._levels[depth]
        X = self._smoothed(level, B, eye)
        residual = engine.combine([B, engine.apply(level.A, X)], [eye, -eye])
        correction = self._cycle(depth + 1, engine.apply(level.restriction, residual), eye)
        X = engine.combine([X, engine.apply(level.prolongation, correction)], [eye, eye])
        residual = engine.combine([B, engine.apply(level.A, X)], [eye, -eye])
        return engine.combine([X, self._smoothed(level, residual, eye)], [eye, eye])

    def _smoothed(self, level: Level, B: Block, eye: Small) -> Block:
        engine = self._pencil.engine
        centre = np.full(len(eye), level.centre)
        steps = recurrence(centre, level.halfwidth, SMOOTHING)
        D = engine.combine([B], [eye / level.centre])
        return engine.chebyshev_iteration(level.A, np.zeros(len(eye)), steps, engine.combine([B], [eye]), D)


def _to_engine(engine: BlockEngine, hierarchy: list[Any], dtype: np.dtype[Any]) -> tuple[list[Level], Operator]:
    """Return the levels and the inverse on the coarsest one, on the engine."""
    levels = []
    scale = np.ones(hierarchy[0].A.shape[0])
    for fine, coarse in pairwise(hierarchy):
        finer = diags_array(scale, format="csr")
        diagonal = abs(coarse.A.diagonal())
        # A matrix that is not positive definite after all may show it here: such rows are scaled as the others.
        following = 1.0 / np.sqrt(np.where(diagonal > SMALLEST * diagonal.max(), diagonal, diagonal.max() or 1.0))
        # In the variables in which both levels have unit diagonals.
        P = csr_array(diags_array(1.0 / scale, format="csr") @ fine.P @ diags_array(following, format="csr"))
        matrix = csr_array(finer @ fine.A @ finer)
        top = float(norm(matrix, np.inf))
        levels.append(
            Level(
                engine.operator(matrix.astype(dtype)),
                engine.operator(csr_array(P.conj().T).astype(dtype)),
                engine.operator(P.astype(dtype)),
                top * (1 + 1 / SMOOTHED) / 2,
                top * (1 - 1 / SMOOTHED) / 2,
            )
        )
        scale = following
    dense = scale[:, None] * hierarchy[-1].A.toarray() * scale
    values, vectors = np.linalg.eigh(dense)
    inverse = (vectors / np.maximum(abs(values), 1e-12 * abs(values).max())) @ vectors.conj().T
    return levels, engine.operator(np.ascontiguousarray(inverse, dtype))


def _aggregated(A: csr_array, near_kernel: NDArray[np.float64], lift: float) -> list[Any]:
    """Return PyAMG's levels for a matrix of unit diagonal, lifted to be regular; the same in every run."""
    import pyamg

    lifted = csr_matrix(A + diags_array(np.full(A.shape[0], lift), format="csr"))
    # PyAMG estimates spectral radii from NumPy's global random state: it is lent a seed, and put back.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        solver = pyamg.smoothed_aggregation_solver(
            lifted, B=near_kernel[:, None].astype(A.dtype), max_coarse=COARSEST, presmoother=None, postsmoother=None
        )
    finally:
        np.random.set_state(state)
    for level in solver.levels:
        if not np.isfinite(level.A.data).all():
            raise ValueError("a coarse matrix has elements that are not finite: A is far from positive semidefinite")
    return list(solver.levels)
