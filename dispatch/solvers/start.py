"""How many vectors are carried, and where they start."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from dispatch.solvers.problem import EigenProblem


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
    """Return up to k vectors of the caller, and random ones behind them: the guards see what those leave out."""
    X = random_vectors(problem, vectors)
    if problem.v0 is not None:
        given = min(problem.v0.shape[1], problem.k)
        X[:, :given] = problem.v0[:, :given]
    return X
