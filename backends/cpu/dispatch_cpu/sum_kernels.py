"""Compiled sums of rows, in the order that `summation` describes.

A kernel walks memory from the first element of `x` on, by the strides of its plan (`row_sums`), in elements; how long
`x` itself is does not matter. Complex numbers are pairs of floats. Integers use the same kernels: their order does not
matter, and the dtype in which the 16 elements of a lane are added (the *stage*) is wide enough for them.

Numba compiles a kernel for each combination of dtypes and keeps it on disk until this file changes, so that what the
order depends on is an argument, never imported. They release the GIL.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload, register_jitable

AHEAD = 4096
"""Least bytes from what is added to what is fetched from memory: the processor alone does not run ahead."""

ALONG = 2048
"""Bytes from what is added to what is fetched where rows are longer than that: it is further along in the same rows."""

LINE = 64
"""Bytes that memory delivers at once, and of the longest vectors; lanes begin at a multiple of it."""

GROUP = (0, 0, 0, 0)
"""As long as the number of rows that are added to a lane while it is in a register; a tile's 16 are a multiple."""

ONE, TWO = (0,), (0, 0)
"""One or two rows, or vectors; tuples because the compiler shall know the number."""

EVERY_SECOND_PAIR = ((0, 0),)
"""The stride of pairs that are four elements apart (`place`)."""

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False, "error_model": "numpy"}

STAGES: dict[Any, Any] = {
    numba.int8: numba.int16,
    numba.uint8: numba.int16,
    numba.int16: numba.int32,
    numba.uint16: numba.int32,
}
"""The dtype in which a lane adds integers, where it is not int64."""


def converts_halves() -> bool:
    """Whether there are instructions for float16: the functions that LLVM calls in their place are nowhere."""
    machine, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+f16c" in features.split(",") or not machine.startswith(("x86", "i"))


@intrinsic
def nothing_of(typing_context, dtype):
    """Return an array of no elements, for which no memory is asked."""
    kind = numba.types.Array(dtype.dtype, 1, "C")
    return kind(dtype), lambda context, *_: ir.Constant(context.get_value_type(kind), None)


def stage_of(x, out):
    """Return an empty array of the dtype in which lanes add (`recipes.Recipe`)."""


@overload(stage_of)
def _stage_of(x, out):
    if isinstance(out.dtype, numba.types.Float):
        dtype = numba.float32 if x.dtype == numba.uint16 else numba.float64
    else:
        dtype = STAGES.get(x.dtype, numba.int64)
    return lambda x, out: nothing_of(dtype)


def total_of(out):
    """Return an empty array of the dtype in which lanes and tiles are added."""


@overload(total_of)
def _total_of(out):
    dtype = numba.float64 if isinstance(out.dtype, numba.types.Float) else numba.int64
    return lambda out: nothing_of(dtype)


@register_jitable
def lanes_of(like, n):
    """Return `n` lanes of the dtype of `like`; a vector of them is never in two lines of the cache, nor cut short."""
    memory = np.empty(n + 2 * LINE, like.dtype)
    skip = -memory.ctypes.data % LINE // memory.itemsize
    return memory[skip : skip + n]


def _as_floats(builder, value, dtype):
    """Generate the floats that a vector of integers stands for (`recipes.Recipe`)."""
    count, bits = value.type.count, dtype.bitwidth
    if bits == 16:
        return builder.bitcast(value, ir.VectorType(ir.HalfType(), count))
    if dtype.signed:
        return builder.sitofp(value, ir.VectorType(ir.DoubleType(), count))
    kind = ir.FunctionType(value.type, [value.type])
    swap = cgutils.get_or_insert_function(builder.module, kind, f"llvm.bswap.v{count}i{bits}")
    element = ir.FloatType() if bits == 32 else ir.DoubleType()
    return builder.bitcast(builder.call(swap, [value]), ir.VectorType(element, count))


@intrinsic
def add_vectors(typing_context, stage, lane, x, mask, at, step, stride, rows, vectors, far, fresh):
    """Add to ``stage[lane + l]`` the elements ``x[at + r * step + l * stride]`` for the next lanes, in vectors.

    A vector has 64 bytes of lanes. There are as many rows and vectors as `rows` and `vectors` are long, and so is the
    stride, 1 or 2; or it is that of pairs (`place`). What lies between every second element or pair is read with them.
    Unless `far` is None, the memory that many elements further on is fetched. `fresh` lanes start anew.
    """
    in_pairs = isinstance(stride[0], numba.types.BaseTuple)
    by_pair = in_pairs and stride != numba.typeof(EVERY_SECOND_PAIR)
    apart = 2 if in_pairs else len(stride)

    def generate(context, builder, signature, arguments):
        types = dict(zip(("stage", "lane", "x", "mask", "at", "step"), signature.args, strict=False))
        stage, lane, x, mask, at, step = (
            context.make_array(kind)(context, builder, value).data if isinstance(kind, numba.types.Array) else value
            for kind, value in zip(types.values(), arguments, strict=False)
        )
        number = ir.IntType(64)
        stage_size, size = types["stage"].dtype.bitwidth // 8, types["x"].dtype.bitwidth // 8
        length = LINE // stage_size
        whole = ir.VectorType(context.get_value_type(types["stage"].dtype), length)
        floating = isinstance(types["stage"].dtype, numba.types.Float)
        nothing = ir.Constant(whole, [-0.0 if floating else 0] * length)
        apart_pairs = builder.extract_value(arguments[6], [0, 0]) if by_pair else number(4)

        def pairs(pointer, place, element, align):
            kind, parts = ir.VectorType(element, 2), []
            for _ in range(length // 2):
                parts.append(
                    builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()), align=align)
                )
                place = builder.add(place, apart_pairs)
            while len(parts) > 1:
                joined = ir.Constant(
                    ir.VectorType(ir.IntType(32), 2 * parts[0].type.count), list(range(2 * parts[0].type.count))
                )
                parts = [
                    builder.shuffle_vector(low, high, joined) for low, high in zip(parts[::2], parts[1::2], strict=True)
                ]
            return parts[0]

        def vector(pointer, place, element, align):
            if by_pair:
                return pairs(pointer, place, element, align)
            kind = ir.VectorType(element, apart * length)
            value = builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()), align=align)
            if apart == 1:
                return value
            chosen = [k + k // 2 * 2 if in_pairs else k * apart for k in range(length)]
            return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), length), chosen))

        def converted(place):
            value = vector(x, place, context.get_value_type(types["x"].dtype), size)
            if floating and isinstance(types["x"].dtype, numba.types.Integer):
                value = _as_floats(builder, value, types["x"].dtype)
            if value.type == whole:
                return value
            if floating:
                return builder.fpext(value, whole)
            return (builder.sext if types["x"].dtype.signed else builder.zext)(value, whole)

        for v in range(len(vectors)):
            target = builder.gep(stage, [builder.add(lane, number(v * length))])
            target = builder.bitcast(target, whole.as_pointer())
            total = builder.select(arguments[10], nothing, builder.load(target, align=LINE))
            first = builder.mul(number(v * length // 2), apart_pairs) if in_pairs else number(v * length * apart)
            place = builder.add(at, first)
            for _ in range(len(rows)):
                if far != numba.none and (in_pairs or v * length * apart * size % LINE == 0):
                    further = builder.add(place, arguments[9])
                    lines = (0,) if in_pairs else range(0, apart * length, LINE // size)
                    _fetch(builder, x, further, lines)
                value = converted(place)
                if mask is not arguments[3]:
                    marks = vector(mask, place, ir.IntType(8), 1)
                    is_marked = builder.icmp_unsigned("!=", marks, ir.Constant(marks.type, [0] * length))
                    value = builder.select(is_marked, value, nothing)
                total = builder.fadd(total, value) if floating else builder.add(total, value)
                place = builder.add(place, step)
            builder.store(total, target, align=LINE)
        return context.get_dummy_value()

    arguments = (stage, numba.intp, x, mask, numba.intp, numba.intp, stride, rows, vectors, far, numba.boolean)
    return numba.void(*arguments), generate


def add_tail(stage, lane, x, mask, at, step, rows, count, fresh):
    """Do as `add_vectors` for one vector, of which only `count` elements are there; what is after them stays."""


@overload(add_tail)
def _add_tail(stage, lane, x, mask, at, step, rows, count, fresh):
    if has_tails(x, mask, stage):
        return lambda stage, lane, x, mask, at, step, rows, count, fresh: add_part(
            stage, lane, x, at, step, rows, count, fresh
        )
    number = len(rows)

    def one_by_one(stage, lane, x, mask, at, step, rows, count, fresh):
        for k in range(count):
            value = neutral(stage) if fresh else stage[lane + k]
            for r in range(number):
                value = convert(value + element(x, mask, at + r * step + k, stage), stage)
            stage[lane + k] = value

    return one_by_one


def has_tails(x, mask, stage):
    """Whether a part of a vector is read at once, for these types.

    Elements that are written one after the other stall the vector that reads them next.
    """
    return x.dtype in (numba.float32, numba.float64) and mask in (None, numba.none) and stage.dtype == numba.float64


@intrinsic
def add_part(typing_context, stage, lane, x, at, step, rows, count, fresh):
    """Do as `add_tail`, for float64 lanes and no mask."""

    def generate(context, builder, signature, arguments):
        lanes, data = (
            context.make_array(kind)(context, builder, arguments[i]).data for i, kind in ((0, stage), (2, x))
        )
        whole, index = ir.VectorType(ir.DoubleType(), 8), ir.VectorType(ir.IntType(64), 8)
        part = ir.VectorType(context.get_value_type(x.dtype), 8)
        size = x.dtype.bitwidth // 8
        target = builder.bitcast(builder.gep(lanes, [arguments[1]]), whole.as_pointer())
        first = builder.insert_element(ir.Constant(index, ir.Undefined), arguments[6], ir.IntType(32)(0))
        counts = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8))
        present = builder.icmp_signed("<", ir.Constant(index, list(range(8))), counts)
        pointer = part.as_pointer()
        kind = ir.FunctionType(part, [pointer, ir.IntType(32), present.type, part])
        name = f"llvm.masked.load.v8f{x.dtype.bitwidth}.p0"
        masked_load = cgutils.get_or_insert_function(builder.module, kind, name)
        total = builder.select(arguments[7], ir.Constant(whole, [-0.0] * 8), builder.load(target, align=LINE))
        place = arguments[3]
        for _ in range(len(rows)):
            source = builder.bitcast(builder.gep(data, [place]), pointer)
            value = builder.call(masked_load, [source, ir.IntType(32)(size), present, ir.Constant(part, [-0.0] * 8)])
            total = builder.fadd(total, value if part == whole else builder.fpext(value, whole))
            place = builder.add(place, arguments[4])
        builder.store(total, target, align=LINE)
        return context.get_dummy_value()

    return numba.void(stage, numba.intp, x, numba.intp, numba.intp, rows, numba.intp, numba.boolean), generate


def _fetch(builder, data, at, offsets):
    """Generate requests for the lines of memory with ``data[at + offset]``, which may lie outside of the array."""
    number = ir.IntType(32)
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    for offset in offsets:
        pointer = builder.bitcast(builder.gep(data, [builder.add(at, ir.IntType(64)(offset))]), byte)
        builder.call(prefetch, [pointer, number(0), number(3), number(1)])


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
        _fetch(builder, data, arguments[1], (0,))
        return context.get_dummy_value()

    return numba.void(array, numba.intp), generate


@intrinsic
def from_half(typing_context, bits):
    """Return the float32 that is equal to a float16, given its 16 bits; Numba has no float16 on CPUs."""

    def generate(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return numba.float32(bits), generate


@intrinsic
def from_swapped(typing_context, bits):
    """Return the float whose bytes are those of an integer, in reverse."""
    result = numba.float32 if bits == numba.uint32 else numba.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.bswap(arguments[0]), context.get_value_type(result))

    return result(bits), generate


def convert(x, like):
    """Return `x` in the dtype of the array `like`; integers that become floats stand for what `recipes.Recipe` says."""


@overload(convert)
def _convert(x, like):
    to = like.dtype
    if isinstance(to, numba.types.Float) and x in (numba.int16, numba.uint16):
        return lambda x, like: to(from_half(x))
    if isinstance(to, numba.types.Float) and x in (numba.uint32, numba.uint64):
        return lambda x, like: to(from_swapped(x))
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
    """Return ``index * stride``.

    A stride that is a tuple is its length; one that is a tuple of a tuple is from pair to pair of neighbours.
    """


@overload(place)
def _place(index, stride):
    if isinstance(stride, numba.types.BaseTuple):
        if stride == numba.typeof(EVERY_SECOND_PAIR):
            return lambda index, stride: index // 2 * 4 + index % 2
        if isinstance(stride[0], numba.types.BaseTuple):
            return lambda index, stride: index // 2 * stride[0][0] + index % 2
        length = len(stride)
        return lambda index, stride: index * length
    return lambda index, stride: index * stride


def totals_of(stage, like):
    """Return `stage` if it has the dtype of `like`; otherwise as many lanes, to which it has to be copied."""


@overload(totals_of)
def _totals_of(stage, like):
    if stage.dtype == like.dtype:
        return lambda stage, like: stage
    return lambda stage, like: lanes_of(like, stage.size)


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


def fetched(far, lane, along, width, stride):
    """Return how far on from a lane memory is fetched: `along` lanes, or as many that go on in the next rows."""


@overload(fetched)
def _fetched(far, lane, along, width, stride):
    if far == numba.none:
        return lambda far, lane, along, width, stride: None

    def distance(far, lane, along, width, stride):
        if lane + along < width:
            return place(along, stride)
        return far - place(width - along, stride)

    return distance


def add_rows(stage, x, mask, start, step, stride, rows, width, far, fresh):
    """Add to ``stage[l]`` the elements ``x[start + r * step + l * stride]``, ``r < len(rows)``, for ``l < width``.

    `fresh` is that of `add_vectors`, and `far` how many elements further on the rows are that are added next, or None.
    """


@overload(add_rows)
def _add_rows(stage, x, mask, start, step, stride, rows, width, far, fresh):
    count = len(rows)
    in_vectors = isinstance(stride, numba.types.BaseTuple)
    beyond = 0
    if in_vectors:
        beyond = 2 if stride == numba.typeof(EVERY_SECOND_PAIR) else len(stride) - 1
    with_tail = in_vectors and stride == numba.typeof(ONE) and has_tails(x, mask, stage)

    def add(stage, x, mask, start, step, stride, rows, width, far, fresh):
        lane = 0
        if in_vectors:
            length = LINE // stage.itemsize
            along = min(width, ALONG // x.itemsize)
            # A vector of every second element, or pair, ends with one that may not be there.
            while lane + 4 * length + beyond <= width:
                at, further = start + place(lane, stride), fetched(far, lane, along, width, stride)
                add_vectors(stage, lane, x, mask, at, step, stride, rows, GROUP, further, fresh)
                lane += 4 * length
            while lane + length + beyond <= width:
                add_vectors(stage, lane, x, mask, start + place(lane, stride), step, stride, rows, ONE, None, fresh)
                lane += length
            if with_tail and lane < width:
                add_tail(stage, lane, x, mask, start + lane, step, rows, width - lane, fresh)
                lane = width
        elif step == place(width, stride) and count > 1:
            fetch_elements(x, start + max(AHEAD // x.itemsize, count * step), count * step)
        for k in range(lane, width):
            value = neutral(stage) if fresh else stage[k]
            for r in range(count):
                value = convert(value + element(x, mask, start + r * step + place(k, stride), stage), stage)
            stage[k] = value

    return add


@register_jitable
def add_lanes(x, mask, start, step, stride, rows, width, rest, end, skip, stage):
    """Set ``stage[l]`` to the sum of ``x[start + r * step + l * stride]`` over ``r < rows``, for ``l < width``.

    The first `rest` lanes have one row more. What follows is read from `start` on up to `end` elements further on,
    where `skip` elements are left out.
    """
    group = len(GROUP)
    far = max(AHEAD // x.itemsize, group * step)
    if rows == 0:
        stage[:width] = neutral(stage)
    r = 0
    while r + group <= rows:
        further = far if r * step + far < end else far + skip
        add_rows(stage, x, mask, start + r * step, step, stride, GROUP, width, further, r == 0)
        r += group
    while r < rows:
        add_rows(stage, x, mask, start + r * step, step, stride, ONE, width, None, r == 0)
        r += 1
    if rest:
        add_rows(stage, x, mask, start + rows * step, step, stride, ONE, rest, None, False)


def add_pairs(x, mask, start, step, stride, rows, width, rest, end, skip, stage):
    """Do as `add_lanes` for lanes in pairs of neighbours, `stride` from one pair to the next: complex numbers."""


@overload(add_pairs)
def _add_pairs(x, mask, start, step, stride, rows, width, rest, end, skip, stage):
    if x.dtype.bitwidth < 32 or not isinstance(stage.dtype, numba.types.Float):
        return lambda x, mask, start, step, stride, rows, width, rest, end, skip, stage: None

    if x.dtype == numba.float32 and mask in (None, numba.none):

        def add_near(x, mask, start, step, stride, rows, width, rest, end, skip, stage):
            if stride == 4:  # NumPy reads these at the speed of the cache
                add_lanes(x, mask, start, step, EVERY_SECOND_PAIR, rows, width, rest, end, skip, stage)
            else:
                add_lanes(x, mask, start, step, ((stride,),), rows, width, rest, end, skip, stage)

        return add_near

    def add(x, mask, start, step, stride, rows, width, rest, end, skip, stage):
        add_lanes(x, mask, start, step, ((stride,),), rows, width, rest, end, skip, stage)

    return add


@numba.njit(**OPTIONS)
def sum_rows(x, mask, plan, first, last, out):
    """Write sums of chunks of rows into ``out[(outer * chunks + chunk) * width + column]``, for a range of jobs.

    Return how many of these are NaN or infinite. A job is one outer index, one chunk of rows and one stripe of columns,
    counted in that order.

    Parameters
    ----------
    x, mask : 1-D array
        The memory from the first element on, and that of the mask or None.
    plan : array of int64
        The values of `row_sums.Plan`.
    first, last : int
        The jobs.
    out : 1-D array
        What is written.
    """
    outer_stride, row_stride, column_stride = plan[0], plan[1], plan[2]
    rows, width, lanes, tile_rows = plan[3], plan[4], plan[5], plan[6]
    chunk, chunks, stripe = plan[7], plan[8], plan[9]
    stripes = (width + stripe - 1) // stripe
    stage = lanes_of(stage_of(x, out), lanes * stripe)
    line = LINE // stage.itemsize
    total = totals_of(stage, total_of(out))
    start = convert(0, total) if plan[10] else neutral(total)
    depth = 1
    while tile_rows << depth - 1 < min(chunk, rows):
        depth += 1
    levels = np.empty((depth, stripe), total.dtype)
    column = first % stripes * stripe
    c = first // stripes % chunks
    o = first // stripes // chunks
    # After the last row of an outer index comes the first one of the next.
    skip = outer_stride - rows * row_stride if chunks == stripes == 1 else 0
    strange = 0
    for _ in range(first, last):
        columns = min(stripe, width - column)
        at = o * outer_stride + c * chunk * row_stride + column * column_stride
        left = min(chunk, rows - c * chunk)
        tile = 0
        while left > 0:
            here = min(left, tile_rows)
            halves = lanes
            while halves // 2 >= here:
                halves //= 2
            lane_width = halves * columns
            full, rest = here // halves, here % halves * columns
            step = halves * row_stride
            second = here * columns - lane_width  # elements of the lanes' second rows, if each has a first one
            if 0 <= second <= lane_width >= line and columns <= 2 and column_stride == 1 and step == lane_width:
                set_lanes(stage, x, mask, at, lane_width, second, stage)
            elif columns == 2 and lanes > 1 and row_stride != 2 * column_stride:
                add_pairs(x, mask, at, step, row_stride, full, lane_width, rest, left * row_stride, skip, stage)
            elif column_stride == 1:
                add_lanes(x, mask, at, step, ONE, full, lane_width, rest, left * row_stride, skip, stage)
            elif column_stride == 2:
                add_lanes(x, mask, at, step, (0, 0), full, lane_width, rest, left * row_stride, skip, stage)
            else:
                add_lanes(x, mask, at, step, column_stride, full, lane_width, rest, left * row_stride, skip, stage)
            copy_lanes(stage, total, lane_width)
            if columns == 1:
                total[0] = add_halves(total, lane_width)
                lane_width = 1
            elif columns == 2:
                halve(total, lane_width, 2)
                lane_width = 2
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
            at += tile_rows * row_stride
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
            out[(o * chunks + c) * width + column + k] = value
            strange += value - value != 0
        column += stripe
        if column >= width:
            column = 0
            c += 1
            if c == chunks:
                c = 0
                o += 1
    return strange


@register_jitable(forceinline=True)
def add_halves(total, lanes):
    """Return the sum of a power of two of lanes, by halves."""
    if lanes >= 8:
        halve(total, lanes, 8)
        return add_eight(total)
    halve(total, lanes, 1)
    return total[0]


@register_jitable(forceinline=True)
def halve(total, lanes, last):
    """Add the upper half of the lanes to the lower one until the `last` ones are left, up to eight: powers of two."""
    while lanes > 8:
        lanes //= 2
        lane = 0
        while lane < lanes:
            add_vectors(total, lane, total, None, lanes + lane, 0, ONE, ONE, ONE, None, False)
            lane += 8
    while lanes > last:
        lanes //= 2
        for lane in range(lanes):
            total[lane] += total[lanes + lane]


@intrinsic
def add_eight(typing_context, total):
    """Return the sum of the first eight lanes, of 8 bytes each, by halves."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        element = context.get_value_type(total.dtype)
        add = builder.fadd if isinstance(total.dtype, numba.types.Float) else builder.add
        value = builder.load(builder.bitcast(data, ir.VectorType(element, 8).as_pointer()), align=LINE)
        for length in (4, 2, 1):
            halves = (
                builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), length), list(lanes)))
                for lanes in (range(length), range(length, 2 * length))
            )
            value = add(*halves)
        return builder.extract_element(value, ir.IntType(32)(0))

    return total.dtype(total), generate


STREAMED = 1 << 22
"""Bytes of sums that are written past the cache: reading their memory first would take a third of the time."""

BLOCK = 64
"""Short rows that are summed side by side."""


@numba.njit(**OPTIONS)
def sum_short_rows(x, mask, plan, first, last, out):
    """Write sums of so few rows that each lane has one, of one column or the pairs of complex numbers.

    Arguments, result and order are those of `sum_rows`.
    """
    outer_stride, row_stride, rows, width = plan[0], plan[1], plan[3], plan[4]
    stage, total_like = stage_of(x, out), total_of(out)
    start = convert(0, total_like) if plan[10] else neutral(total_like)
    half = 1
    while 2 * half < rows:
        half *= 2
    strange = 0
    if row_stride == width and rows > 16:
        # A vector goes along a row.
        total = lanes_of(total_like, half * width)
        for o in range(first, last):
            fetch_elements(x, o * outer_stride + AHEAD // x.itemsize, rows * width)
            set_lanes(total, x, mask, o * outer_stride, half * width, (rows - half) * width, stage)
            if width == 1:
                total[0] = add_halves(total, half)
            else:
                halve(total, 2 * half, 2)
            for column in range(width):
                value = convert(total[column] + start, out)
                out[o * width + column] = value
                strange += value - value != 0
        return strange
    if rows == 4 and width == 1 and outer_stride == 4 and row_stride == 1:
        first, strange = sum_fours(x, mask, first, last, start, out)
        if first == last:
            return strange
    # A vector goes across outer indices.
    block = min(BLOCK, last - first)
    total = lanes_of(total_like, half * block)
    for o in range(first, last, block):
        count = min(block, last - o)
        if outer_stride == rows * width and row_stride == width:
            fetch_elements(x, o * outer_stride + AHEAD // x.itemsize, block * rows * width)
        for column in range(width):
            if rows == 4 and outer_stride == 4 and row_stride == 1:
                add_fours(x, mask, o * outer_stride, stage, total[:count])
                halves = 1
            else:
                for lane in range(half):
                    at = o * outer_stride + lane * row_stride + column
                    lanes = total[lane * block : lane * block + count]
                    add_pair(x, mask, at, outer_stride, half * row_stride, lane + half < rows, stage, lanes)
                halves = half
            while halves > 1:
                halves //= 2
                for k in range(halves * block):
                    total[k] += total[halves * block + k]
            for k in range(count):
                value = convert(total[k] + start, out)
                out[(o + k) * width + column] = value
                strange += value - value != 0
    return strange


def set_lanes(total, x, mask, start, lanes, paired, stage):
    """Set `lanes` lanes to as many elements, the first `paired` of them to sums with as many more elements.

    Floats are added as `stage` has them.
    """


@overload(set_lanes, jit_options={"forceinline": True})
def _set_lanes(total, x, mask, start, lanes, paired, stage):
    if total.dtype == stage.dtype or isinstance(total.dtype, numba.types.Integer):

        def in_vectors(total, x, mask, start, lanes, paired, stage):
            lane, length = 0, LINE // total.itemsize
            while lane + length <= paired:
                add_vectors(total, lane, x, mask, start + lane, lanes, ONE, TWO, ONE, None, True)
                lane += length
            single = lane
            while single < lanes:
                add_vectors(total, single, x, mask, start + single, 0, ONE, ONE, ONE, None, True)
                single += length
            if lane < paired:
                add_tail(total, lane, x, mask, start + lanes + lane, 0, ONE, paired - lane, False)

        return in_vectors

    def one_by_one(total, x, mask, start, lanes, paired, stage):
        for k in range(paired):
            low, high = element(x, mask, start + k, stage), element(x, mask, start + lanes + k, stage)
            total[k] = convert(low, total) + convert(high, total)
        for k in range(paired, lanes):
            total[k] = element(x, mask, start + k, stage)

    return one_by_one


@register_jitable
def add_fours(x, mask, start, stage, lanes):
    """Set ``lanes[k]`` to the sum of the four elements from ``start + 4 * k`` on, in the order of their lanes."""
    for k in range(lanes.size):
        at = start + 4 * k
        even = convert(element(x, mask, at, stage), lanes) + convert(element(x, mask, at + 2, stage), lanes)
        odd = convert(element(x, mask, at + 1, stage), lanes) + convert(element(x, mask, at + 3, stage), lanes)
        lanes[k] = even + odd


def sum_fours(x, mask, first, last, start, out):
    """Write the sums of four neighbours each into ``out[first:last]``, as far as vectors go.

    Return the index of the first sum that is left, and how many are NaN or infinite. The order is that of `add_fours`.
    """


@overload(sum_fours)
def _sum_fours(x, mask, first, last, start, out):
    if not (isinstance(x.dtype, numba.types.Float) and isinstance(mask, numba.types.NoneType)):
        return lambda x, mask, first, last, start, out: (first, 0)

    def in_vectors(x, mask, first, last, start, out):
        strange, o, length = 0, first, LINE // out.itemsize
        while o < last and (out.ctypes.data + o * out.itemsize) % LINE:
            even = np.float64(load(x, 4 * o)) + np.float64(load(x, 4 * o + 2))
            odd = np.float64(load(x, 4 * o + 1)) + np.float64(load(x, 4 * o + 3))
            value = convert(even + odd + start, out)
            out[o] = value
            strange += value - value != 0
            o += 1
        if (last - o) * out.itemsize >= STREAMED:
            while o + length <= last:
                fetch_elements(x, 4 * o + AHEAD // x.itemsize, 4 * length)
                strange += store_fours(x, start, out, o, ())
                o += length
        while o + length <= last:
            fetch_elements(x, 4 * o + AHEAD // x.itemsize, 4 * length)
            strange += store_fours(x, start, out, o, None)
            o += length
        return o, strange

    return in_vectors


@intrinsic
def store_fours(typing_context, x, start, out, first, streamed):
    """Write a line of sums of four neighbours each, plus `start`, from ``out[first]`` on.

    Return a number that is 0 if all of them are finite. Unless `streamed` is None, they go past the cache.
    """

    def generate(context, builder, signature, arguments):
        source, target = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in ((x, arguments[0]), (out, arguments[2]))
        )
        length = LINE * 8 // out.dtype.bitwidth
        element, written = (context.get_value_type(array.dtype) for array in (x, out))
        sums, total = ir.VectorType(written, length), ir.VectorType(ir.DoubleType(), length)
        at = builder.mul(arguments[3], ir.IntType(64)(4))
        pointer = builder.bitcast(builder.gep(source, [at]), ir.VectorType(element, 4 * length).as_pointer())
        fours = builder.load(pointer, align=x.dtype.bitwidth // 8)

        def chosen(value, lanes):
            return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), length), list(lanes)))

        def column(number):
            part = chosen(fours, range(number, 4 * length, 4))
            return part if part.type == total else builder.fpext(part, total)

        even, odd = (builder.fadd(column(number), column(number + 2)) for number in (0, 1))
        from_start = builder.insert_element(ir.Constant(total, ir.Undefined), arguments[1], ir.IntType(32)(0))
        value = builder.fadd(builder.fadd(even, odd), chosen(from_start, [0] * length))
        value = value if sums == total else builder.fptrunc(value, sums)
        store = builder.store(
            value, builder.bitcast(builder.gep(target, [arguments[3]]), sums.as_pointer()), align=LINE
        )
        if streamed != numba.none:
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        is_strange = builder.fcmp_unordered("!=", builder.fsub(value, value), ir.Constant(sums, [0.0] * length))
        return builder.zext(builder.bitcast(is_strange, ir.IntType(length)), ir.IntType(64))

    return numba.int64(x, numba.float64, out, numba.intp, streamed), generate


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
