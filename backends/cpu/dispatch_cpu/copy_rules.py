"""Which sums take less time after a copy of their elements, or by NumPy, as measured: `routes` asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dispatch_cpu.row_sums import GATHERED, LINE, Jobs, Plan
from dispatch_cpu.summation import LANES, SERIAL

NEAR = 16
"""Sums of short rows that are taken side by side below which a copy in which they are more takes less time."""

FEW_PAIRS = 8
"""Complex numbers of a row from which on up to `SERIAL` of them take longer than a copy of many such rows."""

SHORT_APART = 32
"""Elements of a row that are no neighbours from which on a copy takes less time, if processors do not gather them."""

WIDE = 4
"""Bytes of elements that a kernel takes a row of in as little time as a copy."""

PARTIAL = 1 << 10
"""Elements of a row, and bytes of a job, up to which a copy takes less time if their sums are still to be added."""

NARROW = 9
"""Columns of a job below which it takes longer than a copy in which it is one with others."""

MOST, FEW = 128, 1 << 10
"""The same for jobs of less than so many columns, if they have no more elements than that."""

NARROW_APART, FEW_APART = 5, 1 << 9
"""The same where columns are no neighbours, which takes longer to copy."""

SMALL = 1 << 11
"""The same for jobs of no more bytes where each has columns of its own, if they are not more than `MOST`."""

FAR = 3 << 21
"""Bytes that all jobs read from which on a copy takes less time if each reads few columns of all rows: one after the
other, they walk memory that no cache holds.
"""


def gains_by_copy(passes: Sequence[Jobs], parts: int) -> bool:
    """Whether elements, of so many parts, are added in less time after a copy: in one job, or as neighbours."""
    jobs, is_partial = passes[0], len(passes) > 1
    plan, itemsize = Plan(*jobs.plan.tolist()), np.dtype(jobs.recipe.element).itemsize
    if jobs.kernel == "sum_short_rows":
        return _gain_short_rows(jobs, plan, parts, is_partial and itemsize < WIDE)
    if plan.width == parts:
        return _gain_rows(plan, itemsize < WIDE, is_partial)
    return _gain_columns(jobs, plan, parts, itemsize, is_partial)


def _gain_short_rows(jobs: Jobs, plan: Plan, parts: int, is_slow: bool) -> bool:
    if plan.rows <= SERIAL:
        return plan.near < min(jobs.shape[0], NEAR) or (parts == 2 and plan.rows > FEW_PAIRS)
    is_gathered = jobs.recipe.element in GATHERED
    return is_slow or (_has_short_rows_apart(jobs) and not is_gathered and plan.rows > SHORT_APART)


def _gain_rows(plan: Plan, is_narrow: bool, is_partial: bool) -> bool:
    if plan.rows * plan.width <= LANES:
        return True
    if plan.row_stride > 2:
        return is_narrow
    return is_narrow and is_partial and plan.row_stride != 2 and plan.rows <= PARTIAL


def _gain_columns(jobs: Jobs, plan: Plan, parts: int, itemsize: int, is_partial: bool) -> bool:
    if leaps(jobs, parts):
        return True
    outer, columns, size = jobs.shape[0], plan.width // parts, plan.rows * plan.width * itemsize
    are_neighbours = plan.column_stride == 1 and plan.pair_stride <= parts
    if are_neighbours:
        is_narrow, few = columns < NARROW or plan.width * itemsize <= LINE, FEW
    else:
        is_narrow, few = columns < NARROW_APART, FEW_APART
    if not is_partial and outer == 1:
        return is_narrow and plan.row_stride != plan.width
    if not is_partial and plan.outer_stride > plan.row_stride:
        return columns <= MOST and size <= SMALL
    if is_narrow:
        return plan.row_stride != plan.width or plan.rows * columns <= FEW
    return outer > 1 and ((columns < MOST and plan.rows * columns <= few) or (is_partial and size <= PARTIAL))


def leaps(jobs: Jobs, parts: int) -> bool:
    """Whether each job reads few lines of all rows, one of `LINE` bytes or two, and others what is between these."""
    plan, itemsize = Plan(*jobs.plan.tolist()), np.dtype(jobs.recipe.element).itemsize
    if jobs.shape[0] == 1 or plan.width == parts or plan.outer_stride >= plan.row_stride:
        return False
    span = max(plan.column_stride * plan.width, plan.pair_stride * plan.width // 2) * itemsize
    if span <= LINE and span > plan.width * itemsize:  # columns that are apart
        return True
    return span <= 2 * LINE and jobs.shape[0] * plan.rows * span > FAR


def suits_numpy(jobs: Jobs) -> bool:
    """Whether NumPy adds integers in as little time, and elements need not be copied for that."""
    return _has_short_rows_apart(jobs) and jobs.recipe.element == "i8"


def _has_short_rows_apart(jobs: Jobs) -> bool:
    plan = Plan(*jobs.plan.tolist())
    return jobs.kernel == "sum_short_rows" and plan.row_stride != plan.width and plan.rows > SERIAL
