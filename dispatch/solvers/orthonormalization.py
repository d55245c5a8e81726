"""Orthonormalize a block in the M-inner product, against the blocks of a basis: project twice, then CholQR.

Cholesky QR squares the condition number, so it is repeated until the factors show that nothing was lost, a test that
needs no further Gram matrix. Where the Cholesky factorisation fails, the block is numerically dependent, and SVQB
finds the directions that are left.

References
----------
U. Hetmaniuk, R. Lehoucq, "Basis selection in LOBPCG", J. Comput. Phys. 218 (2006): why the basis must be orthonormal.
A. Stathopoulos, K. Wu, "A block orthogonalization procedure with constant synchronization requirements", SIAM J. Sci.
Comput. 23 (2002), algorithm SVQB.
T. Fukaya et al., "Shifted Cholesky QR for computing the QR factorization of ill-conditioned matrices", SIAM J. Sci.
Comput. 42 (2020): CholQR2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular

from dispatch.solvers.engine import Block, BlockEngine, Small
from dispatch.solvers.pencil import Pencil

MOST_SWEEPS = 5


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
    norms = np.sqrt(np.maximum(_diagonal(engine.gram(W, W)), 0.0))
    W, p = _rescale(engine, W, norms, norms > 0.0)
    MW = W
    for sweep in range(MOST_SWEEPS):
        if p == 0:
            break
        projections = [engine.gram(MY, W) for _, MY in against]
        if against:
            W = engine.combine([W, *(Y for Y, _ in against)], [np.eye(p), *(-C for C in projections)])
        MW = pencil.apply_M(W)
        G = engine.gram(W, MW)
        squares = _diagonal(G)
        if pencil.generalized and (squares < -10 * pencil.eps * abs(squares).max()).any():
            name = pencil.metric
            raise ValueError(f"{name} is not positive definite: a vector x has xᴴ {name} x = {squares.min():.3g}")
        lengths = np.sqrt(np.maximum(squares, 0.0))
        kept = lengths > 10 * pencil.eps
        if sweep == 0 and not kept.all():
            # What the projection has left of these is rounding noise.
            W, p = _rescale(engine, W, lengths, kept)
            continue
        T, growth, condition = _inverse_root(G, lengths, pencil.eps)
        W = engine.combine([W], [T])
        MW = W if not pencil.generalized else engine.combine([MW], [T])
        p = T.shape[1]
        removed = max((float(abs(C).max(initial=0.0)) for C in projections), default=0.0)
        if growth < 10 and condition**2 < 100 and (not against or (sweep > 0 and removed < 0.1)):
            break
    return W, MW, p


def _diagonal(G: Small) -> Small:
    diagonal = np.diag(G).real
    if not np.isfinite(G).all():
        raise FloatingPointError("a block of vectors contains NaN or infinity")
    return diagonal


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
        inverse = solve_triangular(R, np.eye(len(R)), check_finite=False)
        condition = float(np.linalg.norm(R) * np.linalg.norm(inverse))
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
