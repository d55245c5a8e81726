"""Products of a CSR matrix with a block of vectors: plain, and fused with a Chebyshev step.

A block is n rows of `vecs` vectors of 16 bytes; what is behind its last column is zero. A team of neighbouring threads
makes one vector of one row, and neighbouring teams make the vectors of one row, then those of the next: so the block is
read in whole rows, and the matrix by all threads of a row at the same time. Rows of more than `most` stored elements
are left to a kernel that gives each vector of such a row a whole block.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels import numbers, vectors
from dispatch_cuda.kernels.making import kernel
from dispatch_cuda.kernels.vectors import device
from dispatch_cuda.kernels.warps import WARP

TEAMS = (1, 2, 4, 8, 16, 32)
"""Threads that may share a row."""


@cache
def _row_product(dtype: np.dtype[Any]) -> Any:
    """Return the function that adds up the stored elements first, first + step, ... of a row times a vector of X."""
    lanes = vectors.lanes_of(dtype)
    load, one = vectors.fetch, vectors.fetch_one
    multiply_add = vectors.lanewise(numbers.multiply_add, lanes, 3)
    splat = vectors.splat(lanes)
    zero = dtype.type(0)

    @device
    def add_product(total, value, x):
        return multiply_add(total, splat(value), x)

    @device
    def row_product(indices, data, X, vecs, j, first, last, step):
        total = splat(zero)
        k = first
        while k + 3 * step < last:
            x = load(X, (one(indices, k) * vecs + j) * lanes)
            y = load(X, (one(indices, k + step) * vecs + j) * lanes)
            z = load(X, (one(indices, k + 2 * step) * vecs + j) * lanes)
            w = load(X, (one(indices, k + 3 * step) * vecs + j) * lanes)
            total = add_product(total, one(data, k), x)
            total = add_product(total, one(data, k + step), y)
            total = add_product(total, one(data, k + 2 * step), z)
            total = add_product(total, one(data, k + 3 * step), w)
            k += 4 * step
        while k < last:
            total = add_product(total, one(data, k), load(X, (one(indices, k) * vecs + j) * lanes))
            k += step
        return total

    return row_product


@cache
def _vector_total(dtype: np.dtype[Any], team: int, threads: int) -> Any:
    """Return the function that adds a vector of each thread of a team; the first of the team gets the sum."""
    lanes = vectors.lanes_of(dtype)
    add_lanes = vectors.lanewise(numbers.add_shuffled(dtype), lanes, 2)
    splat = vectors.splat(lanes)
    half = min(team, WARP) // 2

    @device
    def within(x):
        step = half
        while step > 0:
            x = add_lanes(x, splat(step))
            step >>= 1
        return x

    if team <= WARP:
        return within
    warps = threads // WARP
    words = warps * lanes
    kind = numbers.scalar(dtype)
    scatter, gather, add = vectors.scatter(lanes), vectors.gather(lanes), vectors.lanewise(numbers.add, lanes, 2)

    @device
    def total(x):
        parts = cuda.shared.array(words, kind)
        t = cuda.threadIdx.x
        x = within(x)
        if t % WARP == 0:
            scatter(parts, t // WARP * lanes, x)
        cuda.syncthreads()
        if t == 0:
            for w in range(1, warps):
                x = add(x, gather(parts, w * lanes, 1))
        return x

    return total


@kernel("spmm_rows")
def spmm(dtype: np.dtype[Any], team: int, threads: int) -> Any:
    """Return the kernel ``Y = A X`` for rows of up to `most` stored elements."""
    lanes = vectors.lanes_of(dtype)
    row_product, total, store = _row_product(dtype), _vector_total(dtype, team, threads), vectors.store

    @cuda.jit
    def spmm_rows(n, most, indptr, indices, data, vecs, X, Y):
        t = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        item, work = t % team, t // team
        r = work // vecs
        j = work - r * vecs
        first = types.int64(indptr[r]) if r < n else types.int64(0)
        last = types.int64(indptr[r + 1]) if r < n else types.int64(0)
        mine = last if last - first <= most else first
        # All threads of a warp have to come here, whether their rows are theirs or not.
        product = total(row_product(indices, data, X, vecs, j, first + item, mine, team))
        if r < n and item == 0 and mine == last:
            store(Y, (r * vecs + j) * lanes, product)

    return spmm_rows


@kernel("spmm_long_rows")
def spmm_long(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the kernel ``Y = A X`` for the rows that are listed; a block makes a vector of one."""
    lanes = vectors.lanes_of(dtype)
    row_product, total, store = _row_product(dtype), _vector_total(dtype, threads, threads), vectors.store

    @cuda.jit
    def spmm_long_rows(rows, indptr, indices, data, vecs, X, Y):
        r, j, t = types.int64(rows[cuda.blockIdx.x]), types.int64(cuda.blockIdx.y), types.int64(cuda.threadIdx.x)
        first, last = types.int64(indptr[r]), types.int64(indptr[r + 1])
        product = total(row_product(indices, data, X, vecs, j, first + t, last, threads))
        if t == 0:
            store(Y, (r * vecs + j) * lanes, product)

    return spmm_long_rows


@cache
def _step(dtype: np.dtype[Any]) -> Any:
    """Return the function that makes vector j of row r of R, D' and Y' from that of ``A D``.

    `scalars` has three rows of `vecs` vectors of real numbers: theta, a and b.
    """
    lanes = vectors.lanes_of(dtype)
    load, fetch, store, gather = vectors.load, vectors.fetch, vectors.store, vectors.gather(lanes)
    multiply, add = vectors.lanewise(numbers.multiply, lanes, 2), vectors.lanewise(numbers.add, lanes, 2)
    subtract, multiply_add = (
        vectors.lanewise(numbers.subtract, lanes, 2),
        vectors.lanewise(numbers.multiply_add, lanes, 3),
    )

    @device
    def step(product, vecs, scalars, R, D, Y, following, updated, r, j):
        at, s, row = (r * vecs + j) * lanes, j * lanes, vecs * lanes
        d = fetch(D, at)
        residual = multiply_add(subtract(load(R, at), product), gather(scalars, s, 1), d)
        direction = multiply_add(multiply(gather(scalars, s + row, 1), d), gather(scalars, s + 2 * row, 1), residual)
        store(R, at, residual)
        store(following, at, direction)
        store(updated, at, add(load(Y, at), direction))

    return step


@kernel("chebyshev_rows")
def chebyshev(dtype: np.dtype[Any], team: int, threads: int) -> Any:
    """Return the kernel ``R -= (A - theta) D; D' = a D + b R; Y' = Y + D'`` for rows of up to `most` elements."""
    row_product, total, step = _row_product(dtype), _vector_total(dtype, team, threads), _step(dtype)

    @cuda.jit
    def chebyshev_rows(n, most, indptr, indices, data, vecs, scalars, R, D, Y, following, updated):
        t = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        item, work = t % team, t // team
        r = work // vecs
        j = work - r * vecs
        first = types.int64(indptr[r]) if r < n else types.int64(0)
        last = types.int64(indptr[r + 1]) if r < n else types.int64(0)
        mine = last if last - first <= most else first
        product = total(row_product(indices, data, D, vecs, j, first + item, mine, team))
        if r < n and item == 0 and mine == last:
            step(product, vecs, scalars, R, D, Y, following, updated, r, j)

    return chebyshev_rows


@kernel("chebyshev_long_rows")
def chebyshev_long(dtype: np.dtype[Any], threads: int) -> Any:
    """Return the same kernel for the rows that are listed."""
    row_product, total, step = _row_product(dtype), _vector_total(dtype, threads, threads), _step(dtype)

    @cuda.jit
    def chebyshev_long_rows(rows, indptr, indices, data, vecs, scalars, R, D, Y, following, updated):
        r, j, t = types.int64(rows[cuda.blockIdx.x]), types.int64(cuda.blockIdx.y), types.int64(cuda.threadIdx.x)
        first, last = types.int64(indptr[r]), types.int64(indptr[r + 1])
        product = total(row_product(indices, data, D, vecs, j, first + t, last, threads))
        if t == 0:
            step(product, vecs, scalars, R, D, Y, following, updated, r, j)

    return chebyshev_long_rows
