"""When a pair has converged, and when no more accuracy is to be had.

For a standard problem a residual norm η bounds the error of the eigenvalue (Bauer and Fike), so ``η <= tol |θ|`` is a
relative accuracy. No residual can be computed more accurately than some units of ``ε (‖A‖ + |θ| ‖M‖)``: that is the
floor, and ``tol = 0`` asks for it (Duersch et al., SIAM J. Sci. Comput. 40, 2018, equation 9, the backward stable
criterion).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.engine import Block
from dispatch.solvers.pencil import Pencil, Sizes

FLOOR = 30.0
"""The attainable residual, in units of ``ε (‖A‖ + |θ| ‖M‖)``: less than the 32 that are promised of the true one."""

MEASURED = 2.0
"""Rounding errors of a residual that is measured, and of the norm, in the same units: 1.5 in single precision."""

PATIENCE = 30
"""Iterations without a halving of the residuals, close to the floor, after which they are held to be at it."""


class Accuracy:
    """The residual norm at which each pair counts as converged.

    Parameters
    ----------
    pencil : Pencil
        For its arithmetic and its M.
    tol : float
        Relative accuracy wanted of the eigenvalues.
    norm : float
        ``‖A‖``, as far as it is known; it grows with the Ritz values seen.
    """

    def __init__(self, pencil: Pencil, tol: float, norm: float) -> None:
        self._pencil = pencil
        self._tol = tol
        self.norm = norm
        self._norm_M = 1.0

    @property
    def eps(self) -> float:
        """Precision of the arithmetic."""
        return self._pencil.eps

    def limits(self, X: Block, theta: NDArray[np.float64], sizes: Sizes) -> NDArray[np.float64]:
        """Return the largest residual norm with which each of the M-normalized pairs counts as converged."""
        return measurable(self._tol * abs(theta) * sizes.products, self.floor(theta, sizes))

    def floor(self, theta: NDArray[np.float64], sizes: Sizes) -> NDArray[np.float64]:
        """Return the attainable residual norm of each pair, and keep what the pairs show of the norms of A and M."""
        norm_M = 0.0
        if self._pencil.generalized:
            norm_M = self._norm_M = max(self._norm_M, float((sizes.products / sizes.vectors).max()))
        else:
            self.norm = max(self.norm, float(abs(theta).max()))
        return np.asarray(FLOOR * self.eps * (self.norm + norm_M * abs(theta)) * sizes.vectors)

    def all_wanted(self, theta: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for which Ritz values all the accuracy is wanted that can be had."""
        return np.asarray(self._tol * abs(theta) <= self.coincidence(theta))

    def coincidence(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the difference from each Ritz value below which another one is the same but for rounding errors."""
        size = abs(theta) if self._pencil.generalized else np.maximum(abs(theta), self.norm)
        return np.asarray(FLOOR * self.eps * size)

    def resolution(self, theta: NDArray[np.float64]) -> float:
        """Return the difference below which it does not matter which of two eigenvalues is returned."""
        return max(self._tol * float(abs(theta).max()), float(self.eps**0.75) * self.norm)


def measurable(wanted: NDArray[np.float64], floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how large residuals may be measured that are to be as small as wanted, or at the floor."""
    return np.asarray(np.maximum(wanted - MEASURED / FLOOR * floor, floor))


class Stagnation:
    """Notices that residuals close to the precision of the arithmetic have stopped falling."""

    def __init__(self) -> None:
        self._reference = np.inf
        self._since = 0
        self.near_floor = False

    def observe(self, norms: NDArray[np.float64], limits: NDArray[np.float64], accuracy: Accuracy) -> bool:
        """Take note of an iteration, and return whether the floor has been reached."""
        worst = float((norms / np.maximum(limits, np.finfo(np.float64).tiny)).max())
        self.near_floor = bool((norms <= np.maximum(1e4 * accuracy.eps * accuracy.norm, limits)).all())
        self._since += 1
        if worst < 0.5 * self._reference:
            self._reference, self._since = worst, 0
        return self._since >= PATIENCE and bool((norms < 100 * accuracy.eps * accuracy.norm).all())
