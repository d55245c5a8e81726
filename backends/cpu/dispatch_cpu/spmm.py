"""Compiled products of a sparse matrix with a block of vectors, by rows: plain, and fused with a Chebyshev step.

Numba compiles them at the first use for a dtype and keeps them on disk. They release the GIL, and are called for
ranges of rows from our own threads rather than with Numba's, whose layers are not safe to enter from several threads
at once.
"""

from __future__ import annotations

import numba


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, boundscheck=False)
def product(indptr, indices, data, X, Y, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``A X`` into `Y`."""
    columns = X.shape[1]
    for i in range(start, stop):
        y = Y[i]
        for c in range(columns):
            y[c] = 0
        for p in range(indptr[i], indptr[i + 1]):
            value = data[p]
            x = X[indices[p]]
            for c in range(columns):
                y[c] += value * x[c]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, boundscheck=False)
def chebyshev_step(indptr, indices, data, theta, a, b, R, D, Y, D_next, start, stop):  # type: ignore[no-untyped-def]
    """Update rows `start` to `stop`: ``R -= (A - θ) D``, ``D_next = a D + b R``, ``Y += D_next``."""
    columns = D.shape[1]
    for i in range(start, stop):
        r = R[i]
        d = D[i]
        for c in range(columns):
            r[c] += theta[c] * d[c]
        for p in range(indptr[i], indptr[i + 1]):
            value = data[p]
            x = D[indices[p]]
            for c in range(columns):
                r[c] -= value * x[c]
        y = Y[i]
        following = D_next[i]
        for c in range(columns):
            step = a[c] * d[c] + b[c] * r[c]
            following[c] = step
            y[c] += step
