"""Eigenvalues at a shift that need no inverse: an end of the spectrum, or those farthest from the shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
    MX = X if problem.M is None else problem.M @ X
    info = dataclasses.replace(
        result.info,
        residual_norms=np.linalg.norm(problem.A @ X - MX * values, axis=0).astype(np.float64),
        transformation=f"{problem.mode}, by the largest eigenvalues of A - sigma M: no inverse is needed",
    )
    return EigshResult(values.astype(result.eigenvalues.dtype), X, info)
