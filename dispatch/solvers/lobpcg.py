"""The eigensolver: block Davidson with thick restart, whose natural setting is LOBPCG.

The search space is ``span[X P W]``: the Ritz vectors X, the directions P in which they moved last, and the
preconditioned residuals W. It is kept M-orthonormal throughout, so that the small problem is a standard one and well
conditioned.

Deviations from the papers, each measured:

- residuals extend the space for wanted vectors that have not converged, and for the best guards behind them where these
  leave room; the other guards stay in the space and get no residual of their own, which saves a third of the products;
- every so often the basis is orthonormalized anew and its products with A are recomputed. Without this, rounding errors
  build up in AX and AP, and the residual that can be attained is tens to hundreds of times larger;
- where the residuals add no new direction, random ones do: an exact invariant subspace need not be the wanted one;
- a run ends only after guards that may overtake the wanted vectors have been followed (`confirmation`), and after the
  residuals have been computed from scratch.

References
----------
A. V. Knyazev, "Toward the optimal preconditioned eigensolver: locally optimal block preconditioned conjugate gradient
method", SIAM J. Sci. Comput. 23 (2001).
U. Hetmaniuk, R. Lehoucq, "Basis selection in LOBPCG", J. Comput. Phys. 218 (2006).
J. A. Duersch, M. Shao, C. Yang, M. Gu, "A robust and efficient implementation of LOBPCG", SIAM J. Sci. Comput. 40
(2018).
A. Stathopoulos, "Nearly optimal preconditioned methods for Hermitian eigenproblems under limited memory", SIAM J. Sci.
Comput. 29 (2007): GD+k, of which LOBPCG is the setting with a basis of three blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.confirmation import Confirmation, wanted_ends
from dispatch.solvers.convergence import Accuracy, Stagnation
from dispatch.solvers.cut_clusters import most_accurate_wanted, same_up_to, share_residuals
from dispatch.solvers.engine import Block, Small
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioners import Preconditioner, State
from dispatch.solvers.problem import Which
from dispatch.solvers.rayleigh_ritz import conjugate_directions, ritz_pairs, wanted_first
from dispatch.solvers.result import Iteration, Status
from dispatch.solvers.search_space import SearchSpace

REFRESH_EVERY = 20
REFRESH_EVERY_NEAR_THE_FLOOR = 5

DRIFT = 4.0
"""How many times its limit a residual norm may be, of products that have drifted, while the true one is within it."""


@dataclass(frozen=True)
class Setting:
    """Sizes that make the method.

    Attributes
    ----------
    kept : int
        Ritz vectors that survive a restart: the wanted ones and the guards behind them.
    block : int
        Residuals that extend the space in one iteration, at most: k at least.
    basis : int
        Dimension at which the space is restarted. ``basis = 3 kept`` with ``block = kept`` is LOBPCG.
    maxiter : int
        Most iterations.
    applications : float
        Products of A with a vector after which no iteration begins.
    recompute : bool
        Whether products with A are made anew before a run ends, and often near the floor. Not where each takes the
        solution of a linear system, and who asks for the pairs verifies them by other means.
    """

    kept: int
    block: int
    basis: int
    maxiter: int
    applications: float = np.inf
    recompute: bool = True


@dataclass(frozen=True)
class Outcome:
    """Where a run ended: Ritz values and vectors, residual norms and which of them are accurate, status and history."""

    theta: NDArray[np.float64]
    X: Block
    residual_norms: NDArray[np.float64]
    accurate: NDArray[np.bool_]
    status: Status
    iterations: int


def lobpcg(
    pencil: Pencil,
    X: Block,
    k: int,
    which: Which,
    setting: Setting,
    accuracy: Accuracy,
    precondition: Preconditioner,
    random_block: Callable[[int], Block],
    observe: Callable[[Iteration], bool],
    extent: tuple[float, float] = (-np.inf, np.inf),
    certain: tuple[float, float] = (-np.inf, np.inf),
) -> Outcome:
    """Find k eigenpairs of a pencil, of the end or ends of its spectrum that `which` names.

    Parameters
    ----------
    pencil : Pencil
        The matrices on their engine.
    X : Block
        ``setting.kept`` start vectors.
    k : int
        Number of wanted pairs.
    which : {"SA", "LA", "LM", "BE"}
        What is wanted.
    setting : Setting
        Sizes.
    accuracy : Accuracy
        When a pair has converged.
    precondition : Preconditioner
        Turns residuals into search directions.
    random_block : callable
        Returns a block of so many random vectors.
    observe : callable
        Is shown every iteration; returning True stops the run.
    extent : (lower, upper)
        Bounds of the eigenvalues, as far as any are known.
    certain : (lower, upper)
        Bounds of the eigenvalues that are proven, as far as any are.
    """
    engine = pencil.engine
    space = SearchSpace(pencil)
    space.extend(X, setting.kept)
    space.fill(setting.kept, random_block)
    if space.size < k:
        raise ValueError(
            f"{pencil.metric} is singular: the problem has {space.size} finite eigenvalues, and k = {k} are asked for; "
            f"ask for at most {space.size}"
        )
    previous: Small | None = None
    stagnation = Stagnation()
    confirmation = Confirmation(which, k, setting.kept, accuracy, random_block, extent, certain)
    candidate: Outcome | None = None
    iteration = refreshed = 0
    observed = -1
    while True:
        theta, C = ritz_pairs(space.H, which, k)
        kept = min(setting.kept, space.size)
        theta, C = most_accurate_wanted(pencil, space, theta, C, which, k, kept, accuracy)
        full = space.size + setting.block > setting.basis
        if full:
            directions = C[:, :0] if previous is None else conjugate_directions(C, kept, previous)
            space.restart([C[:, :kept], directions])
            previous = None
            often = stagnation.near_floor and setting.recompute
            due = REFRESH_EVERY_NEAR_THE_FLOOR if often else REFRESH_EVERY
            if iteration - refreshed >= due:
                space.refresh()
                refreshed = iteration
                theta, C = ritz_pairs(space.H, which, k)
                kept = min(setting.kept, space.size)
                theta, C = most_accurate_wanted(pencil, space, theta, C, which, k, kept, accuracy)
                space.restart([C[:, :kept], C[:, kept:]])
            C = np.eye(space.size, dtype=space.H.dtype)
        watched = min(k + len(wanted_ends(which)), kept) if candidate is None else kept
        X, AX, MX = space.leading(watched) if full else space.vectors(C[:, :watched])
        R, norms, sizes = pencil.residuals(X, AX, MX, theta[:watched])
        limits = accuracy.limits(X, theta[:watched], sizes)
        accurate = norms[:k] <= limits[:k]
        state = Iteration(iteration, theta[:k].copy(), norms[:k], int(accurate.sum()), pencil.applications)
        stopped = at_floor = False
        if observed < iteration:
            observed = iteration
            stopped = observe(state)
            at_floor = stagnation.observe(norms[:k], limits[:k], accuracy)
        spent = iteration >= setting.maxiter or pencil.applications >= setting.applications
        confirmed = confirmation.holds(theta)
        # What has been verified stays, though its vectors may mix with a guard of nearly the same Ritz value.
        if candidate is not None and confirmation.overtaken(theta):
            candidate = None
        drift = DRIFT if setting.recompute else 1.0
        ends = (norms[:k] <= drift * limits[:k]).all() or at_floor or stopped or spent
        if candidate is None and ends:
            outcome = Outcome(theta[:k], engine.columns(X, range(k)), norms[:k], accurate, "converged", iteration)
            X = AX = MX = None  # blocks are large
            if setting.recompute:
                outcome = _verified(pencil, outcome, which, accuracy, same_up_to(theta, which, kept, accuracy)[:k])
            if outcome.accurate.all():
                if confirmed or stopped or spent:
                    return replace(outcome, status="converged" if confirmed or stopped else "maxiter")
                candidate = outcome
                confirmation.defend(theta)
                continue
            if at_floor:
                return replace(outcome, status="floor")
            if stopped or spent:
                return replace(outcome, status="stopped" if stopped else "maxiter")
            if refreshed < iteration:
                # The products may have drifted: look again at what is not accurate.
                space.refresh()
                refreshed = iteration
                previous = None
                continue
        if candidate is not None:
            if confirmed or stopped or spent:
                status: Status = "converged" if confirmed or stopped else "maxiter"
                return replace(candidate, status=status, iterations=iteration)
            excess = norms / np.maximum(accuracy.floor(theta[:kept], sizes), np.finfo(np.float64).tiny)
            active = confirmation.challengers(theta, excess)
            if len(active) == 0:
                del X, AX, MX, R
                confirmation.renew(space, C)
                previous = None
                iteration += 1
                continue
            reduction = excess[active]
        else:
            pending = np.flatnonzero(~accurate)
            if len(pending) == 0:
                # Rounding errors, or other vectors of the same span, left one inaccurate: those nearest to that.
                excess = norms[:k] / limits[:k]
                pending = np.flatnonzero(DRIFT * excess >= min(excess.max(), 1.0))
            # Where there is room for them, the best guards get residuals too: the last wanted vectors converge sooner.
            if len(pending) < k:
                guards = (k + np.flatnonzero(norms[k:] > limits[k:]))[: setting.block - len(pending)]
            else:
                guards = confirmation.alone(theta, norms)
            active = np.concatenate([pending, guards])
            confirmation.expect(theta, active)
            reduction = norms[active] / limits[active]
            reduction = np.minimum(reduction, reduction[active < k].max())
        best = theta[wanted_first(theta, which)[: setting.kept]]
        progress = State(theta[active], reduction, best, iteration)
        R = engine.columns(R, active)
        del X, AX, MX  # not needed while the preconditioner takes blocks of its own
        W = precondition(R, progress)
        before = space.size
        previous = C[:, active]
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found = space.extend(W, len(active))
        except FloatingPointError as error:
            raise ValueError(
                f"preconditioner {precondition.name!r}: the squares of what it made of a block of residuals overflow, "
                "expected numbers of about the size of the residuals; scale the preconditioner, or use 'auto'"
            ) from error
        if found == 0:
            space.extend(random_block(len(active)), len(active))
        previous = np.concatenate([previous, np.zeros((space.size - before, len(active)), C.dtype)])
        iteration += 1


def _verified(
    pencil: Pencil, outcome: Outcome, which: Which, accuracy: Accuracy, width: NDArray[np.float64]
) -> Outcome:
    """Return the pairs made anew from the vectors alone, with the residuals that these have.

    Ritz values are the same up to `width`, which the guards tell.
    """
    k = len(outcome.theta)
    space = SearchSpace(pencil)
    space.extend(outcome.X, k)
    theta, C = ritz_pairs(space.H, which, k)
    share_residuals(pencil, space, theta, C, width, accuracy)
    X, _, MX = space.vectors(C)
    AX = pencil.apply_A(X, len(theta))
    _, norms, sizes = pencil.residuals(X, AX, MX, theta)
    accurate = norms <= accuracy.limits(X, theta, sizes)
    return replace(outcome, theta=theta, X=X, residual_norms=norms, accurate=accurate)
