"""Compiled sums of rows, in the order that `summation` describes.

A kernel walks memory from the first element of `x` on, by the strides of its plan (`row_sums`), in elements; how long
`x` itself is does not matter. Complex numbers are pairs of floats. Integers use the same kernels: their order does not
matter, and the dtype in which the 16 elements of a lane are added (the *stage*) is wide enough for them.

Numba compiles a kernel for each combination of dtypes and keeps it on disk until this file changes, so that what the
order depends on is an argument, never imported. They release the GIL.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload, register_jitable
from numba.np import arrayobj

AHEAD = 4096
"""Least bytes from what is added to what is fetched from memory: the processor alone does not run ahead."""

ALONG = 2048
"""Bytes from what is added to what is fetched where rows are longer than that: it is further along in the same rows."""

NEAREST = 8192
"""Bytes of rows that are added at once, at most, where they are fetched in the order of memory."""

LINE = 64
"""Bytes that memory delivers at once, and of the longest vectors; lanes begin at a multiple of it."""

FEW = 8
"""Rows of lanes up to which each is added by itself: that takes less to begin with."""

GROUP = (0, 0, 0, 0)
"""As long as the number of rows that are added to a lane while it is in a register; a tile's 16 are a multiple."""

ONE, TWO, THREE = (0,), (0, 0), (0, 0, 0)
"""One to three rows, vectors, or elements; tuples because the compiler shall know the number."""

EVERY_SECOND_PAIR, EVERY_THIRD_PAIR = ((0, 0),), ((0, 0, 0),)
"""The strides of pairs that are four and six elements apart (`place`)."""

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False, "error_model": "numpy"}

INSIDE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that others alone call: what is not asked for need not be compiled."""

STAGES: dict[Any, Any] = {
    numba.int8: numba.int16,
    numba.uint8: numba.int16,
    numba.int16: numba.int32,
    numba.uint16: numba.int32,
}
"""The dtype in which a lane adds integers, where it is not int64."""


FLOATS = {16: ir.HalfType(), 32: ir.FloatType(), 64: ir.DoubleType()}
"""The compiler's types of floats, by their bits."""


def converts_halves() -> bool:
    """Whether there are instructions for float16: the functions that LLVM calls in their place are nowhere."""
    machine, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+f16c" in features.split(",") or not machine.startswith(("x86", "i"))


def _data(context, builder, kind, array):
    """Generate the pointer to the first element of an array."""
    return context.make_array(kind)(context, builder, array).data


def _nothing(dtype, *arguments):
    """Return what an intrinsic returns that makes an array of no elements: nothing of it is right but its dtype."""
    kind = numba.types.Array(dtype, 1, "C")
    return kind(*arguments), lambda context, *_: ir.Constant(context.get_value_type(kind), None)


@intrinsic
def stage_of(typing_context, x, out):
    """Return an empty array of the dtype in which lanes add (`recipes.Recipe`)."""
    if isinstance(out.dtype, numba.types.Float):
        return _nothing(numba.float32 if x.dtype == numba.uint16 else numba.float64, x, out)
    return _nothing(STAGES.get(x.dtype, numba.int64), x, out)


@intrinsic
def total_of(typing_context, out):
    """Return an empty array of the dtype in which lanes and tiles are added."""
    return _nothing(numba.float64 if isinstance(out.dtype, numba.types.Float) else numba.int64, out)


@intrinsic
def size_of(typing_context, array):
    """Return the bytes of an element, which the compiler knows: `itemsize` is read, and divided by."""

    def generate(context, builder, signature, arguments):
        return ir.IntType(64)(array.dtype.bitwidth // 8)

    return numba.intp(array), generate


@register_jitable(**INSIDE)
def lanes_of(like, n):
    """Return `n` lanes of the dtype of `like`; a vector of them is never in two lines of the cache, nor cut short."""
    memory = np.empty(n + 2 * LINE, like.dtype)
    skip = -memory.ctypes.data % LINE // size_of(memory)
    return memory[skip : skip + n]


@intrinsic
def lanes_from(typing_context, lanes, at):
    """Return the lanes from `at` on, for as long as `lanes` are there: to count references takes as long as to add."""

    def generate(context, builder, signature, arguments):
        make = context.make_array(lanes)
        whole, part = make(context, builder, arguments[0]), make(context, builder)
        data = builder.gep(whole.data, [arguments[1]])
        arrayobj.populate_array(part, data, whole.shape, whole.strides, whole.itemsize, meminfo=None)
        return part._getvalue()

    return lanes(lanes, numba.intp), generate


def _converted(builder, value, dtype, to):
    """Generate a number, or a vector of them, in the dtype `to`.

    Integers that become floats are what `recipes.Recipe` says they stand for.
    """
    count = value.type.count if isinstance(value.type, ir.VectorType) else 0

    def of(kind):
        return ir.VectorType(kind, count) if count else kind

    wanted = of(FLOATS[to.bitwidth] if isinstance(to, numba.types.Float) else ir.IntType(to.bitwidth))
    if isinstance(dtype, numba.types.Integer):
        if not isinstance(to, numba.types.Float):
            if to.bitwidth < dtype.bitwidth:
                return builder.trunc(value, wanted)
            return value if value.type == wanted else (builder.sext if dtype.signed else builder.zext)(value, wanted)
        if dtype.bitwidth != 16 and dtype.signed:
            return builder.sitofp(value, wanted)
        if dtype.bitwidth != 16:
            name = f"llvm.bswap.{f'v{count}' if count else ''}i{dtype.bitwidth}"
            swap = cgutils.get_or_insert_function(builder.module, ir.FunctionType(value.type, [value.type]), name)
            value = builder.call(swap, [value])
        value = builder.bitcast(value, of(FLOATS[dtype.bitwidth]))
        dtype = numba.types.Float(f"float{dtype.bitwidth}")
    if value.type == wanted:
        return value
    return (builder.fpext if dtype.bitwidth < to.bitwidth else builder.fptrunc)(value, wanted)


@intrinsic
def convert(typing_context, number, like):
    """Return a number in the dtype of the array `like` (`_converted`)."""
    number = numba.types.unliteral(number)

    def generate(context, builder, signature, arguments):
        return _converted(builder, arguments[0], number, like.dtype)

    return like.dtype(number, like), generate


@intrinsic
def neutral(typing_context, like):
    """Return -0.0, or 0 for integers, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        return _neutral(context.get_value_type(like.dtype))

    return like.dtype(like), generate


def _neutral(kind):
    """Return the constant that changes no sum of such numbers or vectors."""
    zero = 0 if isinstance(getattr(kind, "element", kind), ir.IntType) else -0.0
    return ir.Constant(kind, [zero] * kind.count if isinstance(kind, ir.VectorType) else zero)


def _masked(builder, value, marks):
    """Generate numbers where the bytes of a mask are not 0, and what changes no sum elsewhere.

    Without the fence the compiler adds all of them, and takes back the sums: floats that are masked would raise flags.
    """
    is_marked = builder.icmp_unsigned("!=", marks, ir.Constant(marks.type, None))
    value = builder.select(is_marked, value, _neutral(value.type))
    element, name = getattr(value.type, "element", value.type), ""
    if isinstance(element, ir.IntType):
        return value
    if isinstance(value.type, ir.VectorType):
        name = f"v{value.type.count}"
    name += {kind: f"f{bits}" for bits, kind in FLOATS.items()}[element]
    kind = ir.FunctionType(value.type, [value.type])
    fence = cgutils.get_or_insert_function(builder.module, kind, f"llvm.arithmetic.fence.{name}")
    return builder.call(fence, [value])


@intrinsic
def element(typing_context, x, mask, at, like):
    """Return ``x[at]`` in the dtype of the array `like`, or what changes no sum where the mask is False.

    Numba's own indexing allows for negative indices, and what that costs here is the vectorization of loops.
    """

    def generate(context, builder, signature, arguments):
        value = builder.load(builder.gep(_data(context, builder, x, arguments[0]), [arguments[2]]))
        value = _converted(builder, value, x.dtype, like.dtype)
        if not isinstance(mask, numba.types.Array):
            return value
        marks = _data(context, builder, mask, arguments[1])
        return _masked(builder, value, builder.load(builder.gep(marks, [arguments[2]])))

    return like.dtype(x, mask, numba.intp, like), generate


@intrinsic
def place(typing_context, index, stride):
    """Return ``index * stride``.

    A stride that is a tuple is its length, which the compiler knows: 1 to 3. One that is a tuple of a tuple is from
    pair to pair of neighbours.
    """
    stride = numba.types.unliteral(stride)

    def generate(context, builder, signature, arguments):
        return _placed(builder, arguments[0], stride, arguments[1])

    return numba.intp(numba.intp, stride), generate


def _placed(builder, index, stride, value):
    """Generate ``index * stride`` (`place`)."""
    number = ir.IntType(64)
    if not isinstance(stride, numba.types.BaseTuple):
        return builder.mul(index, value)
    if not _in_pairs(stride):
        return builder.mul(index, number(len(stride)))
    pairs = builder.mul(builder.lshr(index, number(1)), _apart(builder, stride, value))
    return builder.add(pairs, builder.and_(index, number(1)))


def _in_pairs(stride):
    """Whether it is the stride of pairs."""
    return isinstance(stride, numba.types.BaseTuple) and isinstance(stride[0], numba.types.BaseTuple)


def _spread(stride):
    """Return how many elements, or pairs, a step takes, if the compiler knows it; otherwise 1."""
    if not isinstance(stride, numba.types.BaseTuple):
        return 1
    return len(stride[0] if _in_pairs(stride) else stride)


def _beyond(stride):
    """Return how many elements that may not be there a vector ends with."""
    return (_spread(stride) - 1) * (2 if _in_pairs(stride) else 1)


def _apart(builder, stride, value):
    """Generate the elements from one pair to the next."""
    if _spread(stride) > 1:
        return ir.IntType(64)(2 * _spread(stride))
    return builder.extract_value(value, [0, 0])


@intrinsic
def add_vectors(typing_context, stage, lane, x, mask, at, step, stride, rows, vectors, ahead, fresh):
    """Add to ``stage[lane + l]`` the elements ``x[at + r * step + l * stride]`` for the next lanes, in vectors.

    A vector has 64 bytes of lanes. There are as many rows and vectors as `rows` and `vectors` are long. For the stride
    see `place`; what lies between every second or third element, or every second pair, is read with them. Unless
    `ahead` is None, memory is fetched: ``ahead[0] + r * ahead[1] + v * ahead[2]`` elements further on than the first of
    these, for vector ``v`` of row ``r``. `fresh` lanes start anew.
    """
    is_apart, in_pairs, spread = not isinstance(stride, numba.types.BaseTuple), _in_pairs(stride), _spread(stride)
    by_pair = in_pairs and spread == 1

    def generate(context, builder, signature, arguments):
        lanes, data = (_data(context, builder, kind, arguments[i]) for i, kind in ((0, stage), (2, x)))
        lane, at, step = (arguments[i] for i in (1, 4, 5))
        number = ir.IntType(64)
        size = x.dtype.bitwidth // 8
        length = LINE * 8 // stage.dtype.bitwidth
        whole = ir.VectorType(context.get_value_type(stage.dtype), length)
        add = builder.fadd if isinstance(stage.dtype, numba.types.Float) else builder.add

        def pairs(pointer, place, align):
            kind, parts = ir.VectorType(pointer.type.pointee, 2), []
            for _ in range(length // 2):
                pair = builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer())
                parts.append(builder.load(pair, align=align))
                place = builder.add(place, _apart(builder, stride, arguments[6]))
            while len(parts) > 1:
                parts = [
                    _chosen(builder, low, high, range(2 * low.type.count))
                    for low, high in zip(parts[::2], parts[1::2], strict=True)
                ]
            return parts[0]

        def vector(pointer, place, align):
            if is_apart:
                return _gathered(builder, pointer, place, arguments[6], align, length)
            if by_pair:
                return pairs(pointer, place, align)
            kind = ir.VectorType(pointer.type.pointee, spread * length)
            value = builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()), align=align)
            if spread == 1:
                return value
            return _chosen(builder, value, value, _every(spread, in_pairs, length))

        together = vectors_of(spread * length * size)
        lines = range(0, together * spread * length, LINE // size)

        for v in range(len(vectors)):
            target = builder.gep(lanes, [builder.add(lane, number(v * length))])
            target = builder.bitcast(target, whole.as_pointer())
            total = builder.select(arguments[10], _neutral(whole), builder.load(target, align=LINE))
            place = builder.add(at, _placed(builder, number(v * length), stride, arguments[6]))
            for r in range(len(rows)):
                # Gathers run far enough ahead by themselves.
                if ahead != numba.none and not is_apart and v % together == 0:
                    far = (builder.extract_value(arguments[9], i) for i in range(3))
                    steps = (builder.mul(number(n), step) for n, step in zip((1, r, v), far, strict=True))
                    _fetch(builder, data, reduce(builder.add, steps, at), (0,) if by_pair else lines)
                value = _converted(builder, vector(data, place, size), x.dtype, stage.dtype)
                if isinstance(mask, numba.types.Array):
                    value = _masked(builder, value, vector(_data(context, builder, mask, arguments[3]), place, 1))
                total = add(total, value)
                place = builder.add(place, step)
            builder.store(total, target, align=LINE)
        return context.get_dummy_value()

    arguments = (stage, numba.intp, x, mask, numba.intp, numba.intp, stride, rows, vectors, ahead, numba.boolean)
    return numba.void(*arguments), generate


@register_jitable(forceinline=True, **INSIDE)
def vectors_of(size):
    """Return how many vectors of so many bytes, some 32, begin and end with lines of memory."""
    return 1 if size % LINE == 0 else 2


def _every(spread, in_pairs, length):
    """Return the places of every so manieth element, or pair."""
    return [(k // 2 * spread * 2 + k % 2) if in_pairs else k * spread for k in range(length)]


def _gathered(builder, data, place, stride, size, length, present=None):
    """Generate the vector of ``data[place + l * stride]``, elements of so many bytes; processors have instructions.

    Lanes that are not `present` are not read: what is in them changes no sum.
    """
    number, element = ir.IntType(64), data.type.pointee
    kind, pointers, marks = (ir.VectorType(part, length) for part in (element, data.type, ir.IntType(1)))
    lanes = ir.Constant(ir.VectorType(number, length), list(range(length)))
    first = builder.ptrtoint(builder.gep(data, [place]), number)
    steps = builder.mul(lanes, _repeated(builder, builder.mul(stride, number(size)), length))
    places = builder.inttoptr(builder.add(_repeated(builder, first, length), steps), pointers)
    name = f"llvm.masked.gather.v{length}{'i' if isinstance(element, ir.IntType) else 'f'}{8 * size}.v{length}p0"
    generated = ir.FunctionType(kind, [pointers, ir.IntType(32), marks, kind])
    gather = cgutils.get_or_insert_function(builder.module, generated, name)
    if present is None:
        present, other = ir.Constant(marks, [1] * length), ir.Constant(kind, ir.Undefined)
    else:
        other = _neutral(kind)
    return builder.call(gather, [places, ir.IntType(32)(size), present, other])


def _chosen(builder, low, high, lanes):
    """Generate the vector of some lanes of two vectors, which are counted one after the other."""
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes)))


def add_tail(stage, lane, x, mask, at, step, stride, rows, count, fresh):
    """Do as `add_vectors` for one vector, of which only `count` elements are there; what is after them stays."""


@overload(add_tail, jit_options=INSIDE)
def _add_tail(stage, lane, x, mask, at, step, stride, rows, count, fresh):
    if has_tails(x, mask, stage):
        return lambda stage, lane, x, mask, at, step, stride, rows, count, fresh: add_part(
            stage, lane, x, at, step, stride, rows, count, fresh
        )
    number = len(rows)

    def one_by_one(stage, lane, x, mask, at, step, stride, rows, count, fresh):
        for k in range(count):
            value = neutral(stage) if fresh else stage[lane + k]
            for r in range(number):
                value = convert(value + element(x, mask, at + r * step + place(k, stride), stage), stage)
            stage[lane + k] = value

    return one_by_one


def has_tails(x, mask, stage):
    """Whether a part of a vector is read at once, for these types.

    Elements that are written one after the other stall the vector that reads them next.
    """
    if x.dtype.bitwidth < 32 or stage.dtype.bitwidth != 64 or mask not in (None, numba.none):
        return False
    return isinstance(x.dtype, numba.types.Float) == isinstance(stage.dtype, numba.types.Float)


@intrinsic
def add_part(typing_context, stage, lane, x, at, step, stride, rows, count, fresh):
    """Do as `add_tail`, for lanes of 8 bytes and no mask. Of pairs both are there."""
    is_apart, in_pairs, spread = not isinstance(stride, numba.types.BaseTuple), _in_pairs(stride), _spread(stride)

    def generate(context, builder, signature, arguments):
        lanes, data = (_data(context, builder, kind, arguments[i]) for i, kind in ((0, stage), (2, x)))
        number, count = ir.IntType(64), arguments[7]
        whole = ir.VectorType(context.get_value_type(stage.dtype), 8)
        add = builder.fadd if isinstance(stage.dtype, numba.types.Float) else builder.add
        size = x.dtype.bitwidth // 8
        target = builder.bitcast(builder.gep(lanes, [arguments[1]]), whole.as_pointer())

        def present(length, last):
            places = ir.Constant(ir.VectorType(number, length), list(range(length)))
            return builder.icmp_signed("<", places, _repeated(builder, last, length))

        def vector(place):
            if not in_pairs and (is_apart or spread == 3):
                step = arguments[5] if is_apart else number(spread)
                return _gathered(builder, data, place, step, size, 8, present(8, count))
            if in_pairs and spread != 2:
                return _some_pairs(builder, data, place, _apart(builder, stride, arguments[5]), size, count)
            # What lies behind the last element is not read.
            last = builder.sub(builder.mul(count, number(spread)), number(_beyond(stride)))
            value = _loaded(builder, builder.gep(data, [place]), size, present(8 * spread, last))
            if spread == 1:
                return value
            return _chosen(builder, value, value, _every(spread, in_pairs, 8))

        total = builder.select(arguments[8], _neutral(whole), builder.load(target, align=LINE))
        place = arguments[3]
        for _ in range(len(rows)):
            total = add(total, _converted(builder, vector(place), x.dtype, stage.dtype))
            place = builder.add(place, arguments[4])
        builder.store(total, target, align=LINE)
        return context.get_dummy_value()

    arguments = (stage, numba.intp, x, numba.intp, numba.intp, stride, rows, numba.intp, numba.boolean)
    return numba.void(*arguments), generate


def _loaded(builder, pointer, size, present):
    """Generate the vector of elements of so many bytes; those not `present` change no sum, and are not read."""
    element, length = pointer.type.pointee, present.type.count
    kind = ir.VectorType(element, length)
    pointer = builder.bitcast(pointer, kind.as_pointer())
    generated = ir.FunctionType(kind, [pointer.type, ir.IntType(32), present.type, kind])
    name = f"llvm.masked.load.v{length}{'i' if isinstance(element, ir.IntType) else 'f'}{8 * size}.p0"
    masked_load = cgutils.get_or_insert_function(builder.module, generated, name)
    return builder.call(masked_load, [pointer, ir.IntType(32)(size), present, _neutral(kind)])


def _some_pairs(builder, data, place, apart, size, count):
    """Generate the vector of four pairs that are `apart`; of those behind `count` elements is what changes no sum."""
    number, kind, pairs = ir.IntType(64), ir.VectorType(data.type.pointee, 2), []
    for pair in range(4):
        is_there = builder.icmp_signed("<", number(2 * pair), count)
        at = builder.add(place, builder.mul(number(pair), apart))
        at = builder.select(is_there, at, place)  # the first pair is always there
        pointer = builder.bitcast(builder.gep(data, [at]), kind.as_pointer())
        pairs.append(builder.select(is_there, builder.load(pointer, align=size), _neutral(kind)))
    halves = [_chosen(builder, low, high, range(4)) for low, high in zip(pairs[::2], pairs[1::2], strict=True)]
    return _chosen(builder, *halves, range(8))


def _repeated(builder, value, count):
    """Generate a vector of equal numbers."""
    unset = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(unset, value, ir.IntType(32)(0))
    return _chosen(builder, first, first, [0] * count)


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
def fetch(typing_context, array, at):
    """Ask for the line of memory with ``array[at]``, which may lie outside of the array."""

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, array, arguments[0])
        _fetch(builder, data, arguments[1], (0,))
        return context.get_dummy_value()

    return numba.void(array, numba.intp), generate


@register_jitable(**INSIDE)
def whole_lines(n):
    """Return `n` or a few more, so that lanes begin at a line of the cache after as many others."""
    return (n + LINE - 1) // LINE * LINE


def stage_apart(stage, total, n):
    """Return `n` lanes of the dtype of `stage`, none if `total` has the same: then lanes are added where totals are."""


@overload(stage_apart, jit_options=INSIDE)
def _stage_apart(stage, total, n):
    if stage.dtype == total.dtype:
        return lambda stage, total, n: stage
    return lambda stage, total, n: lanes_of(stage, n)


def added_in(stage, total):
    """Return where lanes are added: in `total` if it has the dtype of `stage`."""


@overload(added_in, jit_options=INSIDE)
def _added_in(stage, total):
    if stage.dtype == total.dtype:
        return lambda stage, total: total
    return lambda stage, total: stage


def copy_lanes(stage, total, runs, width, pitch, to_pitch):
    """Copy runs of lanes to `total`, unless they were added there; what is between them there changes no sum."""


@overload(copy_lanes, jit_options=INSIDE)
def _copy_lanes(stage, total, runs, width, pitch, to_pitch):
    if stage.dtype == total.dtype:
        return lambda stage, total, runs, width, pitch, to_pitch: None

    def copy(stage, total, runs, width, pitch, to_pitch):
        if to_pitch > width:
            total[: runs * to_pitch] = neutral(total)
        for k in range(runs):
            copied, lanes = lanes_from(total, k * to_pitch), lanes_from(stage, k * pitch)
            for lane in range(width):
                copied[lane] = lanes[lane]

    return copy


@register_jitable(forceinline=True, **INSIDE)
def fetch_elements(x, start, count):
    """Ask for the memory of `count` elements."""
    for at in range(start, start + count, LINE // size_of(x)):
        fetch(x, at)


@register_jitable(forceinline=True, **INSIDE)
def fetched(far, lane, along, width, stride, in_order, rows):
    """Return how far on from a lane memory is fetched, where rows that are added next are `far` from these.

    That is `along` lanes further on, or as many that go on in the next rows. Where rows continue each other, next rows
    are fetched `in_order`, from their beginning.
    """
    if in_order:
        return far + (rows - 1) * place(lane, stride)
    return place(along, stride) if lane + along < width else far - place(width - along, stride)


@register_jitable(**INSIDE)
def continue_each_other(x, step, width, stride):
    """Whether rows are short and each begins where the one before it ends."""
    return width * size_of(x) <= ALONG and step == place(width, stride)


def add_rows(stage, x, mask, start, step, stride, rows, width, far, fresh, more):
    """Add to ``stage[l]`` the elements ``x[start + r * step + l * stride]``, ``r < len(rows)``, for ``l < width``.

    `fresh` is that of `add_vectors`, and `far` how many elements further on the rows are that are added next. `more`
    says that the memory behind each row is there, as that of a row that follows.
    """


@overload(add_rows, jit_options=INSIDE)
def _add_rows(stage, x, mask, start, step, stride, rows, width, far, fresh, more):
    count = len(rows)
    is_near = isinstance(stride, numba.types.BaseTuple)
    in_vectors = is_near or x.dtype.bitwidth >= 32  # what processors gather
    beyond = _beyond(stride)
    with_tail = in_vectors and has_tails(x, mask, stage)

    def add(stage, x, mask, start, step, stride, rows, width, far, fresh, more):
        lane = 0
        if in_vectors:
            length = LINE // size_of(stage)
            along = min(width, ALONG // size_of(x))
            # Rows that continue each other are fetched in the order of memory: processors look ahead then, too.
            in_order = continue_each_other(x, step, width, stride)
            far_step, far_stride = step, place(length, stride)
            if in_order:
                far_step = vectors_of(far_stride * size_of(x)) * far_stride
                far_stride *= count
            # A vector of every second element, or pair, ends with one that may not be there.
            spare = 0 if more and step >= beyond else beyond
            while lane + 4 * length + spare <= width:
                ahead = (fetched(far, lane, along, width, stride, in_order, count), far_step, far_stride)
                add_vectors(stage, lane, x, mask, start + place(lane, stride), step, stride, rows, GROUP, ahead, fresh)
                lane += 4 * length
            while lane + length + spare <= width:
                ahead = (fetched(far, lane, along, width, stride, in_order, count), far_step, far_stride)
                add_vectors(stage, lane, x, mask, start + place(lane, stride), step, stride, rows, ONE, ahead, fresh)
                lane += length
            if beyond and in_order:
                fetch_elements(x, start + far + count * place(lane, stride), count * place(width - lane, stride))
        if with_tail:
            while lane < width:  # once, or twice where a vector of every second element is there
                left = min(length, width - lane)
                add_tail(stage, lane, x, mask, start + place(lane, stride), step, stride, rows, left, fresh)
                lane += length
        else:
            for k in range(lane, width):
                value = neutral(stage) if fresh else stage[k]
                for r in range(count):
                    value = convert(value + element(x, mask, start + r * step + place(k, stride), stage), stage)
                stage[k] = value

    return add


def few_rows(x, mask, stage):
    """Return a tuple as long as the number of rows that are added at once where there is no group of them left."""


@overload(few_rows, jit_options=INSIDE)
def _few_rows(x, mask, stage):
    if has_tails(x, mask, stage):
        return lambda x, mask, stage: TWO
    return lambda x, mask, stage: ONE


def rows_at_once(x, step, width, stride):
    """Return how many rows of lanes are added at once at most.

    If they continue each other, and are fetched, the first cache is to hold them beside those that come next.
    """


@overload(rows_at_once, jit_options=INSIDE)
def _rows_at_once(x, step, width, stride):
    most = len(GROUP)
    if not isinstance(stride, numba.types.BaseTuple):
        return lambda x, step, width, stride: most

    def at_once(x, step, width, stride):
        if continue_each_other(x, step, width, stride):
            return min(max(NEAREST // (step * size_of(x)), 1), most)
        return most

    return at_once


@register_jitable(**INSIDE)
def add_lanes(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
    """Set ``stage[k * pitch + l]`` to the sum of ``x[start + k * apart + r * step + l * stride]`` over ``r < rows``.

    There are as many `runs` of lanes, of `width` each, the first `rest` of which have one row more; what is between the
    runs in `stage` changes no sum. What is read `after` this is a tuple: it goes on from `start` up to ``after[0]``
    elements further on, and leaves out ``after[1]`` there; and whether there are more rows behind these.
    """
    end, skip, more = after
    few = few_rows(x, mask, stage)
    at_once = rows_at_once(x, step, width, stride)
    far = max(AHEAD // size_of(x), at_once * step)
    if rows == 0 or pitch > width:
        stage[: runs * pitch] = neutral(stage)
    r = 0
    while at_once >= len(GROUP) and r + len(GROUP) <= rows:
        further, follows = far if r * step + far < end else far + skip, more or r + len(GROUP) < rows
        for k in range(runs):
            lanes, at = lanes_from(stage, k * pitch), start + k * apart + r * step
            add_rows(lanes, x, mask, at, step, stride, GROUP, width, further, r == 0, follows)
        r += len(GROUP)
    while at_once >= len(few) and r + len(few) <= rows:
        further, follows = far if r * step + far < end else far + skip, more or r + len(few) < rows
        for k in range(runs):
            lanes, at = lanes_from(stage, k * pitch), start + k * apart + r * step
            add_rows(lanes, x, mask, at, step, stride, few, width, further, r == 0, follows)
        r += len(few)
    while r < rows:
        further, follows = far if r * step + far < end else far + skip, more or r + 1 < rows
        for k in range(runs):
            lanes, at = lanes_from(stage, k * pitch), start + k * apart + r * step
            add_rows(lanes, x, mask, at, step, stride, ONE, width, further, r == 0, follows)
        r += 1
    k = 0
    while rest > 0:
        lanes, at = lanes_from(stage, k * pitch), start + k * apart + rows * step
        add_rows(lanes, x, mask, at, step, stride, ONE, min(width, rest), far, False, more)
        rest -= width
        k += 1


def add_apart(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
    """Do as `add_lanes` for lanes that are `stride` elements apart."""


@overload(add_apart, jit_options=INSIDE)
def _add_apart(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
    in_thirds = reads_thirds(x, mask)

    def add(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
        if in_thirds and stride == 3:
            add_lanes(x, mask, start, step, (0, 0, 0), rows, runs, apart, width, pitch, rest, after, stage)
        else:
            add_lanes(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage)

    return add


def reads_thirds(x, mask):
    """Whether what lies between every third element is read with them, for these types."""
    return isinstance(x.dtype, numba.types.Float) and mask in (None, numba.none)


def reads_between_pairs(x, mask):
    """Whether what lies between every second or third pair is read with them, for these types."""
    return x.dtype == numba.float32 and mask in (None, numba.none)


def add_pairs(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
    """Do as `add_lanes` for lanes in pairs of neighbours, `stride` from one pair to the next: complex numbers."""


@overload(add_pairs, jit_options=INSIDE)
def _add_pairs(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
    if x.dtype.bitwidth < 32 or not isinstance(stage.dtype, numba.types.Float):
        return lambda x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage: None

    is_near = reads_between_pairs(x, mask)

    def add(x, mask, start, step, stride, rows, runs, apart, width, pitch, rest, after, stage):
        second, third = EVERY_SECOND_PAIR, EVERY_THIRD_PAIR
        if is_near and stride == 4:  # NumPy reads these at the speed of the cache
            add_lanes(x, mask, start, step, second, rows, runs, apart, width, pitch, rest, after, stage)
        elif is_near and stride == 6:
            add_lanes(x, mask, start, step, third, rows, runs, apart, width, pitch, rest, after, stage)
        else:
            add_lanes(x, mask, start, step, ((stride,),), rows, runs, apart, width, pitch, rest, after, stage)

    return add


@numba.njit(**OPTIONS)
def sum_rows(x, mask, plan, first, last, out):
    """Write sums of chunks of rows into ``out[(outer * chunks + chunk) * width + column]``, for a range of jobs.

    Return a number that is 0 if all of these are finite. A job is one outer index, one chunk of rows and one stripe of
    columns, counted in that order.

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
    chunk, chunks, stripe, in_pairs = plan[7], plan[8], plan[9], plan[11]
    pair_stride, near, far_stride = plan[12], plan[13], plan[14]
    stripes = (width + stripe - 1) // stripe
    # Lanes whose rows do not continue each other begin at lines of the cache, each by itself.
    next_row = width // 2 * pair_stride if in_pairs else width * column_stride
    is_even = lanes == 1 or row_stride == next_row
    line, line_of_total = LINE // size_of(stage_of(x, out)), LINE // size_of(total_of(out))
    pitch = stripe if is_even else (stripe + line - 1) // line * line
    total_pitch = stripe if is_even else (stripe + line_of_total - 1) // line_of_total * line_of_total
    stage = stage_apart(stage_of(x, out), total_of(out), lanes * pitch)
    start, other = starts(plan, total_of(out))
    depth = 1
    while tile_rows << depth - 1 < min(chunk, rows):
        depth += 1
    # The sums of one tile, of two, four and so on wait for those of as many tiles.
    spare, waiting = 0, np.empty(depth, np.int64)
    for level in range(depth):
        waiting[level] = whole_lines(lanes * pitch) + level * whole_lines(stripe)
    sums = lanes_of(total_of(out), waiting[depth - 1] + whole_lines(stripe))
    column = first % stripes * stripe
    c = first // stripes % chunks
    o = first // stripes // chunks
    # After the last row of an outer index comes the first one of the next, or of the next columns.
    skip = 0
    if chunks == stripes == 1:
        skip = outer_stride - rows * row_stride
    elif chunks == 1:
        skip = stripe // 2 * pair_stride if in_pairs else stripe * column_stride
        skip -= rows // len(GROUP) * len(GROUP) * row_stride
    far, strange = AHEAD // size_of(x), 0
    for _ in range(first, last):
        columns = min(stripe, width - column)
        at = o // near * far_stride + o % near * outer_stride + c * chunk * row_stride
        at += column // 2 * pair_stride if in_pairs else column * column_stride
        left = min(chunk, rows - c * chunk)
        tile = 0
        while left > 0:
            total = lanes_from(sums, spare)
            added = added_in(stage, total)
            here = min(left, tile_rows)
            halves = lanes
            while halves // 2 >= here:
                halves //= 2
            lane_width = halves * columns
            full, rest = here // halves, here % halves * columns
            step = halves * row_stride
            runs, run, begin, total_begin = 1, lane_width, lane_width, lane_width
            if not is_even:
                runs, run, begin, total_begin = halves, columns, pitch, total_pitch
            end = (left if stripes == 1 else left // len(GROUP) * len(GROUP)) * row_stride
            after = end, skip, left > here and row_stride >= (pair_stride if in_pairs else column_stride)
            second = here * columns - lane_width  # elements of the lanes' second rows, if each has a first one
            is_set = 0 <= second <= lane_width >= line and columns <= 2
            are_few = columns <= 2 and line <= lane_width <= here * columns <= FEW * lane_width
            if are_few and column_stride == 1 and step == lane_width:
                set_lanes(added, x, mask, at, ONE, lane_width, min(second, lane_width), far, added)
                add_next(added, x, mask, at + 2 * lane_width, lane_width, second - lane_width, far)
            elif is_set and gathers(x) and second > 0 and columns == (2 if in_pairs else 1):
                gather_lanes(added, x, mask, at, row_stride, columns, lane_width, second, far, added)
            elif in_pairs:
                add_pairs(x, mask, at, step, pair_stride, full, runs, row_stride, run, begin, rest, after, added)
            elif column_stride == 1:
                add_lanes(x, mask, at, step, ONE, full, runs, row_stride, run, begin, rest, after, added)
            elif column_stride == 2:
                add_lanes(x, mask, at, step, (0, 0), full, runs, row_stride, run, begin, rest, after, added)
            else:
                add_apart(x, mask, at, step, column_stride, full, runs, row_stride, run, begin, rest, after, added)
            copy_lanes(added, total, runs, run, begin, total_begin)
            if columns == 1:
                total[0] = add_halves(total, lane_width)
            else:
                halve(total, runs * total_begin, columns if is_even else total_pitch)
            level, carried = 0, tile
            while carried & 1:
                add_sums(total, lanes_from(sums, waiting[level]), columns)
                level, carried = level + 1, carried >> 1
            if lanes == 1:  # they wait where they are: a copy of so many would take a tenth of the time
                waiting[level], spare = spare, waiting[level]
            else:
                kept = lanes_from(sums, waiting[level])
                for k in range(columns):
                    kept[k] = total[k]
            at += tile_rows * row_stride
            left -= here
            tile += 1
        level = 0
        while tile >> level & 1 == 0:
            level += 1
        total = lanes_from(sums, waiting[level])
        level += 1
        while tile >> level:
            if tile >> level & 1:
                add_sums(total, lanes_from(sums, waiting[level]), columns)
            level += 1
        begin, k = (o * chunks + c) * width + column, 0
        while k + 8 <= columns:
            strange += store_sums(total, k, start, other, out, begin + k)
            k += 8
        while k < columns:
            value = convert(total[k] + (other if k & 1 else start), out)
            out[begin + k] = value
            strange += is_strange(value)
            k += 1
        column += stripe
        if column >= width:
            column = 0
            c += 1
            if c == chunks:
                c = 0
                o += 1
    return strange


@register_jitable(forceinline=True, **INSIDE)
def starts(plan, like):
    """Return what the sums of even columns start from, and those of odd ones."""
    if plan[10]:
        return from_bits(plan[15], like), from_bits(plan[16], like)
    return neutral(like), neutral(like)


@intrinsic
def from_bits(typing_context, bits, like):
    """Return the number of 8 bytes that has these bits, in the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(like.dtype))

    return like.dtype(bits, like), generate


@intrinsic
def store_sums(typing_context, total, lane, start, other, out, at):
    """Write ``total[lane:lane + 8]``, plus `start` and `other` in turns, into ``out[at:]``.

    Return a number that is 0 if all are finite.
    """

    def generate(context, builder, signature, arguments):
        totals, target = (_data(context, builder, kind, arguments[i]) for i, kind in ((0, total), (4, out)))
        kind = ir.VectorType(context.get_value_type(total.dtype), 8)
        source = builder.bitcast(builder.gep(totals, [arguments[1]]), kind.as_pointer())
        add = builder.fadd if isinstance(total.dtype, numba.types.Float) else builder.add
        even, odd = (_repeated(builder, arguments[i], 8) for i in (2, 3))
        in_turns = _chosen(builder, even, odd, [k + 8 * (k % 2) for k in range(8)])
        value = add(builder.load(source, align=LINE), in_turns)
        return _stored(builder, value, total.dtype, out.dtype, builder.gep(target, [arguments[5]]))[1]

    return numba.int64(total, numba.intp, total.dtype, total.dtype, out, numba.intp), generate


def _stored(builder, value, dtype, to, pointer, align=None):
    """Generate a vector's conversion and its store; return the store, and a number that is 0 if all are finite."""
    value = _converted(builder, value, dtype, to)
    store = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align or to.bitwidth // 8)
    if isinstance(to, numba.types.Integer):
        return store, ir.IntType(64)(0)
    strange = builder.bitcast(_strange(builder, value, to.bitwidth), ir.IntType(value.type.count))
    return store, builder.zext(strange, ir.IntType(64))


def _strange(builder, value, bits):
    """Generate whether floats are NaN or infinite: of their bits, because arithmetic with them would raise flags."""
    kind, exponent = ir.IntType(bits), {32: 0x7F800000, 64: 0x7FF0000000000000}[bits]
    if isinstance(value.type, ir.VectorType):
        kind, exponent = ir.VectorType(kind, value.type.count), [exponent] * value.type.count
    exponent = ir.Constant(kind, exponent)
    return builder.icmp_unsigned("==", builder.and_(builder.bitcast(value, kind), exponent), exponent)


@intrinsic
def is_strange(typing_context, value):
    """Return whether a number is NaN or infinite."""

    def generate(context, builder, signature, arguments):
        if isinstance(value, numba.types.Integer):
            return cgutils.false_bit
        return _strange(builder, arguments[0], value.bitwidth)

    return numba.boolean(value), generate


@register_jitable(forceinline=True, **INSIDE)
def add_sums(total, sums, count):
    """Add `count` sums to as many totals."""
    k = 0
    while k + 8 <= count:
        add_vectors(total, k, sums, None, k, 0, ONE, ONE, ONE, None, False)
        k += 8
    while k < count:
        total[k] += sums[k]
        k += 1


@register_jitable(forceinline=True, **INSIDE)
def add_halves(total, lanes):
    """Return the sum of a power of two of lanes, by halves."""
    if lanes >= 8:
        while lanes > 8:
            lanes //= 2
            lane = 0
            while lane < lanes:
                add_vectors(total, lane, total, None, lanes + lane, 0, ONE, ONE, ONE, None, False)
                lane += 8
        return add_eight(total)
    halve(total, lanes, 1)
    return total[0]


@register_jitable(forceinline=True, **INSIDE)
def halve(total, lanes, last):
    """Add the upper half of the lanes to the lower one until the `last` ones are left."""
    while lanes > last:
        lanes //= 2
        add_sums(total, lanes_from(total, lanes), lanes)


@intrinsic
def add_eight(typing_context, total):
    """Return the sum of the first eight lanes, of 8 bytes each, by halves."""

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, total, arguments[0])
        element = context.get_value_type(total.dtype)
        add = builder.fadd if isinstance(total.dtype, numba.types.Float) else builder.add
        value = builder.load(builder.bitcast(data, ir.VectorType(element, 8).as_pointer()), align=LINE)
        for length in (4, 2, 1):
            lower, upper = range(length), range(length, 2 * length)
            value = add(_chosen(builder, value, value, lower), _chosen(builder, value, value, upper))
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
    outer_stride, row_stride, rows, width, near, far_stride = plan[0], plan[1], plan[3], plan[4], plan[13], plan[14]
    stage, total_like = stage_of(x, out), total_of(out)
    start, other = starts(plan, total_like)
    half = 1
    while 2 * half < rows:
        half *= 2
    strange = 0
    if rows > 16 and (row_stride == width or gathers(x)):
        # A vector goes along a row.
        total = lanes_of(total_like, half * width)
        far = (AHEAD // (rows * width * size_of(x)) + 1) * outer_stride
        for o in range(first, last):
            at = o // near * far_stride + o % near * outer_stride
            if row_stride == width:
                fetch_elements(x, at + far, rows * width)  # all of a row at once, before others are waited for
                set_lanes(total, x, mask, at, ONE, half * width, (rows - half) * width, far, stage)
            else:
                gather_lanes(total, x, mask, at, row_stride, width, half * width, (rows - half) * width, far, stage)
            if width == 1:
                total[0] = add_halves(total, half)
            else:
                halve(total, 2 * half, 2)
            for column in range(width):
                value = convert(total[column] + (other if column else start), out)
                out[o * width + column] = value
                strange += is_strange(value)
        return strange
    if rows == 4 and width == 1 and outer_stride == 4 and row_stride == 1 and last <= near:
        first, strange = sum_fours(x, mask, first, last, start, out)
        if first == last:
            return strange
    # A vector goes across outer indices.
    block = min(BLOCK, last - first)
    total = lanes_of(total_like, half * block)
    o = first
    while o < last:
        count = min(block, last - o, near - o % near)
        begin = o // near * far_stride + o % near * outer_stride
        if outer_stride == rows * width and row_stride == width:
            fetch_elements(x, begin + AHEAD // size_of(x), block * rows * width)
        for column in range(width):
            if rows == 4 and width == 1 and outer_stride == 4 and row_stride == 1:
                add_fours(x, mask, begin, stage, total[:count])
                halves = 1
            else:
                for lane in range(half):
                    at = begin + lane * row_stride + column
                    lanes = total[lane * block : lane * block + count]
                    add_pair(x, mask, at, outer_stride, half * row_stride, lane + half < rows, stage, lanes)
                halves = half
            while halves > 1:
                halves //= 2
                for lane in range(halves):
                    for k in range(lane * block, lane * block + count):
                        total[k] += total[halves * block + k]
            begins = other if column else start
            for k in range(count):
                value = convert(total[k] + begins, out)
                out[(o + k) * width + column] = value
                strange += is_strange(value)
        o += count
    return strange


def gathers(x):
    """Whether the elements are floats that processors gather."""


@overload(gathers, jit_options=INSIDE)
def _gathers(x):
    is_gathered = isinstance(x.dtype, numba.types.Float)
    return lambda x: is_gathered


def gather_lanes(total, x, mask, start, stride, width, lanes, paired, far, stage):
    """Do as `set_lanes` for elements, or pairs of them if the `width` is 2, that are `stride` elements apart.

    At least one of them is paired: what lies behind the others is there.
    """


@overload(gather_lanes, jit_options=INSIDE)
def _gather_lanes(total, x, mask, start, stride, width, lanes, paired, far, stage):
    if not isinstance(x.dtype, numba.types.Float):
        return lambda total, x, mask, start, stride, width, lanes, paired, far, stage: None

    in_thirds, is_near = reads_thirds(x, mask), reads_between_pairs(x, mask)

    def gather(total, x, mask, start, stride, width, lanes, paired, far, stage):
        second, third = EVERY_SECOND_PAIR, EVERY_THIRD_PAIR
        if width == 1 and stride == 2:
            set_lanes(total, x, mask, start, (0, 0), lanes, paired, far, stage)
        elif in_thirds and width == 1 and stride == 3:
            set_lanes(total, x, mask, start, (0, 0, 0), lanes, paired, far, stage)
        elif width == 1:
            set_lanes(total, x, mask, start, stride, lanes, paired, far, stage)
        elif is_near and stride == 4:
            set_lanes(total, x, mask, start, second, lanes, paired, far, stage)
        elif is_near and stride == 6:
            set_lanes(total, x, mask, start, third, lanes, paired, far, stage)
        else:
            set_lanes(total, x, mask, start, ((stride,),), lanes, paired, far, stage)

    return gather


def set_lanes(total, x, mask, start, stride, lanes, paired, far, stage):
    """Set `lanes` lanes to as many elements, the first `paired` of them to sums with as many more elements.

    For the stride see `place`. Floats are added as `stage` has them. Memory is fetched in its order, `far` elements
    further on.
    """


@overload(set_lanes, jit_options={"forceinline": True, **INSIDE})
def _set_lanes(total, x, mask, start, stride, lanes, paired, far, stage):
    beyond = _beyond(stride)
    if total.dtype == stage.dtype or isinstance(total.dtype, numba.types.Integer):

        def in_vectors(total, x, mask, start, stride, lanes, paired, far, stage):
            lane, length, further = 0, LINE // size_of(total), place(lanes, stride)
            while lane + length + beyond <= paired:
                at, ahead = start + place(lane, stride), (far + place(lane, stride), place(length, stride), 0)
                add_vectors(total, lane, x, mask, at, further, stride, TWO, ONE, ahead, True)
                lane += length
            single, ahead = lane, (far + place(lane, stride), 0, 0)
            while single < lanes:
                add_vectors(total, single, x, mask, start + place(single, stride), 0, stride, ONE, ONE, ahead, True)
                single += length
            while lane < paired:
                at, left = start + further + place(lane, stride), min(length, paired - lane)
                add_tail(total, lane, x, mask, at, 0, stride, ONE, left, False)
                lane += length

        return in_vectors

    def one_by_one(total, x, mask, start, stride, lanes, paired, far, stage):
        for k in range(paired):
            low = element(x, mask, start + place(k, stride), stage)
            high = element(x, mask, start + place(lanes + k, stride), stage)
            total[k] = convert(low, total) + convert(high, total)
        for k in range(paired, lanes):
            total[k] = element(x, mask, start + place(k, stride), stage)

    return one_by_one


@register_jitable(forceinline=True, **INSIDE)
def add_next(total, x, mask, start, lanes, count, far):
    """Add `count` neighbours to the lanes, from the first one on again after the last; for `far` see `set_lanes`."""
    length = LINE // size_of(total)
    while count > 0:
        lane, here = 0, min(lanes, count)
        while lane + length <= here:
            add_vectors(total, lane, x, mask, start + lane, 0, ONE, ONE, ONE, (far, 0, 0), False)
            lane += length
        if lane < here:
            add_tail(total, lane, x, mask, start + lane, 0, ONE, ONE, here - lane, False)
        start += lanes
        count -= lanes


@register_jitable(**INSIDE)
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


@overload(sum_fours, jit_options=INSIDE)
def _sum_fours(x, mask, first, last, start, out):
    if not (isinstance(x.dtype, numba.types.Float) and isinstance(mask, numba.types.NoneType)):
        return lambda x, mask, first, last, start, out: (first, 0)

    def in_vectors(x, mask, first, last, start, out):
        strange, o, length, like = 0, first, LINE // size_of(out), total_of(out)
        while o < last and (out.ctypes.data + o * size_of(out)) % LINE:
            even = element(x, None, 4 * o, like) + element(x, None, 4 * o + 2, like)
            odd = element(x, None, 4 * o + 1, like) + element(x, None, 4 * o + 3, like)
            value = convert(even + odd + start, out)
            out[o] = value
            strange += is_strange(value)
            o += 1
        if (last - o) * size_of(out) >= STREAMED:
            while o + length <= last:
                fetch_elements(x, 4 * o + AHEAD // size_of(x), 4 * length)
                strange += store_fours(x, start, out, o, ())
                o += length
        while o + length <= last:
            fetch_elements(x, 4 * o + AHEAD // size_of(x), 4 * length)
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
        source, target = (_data(context, builder, kind, arguments[i]) for i, kind in ((0, x), (2, out)))
        length = LINE * 8 // out.dtype.bitwidth
        element, wide = context.get_value_type(x.dtype), numba.float64
        at = builder.mul(arguments[3], ir.IntType(64)(4))
        pointer = builder.bitcast(builder.gep(source, [at]), ir.VectorType(element, 4 * length).as_pointer())
        fours = builder.load(pointer, align=x.dtype.bitwidth // 8)

        def column(number):
            return _converted(builder, _chosen(builder, fours, fours, range(number, 4 * length, 4)), x.dtype, wide)

        even, odd = (builder.fadd(column(number), column(number + 2)) for number in (0, 1))
        value = builder.fadd(builder.fadd(even, odd), _repeated(builder, arguments[1], length))
        store, is_strange = _stored(builder, value, wide, out.dtype, builder.gep(target, [arguments[3]]), LINE)
        if streamed != numba.none:
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return is_strange

    return numba.int64(x, numba.float64, out, numba.intp, streamed), generate


@register_jitable(**INSIDE)
def add_pair(x, mask, start, stride, step, paired, stage, lanes):
    """Set ``lanes[k]`` to the element at ``start + k * stride``, plus the one `step` after it if there is one."""
    if paired:
        for k in range(lanes.size):
            at = start + k * stride
            lanes[k] = convert(element(x, mask, at, stage), lanes) + convert(element(x, mask, at + step, stage), lanes)
    else:
        for k in range(lanes.size):
            lanes[k] = element(x, mask, start + k * stride, stage)
