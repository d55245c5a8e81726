"""The finite spectrum of two dense matrices of which M is semidefinite, by the Schur complement of its null space.

In a basis of the range R and the null space N of M, an eigenvector with a finite eigenvalue has
``x_N = -A_NN⁻¹ A_NR x_R``, and x_R is one of ``A_RR - A_RN A_NN⁻¹ A_NR`` and the definite M_RR. No shift is needed, so
that one that is an eigenvalue does no harm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

REGULAR = 1e-9
"""Least eigenvalue of A_NN, in the largest element of A, above which it is not singular."""


def finite_spectrum(A: NDArray[Any], M: NDArray[Any], eps: float) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return all finite eigenvalues, ascending, and M-orthonormal vectors; the elements of M are accurate to ε.

    Return None where M is not semidefinite, or zero, or A_NN is nearly singular: there may be fewer finite eigenvalues
    than the rank of M then.
    """
    d, V = eigh(M, check_finite=False, driver="evd")
    least = len(A) * eps * d[-1]
    null = d <= least
    if d[0] < -least or not null.any() or null.all():
        return None
    N, R = V[:, null], V[:, ~null]
    AN = A @ N
    g, U = eigh(N.conj().T @ AN, check_finite=False, driver="evd")
    if abs(g).min() <= REGULAR * abs(A).max():
        return None
    coupling = (U / g) @ (U.conj().T @ (AN.conj().T @ R))
    S = R.conj().T @ (A @ R) - (R.conj().T @ AN) @ coupling
    root = 1.0 / np.sqrt(d[~null])
    S = root[:, None] * S * root
    values, Z = eigh((S + S.conj().T) / 2, check_finite=False, driver="evd")
    Z = root[:, None] * Z
    return values, R @ Z - N @ (coupling @ Z)
