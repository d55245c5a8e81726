"""Sums of the rows of (outer, rows, width) in memory, by a kernel, in chunks over all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import kernels, recipes, summation
from dispatch_cpu.parallel import run_over_rows
from dispatch_cpu.recipes import Recipe
from dispatch_cpu.summation import FEW_ROWS, LANES, SERIAL, STRIPE

LINE = 64
"""Bytes that memory delivers at once."""

TASK = 1 << 20
"""Bytes of the operand that one task of a thread reads."""

CHUNK = 256
"""Least rows of a job, if there are so many: the sums of jobs, which are added up afterwards, are few beside them."""

WRITTEN = 1 << 22
"""Bytes of new sums that one task of a thread writes, where there are enough: threads that write to the same huge page
for the first time clear it both.
"""

GATHERED = ("f4", "f8")
"""Elements that processors gather: floats in their order of bytes."""

THREADED = 3 << 23
"""Bytes of memory up to which the calling thread adds all that is in it (`touched`).

To wake another takes a fifth of a millisecond on a virtual machine, and one alone gets most of what a shared cache
gives.
"""


def touched(size: int, itemsize: int, steps: Iterable[int]) -> int:
    """Return the bytes of memory that are read for so many elements, by the bytes from one to the next along axes."""
    return size * min(max(min(map(abs, steps), default=itemsize), itemsize), LINE)


def chunk_rows(rows: int, width: int, itemsize: int, task: float = TASK) -> int:
    """Return the rows that are summed by one job: a power of two of tiles, so that the order does not depend on it.

    They have about `task` bytes.
    """
    chunk = SERIAL * summation.lanes(width)
    while chunk < rows and chunk * min(width, STRIPE) * itemsize < task:
        chunk *= 2
    return chunk


def stripe_columns(rows: int, width: int) -> int:
    """Return how many of so many columns one job takes: about `STRIPE`, and about as many as each other job.

    Of few rows it is an eighth.
    """
    stripes = max(round(width / (STRIPE if rows > FEW_ROWS else STRIPE // 8)), 1)
    return min(width, -(-width // (stripes * LANES)) * LANES)


class Plan(NamedTuple):
    """What a kernel is told about one operand, in the order in which it gets these numbers.

    Attributes
    ----------
    outer_stride, row_stride, column_stride : int
        Elements from one outer index, one row and one column to the next.
    rows, width : int
        The rows and columns of one outer index.
    lanes, tile_rows : int
        Lanes and rows of a tile.
    chunk, chunks : int
        Rows of a chunk, a power of two of tiles, and how many chunks there are.
    stripe : int
        Columns that one job takes: `width` if there is more than one lane.
    started : int
        1 if sums start from `initial` and `other`, 0 if from what changes no sum.
    in_pairs, pair_stride : int
        1 where columns are pairs of neighbours, complex numbers, and elements from one pair to the next.
    near, far_stride : int
        After how many outer indices the next one is not `outer_stride` further on, but `far_stride` from the first of
        them.
    initial, other : int
        The bits of what the sums of even columns start from, and of odd ones: as integers of 8 bytes, or as float64.
    """

    outer_stride: int
    row_stride: int
    column_stride: int
    rows: int
    width: int
    lanes: int
    tile_rows: int
    chunk: int
    chunks: int
    stripe: int
    started: int
    in_pairs: int
    pair_stride: int
    near: int
    far_stride: int
    initial: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class Jobs:
    """A kernel, what it is told, and how its work is split.

    Attributes
    ----------
    kernel : str
        The name of the kernel.
    recipe : Recipe
        Its dtypes.
    result : str
        The dtype in which it writes.
    plan : array of int64
        A `Plan`.
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
    plan: NDArray[np.int64]
    shape: tuple[int, int, int]
    count: int
    a_task: int

    @property
    def is_for_one_thread(self) -> bool:
        """Whether one thread takes all jobs, and there is nothing to add up afterwards."""
        return self.count <= self.a_task and self.shape[1] == 1

    def find_kernel(self, masked: bool) -> kernels.Kernel | None:
        """Return the kernel if it is ready."""
        return kernels.find(self.kernel, self.recipe, self.result, masked)

    def run(
        self, kernel: Callable[..., int], x: NDArray[Any], mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], bool]:
        """Return the sums of all outer indices and columns in a vector, and whether one of them is not finite.

        Parameters
        ----------
        kernel : callable
            That of what `find_kernel` returned.
        x, mask : 1-D array, writeable
            The memory from the first element on as the recipe's element dtype, and that of the mask, or None.
        """
        outer, chunks, width = self.shape
        out = np.empty(outer * chunks * width, self.result)
        if self.count <= self.a_task:
            strange = kernel(x, mask, self.plan, 0, self.count, out)
        else:
            found: list[int] = []

            def take(first: int, last: int) -> None:
                found.append(kernel(x, mask, self.plan, first, last, out))

            run_over_rows(take, self.count, self.a_task)
            strange = sum(found)
        if chunks == 1:
            return out, strange > 0
        sums = summation.sum_neighbours(out.reshape(self.shape)).reshape(-1)
        return sums, strange > 0 or not np.isfinite(sums).all()


def find_kernels(passes: Iterable[Jobs], *, masked: bool) -> list[kernels.Kernel] | None:
    """Return the kernels of passes, of which the first may be `masked`, or ask for them, and return None."""
    found = [jobs.find_kernel(masked and place == 0) for place, jobs in enumerate(passes)]
    ready = [kernel for kernel in found if kernel is not None]
    return ready if len(ready) == len(found) else None


def plan_jobs(
    outer: int,
    rows: int,
    width: int,
    strides: tuple[int, int, int],
    recipe: Recipe,
    *,
    threads: bool,
    result: str | None = None,
    pair_stride: int | None = None,
    near: int | None = None,
    far_stride: int = 0,
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
    result : str, optional
        The dtype of final sums: if one job takes all rows, they start from 0 and are written in it. By default sums are
        those that others are added to.
    pair_stride, near, far_stride : int, optional
        Those of the `Plan`; by default, columns are evenly spaced, and one stride walks all outer indices.
    """
    itemsize = np.dtype(recipe.element).itemsize
    extents = zip((outer, rows, width), (strides[0], strides[1], pair_stride or strides[2]), strict=True)
    steps = (step * itemsize for extent, step in extents if extent > 1)
    threaded = threads and touched(outer * rows * width, itemsize, steps) > THREADED
    lanes = summation.lanes(width)
    chunk = max(chunk_rows(rows, width, itemsize), CHUNK) if threaded else chunk_rows(rows, width, itemsize, math.inf)
    stripe = width if lanes > 1 else stripe_columns(rows, width)
    shape = (outer, -(-rows // chunk), width)
    finished = result is not None and shape[1] == 1
    row_stride = strides[1]
    column_stride = strides[2] if width > 1 else row_stride
    sizes = (rows, width, lanes, SERIAL * lanes, chunk, shape[1], stripe)
    near = max(outer, 1) if near is None else near
    walk = (pair_stride is not None, pair_stride or 0, near, far_stride)
    plan = Plan(strides[0], row_stride, column_stride, *sizes, finished, *walk)
    count = outer * shape[1] * -(-width // stripe)
    a_task = count
    if threaded:
        a_task = max(TASK // (min(chunk, rows) * stripe * itemsize), min(WRITTEN // (stripe * 8), count // 8), 1)
    # Each lane has one row at most, and the columns of a row are one or a pair.
    is_short = width * rows <= LANES and (width == 1 or (width == 2 and column_stride == 1))
    # Unless its vectors go along rows, it takes as many outer indices at a time as one stride walks.
    is_short &= rows <= SERIAL or near >= min(outer, SERIAL) or row_stride == width or recipe.element in GATHERED
    name = "sum_short_rows" if is_short else "sum_rows"
    written = result if result is not None and finished else recipe.total
    return Jobs(name, recipe, written, np.array(plan, np.int64), shape, count, a_task)


@lru_cache(maxsize=64)
def _plan_packed(outer: int, rows: int, width: int, recipe: Recipe) -> Jobs:
    return plan_jobs(outer, rows, width, (rows * width, width, 1), recipe, threads=False)


def sum_packed(x: NDArray[Any], *, compiled: bool = True) -> NDArray[Any]:
    """Return the sums over the rows of a contiguous (outer, rows, width) array, complex ones as pairs.

    Unless they are to be `compiled`, no kernel is asked for.
    """
    recipe = recipes.recipe(x.dtype)
    outer, rows, width = x.shape[0], x.shape[1], x.shape[2] * (2 if x.dtype.kind == "c" else 1)
    jobs = _plan_packed(outer, rows, width, recipe)
    kernel = jobs.find_kernel(masked=False) if compiled else None
    if kernel is None:
        if x.dtype.kind not in "fc":
            return np.asarray(x.sum(axis=1, dtype=recipe.total))
        real = x.view(x.real.dtype).reshape(outer, rows, width)
        return summation.sum_rows(real, np.dtype(recipe.stage), np.dtype(recipe.total))
    return jobs.run(kernel.call, x.reshape(-1).view(recipe.element), None)[0].reshape(outer, width)
