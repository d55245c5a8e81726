"""Chebyshev filters as preconditioners: at each residual's own shift, and in the metric of A's diagonal.

Their degree follows the convergence. It starts where filtering costs some times what the rest of an iteration does, and
doubles as long as the residuals, at their present rate, would need too many more iterations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.chebyshev import (
    Interval,
    chebyshev,
    clearance,
    computable_degree,
    recurrence,
    unwanted_interval,
    useful_degree,
)
from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioners import Preconditioner, State
from dispatch.solvers.problem import EigenProblem, Operand, Which
from dispatch.solvers.spectral_bounds import gershgorin_lower_bound, lanczos_extent

MOST_STEPS = 512
"""Largest degree."""

WINDOW = 4
"""Iterations over which the rate of convergence is measured."""

SOON = 12
"""Iterations within which the rate should bring the residuals down, or the degree is raised."""

LARGEST_RAISE = 4.0
"""Factor by which the degree is raised at once, at most."""

SMALLEST_ELEMENT = 1e-300
"""What an element of a diagonal counts as, at least: a quotient of elements of order one by it does not overflow."""

ROUNDED_ONE = 1.0 + 1e-5
"""One, and the rounding errors of single precision."""


class Rate:
    """The rate of convergence, as the residuals of the last iterations show it.

    Attributes
    ----------
    left : float
        Iterations left, as far as known, at the rate that was last found too slow; zero as long as none was.
    """

    def __init__(self) -> None:
        self._reductions: list[float] = []
        self.left = 0.0

    def slowness(self, state: State) -> float:
        """Return how many times too many iterations would be left at the present rate, at most `LARGEST_RAISE`.

        It is 1 while the rate is not known.

        Where it is more than one, a new measurement begins.
        """
        # The first iterations find the wanted end of the spectrum, and say nothing about the rate.
        self._reductions.append(float(np.log(state.reduction.max())))
        if len(self._reductions) <= WINDOW + 1:
            return 1.0
        now, before = self._reductions[-1], self._reductions[-1 - WINDOW]
        soon = SOON * max(before - now, 0.0) / WINDOW
        if now <= soon:
            return 1.0
        self._reductions.clear()
        # A rate that is small is not well known, and one that is none tells nothing of those to come.
        slowness = float(np.clip(now / max(soon, 1e-300), 1.0, LARGEST_RAISE))
        self.left = SOON * (slowness if soon > 0.0 else 1.0)
        return slowness


def raised(degree: int, slowness: float) -> int:
    """Return the degree for the next iterations, by the slowness of those before: it at least doubles if they lag."""
    return degree if slowness <= 1.0 else min(int(degree * max(slowness, 2.0)), MOST_STEPS)


class Filter(Preconditioner):
    """A polynomial in the matrix.

    Attributes
    ----------
    steps_left : float
        Steps that are left for each residual, at the rate that was last found too slow; zero as long as none was. A
        higher degree takes fewer iterations of as many more steps.
    """

    def __init__(self, name: str, reason: str, pencil: Pencil, degree: int) -> None:
        self.name, self.reason = f"{name}({degree})", reason
        self._pencil, self._degree, self._rate = pencil, degree, Rate()
        self.steps_left = 0.0

    def _slowness(self, state: State) -> float:
        slowness = self._rate.slowness(state)
        if slowness > 1.0:
            self.steps_left = self._rate.left * self._degree
        return slowness


class Chebyshev(Filter):
    """The Chebyshev filter on the interval of the unwanted eigenvalues, as the current Ritz values show it."""

    def __init__(self, reason: str, pencil: Pencil, which: Which, bounds: tuple[float, float], degree: int) -> None:
        super().__init__("chebyshev", reason, pencil, degree)
        self._which, self._bounds = which, bounds

    def __call__(self, R: Block, state: State) -> Block:
        """Return the filtered residuals."""
        self._degree = raised(self._degree, self._slowness(state))
        interval = unwanted_interval(self._which, state.ritz_values, self._bounds, state.iteration)
        interval = replace(interval, clearance=clearance(self._degree))
        degree = useful_degree(interval, state.theta, self._bounds, state.reduction, self._degree)
        return chebyshev(self._pencil, R, state.theta, interval, degree)


class ChebyshevJacobi(Filter):
    """Chebyshev's iteration for ``(A - σ M) y = r`` in the metric of the diagonal D, for the low end of a spectrum.

    It runs on ``D^(-1/2) (A - σ M) D^(-1/2)``, whose eigenvalues no longer show how badly A is scaled, and damps the
    upper part of that spectrum: a positive definite approximation of the inverse, which serves a pencil with any M. The
    shift σ is zero until convergence is slow, as it is where the wanted eigenvalues are close together and far from
    zero; it then moves up to them.
    """

    def __init__(self, reason: str, problem: EigenProblem, pencil: Pencil, start: Block, degree: int) -> None:
        super().__init__("chebyshev-jacobi", reason, pencil, degree)
        self._dtype, self._start = problem.dtype, start
        self._shift_to(0.0)

    def __call__(self, R: Block, state: State) -> Block:
        """Return the iterate, from zero."""
        engine, p = self._pencil.engine, len(state.theta)
        slowness = self._slowness(state)
        shift = better_shift(self._shift, state, slowness > 1.0)
        if shift is not None:
            self._shift_to(shift)
        else:
            self._degree = raised(self._degree, slowness)
        # The part of the spectrum that so many steps damp to about a fifth.
        interval = Interval(self._extent[1] / self._degree**2, self._extent[1])
        degree = min(self._degree, computable_degree(interval, self._extent))
        centre = np.full(p, (interval.a + interval.b) / 2)
        steps = recurrence(centre, (interval.b - interval.a) / 2, degree)
        self._pencil.applications += len(steps) * p
        R = engine.apply(self._scaling, R)
        D = engine.combine([R], [np.diag(1.0 / centre)])
        return engine.apply(self._scaling, engine.chebyshev_iteration(self._operator, np.zeros(p), steps, R, D))

    def _shift_to(self, shift: float) -> None:
        engine = self._pencil.engine
        matrix, root = unit_diagonal(low_end(self._pencil, shift))
        self._shift = shift
        self._scaling = engine.operator(diags_array(root, format="csr", dtype=self._dtype))
        self._operator = engine.operator(matrix.astype(self._dtype))
        lower, upper = lanczos_extent(engine, lambda v: engine.apply(self._operator, v), self._start)
        self._extent = (0.0 if not shift and cannot_be_negative(matrix, self._pencil.scaled_A) else lower, upper)


def below_spectrum(state: State, distance: float) -> float:
    """Return a shift below the lowest Ritz value, its distance in the extent of those that are kept."""
    first, last = float(state.ritz_values[0]), float(state.ritz_values[-1])
    return first - distance * (last - first)


def better_shift(shift: float, state: State, slow: bool, distance: float = 1.0) -> float | None:
    """Return a shift that serves a preconditioner for the low end better than the present one, if there is one.

    It must stay below the spectrum, as far as the Ritz values show it, and should not be far below when that makes the
    wanted eigenvalues look alike.
    """
    first, below = float(state.ritz_values[0]), below_spectrum(state, distance)
    if first < shift and state.iteration >= 2:
        return below
    return below if slow and below - shift > 0.5 * (first - shift) else None


def cannot_be_negative(*matrices: Operand) -> bool:
    """Return whether the elements of one of the matrices, congruent to each other, show it positive semidefinite."""
    return any(gershgorin_lower_bound(matrix) >= 0.0 for matrix in matrices)


def low_end(pencil: Pencil, shift: float = 0.0) -> csr_array | NDArray[Any]:
    """Return ``A - σ M`` on the host for a shift σ; A is no operator, as `check_fit` has made sure."""
    matrix: csr_array | NDArray[Any] = pencil.scaled_A
    if shift and not isinstance(pencil.scaled_M, LinearOperator):
        identity = eye_array(pencil.n, format="csr") if isinstance(matrix, csr_array) else np.eye(pencil.n)
        return matrix - shift * (identity if pencil.scaled_M is None else pencil.scaled_M)
    return matrix


def unit_diagonal(matrix: csr_array | NDArray[Any]) -> tuple[Any, NDArray[np.float64]]:
    """Return ``D^(-1/2) A D^(-1/2)`` with a unit diagonal, and the diagonal of ``D^(-1/2)``.

    D is the diagonal of A. A row that has larger elements then, as there may be where A is not positive semidefinite,
    is scaled further, so that none exceeds one.
    """
    diagonal = np.asarray(matrix.diagonal().real, np.float64)
    # An isolated node of a graph has a zero there, and in all of its row: any number scales it.
    diagonal = np.where(diagonal > 0.0, diagonal, float(diagonal.max()) if diagonal.max() > 0.0 else 1.0)
    root = 1.0 / np.sqrt(np.maximum(diagonal, SMALLEST_ELEMENT))
    scaled = _congruent(matrix, root)
    if float(abs(scaled.data if isinstance(scaled, csr_array) else scaled).max(initial=0.0)) <= ROUNDED_ONE:
        return scaled, root
    largest = abs(scaled).max(axis=1)
    excess = np.asarray(largest.toarray() if isinstance(scaled, csr_array) else largest, np.float64).ravel()
    root /= np.sqrt(np.maximum(excess, 1.0))
    return _congruent(matrix, root), root


def _congruent(matrix: csr_array | NDArray[Any], root: NDArray[np.float64]) -> Any:
    """Return ``diag(root) A diag(root)``."""
    if isinstance(matrix, csr_array):
        D = diags_array(root, format="csr")
        return csr_array(D @ matrix @ D)
    return root[:, None] * matrix * root


def filter_degree(problem: EigenProblem, vectors: int) -> int:
    """Return the degree at which filtering costs about four times what the rest of an iteration does, in bytes moved.

    An iteration on m vectors of w bytes streams about ``39 m w n`` bytes; a product ``(w + 4) nnz + 4 m w n``.
    """
    w = problem.dtype.itemsize
    iteration = 39 * vectors * w * problem.n
    product = (w + 4) * problem.stored + 4 * vectors * w * problem.n
    return int(np.clip(4 * iteration // product, 8, 40))
