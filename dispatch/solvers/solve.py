"""`solve`: from a checked problem and an engine to eigenpairs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.checks import check_values
from dispatch.solvers.convergence import Accuracy
from dispatch.solvers.dense import dense_is_better, solve_dense
from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.lobpcg import Outcome, Setting, lobpcg
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioners import Chebyshev, Nothing, Preconditioner, Product, filter_degree, jacobi
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult, Iteration, NoConvergence
from dispatch.solvers.spectral_bounds import gershgorin_lower_bound, lanczos_bounds

MAXITER = 2000
"""Default limit of iterations."""

RESCUE_BELOW = 4096
"""Order up to which LAPACK takes over, for the whole spectrum, where the iteration gets stuck."""

RESCUE_AFTER = 150
"""Iterations after which a problem that small is held to be stuck; a caller's `maxiter` is obeyed instead."""


def guards(k: int) -> int:
    """Return how many vectors are carried behind the wanted ones, so that no member of a cluster is cut off."""
    return max(2, min((k + 1) // 2, 8))


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
    kept = min(problem.k + guards(problem.k), problem.n)
    if dense_is_better(problem, kept):
        return _in_scipy_order(problem, solve_dense(problem, f"n = {problem.n} is small against {kept} vectors"))
    if problem.which == "SM":
        problem = _smallest_magnitude_as_smallest(problem)
    pencil = Pencil(problem, engine)

    def random_block(vectors: int) -> Block:
        return engine.upload(random_vectors(problem, vectors))

    bounds = lanczos_bounds(pencil, random_block(1))
    accuracy = Accuracy(pencil, problem.tol, max(map(abs, bounds)))
    rescue = problem.maxiter is None and problem.n <= RESCUE_BELOW
    maxiter = problem.maxiter or (RESCUE_AFTER if rescue else MAXITER)
    setting = Setting(kept, problem.k, kept + 2 * problem.k, maxiter)
    precondition = choose_preconditioner(problem, pencil, bounds, kept)
    history: list[Iteration] = []
    with _observer(problem, pencil, history) as observe:
        outcome = lobpcg(
            pencil,
            engine.upload(_start(problem, kept)),
            problem.k,
            problem.which,
            setting,
            accuracy,
            precondition,
            random_block,
            observe,
        )
    if outcome.status == "maxiter" and rescue:
        reason = f"LOBPCG was not done after {maxiter} iterations, and n = {problem.n} is small enough"
        return _in_scipy_order(problem, solve_dense(problem, reason))
    return _finish(problem, pencil, outcome, precondition, history)


def _smallest_magnitude_as_smallest(problem: EigenProblem) -> EigenProblem:
    """Return the problem with SA for SM, which are the same for a matrix that cannot have a negative eigenvalue."""
    if gershgorin_lower_bound(problem.A) >= 0.0:
        return dataclasses.replace(problem, which="SA")
    raise NotImplementedError(
        f"which is 'SM', n is {problem.n}, and A may have negative eigenvalues: those inside the spectrum need "
        "shift-invert, which is not built yet; ask for 'SA' if A is positive semidefinite, or use "
        "scipy.sparse.linalg.eigsh"
    )


def random_vectors(problem: EigenProblem, vectors: int) -> NDArray[Any]:
    """Return normally distributed vectors, the same for a seed on every backend."""
    X = problem.rng.standard_normal((problem.n, vectors))
    if problem.dtype.kind == "c":
        X = X + 1j * problem.rng.standard_normal((problem.n, vectors))
    return X.astype(problem.dtype)


def _start(problem: EigenProblem, vectors: int) -> NDArray[Any]:
    X = random_vectors(problem, vectors)
    if problem.v0 is not None:
        given = min(problem.v0.shape[1], vectors)
        X[:, :given] = problem.v0[:, :given]
    return X


def choose_preconditioner(
    problem: EigenProblem, pencil: Pencil, bounds: tuple[float, float], vectors: int
) -> Preconditioner:
    """Return what the caller asked for, or what the cheap evidence speaks for."""
    asked = problem.preconditioner
    if asked is None:
        return Nothing("asked for")
    if not isinstance(asked, str):
        return Product("given", "given by the caller", pencil.engine, asked)
    degree = filter_degree(problem, vectors)
    if asked == "jacobi":
        return jacobi(problem, pencil, "asked for")
    if asked == "chebyshev":
        return Chebyshev("asked for", pencil, problem.which, bounds, degree)
    if pencil.generalized:
        return jacobi(problem, pencil, "a generalized problem: a filter in A alone would not fit")
    if bounds[1] - bounds[0] <= 1e3 * problem.eps * max(map(abs, bounds)):
        return Nothing("A is a multiple of the identity")
    return Chebyshev("any matrix whose products are all that is known", pencil, problem.which, bounds, degree)


@contextlib.contextmanager
def _observer(problem: EigenProblem, pencil: Pencil, history: list[Iteration]) -> Iterator[Callable[[Iteration], bool]]:
    """Give a function that records every iteration, shows it to the caller's callback and on the progress bar."""
    with contextlib.ExitStack() as stack:
        bar = None
        if problem.progress:
            from tqdm import tqdm

            bar = stack.enter_context(tqdm(total=problem.k, desc="eigsh", unit="pair"))

        def observe(state: Iteration) -> bool:
            state = Iteration(
                state.iteration,
                state.ritz_values * pencil.eigenvalue_scale,
                state.residual_norms * pencil.residual_scale,
                state.converged,
                state.operator_applications,
            )
            history.append(state)
            if bar is not None:
                bar.n = state.converged
                bar.set_postfix(iteration=state.iteration, residual=f"{state.residual_norms.max():.1e}")
            return problem.callback is not None and bool(problem.callback(state))

        yield observe


def _finish(
    problem: EigenProblem, pencil: Pencil, outcome: Outcome, precondition: Preconditioner, history: list[Iteration]
) -> EigshResult:
    values = (outcome.theta * pencil.eigenvalue_scale).astype(problem.dtype.char.lower())
    vectors = np.asarray(pencil.engine.download(outcome.X)) * problem.dtype.type(pencil.vector_scale)
    norms = outcome.residual_norms * pencil.residual_scale
    info = EigshInfo(
        method="lobpcg",
        status=outcome.status,
        iterations=outcome.iterations,
        operator_applications=pencil.applications,
        residual_norms=norms,
        history=tuple(history),
        preconditioner=precondition.name,
        reason=precondition.reason,
    )
    if outcome.status in ("maxiter", "stopped"):
        done = outcome.accurate
        why = "the callback stopped it" if outcome.status == "stopped" else "the iterations are used up"
        raise NoConvergence(
            f"{int(done.sum())} of {problem.k} eigenpairs converged in {outcome.iterations} iterations, then {why}; "
            f"the largest residual norm is {norms.max():.3g}. Raise maxiter, ask for a larger tol, or give a "
            "preconditioner",
            values[done],
            vectors[:, done],
            info,
            norms[done],
        )
    return _in_scipy_order(problem, EigshResult(values, vectors, info))


def _in_scipy_order(problem: EigenProblem, result: EigshResult) -> EigshResult:
    """Return the pairs in the order that SciPy documents: ascending; without vectors LM, SM and SA differ."""
    values = result.eigenvalues
    if problem.return_eigenvectors or problem.which in ("LA", "BE"):
        order = np.argsort(values, kind="stable")
    else:
        # Least wanted first for LM, and for SA and SM descending, as ARPACK leaves them.
        order = wanted_first(values, problem.which)[::-1]
    info = result.info
    norms = info.residual_norms[order]
    return EigshResult(values[order], result.eigenvectors[:, order], dataclasses.replace(info, residual_norms=norms))
