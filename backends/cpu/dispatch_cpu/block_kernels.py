"""Compiled operations on blocks of vectors, by rows: products with sparse matrices, filters, and combinations.

A tile of a row of a product, up to 128 bytes, stays in registers while the stored elements of the matrix' row are gone
through. Blocks are given as flat arrays of real numbers, complex ones as pairs, rows one after another.

Numba compiles the kernels at the first use for a dtype and keeps them on disk until this file changes. They release the
GIL, and are called for ranges of rows from our own threads rather than with Numba's, whose layers are not safe to enter
from several threads at once.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

VECTOR = 32
"""Bytes of the shortest tile; the rows of blocks in a filter are multiples of it."""

ONE, TWO, FOUR = (0,), (0,) * 2, (0,) * 4
"""As long as the number of vectors of a tile; tuples because the compiler shall know the number. It takes the longest
registers that the processor has for them."""

RANGE = 256
"""Rows that a thread takes at a time."""

LOOKS = 1000
"""How often a thread looks for the others, a microsecond or more in all, before it lets others have its core."""

CONTRACT = ("contract", "nsz")
"""What the compiler may do with a product and a sum: round once."""

OPTIONS: dict[str, Any] = {
    "nogil": True, "cache": True, "boundscheck": False, "error_model": "numpy", "fastmath": set(CONTRACT)
}  # fmt: skip


class Tile(types.Type):  # type: ignore[misc]
    """Some neighbouring elements of a row of a block, in registers."""

    def __init__(self, scalar: Any, lanes: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        super().__init__(f"Tile({scalar}, {lanes})")


@register_model(Tile)
class TileModel(models.PrimitiveModel):  # type: ignore[misc]
    """A tile is a vector of LLVM's."""

    def __init__(self, manager: Any, tile: Tile) -> None:
        super().__init__(manager, tile, ir.VectorType(manager.lookup(tile.scalar).get_value_type(), tile.lanes))


def _tile(array: Any, vectors: Any) -> Tile:
    return Tile(array.dtype, len(vectors) * VECTOR * 8 // array.dtype.bitwidth)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at], inbounds=True), vector.as_pointer())


@intrinsic
def zeros(_context, array, vectors):  # type: ignore[no-untyped-def]
    """Return a tile of zeros for the dtype of an array."""
    tile = _tile(array, vectors)
    return tile(array, vectors), lambda context, *_: ir.Constant(context.get_value_type(tile), None)


@intrinsic
def load(_context, array, at, vectors):  # type: ignore[no-untyped-def]
    """Return the tile that begins at ``array[at]``."""
    tile = _tile(array, vectors)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        where = _address(context, builder, array, arguments[0], arguments[1], context.get_value_type(tile))
        return builder.load(where, align=array.dtype.bitwidth // 8)

    return tile(array, types.intp, vectors), code


@intrinsic
def element(_context, array, at):  # type: ignore[no-untyped-def]
    """Return an element by its place in memory, which is not asked whether it counts from the end."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(array)(context, builder, arguments[0]).data
        return context.unpack_value(builder, array.dtype, builder.gep(data, [arguments[1]], inbounds=True))

    return array.dtype(array, types.intp), code


@intrinsic
def store(_context, tile, array, at):  # type: ignore[no-untyped-def]
    """Write a tile to where ``array[at]`` begins."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        where = _address(context, builder, array, arguments[1], arguments[2], arguments[0].type)
        builder.store(arguments[0], where, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp), code


@intrinsic
def add_product(_context, tile, factor, other):  # type: ignore[no-untyped-def]
    """Return ``tile + factor * other``; the factor is a number or a tile."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        total, by, x = arguments
        if not isinstance(factor, Tile):
            nothing, first = ir.Constant(total.type, ir.Undefined), ir.IntType(32)
            every = ir.Constant(ir.VectorType(first, tile.lanes), None)
            by = builder.shuffle_vector(builder.insert_element(nothing, by, first(0)), nothing, every)
        return builder.fadd(builder.fmul(by, x, flags=CONTRACT), total, flags=CONTRACT)

    return tile(tile, factor if isinstance(factor, Tile) else tile.scalar, tile), code


@intrinsic
def times_i(_context, tile):  # type: ignore[no-untyped-def]
    """Return the tile of pairs, each multiplied by the imaginary unit."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (x,) = arguments
        swapped = [ir.Constant(ir.IntType(32), lane ^ 1) for lane in range(tile.lanes)]
        signs = [ir.Constant(x.type.element, 1.0 if lane % 2 else -1.0) for lane in range(tile.lanes)]
        turned = builder.shuffle_vector(x, x, _vector(swapped))
        return builder.fmul(turned, _vector(signs))

    return tile(tile), code


@intrinsic
def count(_context, counters, index, by):  # type: ignore[no-untyped-def]
    """Add to a counter that threads share, and return what it was before; what they wrote before that is seen."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(counters)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [arguments[1]]), arguments[2], "seq_cst")

    return types.int64(counters, types.intp, types.int64), code


@intrinsic
def give_way(_context):  # type: ignore[no-untyped-def]
    """Let another thread have this core."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), code


def _vector(constants: list[Any]) -> Any:
    return ir.Constant(ir.VectorType(constants[0].type, len(constants)), constants)


@register_jitable
def stored(indptr, i):  # type: ignore[no-untyped-def]
    """Return the places of the elements of row `i`, unsigned, so that nothing asks whether they count from the end."""
    return range(np.uint64(indptr[i]), np.uint64(indptr[i + 1]))


def accumulate(sums: Any, value: Any, x: Any) -> Any:
    """Return sums of products and of their imaginary parts, each yet to be multiplied by i, with another product."""


@overload(accumulate)
def _accumulate(sums, value, x):  # type: ignore[no-untyped-def]
    def real(sums, value, x):  # type: ignore[no-untyped-def]
        return add_product(sums[0], value, x), sums[1]

    def complex_(sums, value, x):  # type: ignore[no-untyped-def]
        return add_product(sums[0], value.real, x), add_product(sums[1], value.imag, x)

    return complex_ if isinstance(value, types.Complex) else real


@register_jitable
def joined(sums):  # type: ignore[no-untyped-def]
    """Return the tile of accumulated sums."""
    return add_product(sums[0], 1.0, times_i(sums[1]))


@register_jitable
def row_product(indptr, indices, data, X, columns, i, c, vectors):  # type: ignore[no-untyped-def]
    """Return the tile of row `i` and column `c` on of the product with a block of so many columns."""
    sums = zeros(X, vectors), zeros(X, vectors)
    for p in stored(indptr, i):
        sums = accumulate(sums, data[p], load(X, indices[p] * columns + c, vectors))
    return joined(sums)


@register_jitable
def _chebyshev_tile(indptr, indices, data, theta, a, b, R, D, Y, D_next, columns, i, c, vectors):  # type: ignore[no-untyped-def]
    at = i * columns + c
    AD = row_product(indptr, indices, data, D, columns, i, c, vectors)
    d = load(D, at, vectors)
    r = add_product(load(R, at, vectors), load(theta, c, vectors), d)
    r = add_product(r, -1.0, AD)
    following = add_product(zeros(D, vectors), load(a, c, vectors), d)
    following = add_product(following, load(b, c, vectors), r)
    store(r, R, at)
    store(following, D_next, at)
    store(add_product(load(Y, at, vectors), 1.0, following), Y, at)


@numba.njit(**OPTIONS)
def _chebyshev_rows(indptr, indices, data, theta, a, b, R, D, Y, D_next, start, stop):  # type: ignore[no-untyped-def]
    columns, lanes = len(theta), VECTOR // D.itemsize
    for i in range(start, stop):
        c = 0
        while c + 4 * lanes <= columns:
            _chebyshev_tile(indptr, indices, data, theta, a, b, R, D, Y, D_next, columns, i, c, FOUR)
            c += 4 * lanes
        if c + 2 * lanes <= columns:
            _chebyshev_tile(indptr, indices, data, theta, a, b, R, D, Y, D_next, columns, i, c, TWO)
            c += 2 * lanes
        if c < columns:
            _chebyshev_tile(indptr, indices, data, theta, a, b, R, D, Y, D_next, columns, i, c, ONE)


@numba.njit(**OPTIONS)
def chebyshev(indptr, indices, data, theta, a, b, R, D, Y, D_next, taken, done, own):  # type: ignore[no-untyped-def]
    """Take all steps ``R -= (A - θ) D``, ``D_next = a D + b R``, ``Y += D_next``, with the threads that call this.

    Each step has a row of `a` and `b`, and swaps `D` and `D_next`. No thread begins a step before the last one is done
    everywhere. The rows are dealt out in parts, of which each thread has its `own`, whose rows stay in its cache, and
    takes from the others when that is done: one that comes late, or never, keeps nobody waiting but for the range of
    rows that it holds. Waiting for the others takes a microsecond here, and a hundred where threads are woken for each
    step.

    `taken` and `done` count ranges, of each step and part, and of each step; they begin at zero.
    """
    rows = len(indptr) - 1
    ranges, parts = (rows + RANGE - 1) // RANGE, taken.shape[1]
    for step in range(len(a)):
        for offset in range(parts):
            part = (own + offset) % parts
            first, last = part * ranges // parts, (part + 1) * ranges // parts
            while first + count(taken, step * parts + part, 0) < last:
                mine = first + count(taken, step * parts + part, 1)
                if mine < last:
                    start, stop = mine * RANGE, min((mine + 1) * RANGE, rows)
                    _chebyshev_rows(indptr, indices, data, theta, a[step], b[step], R, D, Y, D_next, start, stop)
                    count(done, step, 1)
        looks = 0
        while count(done, step, 0) < ranges:
            looks += 1
            if looks > LOOKS:
                give_way()
        D, D_next = D_next, D


@numba.njit(**OPTIONS)
def scaled(X, factors, Y, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``X diag(factors)`` into `Y`, and zeros into the columns that it has besides."""
    columns = min(X.shape[1], Y.shape[1])
    for i in range(start, stop):
        for c in range(columns):
            Y[i, c] = X[i, c] * factors[c]
        for c in range(columns, Y.shape[1]):
            Y[i, c] = 0


@numba.njit(**OPTIONS)
def product(indptr, indices, data, X, Y, columns, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``A X`` into `Y`, of as many columns as a vector has at least."""
    lanes = VECTOR // X.itemsize
    for i in range(start, stop):
        c = 0
        while c + 4 * lanes <= columns:
            store(row_product(indptr, indices, data, X, columns, i, c, FOUR), Y, i * columns + c)
            c += 4 * lanes
        if c + 2 * lanes <= columns:
            store(row_product(indptr, indices, data, X, columns, i, c, TWO), Y, i * columns + c)
            c += 2 * lanes
        while c < columns:
            c = min(c, columns - lanes)  # the last vector computes some columns a second time, to the same bits
            store(row_product(indptr, indices, data, X, columns, i, c, ONE), Y, i * columns + c)
            c += lanes


@register_jitable
def _combination_tile(X0, X1, X2, C, Y, columns, i, rows, c, vectors):  # type: ignore[no-untyped-def]
    """Write the tiles from column `c` on of four rows of a combination, or of one where `rows` is 1."""
    nothing = zeros(Y, vectors), zeros(Y, vectors)
    first, second, third, fourth = nothing, nothing, nothing, nothing
    step = 1 if rows == 4 else 0
    row = 0
    for X in (X0, X1, X2):
        width = X.shape[1]
        for p in range(width):
            factors = load(C, (row + p) * columns + c, vectors)
            first = accumulate(first, element(X, i * width + p), factors)
            second = accumulate(second, element(X, (i + step) * width + p), factors)
            third = accumulate(third, element(X, (i + 2 * step) * width + p), factors)
            fourth = accumulate(fourth, element(X, (i + 3 * step) * width + p), factors)
        row += width
    store(joined(first), Y, i * columns + c)
    store(joined(second), Y, (i + step) * columns + c)
    store(joined(third), Y, (i + 2 * step) * columns + c)
    store(joined(fourth), Y, (i + 3 * step) * columns + c)


@numba.njit(**OPTIONS)
def combination(X0, X1, X2, C, Y, columns, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``[X0 X1 X2] C`` into `Y`, of as many columns as a vector has at least."""
    lanes = VECTOR // Y.itemsize
    i = start
    while i < stop:
        rows = 4 if i + 4 <= stop else 1
        c = 0
        while c < columns:  # the last vector computes some columns a second time, to the same bits
            if columns >= 2 * lanes:
                c = min(c, columns - 2 * lanes)
                _combination_tile(X0, X1, X2, C, Y, columns, i, rows, c, TWO)
                c += 2 * lanes
            else:
                c = min(c, columns - lanes)
                _combination_tile(X0, X1, X2, C, Y, columns, i, rows, c, ONE)
                c += lanes
        i += rows


@numba.njit(**OPTIONS)
def scaled_sum(X0, factors0, X1, factors1, Y, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``X0 diag(factors0) + X1 diag(factors1)`` into `Y`."""
    for i in range(start, stop):
        for c in range(Y.shape[1]):
            Y[i, c] = X0[i, c] * factors0[c] + X1[i, c] * factors1[c]


@numba.njit(**OPTIONS)
def residual(AX, BX, theta, R, squares, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``AX - BX diag(θ)`` into `R`, and the sums of their squares by columns."""
    for c in range(R.shape[1]):
        squares[c] = 0.0
    for i in range(start, stop):
        for c in range(R.shape[1]):
            r = AX[i, c] - BX[i, c] * theta[c]
            R[i, c] = r
            squares[c] += np.float64(r) * np.float64(r)


@numba.njit(**OPTIONS)
def narrow_product(indptr, indices, data, X, Y, start, stop):  # type: ignore[no-untyped-def]
    """Write rows `start` to `stop` of ``A X`` into `Y`, blocks of fewer columns than a vector has."""
    columns = X.shape[1]
    for i in range(start, stop):
        y = Y[i]
        for c in range(columns):
            y[c] = 0
        for p in stored(indptr, i):
            value = data[p]
            x = X[indices[p]]
            for c in range(columns):
                y[c] += value * x[c]
