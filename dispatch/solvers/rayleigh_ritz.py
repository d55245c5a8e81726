"""The Rayleigh-Ritz procedure on the host, and the orders in which Ritz values are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr

from dispatch.solvers.engine import Small
from dispatch.solvers.problem import Which


def ritz_pairs(H: Small, which: Which, k: int) -> tuple[NDArray[np.float64], Small]:
    """Return the eigenvalues of ``H = Sᴴ A S`` with the most wanted first, and their eigenvectors in the basis S.

    Where the k largest magnitudes are wanted, the outermost values of both signs follow the k-th: either end of the
    spectrum may hold wanted values that the space has not come near yet.
    """
    theta, C = eigh((H + H.conj().T) / 2, check_finite=False, driver="evd")
    order = wanted_first(theta, which)
    if which == "LM" and len(theta) > k:
        rest = theta[order[k:]]
        outermost = np.unique(k + np.array([rest.argmax(), rest.argmin()]))
        order = np.concatenate([order[:k], order[outermost], np.delete(order, np.r_[:k, outermost])])
    return theta[order], C[:, order]


def wanted_first(theta: NDArray[np.float64], which: Which) -> NDArray[np.intp]:
    """Return the order that puts the wanted values first; equal ones stay in the order of their indices."""
    if which == "SA":
        return np.argsort(theta, kind="stable")
    if which == "LA":
        return np.argsort(-theta, kind="stable")
    if which == "LM":
        return np.argsort(-abs(theta), kind="stable")
    if which == "SM":
        return np.argsort(abs(theta), kind="stable")
    # BE: one from the high end, one from the low end, and so on; an odd one is high, as in SciPy.
    ascending = np.argsort(theta, kind="stable")
    order = np.empty_like(ascending)
    order[0::2] = ascending[::-1][: (len(theta) + 1) // 2]
    order[1::2] = ascending[: len(theta) // 2]
    return order


def conjugate_directions(C: Small, kept: int, previous: Small) -> Small:
    """Return an orthonormal basis of what the previous Ritz vectors have outside the kept ones.

    In the basis of the search space, `C` holds all new Ritz vectors in columns, of which the first `kept` are kept, and
    `previous` the coefficients of the previous ones. The result spans the same space as the directions P of LOBPCG. It
    is orthogonal to the kept vectors, being made of the other Ritz vectors (Duersch, Shao, Yang and Gu, SIAM J. Sci.
    Comput. 40, 2018, section 3.2).
    """
    rest = C[:, kept:]
    outside = rest.conj().T @ previous
    if outside.size == 0:
        return np.zeros((len(C), 0), C.dtype)
    Q, R, _ = qr(outside, mode="economic", pivoting=True, check_finite=False)
    sizes = abs(np.diag(R))
    rank = int(np.count_nonzero(sizes > 1e-14 * max(sizes[0], 1e-300)))
    result: NDArray[Any] = rest @ Q[:, :rank]
    return result
