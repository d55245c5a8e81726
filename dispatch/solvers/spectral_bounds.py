"""Bounds of the spectrum from a few Lanczos steps, as a Chebyshev filter needs them.

Y. Zhou, R.-C. Li, "Bounding the spectrum of large Hermitian matrices", Linear Algebra Appl. 435 (2011): the largest
Ritz value plus the last residual, weighted by the last component of its Ritz vector, is a bound in practice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import Operand

STEPS = 12

NEGATIVE = 100
"""Size of a negative Ritz value of M, in units of ``ε ‖M‖``, from which it is no rounding error of the steps."""

MARGIN = 0.01
"""Added at both ends, in widths of the spectrum: a filter of high degree amplifies enormously what lies beyond."""


def gershgorin_lower_bound(matrix: Operand) -> float:
    """Return a number that no eigenvalue of an explicit matrix lies below; of an operator nothing is known."""
    return gershgorin_bounds(matrix)[0]


def gershgorin_bounds(matrix: Operand) -> tuple[float, float]:
    """Return numbers that no eigenvalue of an explicit matrix lies below and above; of an operator nothing is known.

    The extremes of ``a_ii ∓ Σ_j≠i |a_ij|`` over the rows (S. Gershgorin, 1931). What rounding may have taken from an
    exact zero, as in the rows of a graph's Laplacian, is given back.
    """
    if isinstance(matrix, LinearOperator):
        return -np.inf, np.inf
    diagonal = np.asarray(matrix.diagonal().real, np.float64)
    sums = np.asarray(abs(matrix).sum(axis=1), np.float64).ravel()
    rounding = 8 * float(np.finfo(matrix.dtype).eps) * sums
    radii = sums - abs(diagonal)
    lower, upper = (np.where(abs(bounds) <= rounding, 0.0, bounds) for bounds in (diagonal - radii, diagonal + radii))
    return float(lower.min()), float(upper.max())


def lanczos_bounds(pencil: Pencil, start: Block, steps: int = STEPS) -> tuple[float, float]:
    """Return a lower and an upper bound of the spectrum of A, from `steps` products with A.

    Parameters
    ----------
    pencil : Pencil
        For its engine and its A; M is not looked at.
    start : Block
        One random vector.
    """
    return lanczos_extent(pencil.engine, lambda v: pencil.apply_A(v, 1), start, min(steps, pencil.n))


def lanczos_extent(
    engine: BlockEngine, apply: Callable[[Block], Block], start: Block, steps: int = STEPS
) -> tuple[float, float]:
    """Return a lower and an upper bound of the spectrum of a Hermitian operator, from `steps` products with it."""
    theta, error = _lanczos(engine, apply, start, steps)
    margin = MARGIN * float(theta[-1] - theta[0])
    return float(theta[0] - error[0] - margin), float(theta[-1] + error[-1] + margin)


def check_metric(pencil: Pencil, start: Block) -> None:
    """Raise ValueError when some Lanczos steps meet a vector x with ``xᴴ M x < 0``.

    An eigenvalue of M far below the others is found so, though no vector of a run may come near it; one that is small
    against the norm of M may escape.
    """
    theta, _ = _lanczos(pencil.engine, pencil.apply_M, start, min(STEPS, pencil.n))
    if theta[0] < -NEGATIVE * pencil.eps * abs(theta).max():
        pencil.refuse_metric(theta[0])


def _lanczos(
    engine: BlockEngine, apply: Callable[[Block], Block], start: Block, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Ritz values of some Lanczos steps, ascending, and the residual norms of their vectors."""
    one = np.ones((1, 1))
    v = engine.combine([start], [one / np.sqrt(engine.gram(start, start).real)])
    previous: Block = v
    alphas: list[float] = []
    betas: list[float] = []
    exhausted = max(1e-12, 100 * float(np.finfo(engine.dtype).eps))
    for _ in range(steps):
        w = apply(v)
        alpha = float(engine.gram(v, w)[0, 0].real)
        beta = betas[-1] if betas else 0.0
        w = engine.combine([w, v, previous], [one, -alpha * one, -beta * one])
        alphas.append(alpha)
        betas.append(float(np.sqrt(max(engine.gram(w, w)[0, 0].real, 0.0))))
        if betas[-1] <= exhausted * max(map(abs, alphas)):
            break
        previous, v = v, engine.combine([w], [one / betas[-1]])
    theta, C = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
    return theta, betas[-1] * abs(C[-1])
