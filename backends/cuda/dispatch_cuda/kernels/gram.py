"""The Gram matrix of two blocks: products of chunks of rows in double precision, added up in the order of the chunks.

A thread block goes through a chunk of rows for one square tile of the matrix. It brings a strip of rows to shared
memory, in double precision; there each thread adds to four elements of the tile, half a side apart, so that a warp
reads neighbouring words. For narrow blocks tiles are smaller, and the threads that are left take slices of the strip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels import numbers
from dispatch_cuda.kernels.making import kernel

STRIP = 16
"""Rows that are in shared memory at a time."""

SIDES = (8, 16, 32)
"""Sides of tiles."""


@kernel("gram_tile")
def gram(dtype: np.dtype[Any], side: int, threads: int) -> Any:
    """Return the kernel that writes ``partial[c] = X[chunk c]ᴴ Y[chunk c]``.

    `X` and `Y` have rows of `x_row` and `y_row` elements, of which p and q are columns.
    """
    wide, conjugate = numbers.wide(dtype), numbers.conjugate(dtype)
    half = side // 2
    slices = threads // (half * half)
    zero = np.dtype(str(wide)).type(0)

    @cuda.jit
    def gram_tile(n, chunk, p, x_row, X, q, y_row, Y, partial):
        xs = cuda.shared.array((STRIP, side), wide)
        ys = cuda.shared.array((STRIP, side), wide)
        sums = cuda.shared.array((slices, side, side), wide)
        t = cuda.threadIdx.x
        b, a, s = t % half, t // half % half, t // (half * half)
        i0, j0 = types.int64(cuda.blockIdx.y) * side, types.int64(cuda.blockIdx.z) * side
        begin = types.int64(cuda.blockIdx.x) * chunk
        end = min(n, begin + chunk)
        g00, g01, g10, g11 = zero, zero, zero, zero
        while begin < end:
            e = t
            while e < STRIP * side:
                r, c = e // side, e % side
                inside = begin + r < end
                xs[r, c] = conjugate(wide(X[(begin + r) * x_row + i0 + c])) if inside and i0 + c < p else zero
                ys[r, c] = wide(Y[(begin + r) * y_row + j0 + c]) if inside and j0 + c < q else zero
                e += threads
            cuda.syncthreads()
            r = s
            while r < STRIP:
                x0, x1, y0, y1 = xs[r, a], xs[r, a + half], ys[r, b], ys[r, b + half]
                g00 += x0 * y0
                g01 += x0 * y1
                g10 += x1 * y0
                g11 += x1 * y1
                r += slices
            cuda.syncthreads()
            begin += STRIP
        sums[s, a, b], sums[s, a, b + half] = g00, g01
        sums[s, a + half, b], sums[s, a + half, b + half] = g10, g11
        cuda.syncthreads()
        e = t
        while e < side * side:
            i, j = e // side, e % side
            if i0 + i < p and j0 + j < q:
                total = sums[0, i, j]
                for k in range(1, slices):
                    total += sums[k, i, j]
                partial[(types.int64(cuda.blockIdx.x) * p + i0 + i) * q + j0 + j] = total
            e += threads

    return gram_tile


@kernel("fold_chunks")
def fold(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the kernel that adds up ``partial[c, s]`` over the chunks c: 32 sums a block, in slices of chunks."""
    kind = numbers.scalar(dtype)
    zero = dtype.type(0)
    slices = threads // 32

    @cuda.jit
    def fold_chunks(chunks, sums, partial, out):
        parts = cuda.shared.array((slices, 32), kind)
        lane, slice_ = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        s = types.int64(cuda.blockIdx.x) * 32 + lane
        total = zero
        c = types.int64(slice_)
        while c < chunks and s < sums:
            total += partial[c * sums + s]
            c += slices
        parts[slice_, lane] = total
        cuda.syncthreads()
        if slice_ == 0 and s < sums:
            for k in range(1, slices):
                total += parts[k, lane]
            out[s] = total

    return fold_chunks
