"""Compiled sums of few floats: generalized ufuncs around the kernels of `sum_kernels`.

A call of one costs less than NumPy's own sum, and than a call of a compiled function that takes a plan.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array

from dispatch_cpu import sum_kernels
from dispatch_cpu.sum_kernels import sum_rows, sum_short_rows


@intrinsic
def memory_of(typing_context, array, start):
    """Return the memory from the real number `start` of an array on, as a vector; complex numbers are pairs."""
    real = getattr(array.dtype, "underlying_float", array.dtype)
    kind = numba.types.Array(real, 1, "C")

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        data = builder.bitcast(data, context.get_data_type(real).as_pointer())
        memory = context.make_array(kind)(context, builder)
        one, size = (context.get_constant(numba.intp, n) for n in (1, real.bitwidth // 8))
        populate_array(
            memory,
            data=builder.gep(data, [arguments[1]]),
            shape=[one],
            strides=[size],
            itemsize=size,
            meminfo=None,
        )
        return memory._getvalue()

    return kind(array, numba.intp), generate


@register_jitable
def add_up(x, out, outer, rows, columns, outer_step, row_step, order):
    """Write the sums of (outer, rows, columns) over the rows, from 0 on; steps are bytes."""
    most_lanes, serial, most_columns = order[:3]
    size = memory_of(x, 0).itemsize
    width = columns * (x.itemsize // size)
    outer_stride, row_stride, start = outer_step // size, row_step // size, 0
    if row_stride < 0:
        start, row_stride = (rows - 1) * row_stride, -row_stride
    lanes = 1
    while 2 * lanes * width <= most_lanes:
        lanes *= 2
    column_stride = 1 if width > 1 else row_stride
    stripe = width if lanes > 1 else min(width, most_columns)
    numbers = (outer_stride, row_stride, column_stride, rows, width, lanes, serial * lanes, rows, 1, stripe, 1)
    plan, memory, sums = np.array(numbers), memory_of(x, start), memory_of(out, 0)
    if width * rows <= most_lanes and width <= 2 and (outer > 1 or row_stride == width):
        sum_short_rows(memory, None, plan, 0, outer, sums)
    else:
        sum_rows(memory, None, plan, 0, outer * ((width + stripe - 1) // stripe), sums)


def wide(like, n):
    """Return `n` float64, or complex128 if the array `like` is complex."""


@overload(wide)
def _wide(like, n):
    dtype = numba.complex128 if isinstance(like.dtype, numba.types.Complex) else numba.float64
    return lambda like, n: np.empty(n, dtype)


def functions(*order):
    """Return what is compiled, by the ufunc's signature; what it is compiled for is a part of it, as its closure.

    They are named after what NumPy calls a sum in its warnings.
    """

    def of_all():
        def reduce(x, out):
            add_up(x, out, 1, x.shape[0], 1, 0, x.strides[0], order)

        return reduce

    def of_columns():
        def reduce(x, out):
            rows, columns = x.shape
            add_up(x, out, 1, rows, columns, 0, x.strides[0], order)

        return reduce

    def of_rows():
        def reduce(x, out):
            outer, rows = x.shape
            steps = x.strides
            add_up(x, out, outer, rows, 1, steps[0], steps[1], order)

        return reduce

    def of_cubes():
        def reduce(x, out):
            outer, rows, columns = x.shape
            steps = x.strides
            add_up(x, out, outer, rows, columns, steps[0], steps[1], order)

        return reduce

    def of_slabs():
        def reduce(x, out):  # x is contiguous
            rows, outer, inner = x.shape
            size = x.itemsize
            if inner > order[0]:  # so that no element passes more additions than the whole sum allows
                sums = wide(x, rows * outer)
                add_up(x, sums, rows * outer, inner, 1, inner * size, size, order)
                add_up(sums, out, 1, rows, outer, 0, outer * sums.itemsize, order)
            else:
                sums = wide(x, outer * inner)
                add_up(x, sums, 1, rows, outer * inner, 0, outer * inner * size, order)
                add_up(sums, out, outer, inner, 1, inner * sums.itemsize, sums.itemsize, order)

        return reduce

    return {
        "(r)->()": of_all(),
        "(r,c)->(c)": of_columns(),
        "(o,r)->(o)": of_rows(),
        "(o,r,c)->(o,c)": of_cubes(),
        "(r,o,s)->(o)": of_slabs(),
    }


def sum_few(layout: str, element: str, result: str, *order: int) -> Any:
    """Return a generalized ufunc that sums over rows.

    A single column may have any strides; several lie one behind the other.

    Parameters
    ----------
    layout : str
        The ufunc's signature: rows are called r, columns c, and what has sums of its own o.
    element, result : str
        The dtypes of what is read and of what is written, real or complex.
    order : int
        The most lanes, the rows that a lane adds one after the other (`summation`), and the columns that are worked on
        at a time.
    """
    element_type, result_type = (numba.from_dtype(np.dtype(dtype)) for dtype in (element, result))
    entry, _, exit_ = layout.partition("->")
    dimensions = (part.count(",") + (part != "()") for part in (entry, exit_))
    arrays = [
        numba.types.Array(kind, max(count, 1), "A")
        for kind, count in zip((element_type, result_type), dimensions, strict=True)
    ]
    vectorize = numba.guvectorize([numba.void(*arrays)], layout, nopython=True, cache=True, boundscheck=False)
    return vectorize(functions(*order, _version())[layout]).ufunc


def mark_few(layout: str, element: str, result: str, *order: int) -> None:
    """Load what is left on disk behind the compiled `sum_few`, or else leave it there.

    Numba says that it begins to compile a function, but not that it begins to compile a ufunc. So whoever compiles the
    ufunc leaves a function after it, and whoever must not compile looks for that one first.
    """
    known = (layout, element, result, *order, _version())

    @numba.njit(cache=True)
    def mark():
        return known

    mark()


def _version() -> int:
    """Return what changes with `sum_kernels`: Numba watches but the file in which a function is written."""
    return int.from_bytes(sha256(Path(sum_kernels.__file__).read_bytes()).digest()[:7], "big")
