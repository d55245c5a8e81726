"""Who takes a sum that kernels can take: in which passes, and where elements are, or after a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Group, Reduction
from dispatch.reduction.layout import contiguous_strides, merged
from dispatch_cpu import recipes, row_sums
from dispatch_cpu.copies import DIMENSIONS, PACKED, blocks_of
from dispatch_cpu.in_place import can_read, first_pass, is_parallel, plan_in_place, repeats
from dispatch_cpu.kernel_route import KernelRoute
from dispatch_cpu.one_call import OneCall
from dispatch_cpu.row_sums import GATHERED, Jobs, Plan, touched
from dispatch_cpu.summation import SERIAL

NEAR = 16
"""Sums of short rows that are taken side by side below which a copy in which they are more takes less time."""

NARROW = 9
"""Columns of a job below which it takes longer than a copy in which it is one with others."""

MOST, FEW = 64, 1 << 10
"""The same for jobs of less than so many columns, if they have no more elements than that."""


def plan_route(
    a: NDArray[Any], reduction: Reduction, started: np.dtype[Any] | None = None
) -> KernelRoute | OneCall | None:
    """Return what sums arrays like `a` by kernels; None where they cannot read its elements, or take longer than NumPy.

    The mask has to be a plain array, and `started` is that of `OneCall`: of other routes an initial value is left.
    """
    if not can_read(a.dtype, reduction.dtype):
        return None
    mask, layout, result = reduction.where, reduction.layout, started or reduction.dtype
    passes = None
    if mask is None or (mask.shape == a.shape and is_parallel(mask, a) and not repeats(a)):
        passes = _plan_passes(reduction, result, masked=mask is not None, threads=True)
    is_exact = reduction.dtype.kind in "iu" and mask is None  # in NumPy too
    if passes is not None and is_exact and _suits_numpy(passes[0]):
        return None
    if passes is None or _gains_by_packing(passes, 2 if result.kind == "c" else 1):
        ordered = _ordered(reduction)
        packed = _packed(ordered)
        over_packed = packed and _plan_passes(packed, result, masked=False, threads=False)
        if over_packed:
            return OneCall(a, over_packed, ordered, packed, started)
        if is_over_many_axes(reduction):
            return None
    if passes is None:
        return None
    if layout.factor == 1 and all(jobs.is_for_one_thread for jobs in passes):
        return OneCall(a, passes, reduction, None, started)
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


def _packed(reduction: Reduction) -> Reduction | None:
    """Return the sum of a contiguous copy of the elements; None where that is too large to be made in one call."""
    groups = reduction.layout.groups
    if reduction.layout.factor != 1 or len(groups) > DIMENSIONS or _is_too_large(reduction):
        return None
    steps = contiguous_strides([group.extent for group in groups], reduction.operand.itemsize)
    spaced = zip(groups, steps, strict=True)
    copied = merged(Group(group.extent, (step,), group.reduced) for group, step in spaced)
    layout = replace(reduction.layout, groups=tuple(copied), offsets=(0,))
    return replace(reduction, layout=layout, where=None)


def _is_too_large(reduction: Reduction) -> bool:
    """Whether a block, or all if there is but one, would not stay in the cache, or threads take less time."""
    groups, itemsize, blocks = reduction.layout.groups, reduction.operand.itemsize, blocks_of(reduction)
    span = 0 if blocks.units > 1 else sum(group.extent * group.strides[0] for group in groups)
    steps = [group.strides[0] for group in groups if group.strides[0]]
    size = blocks.size * blocks.units // itemsize
    return max(blocks.size * blocks.block, span) > PACKED or touched(size, itemsize, steps) > row_sums.THREADED


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
        dtype = operation = np.dtype({"f": "f8", "c": "c16"}.get(reduction.dtype.kind, "i8"))
        steps = contiguous_strides([group.extent for group in left], dtype.itemsize)
        groups = [Group(group.extent, (step,), group.reduced) for group, step in zip(left, steps, strict=True)]
    return passes or None


def _gains_by_packing(passes: Sequence[Jobs], parts: int) -> bool:
    """Whether elements, of so many parts, are added in less time after a copy: in one job, or as neighbours."""
    jobs = passes[0]
    outer, columns = jobs.shape[0], jobs.shape[2] // parts
    plan = Plan(*jobs.plan.tolist())
    if jobs.kernel == "sum_short_rows":
        is_cut_short = plan.near < min(outer, NEAR) if plan.rows <= SERIAL else len(passes) > 1
        return is_cut_short or (_has_short_rows_apart(jobs) and jobs.recipe.element not in GATHERED)
    if columns == 1:
        return False
    if len(passes) == 1 and (outer == 1 or plan.outer_stride > plan.row_stride):
        return False
    return columns < NARROW or (outer > 1 and columns < MOST and plan.rows * columns <= FEW)


def _suits_numpy(jobs: Jobs) -> bool:
    """Whether NumPy adds integers in as little time, and elements need not be copied for that."""
    return _has_short_rows_apart(jobs) and jobs.recipe.element == "i8"


def _has_short_rows_apart(jobs: Jobs) -> bool:
    plan = Plan(*jobs.plan.tolist())
    return jobs.kernel == "sum_short_rows" and plan.row_stride != plan.width and plan.rows > SERIAL
