"""Who takes a sum that kernels can take: in which passes, and where elements are, or after a copy."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Group, Reduction
from dispatch.reduction.layout import contiguous_strides, merged
from dispatch_cpu import recipes, row_sums
from dispatch_cpu.copies import DIMENSIONS, PACKED, blocks_of, is_converted
from dispatch_cpu.copy_rules import gains_by_copy, leaps, suits_numpy
from dispatch_cpu.in_place import can_read, first_pass, is_parallel, plan_in_place, repeats
from dispatch_cpu.kernel_route import KernelRoute
from dispatch_cpu.one_call import OneCall
from dispatch_cpu.row_sums import Jobs, touched
from dispatch_cpu.summation import SERIAL


def plan_route(
    a: NDArray[Any], reduction: Reduction, started: np.dtype[Any] | None = None
) -> KernelRoute | OneCall | None:
    """Return what sums arrays like `a` by kernels; None where they cannot read its elements, or take longer than NumPy.

    The mask has to be a plain array, and `started` is that of `OneCall`: of other routes an initial value is left.
    """
    is_read, mask = can_read(a.dtype, reduction.dtype), reduction.where
    if not is_read and not is_converted(a.dtype, reduction.dtype):
        return None
    layout, result = reduction.layout, started or reduction.dtype
    passes = None
    if is_read and (mask is None or (mask.shape == a.shape and is_parallel(mask, a) and not repeats(a))):
        passes = _plan_passes(reduction, result, masked=mask is not None, threads=True)
    is_exact = reduction.dtype.kind in "iu" and mask is None  # in NumPy too
    if passes is not None and is_exact and suits_numpy(passes[0]):
        return None
    parts = 2 if result.kind == "c" else 1
    if passes is None or gains_by_copy(passes, parts):
        ordered = _ordered(reduction)
        packed = _packed(ordered, any_size=passes is not None and leaps(passes[0], parts))
        over_packed = packed and _plan_packed_passes(packed, result)
        if over_packed:
            return OneCall(a, over_packed, ordered, packed, started)
        if is_over_many_axes(reduction):
            return None
    if passes is None:
        return None
    if layout.factor == 1 and all(jobs.is_for_one_thread for jobs in passes):
        return OneCall(a, passes, reduction, None, started)
    if started is not None:  # whatever is added to sums afterwards, they are rounded once
        passes = _plan_passes(reduction, reduction.dtype, masked=mask is not None, threads=True) or passes
    return KernelRoute(a, passes, reduction)


def is_over_many_axes(reduction: Reduction) -> bool:
    """Whether there is one sum, over more than two groups of axes: all but one of them are taken first."""
    pattern = reduction.layout.pattern
    return len(pattern) > 2 and "K" not in pattern


def _ordered(reduction: Reduction) -> Reduction:
    """Return a sum with the groups that are reduced together: one pass takes them in a copy."""
    groups = reduction.layout.groups
    last = bool(groups) and groups[-1].reduced and reduction.count > SERIAL
    in_order = sorted(groups, key=lambda group: group.reduced is last)
    return replace(reduction, layout=replace(reduction.layout, groups=tuple(in_order)))


def _packed(reduction: Reduction, *, any_size: bool) -> Reduction | None:
    """Return the sum of a contiguous copy of the elements; None where that is too large to be made in one call.

    Operands of `any_size` are copied in blocks, others where threads do not take less time.
    Where there are blocks of rows, its first group are these blocks, and it is kept.
    """
    groups = reduction.layout.groups
    if reduction.layout.factor != 1 or not 0 < len(groups) <= DIMENSIONS or _is_too_large(reduction, any_size):
        return None
    extents, reduced = [group.extent for group in groups], [group.reduced for group in groups]
    blocks, copied = blocks_of(reduction), []
    if blocks.summed and blocks.parts > 1:  # with what changes no sum where the last one has fewer units
        copied = [Group(blocks.parts, (blocks.block * blocks.size,), False)]
        extents[0] = blocks.block
    steps = contiguous_strides(extents, reduction.operand.itemsize)
    spaced = zip(extents, steps, reduced, strict=True)
    copied += merged(Group(extent, (step,), is_reduced) for extent, step, is_reduced in spaced)
    layout = replace(reduction.layout, groups=tuple(copied), offsets=(0,))
    operand = reduction.dtype if is_converted(reduction.operand, reduction.dtype) else reduction.operand
    return replace(reduction, operand=operand, layout=layout, where=None)


def _is_too_large(reduction: Reduction, any_size: bool) -> bool:
    """Whether a block, or all if there is but one, would not stay in the cache, or threads take less time.

    They do not where a copy of `any_size` takes less, and what no kernel reads takes them longer.
    """
    groups, itemsize, blocks = reduction.layout.groups, reduction.operand.itemsize, blocks_of(reduction)
    span = 0 if blocks.units > 1 else sum(group.extent * group.strides[0] for group in groups)
    steps = [group.strides[0] for group in groups if group.strides[0]]
    size = blocks.outer * blocks.units * blocks.size // itemsize
    if max(blocks.size * blocks.block, span) > PACKED:
        return True
    any_size |= is_converted(reduction.operand, reduction.dtype)
    return touched(size, itemsize, steps) > row_sums.THREADED and not any_size


def _plan_passes(reduction: Reduction, result: np.dtype[Any], *, masked: bool, threads: bool) -> list[Jobs] | None:
    """Return the passes over the groups, for that dtype of the result; None where one cannot read elements in place."""
    groups = [Group(group.extent, group.strides[:1], group.reduced) for group in reduction.layout.groups]
    is_single = result in (np.float32, np.complex64)
    dtype, operation = reduction.operand, reduction.dtype
    passes: list[Jobs] = []
    while any(group.reduced for group in groups):
        others, rows, columns = first_pass([group.extent for group in groups], [group.reduced for group in groups])
        left = [groups[group] for group in others] + ([] if columns is None else [groups[columns]])
        recipe, written = recipes.recipe(dtype, operation), None
        if reduction.layout.factor == 1 and not any(group.reduced for group in left):
            writes_single = is_single and "f4" in recipes.results(recipe, masked=masked and not passes)
            written = "f4" if writes_single else recipe.total
        walk = [*(groups[group] for group in others), groups[rows]]
        walk.append(Group(1, (0,), False) if columns is None else groups[columns])
        steps = tuple(group.strides[0] for group in walk)
        jobs = plan_in_place([group.extent for group in walk], steps, dtype, operation, written, threads=threads)
        if jobs is None:
            return None
        passes.append(jobs)
        # What comes out is contiguous, in the accumulator's dtype.
        dtype = operation = recipes.total(reduction.dtype)
        steps = contiguous_strides([group.extent for group in left], dtype.itemsize)
        groups = [Group(group.extent, (step,), group.reduced) for group, step in zip(left, steps, strict=True)]
    return passes or None


def _plan_packed_passes(packed: Reduction, result: np.dtype[Any]) -> list[Jobs] | None:
    """Return the passes over a copy: there is one, and where it sums blocks of rows a second one over a single row."""
    groups = packed.layout.groups
    if prod(group.extent for group in groups if not group.reduced) == packed.sums:
        return _plan_passes(packed, result, masked=False, threads=False)
    wide = recipes.total(packed.dtype)
    columns = [Group(group.extent, (wide.itemsize,), False) for group in groups[1:] if not group.reduced]
    row = replace(packed.layout, groups=(Group(1, (0,), True), *columns))
    total = replace(packed, operand=wide, dtype=wide, layout=row)
    over_blocks = _plan_passes(packed, wide, masked=False, threads=False)
    over_row = _plan_passes(total, result, masked=False, threads=False)
    return over_blocks and over_row and [*over_blocks, *over_row]
