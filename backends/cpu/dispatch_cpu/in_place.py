"""Which arrays a kernel can read where they are, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Group
from dispatch.reduction.layout import merged
from dispatch_cpu import recipes, row_sums

SHORT = 64
"""Elements of a row below which rows that are summed as a whole are added to each other first, if there are more."""


def can_read(element: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether the kernel for `element` gives the sum in which each element is cast to `dtype` first."""
    if not element.isnative and recipes.name_of(element) not in recipes.SWAPPED:
        return False
    if element.newbyteorder("=") == dtype or recipes.is_cast(element, dtype):
        return True
    widened = element.kind == dtype.kind and dtype.itemsize == 2 * element.itemsize and element.itemsize > 2
    return (element.kind in "biu" and dtype.kind in "iu") or (element.kind in "fc" and widened)


def is_parallel(mask: NDArray[np.bool_], x: NDArray[Any]) -> bool:
    """Whether kernels walk a mask of the same shape beside `x`: it has the same strides, in elements.

    Complex numbers have two elements for one of the mask; for swapped bytes under masks, which are rare, nothing is
    compiled: they are packed.
    """
    steps = zip(mask.strides, x.strides, x.shape, strict=True)
    is_plain = x.dtype.kind != "c" and x.dtype.isnative
    return is_plain and all(m * x.itemsize == s for m, s, n in steps if n > 1)


def repeats(x: NDArray[Any]) -> bool:
    """Whether there is an axis along which `x` has the same elements again."""
    return any(step == 0 and n > 1 for step, n in zip(x.strides, x.shape, strict=True))


def first_pass(extents: Sequence[int], reduced: Sequence[bool]) -> tuple[list[int], int, int | None]:
    """Return the groups of axes with sums of their own, the one that is summed over first, and that of the columns.

    It is the innermost of those that are reduced. If that is the last one, and short, a longer one is taken first, with
    its elements as columns.
    """
    last = len(extents) - 1
    inner_first = [group for group in reversed(range(len(extents))) if reduced[group]]
    rows = inner_first[0]
    if rows == last and extents[last] < SHORT:
        rows = max(inner_first, key=lambda group: extents[group])
    columns = None if rows == last else last
    return [group for group in range(len(extents)) if group not in (rows, columns)], rows, columns


def plan_in_place(
    extents: Sequence[int],
    steps: Sequence[int],
    dtype: np.dtype[Any],
    operation: np.dtype[Any],
    result: str | None = None,
    *,
    threads: bool = True,
) -> row_sums.Jobs | None:
    """Return the jobs that sum (…, rows, width) elements over their rows; None if more than two strides lead to them.

    Parameters
    ----------
    extents, steps : sequence of int
        How many there are of each, and bytes from one to the next.
    dtype, operation : numpy.dtype
        Of the elements, and what they are cast to.
    result, threads : str and bool, optional
        As `row_sums.plan_jobs` takes them.
    """
    recipe = recipes.recipe(dtype, operation)
    size = np.dtype(recipe.element).itemsize
    *outer, rows, width = extents
    if any(step % size for step, n in zip(steps, extents, strict=True) if n > 1):
        return None
    *outer_steps, row_step, column_step = (step // size for step in steps)
    walk = merged(Group(n, (step,), False) for n, step in zip(outer, outer_steps, strict=True) if n > 1)
    if len(walk) > 2:
        return None
    far, near = [Group(1, (0,), False)] * (2 - len(walk)) + walk
    pair_step = None
    if dtype.kind == "c":
        pair_step = row_step if width == 1 else column_step
        pair_step = None if pair_step == 2 else pair_step
        width, column_step = 2 * width, 1
    return row_sums.plan_jobs(
        far.extent * near.extent,
        rows,
        width,
        (near.strides[0], row_step, column_step),
        recipe,
        threads=threads,
        result=result,
        pair_stride=pair_step,
        near=near.extent,
        far_stride=far.strides[0],
    )
