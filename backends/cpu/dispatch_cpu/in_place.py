"""Which arrays a kernel can read where they are, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import recipes, row_sums, summation


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


def plan_in_place(
    extents: Sequence[int],
    steps: Sequence[int],
    dtype: np.dtype[Any],
    operation: np.dtype[Any],
    result: str | None = None,
) -> row_sums.Jobs | None:
    """Return the jobs that sum (outer, rows, width) elements over their rows; None for lanes of no even spacing.

    Parameters
    ----------
    extents, steps : sequence of int
        How many there are of each, and bytes from one to the next.
    dtype, operation : numpy.dtype
        Of the elements, and what they are cast to.
    result : str, optional
        As `row_sums.plan_jobs` takes it.
    """
    recipe = recipes.recipe(dtype, operation)
    size = np.dtype(recipe.element).itemsize
    outer, rows, width = extents
    if any(step % size for step, n in zip(steps, extents, strict=True) if n > 1):
        return None
    outer_step, row_step, column_step = (step // size for step in steps)
    is_even = width == 1 or row_step == width * column_step
    pair_step = -1
    if dtype.kind == "c":
        pair_step = row_step if width == 1 else column_step
        pair_step = -1 if pair_step == 2 else pair_step
        width, column_step = 2 * width, 1
    if not (is_even or summation.lanes(width) == 1):
        return None
    strides = (outer_step, row_step, column_step)
    return row_sums.plan_jobs(outer, rows, width, strides, recipe, threads=True, result=result, pair_stride=pair_step)
