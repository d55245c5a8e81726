"""Where LOBPCG starts on an inverse: in its range, which holds the vectors of all finite eigenvalues and no others.

Near an eigenvalue the inverse makes every vector that one's eigenvector, up to rounding errors: the others come out of
what is orthogonal to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.engine import Block
from dispatch.solvers.orthonormalization import orthonormalize
from dispatch.solvers.transformed_pencil import TransformedPencil

NOTHING_LEFT = 1000
"""Squared length outside a basis, in units of ε and of a vector's own, that is a rounding error."""


def start_in_range(
    pencil: TransformedPencil, X: Block, vectors: int, random_block: Callable[[int], Block]
) -> tuple[Block, int]:
    """Return orthonormal vectors of the range of ``C⁻¹ M``, and how many: fewer than wanted where M is of lower rank.

    Parameters
    ----------
    pencil : TransformedPencil
        For the inverse, its M and the inner product.
    X : Block
        Vectors to start with; random ones follow where these are dependent.
    vectors : int
        How many there are of them, and how many are wanted.
    random_block : callable
        Returns a block of so many random vectors.
    """
    engine = pencil.engine
    Y, size = orthonormalize(pencil, pencil.solve(pencil.apply_M(X), vectors), vectors)
    while size < vectors:
        W = random_block(vectors - size)
        before = _squares(pencil, W)
        W = _outside(pencil, Y, W)
        new = np.flatnonzero(_squares(pencil, W) > NOTHING_LEFT * pencil.eps * before)
        if len(new) == 0:
            break
        W = pencil.solve(pencil.apply_M(engine.columns(W, new)), len(new))
        # Twice: what rounding leaves of the first projection may be as large as what is new.
        W, found = orthonormalize(pencil, _outside(pencil, Y, _outside(pencil, Y, W)), len(new))
        if found == 0:
            break
        Y = engine.combine([Y, W], [np.eye(size, size + found), np.eye(found, size + found, size)])
        size += found
    return Y, size


def _squares(pencil: TransformedPencil, X: Block) -> NDArray[np.float64]:
    """Return the squared lengths of the vectors in the inner product."""
    return np.asarray(np.diag(pencil.engine.gram(X, pencil.apply_M(X))).real, np.float64)


def _outside(pencil: TransformedPencil, Y: Block, W: Block) -> Block:
    """Return W without its parts in the span of the orthonormal Y."""
    C = pencil.engine.gram(pencil.apply_M(Y), W)
    return pencil.engine.combine([W, Y], [np.eye(C.shape[1]), -C])
