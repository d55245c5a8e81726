"""Compiled sums of rows, in the order that `summation` describes.

An operand is one span of memory of some dtype; where its rows and columns are, strides in elements say. `stage` and
`total` are arrays whose dtypes are those in which lanes are added, and their sums. Integers use the same kernels: their
order does not matter, and a narrow stage holds the 16 elements of a lane. Lengths and strides that the compiler should
know are passed as tuples that long.

Numba compiles a kernel for each combination of dtypes and keeps it on disk. They release the GIL.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba.extending import intrinsic, overload, register_jitable

from dispatch_cpu.summation import LANES, SERIAL

AHEAD = 4096
"""Bytes from what is added in one run to what is fetched from memory: the processor alone does not run ahead."""

LINE = 64
"""Bytes that memory delivers at once."""

GROUP = 3
"""Separate rows that are added to a lane while it is in a register; it divides the 15 after the first."""

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False, "error_model": "numpy"}


@intrinsic
def load(typing_context, array, at):
    """Return ``array[at]`` of a contiguous array for an index that is known to be in it.

    Numba's own indexing allows for negative indices, and what that costs here is the vectorization of the loop.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return context.unpack_value(builder, signature.return_type, builder.gep(data, [arguments[1]]))

    return array.dtype(array, numba.intp), generate


@intrinsic
def fetch(typing_context, array, at):
    """Ask for the line of memory with ``array[at]``, which may lie outside of the array."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(prefetch, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return numba.void(array, numba.intp), generate


@intrinsic
def from_half(typing_context, bits):
    """Return the float32 that is equal to a float16, given its 16 bits; Numba has no float16 on CPUs."""

    def generate(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return numba.float32(numba.uint16), generate


def convert(x, like):
    """Return `x` in the dtype of the array `like`; 16 bits that become a float are a float16."""


@overload(convert)
def _convert(x, like):
    to = like.dtype
    if x == numba.uint16 and isinstance(to, numba.types.Float):
        return lambda x, like: to(from_half(x))
    return lambda x, like: to(x)


def element(x, mask, at, like):
    """Return ``x[at]`` in the dtype of the array `like`, or what changes no sum where the mask is False."""


@overload(element)
def _element(x, mask, at, like):
    if isinstance(mask, numba.types.NoneType):
        return lambda x, mask, at, like: convert(load(x, at), like)

    def masked(x, mask, at, like):
        value = convert(load(x, at), like)
        return value if load(mask, at) else neutral(like)

    return masked


def neutral(like):
    """Return -0.0, or 0 for integers, in the dtype of the array `like`."""


@overload(neutral)
def _neutral(like):
    to = like.dtype
    zero = -0.0 if isinstance(to, numba.types.Float) else 0
    return lambda like: to(zero)


def place(index, stride):
    """Return ``index * stride``; a stride that is a tuple is its length."""


@overload(place)
def _place(index, stride):
    if isinstance(stride, numba.types.BaseTuple):
        length = len(stride)
        return lambda index, stride: index * length
    return lambda index, stride: index * stride


def as_total(stage, total):
    """Return `stage` where it has the dtype of `total`; otherwise `total`, to which it has to be copied."""


@overload(as_total)
def _as_total(stage, total):
    if stage.dtype == total.dtype:
        return lambda stage, total: stage
    return lambda stage, total: total


def copy_lanes(stage, total, width):
    """Copy lanes from `stage` to `total`, unless they are one array."""


@overload(copy_lanes)
def _copy_lanes(stage, total, width):
    if stage.dtype == total.dtype:
        return lambda stage, total, width: None

    def copy(stage, total, width):
        for lane in range(width):
            total[lane] = stage[lane]

    return copy


@register_jitable
def fetch_elements(x, start, count):
    """Ask for the memory of `count` elements."""
    for at in range(start, start + count, LINE // x.itemsize):
        fetch(x, at)


@register_jitable
def add_lanes(x, mask, start, step, stride, rows, width, rest, stage):
    """Set ``stage[l]`` to the sum of ``x[start + r * step + l * stride]`` over ``r < rows``, for ``l < width``.

    The first `rest` lanes have one row more.
    """
    if rows == 0:
        for lane in range(rest):
            stage[lane] = element(x, mask, start + place(lane, stride), stage)
        stage[rest:width] = neutral(stage)
        return
    for lane in range(width):
        stage[lane] = element(x, mask, start + place(lane, stride), stage)
    r = 1
    if step == place(width, stride):
        # One run of memory: ask for it ahead, a row at a time.
        ahead = start + max(AHEAD // x.itemsize, step)
        while r < rows:
            fetch_elements(x, ahead + r * step, step)
            for lane in range(width):
                stage[lane] += element(x, mask, start + r * step + place(lane, stride), stage)
            r += 1
    while r + GROUP <= rows:
        for lane in range(width):
            value = stage[lane]
            for k in range(r, r + GROUP):
                value = convert(value + element(x, mask, start + k * step + place(lane, stride), stage), stage)
            stage[lane] = value
        r += GROUP
    for k in range(r, rows):
        for lane in range(width):
            stage[lane] += element(x, mask, start + k * step + place(lane, stride), stage)
    for lane in range(rest):
        stage[lane] += element(x, mask, start + rows * step + place(lane, stride), stage)


@numba.njit(**OPTIONS)
def sum_rows(x, mask, strides, rows, width, lanes, chunk, stripe, start, first, last, stage_like, total_like, out):
    """Write sums of chunks of rows into ``out[outer, chunk, column]``, for the jobs `first` to `last`.

    Return how many of these are NaN or infinite. A job is one outer index, one chunk of rows and one stripe of columns,
    counted in that order.

    Parameters
    ----------
    x, mask : 1-D array
        The memory from the first element on, and that of the mask or None.
    strides : tuple of int
        Elements from one outer index, one row and one column to the next. With more than one lane, rows continue each
        other: the stride of a row is `width` times that of a column.
    rows, width, lanes : int
        The rows and columns of one outer index, and the lanes of a tile.
    chunk, stripe : int
        Rows of a chunk, a power of two of tiles; columns of a stripe, `width` if there is more than one lane.
    start : scalar
        What is added to each sum last.
    first, last : int
        The jobs.
    stage_like, total_like, out : array
        Two that carry the dtypes, and the one that is written.
    """
    outer_stride, row_stride, column_stride = strides
    chunks = out.shape[1]
    stripes = (width + stripe - 1) // stripe
    stage = np.empty(lanes * stripe, stage_like.dtype)
    total = as_total(stage, np.empty(lanes * stripe, total_like.dtype))
    levels = np.empty((64, stripe), total_like.dtype)
    column = first % stripes * stripe
    c = first // stripes % chunks
    o = first // stripes // chunks
    strange = 0
    for _ in range(first, last):
        columns = min(stripe, width - column)
        at = o * outer_stride + c * chunk * row_stride + column * column_stride
        left = min(chunk, rows - c * chunk)
        tile = 0
        while left > 0:
            here = min(left, SERIAL * lanes)
            halves = lanes
            while halves // 2 >= here:
                halves //= 2
            lane_width = halves * columns
            full, rest = here // halves, here % halves * columns
            step = halves * row_stride
            if column_stride == 1:
                add_lanes(x, mask, at, step, (0,), full, lane_width, rest, stage)
            elif column_stride == 2:
                add_lanes(x, mask, at, step, (0, 0), full, lane_width, rest, stage)
            else:
                add_lanes(x, mask, at, step, column_stride, full, lane_width, rest, stage)
            copy_lanes(stage, total, lane_width)
            while lane_width > columns:
                lane_width //= 2
                for lane in range(lane_width):
                    total[lane] += total[lane_width + lane]
            level, carried = 0, tile
            while carried & 1:
                for k in range(columns):
                    total[k] = levels[level, k] + total[k]
                level, carried = level + 1, carried >> 1
            for k in range(columns):
                levels[level, k] = total[k]
            at += SERIAL * lanes * row_stride
            left -= here
            tile += 1
        level = 0
        while tile >> level & 1 == 0:
            level += 1
        for k in range(columns):
            total[k] = levels[level, k]
        level += 1
        while tile >> level:
            if tile >> level & 1:
                for k in range(columns):
                    total[k] = levels[level, k] + total[k]
            level += 1
        for k in range(columns):
            value = convert(total[k] + start, out)
            out[o, c, column + k] = value
            strange += value - value != 0
        column += stripe
        if column >= width:
            column = 0
            c += 1
            if c == chunks:
                c = 0
                o += 1
    return strange


@numba.njit(**OPTIONS)
def sum_vector(x):
    """Return the sum of the elements of a float32 vector from 0.0 on: the one job of `sum_rows` that it is.

    With a single argument, a call costs a fraction of what one of `sum_rows` does.
    """
    if x.size <= LANES:  # a lane has one element
        lanes = 1
        while lanes < x.size:
            lanes *= 2
        total = np.empty(lanes)
        for lane in range(x.size):
            total[lane] = x[lane]
        total[x.size :] = -0.0
        while lanes > 1:
            lanes //= 2
            for lane in range(lanes):
                total[lane] += total[lanes + lane]
        return total[0] + 0.0
    out = np.empty((1, 1, 1))
    like = out[0, 0]
    sum_rows(x, None, (0, 1, 1), x.size, 1, LANES, max(x.size, 1), 1, 0.0, 0, 1, like, like, out)
    return out[0, 0, 0]


BLOCK = 64
"""Short rows that are summed side by side."""


@numba.njit(**OPTIONS)
def sum_short_rows(x, mask, strides, rows, start, first, last, stage, total_like, out):
    """Write into ``out[outer, 0, 0]`` the sums of `rows` elements, 2 to 256, for the outer indices `first` to `last`.

    The lanes are those of `sum_rows` with a width of one, each with one row. Arguments and result are those of
    `sum_rows`.
    """
    outer_stride, row_stride = strides
    half = 1
    while 2 * half < rows:
        half *= 2
    strange = 0
    if row_stride == 1 and rows > 16:
        # A vector goes along a row.
        total = np.empty(2 * half, total_like.dtype)
        for lane in range(rows, 2 * half):
            total[lane] = neutral(total)
        for o in range(first, last):
            fetch_elements(x, o * outer_stride + AHEAD // x.itemsize, rows)
            for lane in range(rows):
                total[lane] = element(x, mask, o * outer_stride + lane, stage)
            halves = half
            while halves > 4:
                for lane in range(halves):
                    total[lane] += total[halves + lane]
                halves //= 2
            even = (total[0] + total[4]) + (total[2] + total[6])
            odd = (total[1] + total[5]) + (total[3] + total[7])
            value = convert(even + odd + start, out)
            out[o, 0, 0] = value
            strange += value - value != 0
        return strange
    # A vector goes across outer indices.
    total = np.empty(half * BLOCK, total_like.dtype)
    for o in range(first, last, BLOCK):
        count = min(BLOCK, last - o)
        if outer_stride == rows and row_stride == 1:
            fetch_elements(x, o * outer_stride + AHEAD // x.itemsize, BLOCK * rows)
        if rows == 4 and outer_stride == 4 and row_stride == 1:
            add_fours(x, mask, o * outer_stride, stage, total[:count])
            halves = 1
        else:
            for lane in range(half):
                at = o * outer_stride + lane * row_stride
                lanes = total[lane * BLOCK : lane * BLOCK + count]
                add_pair(x, mask, at, outer_stride, half * row_stride, lane + half < rows, stage, lanes)
            halves = half
        while halves > 1:
            halves //= 2
            for k in range(halves * BLOCK):
                total[k] += total[halves * BLOCK + k]
        for k in range(count):
            value = convert(total[k] + start, out)
            out[o + k, 0, 0] = value
            strange += value - value != 0
    return strange


@register_jitable
def add_fours(x, mask, start, stage, lanes):
    """Set ``lanes[k]`` to the sum of the four elements from ``start + 4 * k`` on, in the order of their lanes."""
    for k in range(lanes.size):
        at = start + 4 * k
        even = convert(element(x, mask, at, stage), lanes) + convert(element(x, mask, at + 2, stage), lanes)
        odd = convert(element(x, mask, at + 1, stage), lanes) + convert(element(x, mask, at + 3, stage), lanes)
        lanes[k] = even + odd


@register_jitable
def add_pair(x, mask, start, stride, step, paired, stage, lanes):
    """Set ``lanes[k]`` to the element at ``start + k * stride``, plus the one `step` after it if there is one."""
    if paired:
        for k in range(lanes.size):
            at = start + k * stride
            lanes[k] = convert(element(x, mask, at, stage), lanes) + convert(element(x, mask, at + step, stage), lanes)
    else:
        for k in range(lanes.size):
            lanes[k] = element(x, mask, start + k * stride, stage)
