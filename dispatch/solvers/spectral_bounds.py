"""Bounds of the spectrum from a few Lanczos steps, as a Chebyshev filter needs them.

Y. Zhou, R.-C. Li, "Bounding the spectrum of large Hermitian matrices", Linear Algebra Appl. 435 (2011): the largest
Ritz value plus the last residual, weighted by the last component of its Ritz vector, is a bound in practice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import Operand

STEPS = 12


def gershgorin_lower_bound(matrix: Operand) -> float:
    """Return a number that no eigenvalue of an explicit matrix lies below; of an operator nothing is known.

    The least of ``a_ii - Σ_j≠i |a_ij|`` over the rows (S. Gershgorin, 1931). What rounding may have taken from an exact
    zero, as in the rows of a graph's Laplacian, is given back.
    """
    if isinstance(matrix, LinearOperator):
        return -np.inf
    diagonal = np.asarray(matrix.diagonal().real, np.float64)
    sums = np.asarray(abs(matrix).sum(axis=1), np.float64).ravel()
    bounds = diagonal + abs(diagonal) - sums
    rounding = 8 * float(np.finfo(matrix.dtype).eps) * sums
    return float(np.where(abs(bounds) <= rounding, 0.0, bounds).min())


def lanczos_bounds(pencil: Pencil, start: Block, steps: int = STEPS) -> tuple[float, float]:
    """Return a lower and an upper bound of the spectrum of A, from `steps` products with A.

    Parameters
    ----------
    pencil : Pencil
        For its engine and its A; M is not looked at.
    start : Block
        One random vector.
    """
    engine = pencil.engine
    one = np.ones((1, 1))
    v = engine.combine([start], [one / np.sqrt(engine.gram(start, start).real)])
    previous: Block = v
    alphas: list[float] = []
    betas: list[float] = []
    for _ in range(min(steps, pencil.n)):
        w = pencil.apply_A(v, 1)
        alpha = float(engine.gram(v, w)[0, 0].real)
        beta = betas[-1] if betas else 0.0
        w = engine.combine([w, v, previous], [one, -alpha * one, -beta * one])
        alphas.append(alpha)
        betas.append(float(np.sqrt(max(engine.gram(w, w)[0, 0].real, 0.0))))
        if betas[-1] <= 1e-12 * max(map(abs, alphas)):
            break
        previous, v = v, engine.combine([w], [one / betas[-1]])
    theta, C = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
    error: NDArray[np.float64] = betas[-1] * abs(C[-1])
    return float(theta[0] - error[0]), float(theta[-1] + error[-1])
