"""Which vectors are wanted where the k-th eigenvalue cuts a cluster: those that are most accurate.

The Ritz vectors of nearly equal Ritz values are mixed by rounding errors: from one iteration to the next, a wanted
vector may take over a part of a guard that is far less accurate, and a run would end some iterations sooner or later as
chance has it. Within what rounding leaves open, residuals decide: refined Ritz vectors, which make them least (Z. Jia,
Linear Algebra Appl. 259, 1997), converge as soon as the space holds as many accurate directions as are wanted.

Nor does anything but rounding choose the basis of a cluster that is not cut, and with it how its residuals share what
they have in common. Where they are about to reach the floor, the basis in which they are of one size decides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, lstsq, qr

from dispatch.solvers.convergence import Accuracy
from dispatch.solvers.engine import Small
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import Which
from dispatch.solvers.search_space import SearchSpace

SAME = 1e-6
"""Difference of equal Ritz values, in the extent of those that are kept, at most.

Where A is badly scaled, all of its low end may lie within rounding errors of its norm, and is told apart all the same.
"""

LESS_ACCURATE = 2.0
"""How many times as large as a wanted vector's is the residual of a guard that is taken out of it."""


def most_accurate_wanted(
    pencil: Pencil,
    space: SearchSpace,
    theta: NDArray[np.float64],
    C: Small,
    which: Which,
    k: int,
    kept: int,
    accuracy: Accuracy,
) -> tuple[NDArray[np.float64], Small]:
    """Return Ritz values and vectors whose wanted ones are the most accurate that rounding errors leave open.

    Parameters
    ----------
    pencil, space : Pencil, SearchSpace
        What the pairs are of.
    theta : (m,) ndarray
        Ritz values, the k wanted ones first.
    C : (m, m) ndarray
        Their vectors in the basis of the space.
    which : {"SA", "LA", "LM", "BE"}
        What is wanted.
    k, kept : int
        How many are wanted, and how many survive a restart: they keep their span.
    accuracy : Accuracy
        Says when Ritz values are equal.
    """
    theta, C = theta.copy(), C.copy()
    width = same_up_to(theta, which, kept, accuracy)
    if width.all():
        _cut_anew(pencil, space, theta, C, k, kept, width)
        _unmix(pencil, space, theta, C, k, kept, width)
    return theta, C


def same_up_to(theta: NDArray[np.float64], which: Which, kept: int, accuracy: Accuracy) -> NDArray[np.float64]:
    """Return the difference from each of some Ritz values, the wanted ones first, up to which another is the same."""
    # Where both ends alternate, what is kept of one says nothing about the other.
    ends = [theta[0:kept:2], theta[1:kept:2]] if which == "BE" else [theta[:kept]]
    extent = min((float(np.ptp(end)) for end in ends if len(end)), default=0.0)
    return np.asarray(np.minimum(accuracy.coincidence(theta), SAME * extent))


def share_residuals(
    pencil: Pencil,
    space: SearchSpace,
    theta: NDArray[np.float64],
    C: Small,
    width: NDArray[np.float64],
    accuracy: Accuracy,
) -> None:
    """Rotate vectors of equal Ritz values so that their residuals are of one size: the root of their mean square.

    Only where no more accuracy is wanted than can be had. No basis has a smaller one for its largest residual, and
    rounding errors, which turn the basis, change nothing about it.

    Parameters
    ----------
    pencil, space : Pencil, SearchSpace
        What the pairs are of.
    theta, C : ndarray
        Ritz values, and their vectors in the basis of the space: changed in place.
    width : ndarray
        Difference from each Ritz value up to which another one is the same.
    accuracy : Accuracy
        Says what accuracy is wanted.
    """
    left = np.flatnonzero(accuracy.all_wanted(theta))
    while len(left):
        members = left[abs(theta[left] - theta[left[0]]) <= width[left[0]]]
        left = np.setdiff1d(left, members)
        if len(members) == 1:
            continue
        squares, Q = _orthogonal_residuals(pencil, space, theta, C, members)
        mean = squares.mean()
        for _ in range(len(members) - 1):
            # A plane rotation of two residuals that are orthogonal, as the second stays to those that are not done yet.
            i, j = int(squares.argmin()), int(squares.argmax())
            share = (mean - squares[i]) / (squares[j] - squares[i]) if squares[i] < mean < squares[j] else 0.0
            c, s = np.sqrt(1.0 - share), np.sqrt(share)
            Q[:, [i, j]] = Q[:, [i, j]] @ np.array([[c, -s], [s, c]])
            squares[i], squares[j] = mean, squares[i] + squares[j] - mean
        _rotate(theta, C, members, Q)


def _cut_anew(
    pencil: Pencil, space: SearchSpace, theta: NDArray[np.float64], C: Small, k: int, kept: int, width: Small
) -> None:
    """Rotate the vectors of Ritz values that are equal, up to `width`, and cut: orthogonal residuals, least first."""
    equal = abs(theta[:kept, None] - theta[:kept]) <= width[:kept, None]
    guards = k + np.flatnonzero(equal[k:, :k].any(axis=1))
    while len(guards):
        members = np.flatnonzero(equal[guards[0]])
        guards = np.setdiff1d(guards, members)
        _, Q = _orthogonal_residuals(pencil, space, theta, C, members)
        _rotate(theta, C, members, Q)


def _orthogonal_residuals(
    pencil: Pencil, space: SearchSpace, theta: NDArray[np.float64], C: Small, members: NDArray[np.intp]
) -> tuple[NDArray[np.float64], Small]:
    """Return the squares of orthogonal residuals of equal Ritz values, least first, and how vectors turn to theirs."""
    X, AX, MX = space.vectors(C[:, members])
    R, _ = pencil.engine.residual(AX, pencil.image(X, MX), np.full(len(members), theta[members].mean()))
    G = pencil.engine.gram(R, R)
    squares, Q = eigh((G + G.conj().T) / 2, check_finite=False, driver="evd")
    return squares, Q


def _rotate(theta: NDArray[np.float64], C: Small, members: NDArray[np.intp], Q: Small) -> None:
    C[:, members] = C[:, members] @ Q
    theta[members] = theta[members] @ abs(Q) ** 2


def _unmix(
    pencil: Pencil, space: SearchSpace, theta: NDArray[np.float64], C: Small, k: int, kept: int, width: Small
) -> None:
    """Add to each wanted vector x that of its near guards which makes ``‖(A - θ M) x‖`` least.

    Errors of the size of `width` in the projected matrix turn a vector by ``width / |θ_g - θ|`` towards that of a
    guard: so much of it may be undone, and no more.
    """
    window = width[:k, None] / np.sqrt(pencil.eps)
    wanted, guards = np.nonzero(abs(theta[k:kept] - theta[:k, None]) <= window)
    if len(wanted) == 0:
        return
    wanted = np.unique(wanted)
    members = np.concatenate([wanted, k + np.unique(guards)])
    guards = np.arange(len(wanted), len(members))
    values = theta[members]
    X, AX, MX = space.vectors(C[:, members])
    image = pencil.image(X, MX)
    R, norms = pencil.engine.residual(AX, image, values)
    RR, RI, II = pencil.engine.gram(R, R), pencil.engine.gram(R, image), pencil.engine.gram(image, image)
    T = np.eye(len(members), dtype=C.dtype)
    for w in range(len(wanted)):
        # For the guards' vectors, (A - θ_w M) x_g = r_g + (θ_g - θ_w) M x_g.
        distance = values - values[w]
        G = RR + RI * distance + (RI * distance).conj().T + np.outer(distance, distance) * II
        sizes = np.sqrt(np.maximum(np.diag(G).real, 0.0))
        g = guards[sizes[guards] > LESS_ACCURATE * norms[w]]
        if len(g) == 0:
            continue
        scaled = G[np.ix_(g, g)] / np.outer(sizes[g], sizes[g])
        t = -lstsq(scaled, G[g, w] / sizes[g], cond=1e-10, check_finite=False)[0] / sizes[g]
        most = width[members[w]] / np.maximum(abs(distance[g]), width[members[w]])
        T[g, w] = t / np.maximum(1.0, abs(t) / most)
    Q, triangle = qr(C[:, members] @ T, mode="economic", check_finite=False)
    C[:, members] = Q * np.where(np.diag(triangle).real < 0.0, -1.0, 1.0)
    theta[members] = np.einsum("ij,ij->j", C[:, members].conj(), space.H @ C[:, members]).real
