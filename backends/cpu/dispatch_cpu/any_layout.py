"""Sums of any layout and dtype: rows that a kernel can read where they are, and otherwise packed, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction
from dispatch_cpu import kernels, recipes, row_sums, summation
from dispatch_cpu.in_place import can_read, first_pass, is_parallel, plan_in_place
from dispatch_cpu.memory_views import view
from dispatch_cpu.parallel import run_over_rows
from dispatch_cpu.signals import signal

PACKED = 1 << 15
"""Elements that are copied into one buffer, about, where no kernel can walk the strides: they stay in the cache."""

THREADED = 1 << 20
"""Elements from which threads share the packing, which takes longer than the sum."""

A_TASK = 1 << 22
"""Bytes of a chunk of long rows: with fewer, threads take turns at the interpreter rather than run side by side."""


def take(a: NDArray[Any], reduction: Reduction, *, copied: Reduction | None = None, compiled: bool = True) -> Any:
    """Return the sum of `a`, of any layout that can be summed.

    It is that of a copy, if there is a sum of what is `copied`, as `_copy_of` makes it. Unless it is `compiled`, NumPy
    takes few elements.
    """
    if copied is None:
        raw = raw_sums(a, reduction, compiled=compiled)
    else:
        raw = raw_sums(_copy_of(a, reduction, copied), copied, compiled=compiled)
        if raw.size > copied.sums:  # of parts of the rows
            raw = summation.sum_neighbours(raw.reshape(1, -1, copied.sums))[0]
    if raw.dtype.kind in "fc" and not np.isfinite(raw).all():
        signal(a, reduction, raw)
    return reduction.finish(raw)


def raw_sums(a: NDArray[Any], reduction: Reduction, *, compiled: bool = True) -> NDArray[Any]:
    """Return the raw sums of `reduction`, in its accumulator's dtype."""
    elements, mask = _walks(a, reduction)
    reduced = [group.reduced for group in reduction.layout.groups]
    dtype = reduction.dtype
    if not any(reduced):  # every axis that is summed over repeats the same elements: the sum is a multiple
        return _pack(elements, mask, dtype).astype(recipes.total(dtype))
    while True:
        others, rows, columns = first_pass(elements.shape, reduced)
        order = [*others, rows] if columns is None else [*others, rows, columns]
        elements = elements.transpose(order)
        mask = None if mask is None else mask.transpose(order)
        if columns is None:
            elements = elements[..., None]
            mask = None if mask is None else mask[..., None]
        sums = _sum_rows(elements, mask, dtype, compiled=compiled)
        reduced = [reduced[group] for group in order if group != rows]
        if not any(reduced):
            return sums
        elements, mask, dtype = sums[..., 0] if columns is None else sums, None, sums.dtype


def _copy_of(a: NDArray[Any], reduction: Reduction, copied: Reduction) -> NDArray[Any]:
    """Return contiguous elements of `a`, in the order of the layout's groups.

    In what changes no sum there are those that a mask leaves out, and those that are only in the layout of the copy.
    """
    elements = _pack(*_walks(a, reduction), copied.operand.newbyteorder("=")).reshape(-1)
    missing = prod(group.extent for group in copied.layout.groups) - elements.size
    if missing:
        elements = np.append(elements, np.full(missing, neutral(elements.dtype), elements.dtype))
    return elements


def _walks(a: NDArray[Any], reduction: Reduction) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return the operand and the mask with an axis for each of the layout's groups."""
    layout = reduction.layout
    extents = [group.extent for group in layout.groups]
    elements = view(a, layout.offsets[0], a.dtype, extents, [group.strides[0] for group in layout.groups])
    if reduction.where is None:
        return elements, None
    steps = [group.strides[1] for group in layout.groups]
    return elements, view(reduction.where, layout.offsets[1], np.dtype(np.bool_), extents, steps)


def _sum_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any], *, compiled: bool) -> NDArray[Any]:
    """Return the sums over the last axis but one of `x`, its elements cast to `dtype`."""
    direct = _sum_in_place(x, mask, dtype) if compiled else None
    if direct is not None:
        return direct
    if dtype.kind in "iu" and kernels.find("sum_rows", recipes.recipe(dtype), "i8", masked=False) is None:
        return np.asarray(np.add.reduce(x, -2, recipes.total(dtype), where=True if mask is None else mask))
    sums = np.empty((*x.shape[:-2], x.shape[-1]), recipes.total(dtype))
    threaded = x.size >= THREADED
    if x.shape[-2] * x.shape[-1] <= PACKED:
        pieces = list(_pieces(x.shape[:-2], x.shape[-2] * x.shape[-1]))

        def take(first: int, last: int) -> None:
            for piece in pieces[first:last]:
                packed = _pack(x[piece], None if mask is None else mask[piece], dtype)
                packed = packed.reshape(-1, *packed.shape[-2:])
                sums[piece] = _as(row_sums.sum_packed(packed, compiled=compiled), sums.dtype).reshape(sums[piece].shape)

        _run_over_rows(take, len(pieces), 1, threaded=threaded)
        return sums
    for index in np.ndindex(x.shape[:-2]):
        sums[index] = _sum_long(x[index], None if mask is None else mask[index], dtype, threaded=threaded)
    return sums


def _sum_long(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any], *, threaded: bool) -> NDArray[Any]:
    """Return the sums over the rows of a (rows, width) array, packed a piece at a time."""
    rows, width = x.shape
    columns = width * (2 if dtype.kind == "c" else 1)
    chunk = row_sums.chunk_rows(rows, columns, 8, A_TASK)
    piece = row_sums.chunk_rows(rows, columns, 8, 8 * PACKED) if columns <= summation.LANES else chunk
    partial = np.empty((1, -(-rows // piece), width), recipes.total(dtype))

    def take(first: int, last: int) -> None:
        buffer = np.empty((min(piece, last - first), width), dtype.newbyteorder("="))
        for start in range(first, last, piece):
            part = slice(start, min(start + piece, last))
            packed = _pack(x[part], None if mask is None else mask[part], dtype, buffer)
            partial[0, start // piece] = _as(row_sums.sum_packed(packed[None]), partial.dtype)[0]

    _run_over_rows(take, rows, chunk, threaded=threaded)
    total: NDArray[Any] = summation.sum_neighbours(partial)[0]
    return total


def _run_over_rows(take: Callable[[int, int], None], rows: int, chunk: int, *, threaded: bool) -> None:
    """Call `take` for ranges of rows, on all cores with the caller's `numpy.errstate`, which is a thread's own."""
    if not threaded:
        for first in range(0, rows, chunk):
            take(first, min(first + chunk, rows))
        return
    settings: Any = {**np.geterr(), "call": np.geterrcall()}

    def take_as_caller(first: int, last: int) -> None:
        with np.errstate(**settings):
            take(first, last)

    run_over_rows(take_as_caller, rows, chunk)


def _sum_in_place(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return the sums by a kernel that reads `x` where it is; None if dtype, strides or alignment do not allow it."""
    if not x.flags.aligned or not can_read(x.dtype, dtype):
        return None
    if mask is not None and not is_parallel(mask, x):
        return None
    jobs = plan_in_place(x.shape, x.strides, x.dtype, dtype)
    kernel = None if jobs is None else jobs.find_kernel(masked=mask is not None)
    if jobs is None or kernel is None:
        return None
    element = np.dtype(jobs.recipe.element)
    span = view(x, 0, element, (1,), (element.itemsize,))
    over = None if mask is None else view(mask, 0, mask.dtype, (1,), (1,))
    sums, _ = jobs.run(kernel.call, span, over)
    return _as(sums, recipes.total(dtype)).reshape(*x.shape[:-2], x.shape[-1])


def _as(sums: NDArray[Any], total: np.dtype[Any]) -> NDArray[Any]:
    """Return sums of pairs as complex numbers."""
    return sums.view(total) if total.kind == "c" and sums.dtype.kind == "f" else sums


def _pieces(outer: tuple[int, ...], each: int) -> Iterator[tuple[Any, ...]]:
    """Return indices that split the outer axes into pieces of about `PACKED` elements."""
    if not outer or prod(outer) * each <= PACKED:
        yield ()
        return
    inside = prod(outer[1:]) * each
    if inside >= PACKED:
        for i in range(outer[0]):
            for piece in _pieces(outer[1:], each):
                yield (i, *piece)
        return
    step = PACKED // inside
    for start in range(0, outer[0], step):
        yield (slice(start, start + step),)


def _pack(
    x: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    dtype: np.dtype[Any],
    buffer: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return contiguous elements of `x`, cast, with what changes no sum where the mask is False, or `x`.

    They may be in `buffer`, which has as many rows or more.
    """
    native = dtype.newbyteorder("=")
    if mask is None and x.dtype == dtype and x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned:
        return x
    if mask is not None and x.dtype.newbyteorder("=") == native:
        # Three times as fast as a copy under the mask; but what it returns has the order of what it is given.
        return np.ascontiguousarray(np.where(mask, x, np.array(neutral(dtype), native)))
    packed = np.empty(x.shape, native) if buffer is None else buffer[: len(x)]
    if mask is None:
        np.copyto(packed, x, casting="unsafe")
        return packed
    packed.fill(neutral(dtype))
    np.copyto(packed, x, casting="unsafe", where=mask)
    return packed


def neutral(dtype: np.dtype[Any]) -> complex:
    """Return what changes no sum."""
    return complex(-0.0, -0.0) if dtype.kind == "c" else -0.0 if dtype.kind == "f" else 0
