"""The Chebyshev polynomial filter as a preconditioner: an approximate inverse of ``A - θ`` for each residual's own θ.

Where the unwanted eigenvalues fill an interval [a, b] and θ lies outside, some steps of Chebyshev's iteration for
``(A - θ) y = r`` damp every unwanted component of the error alike, with products by A alone. It is as good on a pencil
without M as one with a well-scaled diagonal, and it needs no knowledge of the matrix.

Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., algorithm 12.1 (the iteration); Y. Zhou, Y. Saad, M. L.
Tiago, J. R. Chelikowsky, J. Comput. Phys. 219 (2006), 172-184 (filtering).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.engine import Block, Small
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import Which

CLEARANCE = 1e-3
"""How far outside the damped interval a shift is kept at most, in widths of the interval."""

RESOLUTION = 1.4
"""How far outside it is kept where that is nearer: in ``1 / degree``, squared, in widths of the interval."""

LARGEST_GROWTH = 1e12
"""How much the filter may amplify what lies at the ends of the spectrum.

An eigenvector that has been found, but lies far out, is in the residuals only by rounding errors of single precision,
ε = 6e-8, and is taken out again of what the filter makes of them. The wanted parts survive if ``growth ε²`` is small.
"""

LEAST_DEGREE = 4

SPARE_STEPS = 3
"""Steps beyond those that damp enough, since the Ritz values that place the interval are approximations."""


@dataclass(frozen=True)
class Interval:
    """The damped interval [a, b], and how far outside it, in its widths, a shift is kept."""

    a: float
    b: float
    clearance: float = CLEARANCE

    def shifts(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return θ moved out of the interval, to the end that it is nearer to, where it lies inside or too close."""
        gap = self.clearance * (self.b - self.a)
        above = theta > (self.a + self.b) / 2
        return np.where(above, np.maximum(theta, self.b + gap), np.minimum(theta, self.a - gap))


def clearance(degree: int) -> float:
    """Return how far outside the damped interval a filter of this degree needs its shifts, in widths of the interval.

    Chebyshev's polynomial of degree d grows by ``exp(2 d √δ)`` over a distance of δ widths, so that eigenvalues nearer
    to each other than about ``1 / d²`` look alike to the filter, and so do those nearer to the interval than a shift is
    kept. Where the wanted end of the spectrum is dense, only a high degree with a near shift tells it apart.
    """
    return min(CLEARANCE, (RESOLUTION / degree) ** 2)


def unwanted_interval(
    which: Which, theta: NDArray[np.float64], bounds: tuple[float, float], iteration: int
) -> Interval:
    """Return the interval that the unwanted eigenvalues fill, as far as the Ritz values tell.

    Parameters
    ----------
    which : {"SA", "LA", "LM", "BE"}
        The end, or ends, of the spectrum that is wanted.
    theta : (m,) ndarray
        Ritz values, the most wanted first; those behind the k-th are guards.
    bounds : (lower, upper)
        Bounds of the spectrum.
    iteration : int
        The first Ritz values say little: until the third iteration the interval around zero is kept wide.
    """
    lower, upper = bounds
    if which == "SA":
        return _at_least(float(theta[-1]), upper, bounds)
    if which == "LA":
        return _at_least(lower, float(theta[-1]), bounds)
    size = max(abs(lower), abs(upper))
    if which == "LM":
        # Both ends are damped alike, even where one of them shows no wanted value yet: a one-sided interval damps what
        # the other end may hold, and the run converges to the wrong pairs.
        radius = max(float(abs(theta).min()), (0.3 if iteration < 2 else 0.05) * size)
        return Interval(max(-radius, lower), min(radius, upper))
    high, low = theta[0::2], theta[1::2]
    return _at_least(float(low.max(initial=lower)), float(high.min()), bounds)


def _at_least(a: float, b: float, bounds: tuple[float, float]) -> Interval:
    """Return [a, b], widened about its middle where Ritz values have crossed or nearly met."""
    width = 1e-3 * (bounds[1] - bounds[0])
    if b - a >= width:
        return Interval(a, b)
    middle = (a + b) / 2
    return Interval(middle - width / 2, middle + width / 2)


def useful_degree(
    interval: Interval,
    theta: NDArray[np.float64],
    bounds: tuple[float, float],
    reduction: NDArray[np.float64],
    degree: int,
) -> int:
    """Return `degree`, or as much of it as serves and can be computed.

    After d steps, the components that the filter damps are smaller by ``cosh(d arcosh(σ_i))``, where σ_i says how far
    outside the interval θ_i lies, in halfwidths from the middle (E. Di Napoli's group chooses degrees so in ChASE: J.
    Winkelmann, P. Springer, E. Di Napoli, ACM Trans. Math. Softw. 45, 2019). Once that is the `reduction` of the
    residual that is still wanted, further steps are waste. The other way round, a high degree amplifies what lies far
    out in the spectrum so much that its rounding errors would cover the rest.
    """
    middle, halfwidth = (interval.a + interval.b) / 2, (interval.b - interval.a) / 2
    rate = np.arccosh(np.maximum(abs(interval.shifts(theta) - middle) / halfwidth, 1.0))
    enough = np.max(np.log(2.0 * np.maximum(reduction, 1.0)) / rate) + SPARE_STEPS
    return int(max(min(degree, enough, computable_degree(interval, bounds)), LEAST_DEGREE))


def computable_degree(interval: Interval, bounds: tuple[float, float]) -> int:
    """Return the largest degree whose filter keeps its accuracy on a spectrum within these bounds."""
    middle, halfwidth = (interval.a + interval.b) / 2, (interval.b - interval.a) / 2
    farthest = np.arccosh(max(1.0, *(abs(bound - middle) / halfwidth for bound in bounds)))
    return int(min(np.log(LARGEST_GROWTH) / max(float(farthest), 1e-300), 1e9))


def chebyshev(pencil: Pencil, R: Block, theta: NDArray[np.float64], interval: Interval, degree: int) -> Block:
    """Return the iterate of `degree` steps of Chebyshev's iteration for ``(A - θ_i) y_i = r_i``, from zero.

    Costs ``degree - 1`` products with A a column. The recurrence in terms of residuals keeps its accuracy in the
    arithmetic of the block, whatever the degree; its coefficients are double precision.
    """
    engine = pencil.engine
    shift = interval.shifts(theta)
    centre = (interval.a + interval.b) / 2 - shift
    steps = recurrence(centre, (interval.b - interval.a) / 2, degree)
    pencil.applications += len(steps) * len(theta)
    D = engine.combine([R], [np.diag(1.0 / centre)])
    return engine.chebyshev_iteration(pencil.operator, shift, steps, R, D)


def recurrence(centre: Small, halfwidth: float, degree: int) -> list[tuple[Small, Small]]:
    """Return the coefficients of the steps that follow the first, ``D = R / centre``; one number a column."""
    sigma = centre / halfwidth
    rho = 1.0 / sigma
    steps = []
    for _ in range(degree - 1):
        following = 1.0 / (2.0 * sigma - rho)
        steps.append((following * rho, 2.0 * following / halfwidth))
        rho = following
    return steps
