"""From eigenpairs to what the caller gets: the pairs in SciPy's order, or `NoConvergence`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult, NoConvergence


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
    values = values.astype(problem.dtype.char.lower())
    if why:
        done, norms = int(accurate.sum()), info.residual_norms
        raise NoConvergence(
            f"{done} of {problem.k} eigenpairs converged in {info.iterations} iterations, then {why}; the largest "
            f"residual norm is {norms.max():.3g}. Raise maxiter, ask for a larger tol, or give a preconditioner",
            EigshResult(values, vectors, info),
            accurate,
        )
    return EigshResult(values, vectors, info)


def in_scipy_order(problem: EigenProblem, result: EigshResult) -> EigshResult:
    """Return the pairs in the order of SciPy's real problems: ascending; without vectors LM, SM and SA differ."""
    values = result.eigenvalues
    if problem.return_eigenvectors or problem.sigma is not None or problem.which in ("LA", "BE"):
        order = np.argsort(values, kind="stable")
    else:
        # Least wanted first for LM, and for SA and SM descending, as ARPACK leaves them.
        order = wanted_first(values, problem.which)[::-1]
    info = result.info
    norms = info.residual_norms[order]
    return EigshResult(values[order], result.eigenvectors[:, order], dataclasses.replace(info, residual_norms=norms))
