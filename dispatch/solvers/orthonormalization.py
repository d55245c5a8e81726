"""Orthonormalize a block in the M-inner product, against the blocks of a basis: twice, each time in one pass.

A sweep takes the Gram matrices of the block with the basis and with itself, from which follows, by Pythagoras, the Gram
matrix of what is outside the basis; projection and Cholesky QR are then one linear combination. The second sweep mends
what cancellation has spoilt in the first. A vector that lies in the basis almost wholly is projected first by itself.

Cholesky QR squares the condition number, so it is repeated until the factors show that nothing was lost, a test that
needs no further Gram matrix. Where the Cholesky factorisation fails, the block is numerically dependent, and SVQB
finds the directions that are left.

References
----------
E. Carson, K. Lund, M. Rozložník, S. Thomas, "Block Gram-Schmidt algorithms and their stability properties", Linear
Algebra Appl. 638 (2022): BCGS-PIP, the combined projection.
U. Hetmaniuk, R. Lehoucq, "Basis selection in LOBPCG", J. Comput. Phys. 218 (2006): why the basis must be orthonormal.
A. Stathopoulos, K. Wu, "A block orthogonalization procedure with constant synchronization requirements", SIAM J. Sci.
Comput. 23 (2002), algorithm SVQB.
T. Fukaya et al., "Shifted Cholesky QR for computing the QR factorization of ill-conditioned matrices", SIAM J. Sci.
Comput. 42 (2020): CholQR2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigh, get_lapack_funcs

from dispatch.solvers.engine import Block, Small
from dispatch.solvers.pencil import Pencil

MOST_SWEEPS = 6

WELL_OUTSIDE = 1e-4
"""Share of a vector's squared length outside the basis, from which Pythagoras tells it accurately enough."""


@dataclass(frozen=True)
class Sweep:
    """What makes a block W orthonormal, and orthogonal to a basis S: ``W T``, or ``W T - S (C T)``.

    Attributes
    ----------
    T : (p, q) ndarray
        With fewer columns than rows where vectors are dependent.
    projects : bool
        Whether ``S C`` is subtracted. Not where vectors are only brought to length one, or left out.
    settled : bool
        Whether the result is orthonormal to working precision, if rounding errors were small in W and C.
    noise : float
        Length up to which a vector of the result may be rounding errors.
    """

    T: Small
    projects: bool
    settled: bool = False
    noise: float = 0.0


def orthonormalize(pencil: Pencil, W: Block, p: int) -> tuple[Block, int]:
    """Return an M-orthonormal basis of the range of a block, and its size.

    Parameters
    ----------
    pencil : Pencil
        For its engine and its M.
    W : Block
        p vectors, in any state: dependent, zero, badly scaled.
    p : int
        Their number.

    Raises
    ------
    FloatingPointError
        When a product with M or a vector is not finite.
    """
    nothing, noise = np.zeros((0, p)), 0.0
    for _ in range(MOST_SWEEPS):
        sweep = next_sweep(pencil, pencil.engine.gram(W, pencil.apply_M(W)), nothing[:, :p], noise)
        p, noise = sweep.T.shape[1], sweep.noise
        if p == 0:
            break
        W = pencil.engine.combine([W], [sweep.T])
        if sweep.settled:
            break
    return W, p


def next_sweep(pencil: Pencil, G: Small, C: Small, noise: float) -> Sweep:
    """Return the next sweep for a block, of which the one before left vectors that may be rounding errors.

    Parameters
    ----------
    pencil : Pencil
        For its precision, and the name of M.
    G : (p, p) ndarray
        Gram matrix ``Wᴴ M W`` of the block.
    C : (m, p) ndarray
        Its products ``Sᴴ M W`` with an orthonormal basis.
    noise : float
        That of the sweep before; 0 at first.

    Raises
    ------
    FloatingPointError
        When the Gram matrix is not finite.
    """
    lengths = _lengths(pencil, G)
    if not (lengths > noise).all():
        kept = np.flatnonzero(lengths > noise)
        T = np.zeros((len(lengths), len(kept)))
        T[kept, np.arange(len(kept))] = 1.0 / lengths[kept]
        return Sweep(T, projects=False)
    # Pythagoras: the Gram matrix of what lies outside the basis, before it has been computed.
    outside = G - C.conj().T @ C
    left = np.diag(outside).real / lengths**2
    if (left < WELL_OUTSIDE).any():
        # Too little is left to be told from rounding errors: project, and see how long it is.
        return Sweep(np.diag(1.0 / lengths), projects=True, noise=10 * pencil.eps)
    T, growth, condition = _inverse_root(outside, lengths * np.sqrt(left), pencil.eps)
    settled = growth < 10 and condition**2 < 100 and float(abs(C).max(initial=0.0)) < 0.1
    return Sweep(T, projects=True, settled=settled)


def _lengths(pencil: Pencil, G: Small) -> NDArray[np.float64]:
    """Return the M-norms of the vectors whose Gram matrix is `G`."""
    if not np.isfinite(G).all():
        raise FloatingPointError("a block of vectors contains NaN or infinity")
    squares = np.asarray(np.diag(G).real, np.float64)
    if pencil.generalized and (squares < -10 * pencil.eps * abs(squares).max(initial=0.0)).any():
        pencil.refuse_metric(squares.min())
    return np.sqrt(np.maximum(squares, 0.0))


def _inverse_root(G: Small, lengths: Small, eps: float) -> tuple[Small, float, float]:
    """Return T with ``Tᴴ G T ≈ I``, how much it may amplify rounding errors, and the condition of the factor."""
    lengths = np.where(lengths > 0.0, lengths, 1.0)
    scaled = G / np.outer(lengths, lengths)
    scaled = (scaled + scaled.conj().T) / 2
    try:
        R = cholesky(scaled, check_finite=False)
        # A triangular solve wakes OpenBLAS's threads at any size, which then spin for longer than all of this takes.
        (invert,) = get_lapack_funcs(("trtri",), (R,))
        inverse, _ = invert(R)
        condition = float(np.linalg.norm(R, 2) * np.linalg.norm(inverse, 2))
    except LinAlgError:
        inverse = None
        condition = np.inf
    if inverse is None or not condition < 0.1 / np.sqrt(eps):
        values, vectors = eigh(scaled, check_finite=False)
        kept = values > 10 * eps * len(values) * values[-1]
        inverse = vectors[:, kept] / np.sqrt(values[kept])
        condition = float(np.sqrt(values[-1] / values[kept][0]))
    growth = float(np.linalg.norm(inverse, 2) / lengths.min())
    return inverse / lengths[:, None], growth, condition
