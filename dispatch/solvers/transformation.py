"""Spectral transformations: inverses that move the eigenvalues nearest to a shift to the ends of the spectrum.

With ``C = A - σ M`` the operators of SciPy's three modes are

===========  ======================  =============  ==================================
mode         operator                inner product  its eigenvalues ν
===========  ======================  =============  ==================================
normal       ``C⁻¹ M``               M              ``1 / (λ - σ)``
cayley       ``C⁻¹ (A + σ M)``       M              ``(λ + σ) / (λ - σ)``
buckling     ``C⁻¹ A``               A              ``λ / (λ - σ)``
===========  ======================  =============  ==================================

Each is ``α + β C⁻¹ M``, and self-adjoint in its inner product. R. G. Grimes, J. G. Lewis, H. D. Simon, "A shifted block
Lanczos algorithm for solving sparse symmetric generalized eigenproblems", SIAM J. Matrix Anal. Appl. 15 (1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import Mode, Which
from dispatch.solvers.rayleigh_ritz import wanted_first


@dataclass(frozen=True)
class Transformation:
    """The map ``ν = α + β / (λ - σ)`` from the eigenvalues of a pencil to those of the transformed operator."""

    mode: Mode
    sigma: float

    @property
    def alpha(self) -> float:
        """What the operator has of the identity."""
        return 0.0 if self.mode == "normal" else 1.0

    @property
    def beta(self) -> float:
        """What the operator has of ``C⁻¹ M``."""
        return {"normal": 1.0, "cayley": 2.0 * self.sigma, "buckling": self.sigma}[self.mode]

    def backward(self, transformed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return λ of ν."""
        with np.errstate(divide="ignore"):
            return self.sigma + self.beta / (np.asarray(transformed, np.float64) - self.alpha)

    def wanted_first(self, values: NDArray[np.float64], which: Which, nearest: float) -> NDArray[np.intp]:
        """Return the order of eigenvalues λ that puts first those whose ν are wanted.

        It is decided by λ itself, in terms that keep its differences where all ν round to one number: to 1 at a shift
        that is tiny, to -1 or 0 at one that is huge.

        Parameters
        ----------
        values : (n,) ndarray
            λ.
        which : str
            What is wanted of ν.
        nearest : float
            Distance below the shift at which λ still counts as being above it: what is the shift to working precision
            stands at one end.
        """
        # On either side of its pole ν is monotone.
        above = values >= self.sigma - nearest
        ascending = np.lexsort((-values, above))
        if self.beta < 0.0:
            ascending = ascending[::-1]
        rank = np.empty(len(values))
        rank[ascending] = np.arange(len(values))
        if which not in ("LM", "SM"):
            return wanted_first(rank, which)
        # Of two on one side that are equally far from the shift, but for rounding, the one towards it has the larger ν.
        size = np.lexsort((np.where(above, -values, values), self._size(values)))
        return size if which == "SM" else size[::-1]

    def _size(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what grows with the size of ν."""
        if self.mode == "normal":
            return -abs(values - self.sigma)
        with np.errstate(divide="ignore", over="ignore"):
            if self.mode == "cayley":
                # λ and σ² / λ have ν of the same size.
                ratio = values / self.sigma
                return np.where(abs(ratio) > 1.0, 1.0 / ratio, ratio)
            # σ / λ = 1 ± δ have ν of the same size.
            ratio = self.sigma / values
            return np.minimum(ratio, 2.0 - ratio)
