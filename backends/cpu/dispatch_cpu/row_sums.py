"""Sums of the rows of (outer, rows, width) in memory, by a kernel, in chunks over all cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import kernels, recipes, summation
from dispatch_cpu.parallel import run_over_rows
from dispatch_cpu.recipes import Recipe
from dispatch_cpu.summation import SERIAL

STRIPE = 1024
"""Columns that are worked on at a time: their lanes stay in the first levels of the cache."""

TASK = 1 << 20
"""Bytes of the operand that one task of a thread reads."""

THREADED = 1 << 23
"""Bytes of the operand below which the calling thread does it all: what a thread costs is not won back."""

SHORT = 256
"""Rows up to which each lane has one, if there is a single column: a kernel of its own takes them."""


def chunk_rows(rows: int, width: int, itemsize: int) -> int:
    """Return the rows that are summed by one job: a power of two of tiles, so that the order does not depend on it."""
    chunk = SERIAL * summation.lanes(width)
    while chunk < rows and chunk * min(width, STRIPE) * itemsize < TASK:
        chunk *= 2
    return chunk


@dataclass(frozen=True, slots=True)
class Jobs:
    """What a kernel is told about one operand, and how its work is split.

    Attributes
    ----------
    kernel : str
        The name of the kernel.
    recipe : Recipe
        Its dtypes.
    result : str
        The dtype in which it writes.
    geometry : tuple
        Its arguments from `strides` to `first`.
    shape : tuple of int
        Of the kernel's output: outer, chunks, width.
    count : int
        How many jobs there are.
    a_task : int
        How many of them a thread takes at a time; all of them where one thread is enough.
    """

    kernel: str
    recipe: Recipe
    result: str
    geometry: tuple[Any, ...]
    shape: tuple[int, int, int]
    count: int
    a_task: int

    def find_kernel(self, masked: bool) -> Callable[..., int] | None:
        """Return the kernel if it is ready."""
        return kernels.find(self.kernel, self.recipe, self.result, masked)

    def run(
        self, kernel: Callable[..., int], x: NDArray[Any], mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], bool]:
        """Return the sums as (outer, width), and whether one of them is not finite.

        Parameters
        ----------
        kernel : callable
            What `find_kernel` returned.
        x, mask : 1-D array, read-only
            The memory from the first element on as the recipe's element dtype, and that of the mask, or None.
        """
        out = np.empty(self.shape, self.result)
        carriers = self.recipe.carriers
        if self.count <= self.a_task:
            strange = kernel(x, mask, *self.geometry, 0, self.count, *carriers, out)
        else:
            found: list[int] = []

            def take(first: int, last: int) -> None:
                found.append(kernel(x, mask, *self.geometry, first, last, *carriers, out))

            run_over_rows(take, self.count, self.a_task)
            strange = sum(found)
        if self.shape[1] == 1:
            return out[:, 0], strange > 0
        sums = summation.sum_neighbours(out)
        return sums, strange > 0 or not np.isfinite(sums).all()


def plan_jobs(
    outer: int,
    rows: int,
    width: int,
    strides: tuple[int, int, int],
    recipe: Recipe,
    *,
    threads: bool,
    finished: bool = False,
) -> Jobs:
    """Return the jobs for an operand.

    Parameters
    ----------
    outer, rows, width, strides : int and tuple of int
        The extents, and the elements from one index to the next along each of them.
    recipe : Recipe
        The dtypes.
    threads : bool
        Whether to use all cores, if there is enough to do.
    finished : bool
        Whether these are the final sums: then, if one job takes all rows, they start from 0 and are written in their
        final dtype.
    """
    itemsize = np.dtype(recipe.element).itemsize
    threaded = threads and outer * rows * width * itemsize >= THREADED
    if width == 1 and rows <= SHORT:
        start, result = (0 * recipe.neutral + 0, recipe.result) if finished else (recipe.neutral, recipe.total)
        a_task = max(TASK // (rows * itemsize), 1) if threaded else outer
        return Jobs("sum_short_rows", recipe, result, (strides[:2], rows, start), (outer, 1, 1), outer, a_task)
    lanes = summation.lanes(width)
    chunk = chunk_rows(rows, width, itemsize)
    stripe = width if lanes > 1 else min(width, STRIPE)
    shape = (outer, -(-rows // chunk), width)
    count = outer * shape[1] * -(-width // stripe)
    finished = finished and shape[1] == 1
    start, result = (0 * recipe.neutral + 0, recipe.result) if finished else (recipe.neutral, recipe.total)
    a_task = max(TASK // (min(chunk, rows) * stripe * itemsize), 1) if threaded else count
    steps = (strides[0], strides[1], strides[2] if width > 1 else strides[1])
    return Jobs("sum_rows", recipe, result, (steps, rows, width, lanes, chunk, stripe, start), shape, count, a_task)


def sum_packed(x: NDArray[Any]) -> NDArray[Any]:
    """Return the sums over the rows of a contiguous (outer, rows, width) array, complex ones as pairs."""
    recipe = recipes.recipe(x.dtype)
    outer, rows, width = x.shape[0], x.shape[1], x.shape[2] * (2 if x.dtype.kind == "c" else 1)
    jobs = plan_jobs(outer, rows, width, (rows * width, width, 1), recipe, threads=False)
    kernel = jobs.find_kernel(masked=False)
    if kernel is None:
        if x.dtype.kind not in "fc":
            return np.asarray(x.sum(axis=1, dtype=recipe.total))
        real = x.view(x.real.dtype).reshape(outer, rows, width)
        return summation.sum_rows(real, np.dtype(recipe.stage), np.dtype(recipe.total))
    span = x.reshape(-1).view(recipe.element)
    span.flags.writeable = False
    return jobs.run(kernel, span, None)[0]
