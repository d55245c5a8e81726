"""Kernels that go through blocks of vectors row by row: linear combinations, residuals, and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels import numbers, vectors
from dispatch_cuda.kernels.making import kernel
from dispatch_cuda.kernels.vectors import device

ROWS = 4
"""Rows that a thread combines at a time: each vector of coefficients is read once for all of them."""


@kernel("combine_rows")
def combine(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the kernel ``out (+)= X0 C0 + X1 C1 + X2 C2``; C has the rows of C0, C1 and C2 one after another.

    X0 has p0 columns in rows of `row0` elements, and so on; absent blocks have no columns.
    """
    lanes = vectors.lanes_of(dtype)
    load, store, splat = vectors.load, vectors.store, vectors.splat(lanes)
    multiply_add = vectors.lanewise(numbers.multiply_add, lanes, 3)
    zero = dtype.type(0)

    @device
    def add_product(s0, s1, s2, s3, X, p, row, r, last, C, c, step):
        at0, at1, at2, at3 = r * row, min(r + 1, last) * row, min(r + 2, last) * row, min(r + 3, last) * row
        i = types.int64(0)
        while i < p:
            y = load(C, c + i * step)
            s0 = multiply_add(s0, splat(X[at0 + i]), y)
            s1 = multiply_add(s1, splat(X[at1 + i]), y)
            s2 = multiply_add(s2, splat(X[at2 + i]), y)
            s3 = multiply_add(s3, splat(X[at3 + i]), y)
            i += 1
        return s0, s1, s2, s3

    @cuda.jit
    def combine_rows(n, vecs, out, accumulate, p0, row0, X0, p1, row1, X1, p2, row2, X2, C):
        t = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        r = t // vecs * ROWS
        j = t % vecs * lanes
        if r < n:
            step, last = vecs * lanes, n - 1
            s0, s1, s2, s3 = splat(zero), splat(zero), splat(zero), splat(zero)
            if accumulate:
                s0, s1 = load(out, r * step + j), load(out, min(r + 1, last) * step + j)
                s2, s3 = load(out, min(r + 2, last) * step + j), load(out, min(r + 3, last) * step + j)
            s0, s1, s2, s3 = add_product(s0, s1, s2, s3, X0, p0, row0, r, last, C, j, step)
            s0, s1, s2, s3 = add_product(s0, s1, s2, s3, X1, p1, row1, r, last, C, j + p0 * step, step)
            s0, s1, s2, s3 = add_product(s0, s1, s2, s3, X2, p2, row2, r, last, C, j + (p0 + p1) * step, step)
            store(out, r * step + j, s0)
            if r + 1 < n:
                store(out, (r + 1) * step + j, s1)
            if r + 2 < n:
                store(out, (r + 2) * step + j, s2)
            if r + 3 < n:
                store(out, (r + 3) * step + j, s3)

    return combine_rows


@kernel("residual_rows")
def residual(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the kernel ``R = AX - BX diag(theta)`` that also sums the squares of R's columns over chunks of rows.

    A block takes a chunk of rows of up to `threads` vectors; as many rows at a time as it has threads for.
    """
    lanes = vectors.lanes_of(dtype)
    words = threads * lanes
    load, store, gather, scatter = vectors.load, vectors.store, vectors.gather(lanes), vectors.scatter(lanes)
    difference = vectors.lanewise(numbers.multiply_subtract, lanes, 3)
    add_squares = vectors.lanewise(numbers.add_square(dtype), lanes, 2)
    add, splat = vectors.lanewise(numbers.add, lanes, 2), vectors.splat(lanes)

    @cuda.jit
    def residual_rows(n, chunk, vecs, AX, BX, theta, R, partial):
        parts = cuda.shared.array(words, types.float64)
        t = types.int64(cuda.threadIdx.x)
        j0 = types.int64(cuda.blockIdx.y) * threads
        width = min(types.int64(threads), vecs - j0)
        together = threads // width
        row, j = t // width, j0 + t % width
        begin = types.int64(cuda.blockIdx.x) * chunk
        end = min(n, begin + chunk)
        total = splat(0.0)
        r = begin + row if row < together else end
        while r < end:
            at = (r * vecs + j) * lanes
            x = difference(load(AX, at), load(BX, at), gather(theta, j * lanes, 1))
            store(R, at, x)
            total = add_squares(total, x)
            r += together
        scatter(parts, t * lanes, total)
        while together > 1:
            cuda.syncthreads()
            upper = (together + 1) // 2
            if row + upper < together:
                total = add(total, gather(parts, (t + upper * width) * lanes, 1))
                scatter(parts, t * lanes, total)
            together = upper
        if row == 0:
            scatter(partial, (types.int64(cuda.blockIdx.x) * vecs + j) * lanes, total)

    return residual_rows


@kernel("take_columns")
def columns(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the kernel ``out[:, j] = X[:, indices[j]]``, with zeros behind the last column."""
    zero = dtype.type(0)

    @cuda.jit
    def take_columns(n, x_row, X, count, indices, out_row, out):
        t = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        r = t // out_row
        j = t - r * out_row
        if r < n:
            out[t] = X[r * x_row + indices[j]] if j < count else zero

    return take_columns
