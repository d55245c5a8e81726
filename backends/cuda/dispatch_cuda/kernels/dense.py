"""The product of a dense matrix with a block of vectors, by tiles in shared memory.

A thread block makes a tile of the result, `ROWS` rows of `side` vectors. It goes along the rows of the matrix, and
brings a piece of them to shared memory with the rows of X that belong to it; so the matrix is read once, in vectors,
for all columns of the tile. A thread has `HEIGHT` rows of one vector; the threads that are left take slices of each
piece, and their sums are added in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels import numbers, vectors
from dispatch_cuda.kernels.making import kernel

ROWS, HEIGHT = 32, 4
"""Rows of a tile, and of a thread."""

GROUPS = ROWS // HEIGHT
"""Threads that share the rows of a tile."""

PIECE_BYTES = 256
"""Bytes of each row of the matrix that are in shared memory at a time."""

SIDES = (2, 4, 8)
"""Vectors of a row of a tile."""


@kernel("dense_rows")
def dense(dtype: np.dtype[Any], side: int, threads: int) -> Any:
    """Return the kernel ``Y = A X``; A has n rows of `row` elements, whole vectors, of which m are columns."""
    lanes, kind = vectors.lanes_of(dtype), numbers.scalar(dtype)
    fetch, store, splat = vectors.fetch, vectors.store, vectors.splat(lanes)
    scatter, gather = vectors.scatter(lanes), vectors.gather(lanes)
    multiply_add, add = vectors.lanewise(numbers.multiply_add, lanes, 3), vectors.lanewise(numbers.add, lanes, 2)
    slices = threads // (GROUPS * side)
    piece, width = PIECE_BYTES // dtype.itemsize, side * lanes
    pitch = piece + 1  # rows that are read together begin in different banks
    pieces, zero = piece // lanes, dtype.type(0)
    a_words, x_words, sum_words = ROWS * pitch, piece * width, slices * ROWS * width

    @cuda.jit
    def dense_rows(n, m, row, A, vecs, X, Y):
        a = cuda.shared.array(a_words, kind)
        x = cuda.shared.array(x_words, kind)
        sums = cuda.shared.array(sum_words, kind)
        t = cuda.threadIdx.x
        j, g, s = t % side, t // side % GROUPS, t // (side * GROUPS)
        r0, j0 = types.int64(cuda.blockIdx.x) * ROWS, types.int64(cuda.blockIdx.y) * side
        s0, s1, s2, s3 = splat(zero), splat(zero), splat(zero), splat(zero)
        k0 = types.int64(0)
        while k0 < m:
            e = t
            while e < ROWS * pieces:
                r, k = e // pieces, e % pieces * lanes
                inside = k0 + k < row
                scatter(a, r * pitch + k, fetch(A, min(r0 + r, n - 1) * row + k0 + k) if inside else splat(zero))
                e += threads
            e = t
            while e < piece * side:
                k, v = e // side, e % side
                inside = k0 + k < m and j0 + v < vecs
                scatter(x, e * lanes, fetch(X, ((k0 + k) * vecs + j0 + v) * lanes) if inside else splat(zero))
                e += threads
            cuda.syncthreads()
            k, at = s, g * HEIGHT * pitch
            while k < piece:
                y = gather(x, k * width + j * lanes, 1)
                s0 = multiply_add(s0, splat(a[at + k]), y)
                s1 = multiply_add(s1, splat(a[at + k + pitch]), y)
                s2 = multiply_add(s2, splat(a[at + k + 2 * pitch]), y)
                s3 = multiply_add(s3, splat(a[at + k + 3 * pitch]), y)
                k += slices
            cuda.syncthreads()
            k0 += piece
        at = (s * ROWS + g * HEIGHT) * width + j * lanes
        scatter(sums, at, s0)
        scatter(sums, at + width, s1)
        scatter(sums, at + 2 * width, s2)
        scatter(sums, at + 3 * width, s3)
        cuda.syncthreads()
        e = t
        while e < ROWS * side:
            r, v = e // side, e % side
            if r0 + r < n and j0 + v < vecs:
                total = gather(sums, e * lanes, 1)
                for k in range(1, slices):
                    total = add(total, gather(sums, (k * ROWS * side + e) * lanes, 1))
                store(Y, ((r0 + r) * vecs + j0 + v) * lanes, total)
            e += threads

    return dense_rows
