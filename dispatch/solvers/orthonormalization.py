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

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigh, get_lapack_funcs

from dispatch.solvers.engine import Block, BlockEngine, Small
from dispatch.solvers.pencil import Pencil

MOST_SWEEPS = 6

WELL_OUTSIDE = 1e-4
"""Share of a vector's squared length outside the basis, from which Pythagoras tells it accurately enough."""


def orthonormalize(
    pencil: Pencil, W: Block, p: int, against: Sequence[tuple[Block, Block]] = ()
) -> tuple[Block, Block, int]:
    """Return an M-orthonormal basis of the part of `W` that is M-orthogonal to `against`.

    Parameters
    ----------
    pencil : Pencil
        For its engine and its M.
    W : Block
        p vectors, in any state: dependent, zero, badly scaled.
    p : int
        Their number.
    against : sequence of (Y, M Y)
        M-orthonormal blocks.

    Returns
    -------
    W, MW : Block
        The basis, and its product with M; one object when there is no M.
    p : int
        Size of the basis; less than before when vectors were dependent.

    Raises
    ------
    FloatingPointError
        When a product with M or a vector is not finite.
    """
    engine = pencil.engine
    basis, images = [Y for Y, _ in against], [MY for _, MY in against]
    MW, noise = W, 0.0
    for sweep in range(MOST_SWEEPS):
        MW = pencil.apply_M(W)
        G, *projections = engine.grams([(W, MW), *((MY, W) for MY in images)])
        lengths = _lengths(pencil, G)
        if not (lengths > noise).all():
            W, p = _rescale(engine, W, lengths, lengths > noise)
            if p == 0:
                break
            noise = 0.0
            continue
        # Pythagoras: the Gram matrix of what lies outside the basis, before it has been computed.
        outside = G - sum(C.conj().T @ C for C in projections)
        left = np.diag(outside).real / lengths**2
        if (left < WELL_OUTSIDE).any():
            # Too little is left to be told from rounding errors: project, and see how long it is.
            T = np.diag(1.0 / lengths)
            W = engine.combine([W, *basis], [T, *(-C @ T for C in projections)])
            noise = 10 * pencil.eps
            continue
        T, growth, condition = _inverse_root(outside, lengths * np.sqrt(left), pencil.eps)
        coefficients = [T, *(-C @ T for C in projections)]
        W = engine.combine([W, *basis], coefficients)
        MW = engine.combine([MW, *images], coefficients) if pencil.generalized else W
        p, noise = T.shape[1], 0.0
        removed = max((float(abs(C).max(initial=0.0)) for C in projections), default=0.0)
        if growth < 10 and condition**2 < 100 and (not against or (sweep > 0 and removed < 0.1)):
            break
    return W, MW, p


def _lengths(pencil: Pencil, G: Small) -> NDArray[np.float64]:
    """Return the M-norms of the vectors whose Gram matrix is `G`."""
    if not np.isfinite(G).all():
        raise FloatingPointError("a block of vectors contains NaN or infinity")
    squares = np.asarray(np.diag(G).real, np.float64)
    if pencil.generalized and (squares < -10 * pencil.eps * abs(squares).max(initial=0.0)).any():
        pencil.refuse_metric(squares.min())
    return np.sqrt(np.maximum(squares, 0.0))


def _rescale(engine: BlockEngine, W: Block, lengths: Small, kept: Small) -> tuple[Block, int]:
    """Return the kept columns of `W`, divided by their lengths."""
    indices = np.flatnonzero(kept)
    T = np.zeros((len(lengths), len(indices)))
    T[indices, np.arange(len(indices))] = 1.0 / lengths[indices]
    return engine.combine([W], [T]) if len(indices) else W, len(indices)


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
