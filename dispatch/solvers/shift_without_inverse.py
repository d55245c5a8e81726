"""Eigenvalues at a shift that need no inverse: an end of the spectrum, or those farthest from the shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.conclusion import conclude
from dispatch.solvers.convergence import FLOOR
from dispatch.solvers.dense import RESCUE_BELOW, norm_estimate, solve_dense
from dispatch.solvers.engine import BlockEngine
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import EigshResult, Iteration
from dispatch.solvers.shifted_inverse import NEAREST, shifted
from dispatch.solvers.start import random_vectors
from dispatch.solvers.transformation import Transformation
from dispatch.solvers.way_to_shift import Choice


class _CrossedError(Exception):
    """Eigenvalues turned out to lie on both sides of the shift."""


def at_an_end(
    problem: EigenProblem, engine: BlockEngine, extremal: Callable[[EigenProblem], EigshResult], choice: Choice
) -> EigshResult | None:
    """Return the eigenvalues nearest to a shift that all are on one side of; None, when they turn out not to be.

    A Ritz value never lies outside the spectrum: one on the wrong side of the shift proves an eigenvalue there.
    """
    sigma = problem.sigma or 0.0
    pencil = Pencil(problem, engine)
    x = engine.upload(random_vectors(problem, 1))
    quotient = engine.gram(x, pencil.apply_A(x, 1))[0, 0].real / engine.gram(x, pencil.apply_M(x))[0, 0].real
    above = quotient * pencil.eigenvalue_scale >= sigma

    def crossed(values: NDArray[np.float64]) -> bool:
        slack = NEAREST * problem.eps * float(abs(values).max())
        return bool(values.min() < sigma - slack if above else values.max() > sigma + slack)

    def watch(state: Iteration) -> bool:
        if crossed(state.ritz_values):
            raise _CrossedError
        return problem.callback is not None and bool(problem.callback(state))

    end = dataclasses.replace(problem, sigma=None, which="SA" if above else "LA", callback=watch)
    try:
        result = extremal(end)
    except _CrossedError:
        return None
    if crossed(result.eigenvalues):
        return None
    found = f"none: the eigenvalues nearest to sigma are the {'smallest' if above else 'largest'}; {choice.reason}"
    return dataclasses.replace(result, info=dataclasses.replace(result.info, transformation=found))


def farthest(problem: EigenProblem, extremal: Callable[[EigenProblem], EigshResult]) -> EigshResult:
    """Return the pairs whose transformed eigenvalues are smallest, which no inverse is needed for.

    Their reciprocals are largest: ``λ - σ``, eigenvalues of ``(C, M)``; for buckling ``(λ - σ) / λ``, of ``(C, A)``.
    """
    transformation = Transformation(problem.mode, problem.sigma or 0.0)
    C = shifted(problem.A, problem.M, transformation.sigma, problem.n, problem.dtype)
    M = problem.A if problem.mode == "buckling" else problem.M
    plain = dataclasses.replace(problem, A=C, M=M, sigma=None, mode="normal", which="LM")
    result = extremal(plain)
    with np.errstate(divide="ignore"):
        values = transformation.backward(1.0 / result.eigenvalues)
    X = result.eigenvectors
    norms, limits = _residuals(problem, values, X)
    accurate = norms <= limits
    # What is accurate for A - sigma M need not be so for A, where sigma M is much larger.
    at_floor = bool((norms <= 100 / FLOOR * limits).all())
    if not at_floor and problem.n <= RESCUE_BELOW:
        return solve_dense(problem, "the largest eigenvalues of A - sigma M were not accurate enough as those of A")
    info = dataclasses.replace(
        result.info,
        status=result.info.status if accurate.all() else "floor",
        residual_norms=norms,
        transformation=f"{problem.mode}, by the largest eigenvalues of A - sigma M: no inverse is needed",
    )
    why = "" if at_floor else "sigma M is so much larger than A that rounding errors of A - sigma M cover A"
    return conclude(problem, values, X, accurate, info, why)


def _residuals(
    problem: EigenProblem, values: NDArray[np.float64], X: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual norms of the pairs with A and M, and how large these may be."""
    wide = np.result_type(problem.dtype, np.float64)
    Y = X.astype(wide)
    AX = problem.A @ Y
    MX = Y if problem.M is None else problem.M @ Y
    size, size_M = np.linalg.norm(Y, axis=0), np.linalg.norm(MX, axis=0)
    norm_M = 0.0 if problem.M is None else norm_estimate(problem.M)
    floor = FLOOR * problem.eps * (norm_estimate(problem.A) + norm_M * abs(values)) * size
    limits = np.maximum(problem.tol * abs(values) * size_M, floor)
    return np.linalg.norm(AX - MX * values, axis=0), limits
