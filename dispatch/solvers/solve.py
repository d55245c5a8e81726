"""`solve`: from a checked problem and an engine to eigenpairs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.checks import check_values
from dispatch.solvers.conclusion import conclude, in_scipy_order, unfinished
from dispatch.solvers.confirmation import wanted_ends
from dispatch.solvers.convergence import Accuracy
from dispatch.solvers.dense import RESCUE_BELOW, dense_is_better, solve_dense
from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.lengths import norm_estimate
from dispatch.solvers.lobpcg import Outcome, Setting, lobpcg
from dispatch.solvers.observation import observer
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioner_choice import check_fit, choose_preconditioner
from dispatch.solvers.preconditioners import Preconditioner
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import EigshInfo, EigshResult, Iteration
from dispatch.solvers.shift_invert import solve_at_shift
from dispatch.solvers.shifted_inverse import check_inverse, shifted
from dispatch.solvers.spectral_bounds import check_metric, gershgorin_bounds, lanczos_bounds
from dispatch.solvers.start import carried, guards, random_vectors, start_vectors
from dispatch.solvers.way_to_shift import smallest_magnitudes

MAXITER = 2000
"""Default limit of iterations."""

RESCUE_AFTER = 150
"""Iterations after which a problem that small is held to be stuck; a caller's `maxiter` is obeyed instead."""

RESCUE_AFTER_APPLICATIONS = 5_000
"""Products after which it may be held to be stuck, once they have cost what LAPACK would have."""


def solve(problem: EigenProblem, engine: BlockEngine) -> EigshResult:
    """Return the eigenpairs that `problem` asks for, computed on `engine`.

    Raises
    ------
    ValueError
        When A or M is not finite or not Hermitian, or M is not positive definite.
    NoConvergence
        When the iterations do not suffice.
    """
    check_values(problem)
    kept = carried(problem)
    if dense_is_better(problem, kept):
        return in_scipy_order(problem, _solve_dense(problem, kept))
    stated = problem
    problem = smallest_magnitudes(problem)
    if problem.sigma is None:
        result = _solve_extremal(problem, engine)
    else:
        result = solve_at_shift(problem, engine, lambda end: _solve_extremal(end, engine))
    return in_scipy_order(stated, result)


def _solve_dense(problem: EigenProblem, vectors: int) -> EigshResult:
    """Return eigenpairs by LAPACK; a preconditioner or an inverse, which it does not need, must fit all the same."""
    reason = f"n = {problem.n} is small against {vectors} vectors"
    asked = problem.preconditioner
    if asked is not None and not (isinstance(asked, str) and asked in ("auto", "none")):
        reason += ", and LAPACK takes no preconditioner"
    check_fit(smallest_magnitudes(problem))
    if problem.OPinv is not None:
        C = shifted(problem.A, problem.M, problem.sigma or 0.0, problem.n, np.result_type(problem.dtype, np.float64))
        check_inverse(problem, C, norm_estimate(C), problem.OPinv.matmat)
    return solve_dense(problem, reason)


def _solve_extremal(problem: EigenProblem, engine: BlockEngine) -> EigshResult:
    """Return eigenpairs of the end or ends of the spectrum, in no particular order."""
    kept = problem.k + guards(problem.k) + (problem.which == "LM")
    pencil = Pencil(problem, engine)

    def random_block(vectors: int) -> Block:
        return engine.upload(random_vectors(problem, vectors))

    if pencil.generalized:
        check_metric(pencil, random_block(1))
    bounds = lanczos_bounds(pencil, random_block(1))
    accuracy = Accuracy(pencil, problem.tol, max(map(abs, bounds)))
    rescue = problem.maxiter is None and problem.n <= RESCUE_BELOW
    maxiter = problem.maxiter or (RESCUE_AFTER if rescue else MAXITER)
    applications = max(RESCUE_AFTER_APPLICATIONS, problem.n**3 / max(problem.stored, 1)) if rescue else math.inf
    # The best guard of every wanted end finds room as soon as one wanted vector has converged.
    block = problem.k + len(wanted_ends(problem.which)) - 1
    setting = Setting(kept, block, kept + 2 * block, maxiter, applications)
    precondition = choose_preconditioner(problem, pencil, bounds, kept, random_block)
    history: list[Iteration] = []

    def present(state: Iteration) -> Iteration:
        return dataclasses.replace(
            state,
            ritz_values=state.ritz_values * pencil.eigenvalue_scale,
            residual_norms=state.residual_norms * pencil.residual_scale,
        )

    with observer(problem, present, history) as observe:
        outcome = lobpcg(
            pencil,
            engine.upload(start_vectors(problem, kept)),
            problem.k,
            problem.which,
            setting,
            accuracy,
            precondition,
            random_block,
            observe,
            (-np.inf, np.inf) if pencil.generalized else bounds,
            (-np.inf, np.inf) if pencil.generalized else gershgorin_bounds(pencil.scaled_A),
        )
    stuck = outcome.status == "floor" and not isinstance(problem.A, LinearOperator)  # LAPACK asks it no better
    if rescue and (stuck or outcome.status == "maxiter"):
        reason = f"LOBPCG was not done after {outcome.iterations} iterations, and n = {problem.n} is small enough"
        result = solve_dense(problem, f"{reason}; {precondition.name} was chosen: {precondition.reason}")
        return dataclasses.replace(result, info=dataclasses.replace(result.info, preconditioner=precondition.name))
    return _finish(problem, pencil, outcome, precondition, history)


def _finish(
    problem: EigenProblem, pencil: Pencil, outcome: Outcome, precondition: Preconditioner, history: list[Iteration]
) -> EigshResult:
    vectors = np.asarray(pencil.engine.download(outcome.X)) * problem.dtype.type(pencil.vector_scale)
    info = EigshInfo(
        method="lobpcg",
        status=outcome.status,
        iterations=outcome.iterations,
        operator_applications=pencil.applications,
        residual_norms=outcome.residual_norms * pencil.residual_scale,
        history=tuple(history),
        preconditioner=precondition.name,
        reason=precondition.reason,
    )
    why = unfinished(outcome.status, outcome.accurate)
    return conclude(problem, outcome.theta * pencil.eigenvalue_scale, vectors, outcome.accurate, info, why)
