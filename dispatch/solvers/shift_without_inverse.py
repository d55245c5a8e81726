"""Eigenvalues at a shift that need no inverse: an end of the spectrum, or those farthest from the shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.conclusion import conclude, unfinished
from dispatch.solvers.convergence import FLOOR
from dispatch.solvers.dense import RESCUE_BELOW, solve_dense
from dispatch.solvers.engine import BlockEngine
from dispatch.solvers.lengths import lengths, norm_estimate
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import EigshResult, Iteration, NoConvergence
from dispatch.solvers.shifted_inverse import NEAREST, shifted
from dispatch.solvers.start import random_vectors
from dispatch.solvers.transformation import Transformation
from dispatch.solvers.way_to_shift import Choice

MOST_RUNS = 3
"""Runs for what is farthest from a shift, each to a smaller tolerance, where the eigenvalues are near zero."""


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
    What is accurate relative to these need not be so relative to λ: then a run with a smaller tolerance goes on.
    """
    transformation = Transformation(problem.mode, problem.sigma or 0.0)

    def presented(state: Iteration) -> Iteration:
        with np.errstate(divide="ignore"):
            return dataclasses.replace(state, ritz_values=transformation.backward(1.0 / state.ritz_values))

    def callback(state: Iteration) -> bool:
        return problem.callback is not None and bool(problem.callback(presented(state)))

    C = shifted(problem.A, problem.M, transformation.sigma, problem.n, problem.dtype)
    M = problem.A if problem.mode == "buckling" else problem.M
    plain = dataclasses.replace(problem, A=C, M=M, sigma=None, mode="normal", which="LM", callback=callback)
    iterations, applications, history = 0, 0, []
    for _ in range(MOST_RUNS if problem.tol else 1):
        try:
            result = extremal(plain)
        except NoConvergence as error:
            result = error.approximations
        except ValueError as error:
            if problem.mode == "buckling" and str(error).startswith("M is "):
                raise ValueError(
                    f"which='SM' in buckling mode needs a positive definite A; with A in the place of M: {error}"
                ) from error
            raise
        iterations += result.info.iterations
        applications += result.info.operator_applications
        history += [presented(state) for state in result.info.history]
        with np.errstate(divide="ignore"):
            values = transformation.backward(1.0 / result.eigenvalues)
        norms, limits, floor = _residuals(problem, values, result.eigenvectors)
        accurate, status = norms <= limits, result.info.status
        if accurate.all() or status in ("stopped", "maxiter"):
            break
        smaller = plain.tol / (2.0 * float((norms / limits).max()))
        plain = dataclasses.replace(plain, tol=smaller, v0=result.eigenvectors)
    else:
        status = "floor"
    at_floor = bool((norms <= np.maximum(limits, 100 / FLOOR * floor)).all())
    if status == "floor" and not at_floor and problem.n <= RESCUE_BELOW:
        return solve_dense(problem, "the largest eigenvalues of A - sigma M were not accurate enough as those of A")
    info = dataclasses.replace(
        result.info,
        status=status,
        iterations=iterations,
        operator_applications=applications,
        residual_norms=norms,
        history=tuple(history),
        transformation=f"{problem.mode}, by the largest eigenvalues of A - sigma M: no inverse is needed",
    )
    hidden = "" if at_floor else "sigma M is so much larger than A that rounding errors of A - sigma M cover A"
    return conclude(problem, values, result.eigenvectors, accurate, info, unfinished(status, accurate) or hidden)


def _residuals(
    problem: EigenProblem, values: NDArray[np.float64], X: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual norms of the pairs with A and M, how large these may be, and what is attainable."""
    wide = np.result_type(problem.dtype, np.float64)
    Y = X.astype(wide)
    AX = problem.A @ Y
    MX = Y if problem.M is None else problem.M @ Y
    size, size_M = lengths(Y), lengths(MX)
    norm_M = 0.0 if problem.M is None else norm_estimate(problem.M)
    floor = FLOOR * problem.eps * (norm_estimate(problem.A) + norm_M * abs(values)) * size
    limits = np.maximum(np.maximum(problem.tol * abs(values) * size_M, floor), np.finfo(np.float64).tiny)
    return lengths(AX - MX * values), limits, floor
