"""Eigenvalues at a shift that need no inverse: an end of the spectrum, or those farthest from the shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import eye_array

from dispatch.solvers.conclusion import conclude, unfinished
from dispatch.solvers.convergence import FLOOR
from dispatch.solvers.dense import RESCUE_BELOW, dense_is_better, solve_dense
from dispatch.solvers.engine import BlockEngine
from dispatch.solvers.lengths import lengths, norm_estimate
from dispatch.solvers.order_at_shift import blurred, far, wanted_at_shift
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import EigshInfo, EigshResult, Iteration, NoConvergence
from dispatch.solvers.shifted_inverse import NEAREST, shifted
from dispatch.solvers.start import carried, random_vectors
from dispatch.solvers.transformation import transformation
from dispatch.solvers.way_to_shift import Choice

MOST_RUNS = 3
"""Runs for what is farthest from a shift, each to a smaller tolerance, where the eigenvalues are near zero."""

MOST_ITERATIONS = 100
"""For both ends, where the inverse may serve yet: they take tens, or hundreds where a large cluster is cut."""


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


def at_either_end(problem: EigenProblem, extremal: Callable[[EigenProblem], EigshResult]) -> EigshResult:
    """Return the pairs that are wanted at a shift far from the spectrum, among the first k at either end of that."""
    ends = dataclasses.replace(problem, sigma=None, mode="normal", which="BE", k=min(2 * problem.k, problem.n))
    result = extremal(ends)
    wanted = wanted_at_shift(result.eigenvalues, problem.which, problem.mode, problem.sigma or 0.0)[: problem.k]
    info = dataclasses.replace(
        result.info,
        residual_norms=result.info.residual_norms[wanted],
        transformation="none: sigma is so far away that all that is wanted is at the ends of the spectrum",
    )
    return EigshResult(result.eigenvalues[wanted], result.eigenvectors[:, wanted], info)


def near_an_end(
    problem: EigenProblem, nearest: float, extremal: Callable[[EigenProblem], EigshResult]
) -> EigshResult | None:
    """Return the pairs that are wanted at a shift near an end of the spectrum, among the first 2 k at either end.

    The transformed eigenvalues of a cluster at the shift are so large that their rounding errors cover the others, but
    here they are not needed. Return None where those that are wanted are not among them for certain.

    Parameters
    ----------
    problem : EigenProblem
        In normal mode.
    nearest : float
        Distance below the shift at which an eigenvalue still counts as being above it.
    extremal : callable
        Solves a problem without a shift.
    """
    sigma, k = problem.sigma or 0.0, problem.k
    # A preconditioner that was given is for the shift.
    maxiter = problem.maxiter or MOST_ITERATIONS
    ends = dataclasses.replace(problem, sigma=None, which="BE", k=4 * k, preconditioner="auto", maxiter=maxiter)
    if dense_is_better(ends, carried(ends)):
        return None
    try:
        result = extremal(ends)
    except NoConvergence as error:
        if error.info.status == "stopped":
            raise
        return None
    low, high = np.split(np.sort(result.eigenvalues), 2)
    lower, higher = np.count_nonzero(low < sigma - nearest), np.count_nonzero(high >= sigma - nearest)
    # Those that are not known lie between the two ends: above the shift if that is at the low one.
    above, below = {"LA": (k, 0), "SA": (0, k), "BE": ((k + 1) // 2, k // 2)}.get(problem.which, (k, k))
    if not (lower < len(low) and above <= len(low) - lower) and not (
        higher < len(high) and below <= len(high) - higher
    ):
        return None
    wanted = wanted_at_shift(result.eigenvalues, problem.which, problem.mode, sigma, nearest)[:k]
    how = "none: sigma is in a cluster at an end of the spectrum, and what is wanted is at either end"
    info = dataclasses.replace(result.info, residual_norms=result.info.residual_norms[wanted], transformation=how)
    return EigshResult(result.eigenvalues[wanted], result.eigenvectors[:, wanted], info)


@dataclass(frozen=True)
class _Found:
    """Pairs with their residuals by A and M, how large these may be, and what is attainable."""

    values: NDArray[np.float64]
    X: NDArray[Any]
    info: EigshInfo
    limits: NDArray[np.float64]
    floor: NDArray[np.float64]


def farthest(problem: EigenProblem, extremal: Callable[[EigenProblem], EigshResult]) -> EigshResult:
    """Return the pairs whose transformed eigenvalues are smallest, which no inverse is needed for.

    Their reciprocals are largest: ``λ - σ``, eigenvalues of ``(C, M)``; for buckling ``(λ - σ) / λ``, of ``(C, A)``.
    Where rounding hides the differences of these, they are among the first k at either end of ``(A, M)``, or of
    ``(M, A)``: a size is largest at an end.
    """
    sigma, buckling = problem.sigma or 0.0, problem.mode == "buckling"
    backward = transformation(problem.mode, sigma).backward
    C = shifted(problem.A, problem.M, sigma, problem.n, problem.dtype)
    metric = problem.A if buckling else problem.M
    plain = dataclasses.replace(problem, A=C, M=metric, sigma=None, mode="normal", which="LM")
    found = _accurate_by_A(problem, plain, lambda theta: backward(1.0 / theta), extremal)
    how = "the largest eigenvalues of A - sigma M"
    norm_M = 1.0 if problem.M is None else norm_estimate(problem.M)
    beyond = not buckling and far(sigma, norm_estimate(problem.A), norm_M)
    if found.info.status != "stopped" and (beyond or blurred(found.values, "SM", problem.mode, sigma)):
        M = eye_array(problem.n, dtype=problem.dtype, format="csr") if problem.M is None else problem.M
        plain = dataclasses.replace(plain, A=M if buckling else problem.A, which="BE", k=min(2 * problem.k, problem.n))
        found = _accurate_by_A(problem, plain, lambda theta: 1.0 / theta if buckling else theta, extremal)
        order = wanted_at_shift(found.values, "SM", problem.mode, sigma)[: problem.k]
        info = dataclasses.replace(found.info, residual_norms=found.info.residual_norms[order])
        found = _Found(found.values[order], found.X[:, order], info, found.limits[order], found.floor[order])
        how = f"both ends of the spectrum of {'M and A' if buckling else 'A'}"
    accurate, status = found.info.residual_norms <= found.limits, found.info.status
    at_floor = bool((found.info.residual_norms <= np.maximum(found.limits, 100 / FLOOR * found.floor)).all())
    if status == "floor" and not at_floor and problem.n <= RESCUE_BELOW:
        return solve_dense(problem, "the largest eigenvalues of A - sigma M were not accurate enough as those of A")
    info = dataclasses.replace(found.info, transformation=f"{problem.mode}, by {how}: no inverse is needed")
    hidden = "" if at_floor else "sigma M is so much larger than A that rounding errors of A - sigma M cover A"
    return conclude(problem, found.values, found.X, accurate, info, unfinished(status, accurate) or hidden)


def _accurate_by_A(
    problem: EigenProblem,
    plain: EigenProblem,
    backward: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    extremal: Callable[[EigenProblem], EigshResult],
) -> _Found:
    """Return the pairs of a problem without a shift, whose eigenvalues `backward` turns into λ.

    What is accurate relative to these need not be so relative to λ: then a run with a smaller tolerance goes on.
    """

    def eigenvalues(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return backward(theta)

    def presented(state: Iteration) -> Iteration:
        return dataclasses.replace(state, ritz_values=eigenvalues(state.ritz_values))

    def callback(state: Iteration) -> bool:
        return problem.callback is not None and bool(problem.callback(presented(state)))

    plain = dataclasses.replace(plain, callback=callback)
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
        values = eigenvalues(result.eigenvalues)
        norms, limits, floor = _residuals(problem, values, result.eigenvectors)
        status = result.info.status
        if (norms <= limits).all() or status in ("stopped", "maxiter"):
            break
        smaller = plain.tol / (2.0 * float((norms / limits).max()))
        plain = dataclasses.replace(plain, tol=smaller, v0=result.eigenvectors)
    else:
        status = "floor"
    info = dataclasses.replace(
        result.info,
        status=status,
        iterations=iterations,
        operator_applications=applications,
        residual_norms=norms,
        history=tuple(history),
    )
    return _Found(values, result.eigenvectors, info, limits, floor)


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
    infinite = ~np.isfinite(values)
    values = np.where(infinite, 0.0, values)
    floor = FLOOR * problem.eps * (norm_estimate(problem.A) + norm_M * abs(values)) * size
    limits = np.maximum(np.maximum(problem.tol * abs(values) * size_M, floor), np.finfo(np.float64).tiny)
    return np.where(infinite, np.inf, lengths(AX - MX * values)), limits, floor
