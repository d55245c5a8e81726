"""All passes of a sum in one call of a compiled function, which costs a tenth of a microsecond.

It takes no more from its arrays than where their elements are: everything else has been planned for arrays like them
(`one_call`). It calls the kernels of `sum_kernels` by their addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import llvmlite.ir as ir
import numba
import numpy as np
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_jitable, register_model, unbox
from numba.np.arrayobj import populate_array

from dispatch_cpu.sum_kernels import INSIDE, ONE, OPTIONS, TWO, converts_halves

HERE, PASSES, OFFSET, MASK_OFFSET, MASKED, HIGH = range(6)
ALIGNMENT, NUMBER, PARTS, BYTES, STARTED = range(6, 11)
"""Where in what `passes` is told there is: its own address; how many passes; bytes from the first element of the
operand, and of the mask, to where the walk starts, the lowest one; whether there is a mask; bytes from the operand's
first element to behind the highest one of the walk; of what number of bytes addresses have to be multiples; the bytes
of a real number of the result, of how many an element of it consists, and the bytes of all; and whether sums start
from an initial value, `INTEGER` if that is one.
"""

INTEGER = 2

PACKED, NEUTRAL, CAST, UNITS, BLOCK, BLOCKED, UNIT_BYTES, COLUMNS, SUMMED, ROWS = range(11, 21)
OUTER, OUTER_STRIDE, OUTER_MASK_STRIDE = range(21, 24)
"""The same of what is copied before it is summed, in blocks: the bytes of an element, or 0; what changes no sum;
whether elements are uint64 that become float64; how long the dimension is along which there are blocks, how many of its
units a block has, and which one it is; the bytes of a unit; its columns if a block is rows of these, or 0 if each unit
has rows of its own; whether there are sums for each block, which are added in pairs of neighbours: 1 if they are
integers and 2 if they are floats; and the rows of a unit then. Then how many times there are so many units, and the
bytes from one time to the next, in the operand and in the mask.
"""

EXTENTS, STRIDES, MASK_STRIDES, PACKED_STRIDES, WIDENED = 24, 28, 32, 36, 40
"""Of so many dimensions as there are between these numbers: the extents, the strides of the operand, of the mask and of
the copy, and what these are more for each unit of a block. The last dimension is walked first.
"""

SHORTEST = 8
"""Bytes from which on neighbours are copied several at once."""

FIRST = 44
"""Where the passes begin."""

KERNEL, JOBS, READ, WRITTEN, SUMS, PLAN = range(6)
"""Where in what it is told of a pass there is: the kernel's address; how many jobs; the bytes of a number that is read,
and that is written; how many of these; and the kernel's plan (`row_sums.Plan`).
"""

ROW_STRIDE, SUMMED_ROWS, WIDTH, STRIPE, INITIAL = 1, 3, 4, 9, 15
"""Where in a plan there is what depends on how many rows or columns a block has, and on what sums start from."""

PLAN_LENGTH = 17
PASS_LENGTH = PLAN + PLAN_LENGTH

UNFIT, OVERFLOW = -1, -2
"""What `passes` returns if it has done nothing, because elements are not aligned or `out` shares memory with them,
and if finite sums are not finite in the dtype of the result.
"""

DATA = object.__basicsize__
"""Bytes from the beginning of a `numpy.ndarray` to the address of its elements: it is its first field."""

NUMBERS = numba.types.Array(numba.int64, 1, "C")
MEMORY = numba.types.Array(numba.uint8, 1, "C")
"""What all memory is here; of what dtype it is the kernels know themselves."""


class Elements(numba.types.Type):
    """A `numpy.ndarray` of any dtype and layout, of which only the address of its first element is read."""

    def __init__(self) -> None:
        super().__init__("Elements")


@register_model(Elements)
class _ElementsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.IntType(64))


@unbox(Elements)
def _unbox(kind, array, c):
    """Read the field `data` of C's PyArrayObject."""
    object_ = c.builder.bitcast(array, ir.IntType(8).as_pointer())
    field = c.builder.gep(object_, [ir.IntType(64)(DATA)])
    return NativeValue(c.builder.load(c.builder.bitcast(field, ir.IntType(64).as_pointer())))


ARGUMENTS = (*[Elements()] * 4, numba.float64)


@intrinsic
def address(typing_context, elements):
    """Return where the first element of an array is."""
    return numba.intp(elements), lambda context, builder, signature, arguments: arguments[0]


@intrinsic
def numbers_at(typing_context, where):
    """Return the array of int64 that begins at an address."""

    def generate(context, builder, signature, arguments):
        return _array(context, builder, NUMBERS, arguments[0], PASS_LENGTH, 8)

    return NUMBERS(numba.intp), generate


@intrinsic
def memory_at(typing_context, where, length):
    """Return so many bytes from an address on."""

    def generate(context, builder, signature, arguments):
        return _array(context, builder, MEMORY, arguments[0], arguments[1], 1)

    return MEMORY(numba.intp, numba.intp), generate


@intrinsic
def load(typing_context, where, dtype):
    """Return what is at an address, which need not be aligned."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], context.get_value_type(dtype.dtype).as_pointer())
        return builder.load(pointer, align=1)

    return dtype.dtype(where, dtype), generate


@intrinsic
def store(typing_context, number, where):
    """Write a number to an address."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[0], builder.inttoptr(arguments[1], arguments[0].type.as_pointer()))
        return context.get_dummy_value()

    return numba.void(number, where), generate


@intrinsic
def move(typing_context, source, target, parts, dtype, kind):
    """Copy so many parts of that dtype, a tuple is as long, from one address to another, as parts of that kind."""

    def generate(context, builder, signature, arguments):
        bits = len(parts) * context.get_value_type(dtype.dtype).width
        source, target = (builder.inttoptr(argument, ir.IntType(bits).as_pointer()) for argument in arguments[:2])
        value = builder.load(source, align=1)
        builder.store(value if kind == dtype else _as_float(builder, value), target, align=1)
        return context.get_dummy_value()

    return numba.void(source, target, parts, dtype, kind), generate


@intrinsic
def convert(typing_context, number, kind):
    """Return a number as one of that kind, as which it is stored."""

    def generate(context, builder, signature, arguments):
        return arguments[0] if number == kind.dtype else _as_float(builder, arguments[0])

    return number(number, kind), generate


def _as_float(builder, value):
    """Generate the bits of the float64 that is nearest to a uint64."""
    return builder.bitcast(builder.uitofp(value, ir.DoubleType()), ir.IntType(64))


@intrinsic
def call(typing_context, kernel, plan, x, size, mask, last, out, written):
    """Return what the kernel at an address returns for all jobs before the `last`.

    The elements of `x` and of `out` have so many bytes, and the mask may be None.
    """
    kinds = (MEMORY, mask, NUMBERS, numba.intp, numba.intp, MEMORY)

    def generate(context, builder, signature, arguments):
        kernel, plan, x, size, mask, last, out, written = arguments
        x, out = (
            _array(context, builder, MEMORY, context.make_array(MEMORY)(context, builder, array).data, 1, itemsize)
            for array, itemsize in ((x, size), (out, written))
        )
        function = builder.inttoptr(kernel, context.call_conv.get_function_type(numba.int64, kinds).as_pointer())
        values = (x, mask, plan, context.get_constant(numba.intp, 0), last, out)
        status, strange = context.call_conv.call_function(builder, function, numba.int64, kinds, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return strange

    return numba.int64(kernel, plan, x, size, mask, last, out, written), generate


def _array(context, builder, kind, where, length, itemsize):
    """Generate an array over memory that belongs to another; kernels do not ask how long it is."""
    array = context.make_array(kind)(context, builder)
    length, itemsize = (context.get_constant(numba.intp, n) if isinstance(n, int) else n for n in (length, itemsize))
    point = builder.bitcast if isinstance(where.type, ir.PointerType) else builder.inttoptr
    data = point(where, array.data.type)
    populate_array(array, data, shape=[length], strides=[itemsize], itemsize=itemsize, meminfo=None)
    return array._getvalue()


@intrinsic
def to_half(typing_context, number):
    """Return the 16 bits of the float16 that is nearest to a float64.

    It is cut to float32 first. If that leaves something out, its last bit is set, so that it is not halfway between two
    float16 where the number is not: nothing is rounded twice.
    """

    def generate(context, builder, signature, arguments):
        if not converts_halves():
            return ir.Constant(ir.IntType(16), 0)  # no kernel reads float16 then
        word = ir.IntType(64)
        bits = builder.bitcast(arguments[0], word)
        is_cut = builder.icmp_unsigned("!=", builder.and_(bits, word((1 << 29) - 1)), word(0))
        last = builder.shl(builder.zext(is_cut, word), word(29))
        bits = builder.or_(builder.and_(bits, word(-1 << 29)), last)
        single = builder.fptrunc(builder.bitcast(bits, ir.DoubleType()), ir.FloatType())
        return builder.bitcast(builder.fptrunc(single, ir.HalfType()), ir.IntType(16))

    return numba.uint16(number), generate


@register_jitable(**INSIDE)
def store_narrowed(sums, count, number, target):
    """Write float64 to an address as float32, or float16 if a `number` has 2 bytes; return whether all are finite."""
    source, strange = np.intp(sums.ctypes.data), 0
    if number == 4:
        for i in range(count):
            single = np.float32(load(source + 8 * i, np.float64))
            store(single, target + 4 * i)
            strange += not np.isfinite(single)
    else:
        for i in range(count):
            half = to_half(load(source + 8 * i, np.float64))
            store(half, target + 2 * i)
            strange += half & 0x7C00 == 0x7C00
    return strange == 0


@register_jitable(**INSIDE)
def started(plan, initial, number, parts, is_integer):
    """Return a kernel's plan for sums that start from an initial value, which is rounded as they are."""
    plan = plan[:PLAN_LENGTH].copy()
    at = np.intp(plan.ctypes.data) + 8 * INITIAL
    if is_integer:
        store(np.int64(initial), at)
        store(np.int64(initial), at + 8)
        return plan
    first = np.float64(np.float32(initial)) if number == 4 else initial
    store(first, at)
    store(first if parts == 1 else 0.0, at + 8)
    return plan


@register_jitable(**INSIDE)
def copy_run(source, target, length):
    """Copy so many neighbouring bytes, at least `SHORTEST`: the last ones with some that were copied before."""
    if length < 16:
        move(source, target, ONE, np.uint64, np.uint64)
        move(source + length - 8, target + length - 8, ONE, np.uint64, np.uint64)
        return
    for at in range(0, length - 15, 16):
        move(source + at, target + at, TWO, np.uint64, np.uint64)
    move(source + length - 16, target + length - 16, TWO, np.uint64, np.uint64)


@register_jitable(**INSIDE)
def copy_marked(source, mark, target, count, step, over, apart, parts, dtype, kind, neutral):
    """Copy `count` elements, with what is `neutral` where the mask is False."""
    size = 8  # of a part, where there are two
    for m in range(count):
        is_marked = load(mark + m * over, np.uint8)
        for part in range(len(parts)):
            number = convert(load(source + m * step + part * size, dtype), kind)
            store(number if is_marked else neutral, target + m * apart + part * size)


@register_jitable(**INSIDE)
def copy_elements(first, marks, units, to, parts, dtype, kind, plan):
    """Copy the elements of a block, of as many parts as `parts` is long; without a mask, `marks` are 0.

    What the loops need is read before them: for the compiler, what they write may be the plan.
    """
    neutral, blocked = dtype(plan[NEUTRAL]), plan[BLOCKED]
    extents = (
        units if blocked == 0 else plan[EXTENTS],
        units if blocked == 1 else plan[EXTENTS + 1],
        units if blocked == 2 else plan[EXTENTS + 2],
        units if blocked == 3 else plan[EXTENTS + 3],
    )
    steps = (plan[STRIDES], plan[STRIDES + 1], plan[STRIDES + 2], plan[STRIDES + 3])
    over = (plan[MASK_STRIDES], plan[MASK_STRIDES + 1], plan[MASK_STRIDES + 2], plan[MASK_STRIDES + 3])
    apart = (
        plan[PACKED_STRIDES] + units * plan[WIDENED],
        plan[PACKED_STRIDES + 1] + units * plan[WIDENED + 1],
        plan[PACKED_STRIDES + 2] + units * plan[WIDENED + 2],
        plan[PACKED_STRIDES + 3] + units * plan[WIDENED + 3],
    )
    run = extents[3] * plan[PACKED]
    is_run = marks == 0 and plan[CAST] == 0 and run >= SHORTEST and steps[3] == apart[3] == plan[PACKED]
    for i in range(extents[0]):
        for j in range(extents[1]):
            for k in range(extents[2]):
                source = first + i * steps[0] + j * steps[1] + k * steps[2]
                target = to + i * apart[0] + j * apart[1] + k * apart[2]
                mark = marks + i * over[0] + j * over[1] + k * over[2]
                if is_run:
                    copy_run(source, target, run)
                elif marks:
                    copy_marked(
                        source, mark, target, extents[3], steps[3], over[3], apart[3], parts, dtype, kind, neutral
                    )
                else:
                    for m in range(extents[3]):
                        move(source + m * steps[3], target + m * apart[3], parts, dtype, kind)


@register_jitable(**INSIDE)
def copy_block(first, marks, units, to, plan):
    """Copy so many units, with what changes no sum where the mask is False."""
    size = plan[PACKED]
    if plan[CAST]:
        copy_elements(first, marks, units, to, ONE, np.uint64, np.float64, plan)
    elif size == 16:
        copy_elements(first, marks, units, to, TWO, np.uint64, np.uint64, plan)
    elif size == 8:
        copy_elements(first, marks, units, to, ONE, np.uint64, np.uint64, plan)
    elif size == 4:
        copy_elements(first, marks, units, to, ONE, np.uint32, np.uint32, plan)
    elif size == 2:
        copy_elements(first, marks, units, to, ONE, np.uint16, np.uint16, plan)
    else:
        copy_elements(first, marks, units, to, ONE, np.uint8, np.uint8, plan)


@register_jitable(**INSIDE)
def add_neighbours(where, parts, length, dtype):
    """Add parts of so many bytes: pairs of neighbours, pairs of pairs, and so on; the first one is the sum then."""
    apart = 1
    while apart < parts:
        for part in range(0, parts - apart, 2 * apart):
            for at in range(where + part * length, where + (part + 1) * length, 8):
                store(load(at, dtype) + load(at + apart * length, dtype), at)
        apart *= 2


@register_jitable(**INSIDE)
def sum_copies(first, marks, plan, pass_plan, sums):
    """Write the sums of copies of all elements, as the first pass takes them."""
    units, block, columns, blocked, summed = plan[UNITS], plan[BLOCK], plan[COLUMNS], plan[BLOCKED], plan[SUMMED]
    kernel, size, written = plan[FIRST + KERNEL], plan[FIRST + READ], plan[FIRST + WRITTEN]
    memory = np.empty(block * plan[UNIT_BYTES], np.uint8)
    to = np.intp(memory.ctypes.data)
    if units == block:
        copy_block(first, marks, units, to, plan)
        return call(kernel, pass_plan, memory, size, None, plan[FIRST + JOBS], sums, written)
    # Each unit has as many jobs as others, or each block has, or it is one job: rows of columns of all its units.
    outer = plan[OUTER]
    parts = (units + block - 1) // block if summed else outer * units
    jobs, length, strange = plan[FIRST + JOBS] // parts, plan[FIRST + SUMS] // parts * written, 0
    pass_plan = pass_plan[:PLAN_LENGTH].copy()
    for o in range(outer):
        for begin in range(0, units, block):
            count = min(block, units - begin)
            at = first + o * plan[OUTER_STRIDE] + begin * plan[STRIDES + blocked]
            mark = marks + o * plan[OUTER_MASK_STRIDE] + begin * plan[MASK_STRIDES + blocked] if marks else 0
            copy_block(at, mark, count, to, plan)
            if summed:
                pass_plan[SUMMED_ROWS] = count * plan[ROWS]
                part = memory_at(np.intp(sums.ctypes.data) + begin // block * length, length)
                call(kernel, pass_plan, memory, size, None, jobs, part, written)
                continue
            if columns:
                pass_plan[ROW_STRIDE] = pass_plan[WIDTH] = pass_plan[STRIPE] = count * columns
            part = memory_at(np.intp(sums.ctypes.data) + (o * units + begin) * length, count * length)
            strange += call(kernel, pass_plan, memory, size, None, 1 if columns else count * jobs, part, written)
    if summed == 2:
        add_neighbours(np.intp(sums.ctypes.data), parts, length, np.float64)
    elif summed:
        add_neighbours(np.intp(sums.ctypes.data), parts, length, np.int64)
    return strange


@numba.njit(**{**OPTIONS, **INSIDE})
def passes(x, mask, out, told, initial):
    """Write the sums of `x` into `out`.

    Parameters
    ----------
    x, mask, out : ndarray
        The operand, the mask (whatever array if there is none), and what is contiguous in some order of its axes.
    told : ndarray of int64
        What was planned: `one_call` writes it.
    initial : float
        What sums start from, if that was planned.

    Returns
    -------
    int
        0 if all sums are finite, more if they are not; `UNFIT` or `OVERFLOW`.
    """
    first, target, plan = address(x), address(out), numbers_at(address(told))
    if first & (plan[ALIGNMENT] - 1) or target & (plan[NUMBER] - 1):
        return UNFIT
    if target < first + plan[HIGH] and first + plan[OFFSET] < target + plan[BYTES]:
        return UNFIT
    marks = address(mask) + plan[MASK_OFFSET] if plan[MASKED] else 0
    source, strange = memory_at(first + plan[OFFSET], 1), 0
    for i in range(plan[PASSES]):
        at = FIRST + i * PASS_LENGTH
        size, written = plan[at + READ], plan[at + WRITTEN]
        is_last = i + 1 == plan[PASSES]
        is_result = is_last and written == plan[NUMBER]
        sums = memory_at(target, plan[BYTES]) if is_result else np.empty(plan[at + SUMS] * written, np.uint8)
        pass_plan = numbers_at(address(told) + 8 * (at + PLAN))
        if is_last and plan[STARTED]:
            pass_plan = started(pass_plan, initial, plan[NUMBER], plan[PARTS], plan[STARTED] == INTEGER)
        if plan[PACKED] and i == 0:
            strange = sum_copies(first + plan[OFFSET], marks, plan, pass_plan, sums)
        elif marks:
            beside = memory_at(marks, 1)
            strange = call(plan[at + KERNEL], pass_plan, source, size, beside, plan[at + JOBS], sums, written)
        else:
            strange = call(plan[at + KERNEL], pass_plan, source, size, None, plan[at + JOBS], sums, written)
        if is_last and not is_result and not store_narrowed(sums, plan[at + SUMS], plan[NUMBER], target):
            strange = strange or OVERFLOW
        marks = 0
        source = sums
    return strange


@intrinsic
def handed_over(typing_context, x, mask, out, told, initial):
    """Return what `passes` returns, which is compiled once for all that call it."""
    kinds = (x, mask, out, told, initial)

    def generate(context, builder, signature, arguments):
        here = builder.inttoptr(arguments[3], ir.IntType(64).as_pointer())
        function = context.call_conv.get_function_type(numba.int64, kinds).as_pointer()
        function = builder.inttoptr(builder.load(builder.gep(here, [ir.IntType(64)(HERE)])), function)
        status, strange = context.call_conv.call_function(builder, function, numba.int64, kinds, arguments)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return strange

    return numba.int64(*kinds), generate


@numba.njit(**OPTIONS)
def run_passes(x, mask, out, told, initial):
    """Do as `passes`, while other threads of Python go on."""
    return handed_over(x, mask, out, told, initial)


@numba.njit(**{**OPTIONS, "nogil": False})
def run_few(x, mask, out, told, initial):
    """Do as `passes`, for few elements: to wait for another thread of Python may take thousands of times as long."""
    return handed_over(x, mask, out, told, initial)


def entry(name: str) -> tuple[Callable[..., int], int]:
    """Return a function as Python calls it without asking for the types of its arguments, and where `passes` is.

    Whatever it is given has to be an array, and what it was planned for.

    Raises
    ------
    RuntimeError
        Where the elements of arrays are not where they are looked for.
    """
    array = np.empty(1)
    if ctypes.c_size_t.from_address(id(array) + DATA).value != array.ctypes.data:
        raise RuntimeError("NumPy's arrays are not laid out as its C interface says")
    function = {"run_passes": run_passes, "run_few": run_few}[name]
    for compiled in (passes, function):
        compiled.compile(ARGUMENTS)
    code = passes.overloads[ARGUMENTS]
    return function.overloads[ARGUMENTS].entry_point, code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
