"""From eigenpairs to what the caller gets: the pairs in SciPy's order, or `NoConvergence`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult, NoConvergence, Status


def conclude(
    problem: EigenProblem,
    values: NDArray[np.float64],
    vectors: NDArray[Any],
    accurate: NDArray[np.bool_],
    info: EigshInfo,
    why: str = "",
) -> EigshResult:
    """Return the eigenpairs, or raise with those that are accurate.

    Raises
    ------
    NoConvergence
        When there is a reason `why` the run ended before all pairs were accurate.
    """
    values = rounded(problem, values)
    metric = problem.A if problem.mode == "buckling" else problem.M
    gram = vectors.conj().T @ (vectors if metric is None else metric @ vectors)
    info = dataclasses.replace(info, orthonormality=float(abs(gram - np.eye(len(gram))).max()))
    if why:
        done, norms = int(accurate.sum()), info.residual_norms
        stopped = info.status == "stopped"
        advice = "" if stopped else ". Raise maxiter, ask for a larger tol, or give a preconditioner"
        raise NoConvergence(
            f"{done} of {problem.k} eigenpairs converged in {info.iterations} iterations, then {why}; the largest "
            f"residual norm is {norms.max():.3g}{advice}",
            in_scipy_order(problem, EigshResult(values, vectors, info)),
            accurate[_scipy_order(problem, values)],
        )
    return EigshResult(values, vectors, info)


def unfinished(status: Status, accurate: NDArray[np.bool_]) -> str:
    """Return why a run ended before it was done; nothing where it was, or is at the floor."""
    if status == "stopped" and not accurate.all():
        return "the callback stopped it"
    if status == "maxiter":
        used = "the iterations are used up"
        return f"{used} before it was certain that they are the wanted ones" if accurate.all() else used
    return ""


def rounded(problem: EigenProblem, values: NDArray[np.float64]) -> NDArray[Any]:
    """Return the eigenvalues in the problem's precision, or raise ValueError where its range is exceeded."""
    with np.errstate(over="ignore"):
        converted = values.astype(problem.dtype.char.lower())
    lost = np.isfinite(values) & ~np.isfinite(converted)
    if lost.any():
        raise ValueError(
            f"A has an eigenvalue of {values[lost][0]:.3g}, beyond the range of {converted.dtype}: convert A to float64"
        )
    return converted


def in_scipy_order(problem: EigenProblem, result: EigshResult) -> EigshResult:
    """Return the pairs in the order of SciPy's real problems: ascending; without vectors LM, SM and SA differ."""
    order = _scipy_order(problem, result.eigenvalues)
    info = dataclasses.replace(result.info, residual_norms=result.info.residual_norms[order])
    return EigshResult(result.eigenvalues[order], result.eigenvectors[:, order], info)


def _scipy_order(problem: EigenProblem, values: NDArray[Any]) -> NDArray[np.intp]:
    if problem.return_eigenvectors or problem.sigma is not None or problem.which in ("LA", "BE"):
        return np.argsort(values, kind="stable")
    # Least wanted first for LM, and for SA and SM descending, as ARPACK leaves them.
    return wanted_first(values, problem.which)[::-1]
