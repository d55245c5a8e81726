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

from dispatch_cpu import recipes
from dispatch_cpu.recipes import Key
from dispatch_cpu.sum_kernels import OPTIONS, converts_halves

ALL, COLUMNS, ROWS, CUBES, SLABS, BLOCK = range(6)
"""The places of layouts in `recipes.LAYOUTS`."""

FIRST, SECOND = 7, 12
"""Where in what `reduce` is told the passes begin; blocks and slabs take two."""

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
def add_up(told, at, x, mask, out, outer, rows, columns, outer_step, row_step):
    """Write the sums of (outer, rows, columns) over the rows, from 0 on; what is told of this pass begins `at`."""
    parts, most_lanes, serial, most_columns = told[2], told[4], told[5], told[6]
    size, written, result = told[at], told[at + 1], told[at + 2]
    width = columns * parts
    outer_stride, row_stride = outer_step // size, row_step // size
    lanes = 1
    while 2 * lanes * width <= most_lanes:
        lanes *= 2
    column_stride = 1 if width > 1 else row_stride
    stripe = width if lanes > 1 else min(width, most_columns)
    pair_stride = row_stride if columns == 1 and parts == 2 and row_stride != 2 else -1
    strides, sizes = (outer_stride, row_stride, column_stride), (rows, width, lanes, serial * lanes, rows, 1, stripe)
    plan = (*strides, *sizes, 1, pair_stride)
    kernel, jobs = told[at + 3], outer * ((width + stripe - 1) // stripe)
    if width * rows <= most_lanes and width <= 2 and (outer > 1 or row_stride == width):
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


@register_jitable
def add_twice(told, x, mask, out, first, steps, second):
    """Write sums of sums: those of `first`, with these `steps`, are contiguous and have the extents of `second`."""
    number = 8 * told[2]
    (outer, rows, columns), (outer_step, row_step) = first, steps
    sums = np.empty(outer * columns * number, np.uint8)
    add_up(told, FIRST, x, mask, sums, outer, rows, columns, outer_step, row_step)
    outer, rows, columns = second
    add_up(told, SECOND, sums, memory_at(0, 0), out, outer, rows, columns, rows * columns * number, columns * number)


@register_jitable
def add_slabs(told, x, mask, out, rows, outer, inner):
    """Write the sums of contiguous (rows, outer, inner) over the first and the last."""
    size, most_lanes = told[2] * told[FIRST], told[4]
    if inner > most_lanes:  # so that no element passes more additions than the whole sum allows
        add_twice(told, x, mask, out, (rows * outer, inner, 1), (inner * size, size), (1, rows, outer))
    else:
        add_twice(told, x, mask, out, (1, rows, outer * inner), (0, outer * inner * size), (outer, inner, 1))


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
    layout, masked, sum_bytes = told[0], told[1], told[2] * told[3]
    first = 3 if masked else 2
    for i in range(extents[0]):
        if layout in (ALL, COLUMNS):
            outer, rows, columns = 1, extents[1], extents[2] if layout == COLUMNS else 1
            outer_step, row_step = 0, steps[first]
        elif layout == SLABS:
            outer, rows, columns = extents[2], extents[1], 1
            outer_step, row_step = 0, 0  # it is contiguous
        else:
            outer, rows, columns = (
                1 if layout == BLOCK else extents[1],
                extents[2],
                extents[3] if layout == CUBES else 1,
            )
            outer_step, row_step = steps[first], steps[first + 1]
        at = operands[0] + i * steps[0]
        if row_step < 0:
            at, row_step = at + (rows - 1) * row_step, -row_step
        x, mask = memory_at(at, 1), memory_at(0, 0)
        if masked:
            mask = memory_at(operands[1] + i * steps[1], 1)
        out = memory_at(operands[first - 1] + i * steps[first - 1], outer * columns * sum_bytes)
        # Sums are NaN until they are written: NumPy does not ask whether there was memory for the partial ones.
        out[:] = 255
        if layout == BLOCK:
            add_twice(told, x, mask, out, (extents[1], rows, 1), (outer_step, row_step), (1, extents[1], 1))
        elif layout == SLABS:
            add_slabs(told, x, mask, out, rows, outer, extents[3])
        else:
            add_up(told, FIRST, x, mask, out, outer, rows, columns, outer_step, row_step)


def sum_few(key: Key, order: Iterable[int], address_of: Callable[[Key], int]) -> Any:
    """Return a generalized ufunc that sums over rows.

    A single column may have any strides; several lie one behind the other. A mask is the second operand: then both are
    contiguous.

    Parameters
    ----------
    key : Key
        Its signature and dtypes.
    order : iterable of int
        The most lanes, the rows that a lane adds one after the other (`summation`), and the columns that are worked on
        at a time.
    address_of : callable
        Returns where a kernel begins.
    """
    element, result = np.dtype(key.recipe.element), np.dtype(key.result)
    parts = 2 if result.kind == "c" else 1
    told = [recipes.LAYOUTS.index(key.name), key.masked, parts, result.itemsize // parts, *order]
    for recipe, written, masked, number in recipes.few_passes(key):
        kernels = (address_of(Key(name, recipe, written, masked)) for name in recipes.KERNELS)
        told += [*(np.dtype(dtype).itemsize for dtype in (recipe.element, written, number)), *kernels]
    kept = np.array(told, np.int64)
    reduce.compile((POINTER,) * 4)
    [compiled] = reduce.overloads.values()
    loop = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    dtypes = [element.num, np.dtype(np.bool_).num, result.num] if key.masked else [element.num, result.num]
    operand, _, sums = key.name.partition("->")
    signature = f"{operand},{operand}->{sums}" if key.masked else key.name
    return fromfunc("reduce", None, [loop], [dtypes], len(dtypes) - 1, 1, [kept.ctypes.data], kept, -1, signature, ())
