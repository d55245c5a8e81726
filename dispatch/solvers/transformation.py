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

from dispatch.solvers.problem import Mode


@dataclass(frozen=True)
class Transformation:
    """The map ``ν = α + β / (λ - σ)`` from the eigenvalues of a pencil to those of a transformed operator."""

    sigma: float
    alpha: float = 0.0
    beta: float = 1.0

    def backward(self, transformed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return λ of ν."""
        with np.errstate(divide="ignore"):
            return self.sigma + self.beta / (np.asarray(transformed, np.float64) - self.alpha)


def transformation(mode: Mode, sigma: float) -> Transformation:
    """Return the map that SciPy's mode stands for."""
    if mode == "normal":
        return Transformation(sigma)
    return Transformation(sigma, 1.0, 2.0 * sigma if mode == "cayley" else sigma)
