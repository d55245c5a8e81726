"""Bounds of the spectrum from a few Lanczos steps, as a Chebyshev filter needs them.

Y. Zhou, R.-C. Li, "Bounding the spectrum of large Hermitian matrices", Linear Algebra Appl. 435 (2011): the largest
Ritz value plus the last residual, weighted by the last component of its Ritz vector, is a bound in practice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil

STEPS = 12


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
