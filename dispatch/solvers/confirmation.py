"""`Confirmation`: whether converged pairs are the wanted ones, or a guard may still overtake them.

A small residual says that a pair is an eigenpair, not that it is a wanted one. A start vector that is an eigenvector,
or a block within an eigenspace of high multiplicity, has converged before the search space has met the end of the
spectrum. Therefore, before a run ends, the best guard at each wanted end extends the space by its own residual, and so
do the last of the wanted vectors and the least accurate one. A Ritz value that moves little of its way to the wanted
ones is held not to reach them; one that moves on is followed. Ritz values only move outwards as a space grows (Cauchy's
interlacing theorem: B. N. Parlett, "The Symmetric Eigenvalue Problem", section 10.1), so that its movement is that of
one rank.

With a loose tolerance, a vector counts as accurate while it has a good part of an eigenvector that lies further out:
the last wanted one is as suspect as the guard behind it.

Guards that are eigenvectors tell nothing: random vectors take their places, once. All this is evidence, not proof.

There is proof where the wanted values lie at a bound that the elements of A set to all eigenvalues, as the zeros of a
graph's components do: no guard can overtake them. Where fewer are wanted than there are, rounding errors alone would
decide whether a guard finds one more, and how many iterations go into following it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.convergence import FLOOR, Accuracy
from dispatch.solvers.engine import Block, Small
from dispatch.solvers.problem import Which
from dispatch.solvers.search_space import SearchSpace

AT_REST = 1e-3
"""Share of what it lacks to be wanted that a guard's Ritz value moves in one iteration, at most, when it is at rest.

A value whose error falls by a factor q in each has ``q / (1 - q)`` times its last movement before it: ten times as much
where vectors gain ten digits in 500 iterations. The rest is for guards that are slower than the wanted vectors.
"""

AT_REST_BESIDE = 1e-6
"""The same, in what may be overlooked, of a value beside the last wanted one, from which it hardly differs.

A vector with a part c of a missed eigenvector, whose eigenvalue lies δ further out, shows c² δ of it. It stays where it
is for a while, until c has grown: what it moves by tells of a part of a thousandth, and not of thirty.
"""


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
    which, k, accuracy, random_block
        Those of the run.
    kept : int
        How many Ritz vectors survive, the guards among them.
    extent : (lower, upper)
        Bounds of the eigenvalues: an end that cannot reach the wanted magnitudes needs no guard.
    certain : (lower, upper)
        Bounds that are proven: an end that cannot reach beyond the wanted values needs no guard.
    """

    def __init__(
        self,
        which: Which,
        k: int,
        kept: int,
        accuracy: Accuracy,
        random_block: Callable[[int], Block],
        extent: tuple[float, float],
        certain: tuple[float, float],
    ) -> None:
        self._which, self._k, self._kept = which, k, kept
        self._accuracy, self._random_block = accuracy, random_block
        self._reach, self._proven_reach = ({-1: -lower, 1: upper} for lower, upper in (extent, certain))
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
            sign in before and self._at_rest(theta, sign, before[sign], slack) for sign in self._ends(theta)
        )

    def _at_rest(self, theta: NDArray[np.float64], sign: int, before: Rank, slack: float) -> bool:
        if before.position >= len(theta):
            return False  # the space has been restarted in between
        least = self._least(theta, sign)
        now = float(np.sort(sign * theta)[::-1][before.position])
        moved = max(now - before.value, least - before.threshold)
        eps = self._accuracy.eps
        unresolved = max(FLOOR * eps, 0.1 * eps**0.75) * self._accuracy.norm
        return bool(moved <= max(AT_REST * max(least - now, 0.0) + AT_REST_BESIDE * slack, unresolved))

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

    def _ends(self, theta: NDArray[np.float64]) -> list[int]:
        """Return the signs of the ends where there may be better values than the wanted ones."""
        unresolved = FLOOR * self._accuracy.eps * self._accuracy.norm
        ends = [s for s in wanted_ends(self._which) if self._proven_reach[s] > self._least(theta, s) + unresolved]
        return [s for s in ends if self._which != "LM" or self._reach[s] > self._least(theta, s)]

    def _least(self, theta: NDArray[np.float64], sign: int) -> float:
        return threshold(theta[: self._k], self._which, sign)

    def alone(self, theta: NDArray[np.float64], norms: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the best guards at ends that hold none of the largest magnitudes so far, but may, as residuals tell.

        Without a residual of its own, nothing there would converge before the run thinks that it is done.
        """
        guards = []
        for sign in self._ends(theta) if self._which == "LM" else ():
            outward = sign * theta[: len(norms)]
            best = self._k + int(outward[self._k :].argmax()) if len(norms) > self._k else 0
            if (outward[: self._k] < 0.0).all() and outward[best] + norms[best] > self._least(theta, sign):
                guards.append(best)
        return np.array(guards, np.intp)

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
        best = {sign: self._k + int((sign * guards).argmax()) for sign in self._ends(theta) if len(guards)}
        self._note(theta, {sign: guard for sign, guard in best.items() if guard in extending})

    def _note(self, theta: NDArray[np.float64], guards: dict[int, int]) -> None:
        for sign, guard in guards.items():
            outward = sign * theta
            least = self._least(theta, sign)
            self._before[sign] = Rank(int(np.count_nonzero(outward > outward[guard])), float(outward[guard]), least)

    def challengers(self, theta: NDArray[np.float64], excess: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return whose residuals extend the space next: the best guards', the last and the least accurate wanted ones'.

        Parameters
        ----------
        theta : (m,) ndarray
            All Ritz values of the space, the wanted ones first.
        excess : (kept,) ndarray
            Residual norms of those that are kept, in attainable ones.

        Returns
        -------
        (p,) ndarray
            Positions in `theta`; none where the guards are eigenvectors.
        """
        guards = self._k + np.flatnonzero(excess[self._k :] > 1.0)
        if len(guards) == 0:
            return guards
        best = {sign: int(guards[(sign * theta[guards]).argmax()]) for sign in self._ends(theta)}
        self._note(theta, best)
        last = range(max(self._k - (2 if self._which == "BE" else 1), 0), self._k)
        suspects = {*last, int(excess[: self._k].argmax())}
        return np.array(sorted({*best.values(), *(wanted for wanted in suspects if excess[wanted] > 1.0)}))

    def renew(self, space: SearchSpace, C: Small) -> None:
        """Put random vectors in the places of guards that are eigenvectors; the second time, have done with them."""
        if self._renewed:
            self._exhausted = True
            return
        self._renewed = True
        space.restart([C[:, : self._k]])
        space.fill(self._kept, self._random_block)
