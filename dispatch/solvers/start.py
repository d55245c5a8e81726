"""How many vectors are carried, and where they start."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import EigenProblem

NOISE = 300.0
"""Random parts of given start vectors, an element, in units of the accuracy that is asked for: they must show.

The caller's vectors may be unwanted eigenvectors, exactly. Of an eigenvalue, a block reaches as many vectors as it has
independent random parts: with those of the guards alone, members of a multiple eigenvalue would be missed.
"""

MOST_NOISE = 0.3
"""Random parts, in lengths of the vectors, at most."""


def guards(k: int) -> int:
    """Return how many vectors are carried behind the wanted ones, so that no member of a cluster is cut off."""
    return max(2, min((k + 1) // 2, 8))


def carried(problem: EigenProblem) -> int:
    """Return how many vectors a solution carries, the wanted ones and the guards, as far as there are so many."""
    return min(problem.k + guards(problem.k), problem.n)


def random_vectors(problem: EigenProblem, vectors: int) -> NDArray[Any]:
    """Return normally distributed vectors, the same for a seed on every backend."""
    X = problem.rng.standard_normal((problem.n, vectors))
    if problem.dtype.kind == "c":
        X = X + 1j * problem.rng.standard_normal((problem.n, vectors))
    return X.astype(problem.dtype)


def start_vectors(problem: EigenProblem, vectors: int) -> NDArray[Any]:
    """Return up to k vectors of the caller, with random parts, and random ones behind them."""
    X = random_vectors(problem, vectors)
    if problem.v0 is not None:
        given = problem.v0[:, : problem.k]
        p = given.shape[1]
        share = min(NOISE * max(problem.tol, problem.eps), MOST_NOISE / np.sqrt(problem.n))
        X[:, :p] = given + X[:, :p] * (share * np.linalg.norm(given, axis=0))
    return X
