"""Chebyshev filters as preconditioners: at each residual's own shift, and in the metric of A's diagonal.

Their degree follows the convergence. It starts where filtering costs some times what the rest of an iteration does, and
doubles as long as the residuals, at their present rate, would need too many more iterations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from dispatch.solvers.chebyshev import chebyshev, recurrence, unwanted_interval, useful_degree
from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioners import Preconditioner, State, diagonal_of
from dispatch.solvers.problem import EigenProblem, Which
from dispatch.solvers.spectral_bounds import lanczos_extent

MOST_STEPS = 512
"""Largest degree."""

WINDOW = 4
"""Iterations over which the rate of convergence is measured."""

SOON = 12
"""Iterations within which the rate should bring the residuals down, or the degree doubles."""


class Degree:
    """The degree of a filter, doubled where convergence is slow."""

    def __init__(self, start: int) -> None:
        self.value = start
        self._reductions: list[float] = []

    def after(self, state: State) -> int:
        """Return the degree for the next filter, given how far the iteration is."""
        # The first iterations find the wanted end of the spectrum, and say nothing about the rate.
        self._reductions.append(float(np.log(state.reduction.max())))
        if len(self._reductions) > WINDOW + 1:
            now, before = self._reductions[-1], self._reductions[-1 - WINDOW]
            rate = (before - now) / WINDOW
            if now > SOON * max(rate, 0.0) and self.value < MOST_STEPS:
                self.value *= 2
                self._reductions.clear()
        return self.value


class Chebyshev(Preconditioner):
    """The Chebyshev filter on the interval of the unwanted eigenvalues, as the current Ritz values show it."""

    def __init__(self, reason: str, pencil: Pencil, which: Which, bounds: tuple[float, float], degree: int) -> None:
        self.name = f"chebyshev({degree})"
        self.reason = reason
        self._pencil, self._which, self._bounds = pencil, which, bounds
        self._degree = Degree(degree)

    def __call__(self, R: Block, state: State) -> Block:
        """Return the filtered residuals."""
        interval = unwanted_interval(self._which, state.ritz_values, self._bounds, state.iteration)
        degree = useful_degree(interval, state.theta, self._bounds, state.reduction, self._degree.after(state))
        return chebyshev(self._pencil, R, state.theta, interval, degree)


class ChebyshevJacobi(Preconditioner):
    """Chebyshev's iteration for ``A y = r`` in the metric of A's diagonal, for the low end of a spectrum.

    With D the diagonal, it runs on ``D^(-1/2) A D^(-1/2)``, whose eigenvalues no longer show how badly A is scaled, and
    damps the upper part of that spectrum. It is a positive definite approximation of the inverse of A, which serves a
    pencil with any M.
    """

    def __init__(self, reason: str, problem: EigenProblem, pencil: Pencil, start: Block, degree: int) -> None:
        self.name = f"chebyshev-jacobi({degree})"
        self.reason = reason
        self._pencil = pencil
        engine = pencil.engine
        matrix, root = unit_diagonal(pencil, "chebyshev-jacobi")
        self._scaling = engine.operator(diags_array(root, format="csr", dtype=problem.dtype))
        self._operator = engine.operator(matrix.astype(problem.dtype))
        self._top = lanczos_extent(engine, lambda v: engine.apply(self._operator, v), start)[1]
        self._degree = Degree(degree)

    def __call__(self, R: Block, state: State) -> Block:
        """Return the iterate, from zero."""
        engine, p = self._pencil.engine, len(state.theta)
        degree = self._degree.after(state)
        # The part of the spectrum that so many steps damp to about a fifth.
        bottom = self._top / degree**2
        centre = np.full(p, (self._top + bottom) / 2)
        steps = recurrence(centre, (self._top - bottom) / 2, degree)
        self._pencil.applications += len(steps) * p
        R = engine.apply(self._scaling, R)
        D = engine.combine([R], [np.diag(1.0 / centre)])
        return engine.apply(self._scaling, engine.chebyshev_iteration(self._operator, np.zeros(p), steps, R, D))


def unit_diagonal(pencil: Pencil, name: str) -> tuple[Any, Any]:
    """Return ``D^(-1/2) A D^(-1/2)`` on the host, and the diagonal of ``D^(-1/2)``.

    Raises
    ------
    ValueError
        When A is an operator, or an element of its diagonal is negative.
    """
    diagonal = diagonal_of(pencil, name)
    if diagonal.min() < 0.0:
        raise ValueError(
            f"preconditioner {name!r} needs a diagonal without negative elements, and A's goes down to "
            f"{diagonal.min() * pencil.eigenvalue_scale:.3g}; use 'chebyshev'"
        )
    # An isolated node of a graph has a zero there, and in all of its row: any number scales it.
    diagonal = np.where(diagonal > 0.0, diagonal, max(float(diagonal.max()), np.finfo(np.float64).tiny))
    root = 1.0 / np.sqrt(diagonal)
    if isinstance(pencil.scaled_A, csr_array):
        D = diags_array(root, format="csr")
        return csr_array(D @ pencil.scaled_A @ D), root
    return root[:, None] * pencil.scaled_A * root, root


def filter_degree(problem: EigenProblem, vectors: int) -> int:
    """Return the degree at which filtering costs about four times what the rest of an iteration does, in bytes moved.

    An iteration on m vectors of w bytes streams about ``39 m w n`` bytes; a product ``(w + 4) nnz + 4 m w n``.
    """
    w = problem.dtype.itemsize
    iteration = 39 * vectors * w * problem.n
    product = (w + 4) * problem.stored + 4 * vectors * w * problem.n
    return int(np.clip(4 * iteration // product, 8, 40))
