"""`Confirmation`: whether converged pairs are the wanted ones, or a guard may still overtake them.

A small residual says that a pair is an eigenpair, not that it is a wanted one. A start vector that is an eigenvector,
or a block within an eigenspace of high multiplicity, has converged before the search space has met the end of the
spectrum. Therefore, before a run ends, the best guard at each wanted end extends the space by its own residual, and so
do the least accurate of the wanted vectors. A Ritz value that moves little of its way to the wanted ones is held not
to reach them; one that moves on is followed. Ritz values only move outwards as a space grows (Cauchy's interlacing
theorem: B. N. Parlett, "The Symmetric Eigenvalue Problem", section 10.1), so that its movement is that of one rank.

Guards that are eigenvectors tell nothing: random vectors take their places, once. All this is evidence, not proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.convergence import Accuracy
from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.preconditioners import Preconditioner, State
from dispatch.solvers.problem import Which
from dispatch.solvers.rayleigh_ritz import ritz_pairs
from dispatch.solvers.search_space import SearchSpace

AT_REST = 0.1
"""Share of its distance to the wanted values that a guard's Ritz value moves, at most, when it counts as at rest."""

LEAST_ACCURATE = 2
"""How many wanted vectors, the least accurate ones, extend the space together with the guards."""


class Rank(NamedTuple):
    """Where a guard stands: how many Ritz values lie further out at its end, its own, and the least wanted one there.

    The values are times the sign of the end, so that larger ones are further out.
    """

    position: int
    value: float
    threshold: float


def wanted_ends(which: Which) -> tuple[int, ...]:
    """Return the signs of the ends of the spectrum where eigenvalues are wanted: 1 for the high, -1 for the low one."""
    return {"SA": (-1,), "LA": (1,)}.get(which, (1, -1))


def threshold(theta: NDArray[np.float64], which: Which, sign: int) -> float:
    """Return what a Ritz value, times the sign of its end, has to exceed to be wanted, given those that are."""
    if which == "LM":
        return float(abs(theta).min())
    if which == "BE":
        theta = theta[0::2] if sign > 0 else theta[1::2]
    return float((sign * theta).min(initial=np.inf))


class Confirmation:
    """Challenges the wanted Ritz vectors of a search space by its guards, and judges what has come of it.

    Parameters
    ----------
    pencil, which, k, accuracy, precondition, random_block
        Those of the run.
    kept : int
        How many Ritz vectors survive, the guards among them.
    """

    def __init__(
        self,
        pencil: Pencil,
        which: Which,
        k: int,
        kept: int,
        accuracy: Accuracy,
        precondition: Preconditioner,
        random_block: Callable[[int], Block],
    ) -> None:
        self._pencil, self._which, self._k, self._kept = pencil, which, k, kept
        self._accuracy, self._precondition, self._random_block = accuracy, precondition, random_block
        self._before: dict[int, Rank] = {}
        self._defended = np.zeros(0)
        self._renewed = self._exhausted = False

    def holds(self, theta: NDArray[np.float64]) -> bool:
        """Return whether guards of every wanted end extended the space in the iteration before, and are at rest.

        Parameters
        ----------
        theta : (m,) ndarray
            All Ritz values of the space, the wanted ones first.
        """
        before, self._before = self._before, {}
        slack = self._accuracy.resolution(theta[: self._k])
        return self._exhausted or all(
            sign in before and self._at_rest(theta, sign, before[sign], slack) for sign in wanted_ends(self._which)
        )

    def _at_rest(self, theta: NDArray[np.float64], sign: int, before: Rank, slack: float) -> bool:
        least = self._least(theta, sign)
        if least - before.threshold > slack:
            return False
        now = float(np.sort(sign * theta)[::-1][before.position])
        return now - before.value <= max(AT_REST * (least - now), slack)

    def defend(self, theta: NDArray[np.float64]) -> None:
        """Take note of the wanted Ritz values that have been found accurate."""
        self._defended = self._outward(theta)

    def overtaken(self, theta: NDArray[np.float64]) -> bool:
        """Return whether the space holds better values than those that were defended."""
        slack = self._accuracy.resolution(theta[: self._k])
        return bool((self._outward(theta) - self._defended > slack).any())

    def _outward(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far out the wanted values are, for each end in order."""
        wanted = theta[: self._k]
        if self._which == "BE":
            return np.concatenate([np.sort(wanted[0::2]), np.sort(-wanted[1::2])])
        return np.sort(abs(wanted) if self._which == "LM" else wanted_ends(self._which)[0] * wanted)

    def _least(self, theta: NDArray[np.float64], sign: int) -> float:
        return threshold(theta[: self._k], self._which, sign)

    def expect(self, theta: NDArray[np.float64], extending: NDArray[np.intp]) -> None:
        """Take note of the best guards, if they are among the Ritz vectors whose residuals extend the space.

        Parameters
        ----------
        theta : (m,) ndarray
            All Ritz values of the space, the wanted ones first.
        extending : (p,) ndarray
            Positions among these.
        """
        guards = theta[self._k :]
        best = {sign: self._k + int((sign * guards).argmax()) for sign in wanted_ends(self._which) if len(guards)}
        self._note(theta, {sign: guard for sign, guard in best.items() if guard in extending})

    def _note(self, theta: NDArray[np.float64], guards: dict[int, int]) -> None:
        for sign, guard in guards.items():
            outward = sign * theta
            least = self._least(theta, sign)
            self._before[sign] = Rank(int(np.count_nonzero(outward > outward[guard])), float(outward[guard]), least)

    def challenge(self, space: SearchSpace, iteration: int) -> None:
        """Restart the space, and extend it by residuals of guards, or replace guards that have none."""
        theta, R, excess = self._restarted(space)
        guards = self._k + np.flatnonzero(excess[self._k :] > 1.0)
        if len(guards) == 0 and not self._renewed:
            self._renewed = True
            space.restart([np.eye(len(theta), self._k, dtype=space.H.dtype)])
            space.fill(self._kept, self._random_block)
            return
        if len(guards) == 0:
            self._exhausted = True
            return
        best = {sign: int(guards[(sign * theta[guards]).argmax()]) for sign in wanted_ends(self._which)}
        self._note(theta, best)
        wanted = np.argsort(-excess[: self._k], kind="stable")[:LEAST_ACCURATE]
        chosen = np.array(sorted({*best.values(), *wanted[excess[wanted] > 1.0]}))
        state = State(theta[chosen], excess[chosen], theta, iteration)
        space.extend(self._precondition(self._pencil.engine.columns(R, chosen), state), len(chosen))

    def _restarted(self, space: SearchSpace) -> tuple[NDArray[np.float64], Block, NDArray[np.float64]]:
        """Return the Ritz values that the space is restarted to, the residuals, and their norms in attainable ones."""
        theta, C = ritz_pairs(space.H, self._which, self._k)
        theta = theta[: self._kept]
        space.restart([C[:, : self._kept]])
        X, AX, MX = space.leading(len(theta))
        R, norms, sizes = self._pencil.residuals(X, AX, MX, theta)
        floor = self._accuracy.floor(theta, sizes)
        return theta, R, norms / np.maximum(floor, np.finfo(np.float64).tiny)
