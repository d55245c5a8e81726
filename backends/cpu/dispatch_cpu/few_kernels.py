"""Sums of few floats: generalized ufuncs that call the kernels of `sum_kernels`.

A call of one costs less than NumPy's own sum, and than a call of a compiled function that takes a plan. What is
compiled here is one function for all of them: it is told the dtypes, and the kernels for these by their addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import populate_array
from numba.np.ufunc._internal import fromfunc

from dispatch_cpu import few_layouts, recipes
from dispatch_cpu.few_layouts import LAYOUTS
from dispatch_cpu.recipes import Key
from dispatch_cpu.sum_kernels import OPTIONS, converts_halves

MASKED, PARTS, NUMBER, LANES, SERIAL, STRIPE, FEW_ROWS, SHORT, DIMENSIONS = range(9)
"""Where in what `reduce` is told there is: whether there is a mask, of how many numbers an element consists, and of how
many bytes one of the result; what `summation` says; the least elements of a row that is not short, and the dimensions.
"""

WAY, ACROSS, FIRST, SECOND = 9, 16, 23, 28
"""Where the two `few_layouts.Way` of its layout begin, and what there is of each of two passes: the bytes of a number
that is read, written and kept, and the addresses of the kernels.
"""

ABSENT = 3
"""That of `few_layouts`."""

MEMORY = numba.types.Array(numba.uint8, 1, "C")
"""What everything here is; of what dtype it is the kernels know themselves."""


@intrinsic
def call(typing_context, kernel, plan, x, size, mask, last, out, written):
    """Call the kernel at an address for all jobs before the `last`.

    The plan is a tuple, elements of `x` and of `out` have so many bytes, and the mask may be None.
    """
    numbers = numba.types.Array(numba.int64, 1, "C")
    kinds = (MEMORY, mask, numbers, numba.intp, numba.intp, MEMORY)

    def generate(context, builder, signature, arguments):
        kernel, plan, x, size, mask, last, out, written = arguments
        plan = _array(context, builder, numbers, cgutils.alloca_once_value(builder, plan), 1, 8)
        x, out = (
            _array(context, builder, MEMORY, context.make_array(MEMORY)(context, builder, array).data, 1, itemsize)
            for array, itemsize in ((x, size), (out, written))
        )
        function = builder.inttoptr(kernel, context.call_conv.get_function_type(numba.int64, kinds).as_pointer())
        values = (x, mask, plan, context.get_constant(numba.intp, 0), last, out)
        status, _ = context.call_conv.call_function(builder, function, numba.int64, kinds, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return numba.void(kernel, plan, x, size, mask, last, out, written), generate


@intrinsic
def memory_at(typing_context, address, length):
    """Return so many bytes from an address on."""

    def generate(context, builder, signature, arguments):
        return _array(context, builder, MEMORY, builder.inttoptr(arguments[0], cgutils.voidptr_t), arguments[1], 1)

    return MEMORY(numba.intp, numba.intp), generate


def _array(context, builder, kind, pointer, length, itemsize):
    """Generate an array over memory that belongs to another; kernels do not ask how long it is."""
    array = context.make_array(kind)(context, builder)
    length, itemsize = (context.get_constant(numba.intp, n) if isinstance(n, int) else n for n in (length, itemsize))
    pointer = builder.bitcast(pointer, array.data.type)
    populate_array(array, pointer, shape=[length], strides=[itemsize], itemsize=itemsize, meminfo=None)
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


@register_jitable
def add_up(told, at, x, mask, out, extents, steps):
    """Write the sums of (far, near, rows, columns) over the rows, from 0 on; what is told of this pass begins `at`."""
    (far, near, rows, columns), (far_step, near_step, row_step, column_step) = extents, steps
    parts, most_lanes = told[PARTS], told[LANES]
    size, written, result = told[at], told[at + 1], told[at + 2]
    if near > 1 and columns > 1 and near_step == columns * column_step:
        near, columns = 1, near * columns
    if near == 1 or far_step == near * near_step:
        far, near, near_step = 1, far * near, near_step if near > 1 else far_step
    outer, width = far * near, columns * parts
    row_stride, apart = row_step // size, (column_step if columns > 1 else row_step) // size
    column_stride = apart if parts == 1 else 1
    in_pairs = parts == 2 and apart != 2
    lanes = 1
    while 2 * lanes * width <= most_lanes:
        lanes *= 2
    stripe = width if lanes > 1 else min(width, told[STRIPE] if rows > told[FEW_ROWS] else told[STRIPE] // 8)
    strides = (near_step // size, row_stride, column_stride)
    sizes = (rows, width, lanes, told[SERIAL] * lanes, rows, 1, stripe)
    plan = (*strides, *sizes, 1, int(in_pairs), apart, near, far_step // size)
    kernel, jobs = told[at + 3], outer * ((width + stripe - 1) // stripe)
    is_one = width == 1 or (width == 2 and column_stride == 1)
    is_short = is_one and width * rows <= most_lanes and (outer > 1 or row_stride == width)
    if is_short and (rows <= told[SERIAL] or near >= min(outer, told[SERIAL])):
        kernel, jobs = told[at + 4], outer
    sums = out if written == result else np.empty(outer * width * written, np.uint8)
    if mask.size == 0:
        call(kernel, plan, x, size, None, jobs, sums, written)
    elif parts == 1:
        call(kernel, plan, x, size, mask, jobs, sums, written)
    else:
        call(kernel, plan, x, size, doubled(mask, outer * rows * columns), jobs, sums, written)
    if written != result and result == 4:
        singles = out.view(np.float32)
        for i, total in enumerate(sums.view(np.float64)):
            singles[i] = total
    elif written != result:
        halves = out.view(np.uint16)
        for i, total in enumerate(sums.view(np.float64)):
            halves[i] = to_half(total)


@register_jitable
def doubled(mask, count):
    """Return a mask for the parts of so many complex numbers."""
    marks = np.empty(2 * count, np.uint8)
    for i in range(count):
        marks[2 * i] = marks[2 * i + 1] = mask[i]
    return marks


POINTER = numba.types.CPointer(numba.intp)


@numba.njit(**OPTIONS)
def reduce(operands, extents, steps, told):
    """Sum what NumPy hands to a generalized ufunc. It is named after what NumPy calls a sum in its warnings.

    Parameters
    ----------
    operands, extents, steps : pointer to int
        The addresses of the operand, the mask if there is one, and the result; how often there is something to sum, and
        the extents that the signature names; and the bytes from one to the next.
    told : pointer to int
        What `sum_few` keeps for it.
    """
    arrays = 3 if told[MASKED] else 2
    sizes = (extents[1], extents[2] if told[DIMENSIONS] > 1 else 1, extents[3] if told[DIMENSIONS] > 2 else 1, 1)
    leaps = (
        steps[arrays],
        steps[arrays + 1] if told[DIMENSIONS] > 1 else 0,
        steps[arrays + 2] if told[DIMENSIONS] > 2 else 0,
        0,
    )
    way, last = WAY, sizes[told[ACROSS + 3]]
    if last < told[SHORT] and sizes[told[ACROSS + 2]] > last:
        way = ACROSS
    far, near, rows, columns = told[way], told[way + 1], told[way + 2], told[way + 3]
    walk, first = (sizes[far], sizes[near], sizes[rows], sizes[columns]), leaps[rows]
    walked = (leaps[far], leaps[near], abs(first), leaps[columns])
    near, rows, columns = told[way + 4], told[way + 5], told[way + 6]
    is_twofold, number = rows != ABSENT, 8 * told[PARTS]
    again = (1, sizes[near], sizes[rows], sizes[columns])
    count = walk[0] * walk[1] * walk[3]
    for i in range(extents[0]):
        # A sum that begins at the other end of its rows is the same for NumPy, which copies some arrays.
        x = memory_at(operands[0] + i * steps[0] + min(first, 0) * (walk[2] - 1), 1)
        mask = memory_at(0, 0)
        if told[MASKED]:
            mask = memory_at(operands[1] + i * steps[1], 1)
        results = again[1] * again[3] if is_twofold else count
        out = memory_at(operands[arrays - 1] + i * steps[arrays - 1], results * told[PARTS] * told[NUMBER])
        # Sums are NaN until they are written: NumPy does not ask whether there was memory for the partial ones.
        out[:] = 255
        if is_twofold:
            sums = np.empty(count * number, np.uint8)
            add_up(told, FIRST, x, mask, sums, walk, walked)
            inside = again[3] * number
            add_up(told, SECOND, sums, memory_at(0, 0), out, again, (0, again[2] * inside, inside, number))
        else:
            add_up(told, FIRST, x, mask, out, walk, walked)


def sum_few(key: Key, order: Iterable[int], address_of: Callable[[Key], int]) -> Any:
    """Return a generalized ufunc that sums over rows.

    The operand may have any strides. A mask is the second operand: then both are contiguous.

    Parameters
    ----------
    key : Key
        Its signature and dtypes.
    order : iterable of int
        The most lanes, the rows that a lane adds one after the other, the columns that are worked on at a time, and the
        rows that are few (`summation`).
    address_of : callable
        Returns where a kernel begins.
    """
    element, result = np.dtype(key.recipe.element), np.dtype(key.result)
    parts = 2 if result.kind == "c" else 1
    layout = LAYOUTS[key.name]
    told = [key.masked, parts, result.itemsize // parts, *order, few_layouts.SHORT, layout.dimensions]
    for way in (layout.way, layout.across or layout.way):
        told += [way.far, way.near, way.rows, way.columns, *way.second]
    for recipe, written, masked, number in recipes.few_passes(key):
        kernels = (address_of(Key(name, recipe, written, masked)) for name in recipes.KERNELS)
        told += [*(np.dtype(dtype).itemsize for dtype in (recipe.element, written, number)), *kernels]
    kept = np.array(told, np.int64)
    reduce.compile((POINTER,) * 4)
    [compiled] = reduce.overloads.values()
    loop = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    dtypes = [element.num, np.dtype(np.bool_).num, result.num] if key.masked else [element.num, result.num]
    operand, _, sums = layout.signature.partition("->")
    signature = f"{operand},{operand}->{sums}" if key.masked else layout.signature
    return fromfunc("reduce", None, [loop], [dtypes], len(dtypes) - 1, 1, [kept.ctypes.data], kept, -1, signature, ())
