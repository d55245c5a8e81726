"""Inverse iteration for the eigenpairs of two dense matrices of which an ill-conditioned M has spoilt the accuracy.

The factors of ``A - θ M`` have rounding errors of the size of A and M themselves, not of M's inverse: a step or two of
inverse iteration at each approximate eigenvalue leaves a residual of a few units (J. H. Wilkinson, "The Algebraic
Eigenvalue Problem", chapter 9). It may lead two approximations to one eigenpair, so that a whole spectrum of vectors
that are independent has to come out, or nothing is said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.inverses import DenseFactors, SingularShiftError

STEPS = 2

INDEPENDENT = 0.01
"""Least eigenvalue of the Gram matrix of unit vectors that are held to be of different eigenpairs."""


def iterated_spectrum(
    A: NDArray[Any], M: NDArray[Any], values: NDArray[Any], X: NDArray[Any], inaccurate: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return all eigenpairs, of which the inaccurate ones are iterated on; None where they are not all there.

    Parameters
    ----------
    A, M : (n, n) ndarray
        Hermitian, and M positive definite.
    values, X : (n,) ndarray, (n, n) ndarray
        Approximate eigenvalues and M-orthonormal vectors.
    inaccurate : (n,) ndarray of bool
        Which of them are not accurate.
    """
    values, X = values.copy(), X.copy()
    for i in np.flatnonzero(inaccurate):
        pair = _iterated(A, M, values[i], X[:, i])
        if pair is None:
            return None
        values[i], X[:, i] = pair
    return (values, X) if independent(X.conj().T @ (M @ X)) else None


def orthonormal_clusters(
    M: NDArray[Any], values: NDArray[Any], X: NDArray[Any], widths: NDArray[np.float64]
) -> NDArray[Any]:
    """Return the vectors with those M-orthonormal among themselves whose eigenvalues, in ascending order, are one.

    Parameters
    ----------
    widths : (k,) ndarray
        Difference from each value below which the next one is the same.
    """
    X = X.copy()
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > np.append(0.0, widths[:-1]))
    for members in np.split(np.arange(len(values)), starts[1:]):
        cluster = X[:, members]
        L = np.linalg.cholesky(cluster.conj().T @ (M @ cluster))
        X[:, members] = np.linalg.solve(L, cluster.conj().T).conj().T
    return X


def independent(G: NDArray[Any]) -> bool:
    """Return whether vectors, near to unit length, of this Gram matrix are independent: none is there twice."""
    return bool(np.linalg.eigvalsh((G + G.conj().T) / 2)[0] > INDEPENDENT)


def _iterated(A: NDArray[Any], M: NDArray[Any], theta: float, x: NDArray[Any]) -> tuple[float, NDArray[Any]] | None:
    unit = float(np.finfo(A.dtype).eps) * (abs(theta) + abs(A).max() / abs(M).max())
    try:
        factors = DenseFactors(A - theta * M)
    except SingularShiftError:  # θ is an eigenvalue to the last bit
        factors = DenseFactors(A - (theta + unit) * M)
    for _ in range(STEPS):
        x = factors.solve((M @ x)[:, None])[:, 0]
        x = x / np.linalg.norm(x)
    Mx = M @ x
    square = float((x.conj() @ Mx).real)
    if not square > 0.0:
        return None
    # Of all numbers, this one makes the residual least.
    return float((Mx.conj() @ (A @ x)).real / (Mx.conj() @ Mx).real), x / np.sqrt(square)
