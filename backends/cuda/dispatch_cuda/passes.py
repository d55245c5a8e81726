"""How a sum is made of passes: each adds up one group of axes, the innermost first, in chunks of a fixed size.

The sizes depend on the shape and the dtype alone, so that a sum has the same bits on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from dispatch.reduction import Group

WARP = 32

SHORT, MEDIUM = 16, 4096
"""Elements up to which a row is one thread's, and a warp's; longer rows are a block's."""

ROW_TASKS, LEAST_CHUNK = 4096, 16384
"""Blocks that long rows are split over, and elements of a chunk at least."""

COLUMN_TASKS, LEAST_ROWS = 1 << 17, 64
"""Threads that columns are split over, and rows of a chunk at least."""

FLAT = 256
"""Columns to which a narrow contiguous block is widened by taking several rows as one."""

MULTIPLE = 16
"""Chunks and widened rows are multiples of this many elements, so that vectors stay aligned: the lanes of bytes."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One launch. Extents count elements, strides are those of the operand and of the mask, in elements.

    Attributes
    ----------
    outer : tuple of Group
        Axes each index of which has sums of its own.
    n : int
        Elements, or rows of columns, of each sum.
    step : (int, int)
        Strides from one to the next.
    chunk : int
        How many of them are added up into one result.
    columns : Group or None
        The columns; None for a sum of rows.
    ragged : int
        Columns that a row behind the last has.
    results : tuple of Group
        The groups of what comes out.
    """

    outer: tuple[Group, ...]
    n: int
    step: tuple[int, ...]
    chunk: int
    columns: Group | None
    ragged: int
    results: tuple[Group, ...]

    @property
    def tasks(self) -> int:
        """Chunks of all sums."""
        return prod(group.extent for group in self.outer) * max(-(-self.n // self.chunk), 1)

    @property
    def outputs(self) -> int:
        """How many numbers come out."""
        return self.tasks * (self.columns.extent if self.columns else 1)


def next_pass(groups: Sequence[Group]) -> Pass:
    """Return the pass that adds up the innermost reduced group; without any, one that copies each element."""
    reduced = [index for index, group in enumerate(groups) if group.reduced]
    if not reduced:
        return _rows(groups, Group(1, (0, 0), True))
    outer, summed, kept = groups[: reduced[-1]], groups[reduced[-1]], groups[reduced[-1] + 1 :]
    if not kept:
        return _rows(outer, summed)
    inner = kept[-1]
    together = _rows_together(inner.extent)
    if len(kept) == 1 and _continues(summed, inner) and together > 1 and summed.extent >= 4 * together:
        return _widened(outer, summed, inner, together)
    return _columns((*outer, *kept[:-1]), summed, inner)


def _rows_together(width: int) -> int:
    """Return how many rows of so many columns are taken as one: as many as keep vectors aligned, if any do."""
    most = FLAT // width
    return next((rows for rows in range(most, 1, -1) if rows * width % MULTIPLE == 0), most)


def _continues(outer: Group, inner: Group) -> bool:
    return all(far == near * inner.extent for far, near in zip(outer.strides, inner.strides, strict=True))


def _rows(outer: Sequence[Group], summed: Group) -> Pass:
    n = summed.extent
    chunk = max(n, 1)
    if n > MEDIUM:
        chunks = max(ROW_TASKS // prod(group.extent for group in outer), 1)
        chunk = max(-(-n // (chunks * MULTIPLE)) * MULTIPLE, LEAST_CHUNK)
    results = (*outer, Group(-(-n // chunk), (0, 0), True))
    return Pass(tuple(outer), n, summed.strides, chunk, None, 0, packed(results))


def _columns(outer: Sequence[Group], summed: Group, inner: Group) -> Pass:
    chunk = _rows_of_a_chunk(outer, summed.extent, inner.extent)
    results = (*outer, Group(-(-summed.extent // chunk), (0, 0), True), inner)
    return Pass(tuple(outer), summed.extent, summed.strides, chunk, inner, 0, packed(results))


def _widened(outer: Sequence[Group], summed: Group, inner: Group, together: int) -> Pass:
    """Return the pass that takes `together` rows of few columns as one row of many; each keeps a sum of its own."""
    n, left = divmod(summed.extent, together)
    wide = Group(together * inner.extent, inner.strides, False)
    chunk = _rows_of_a_chunk(outer, n, wide.extent)
    step = tuple(stride * together for stride in summed.strides)
    results = (*outer, Group(-(-n // chunk) * together, (0, 0), True), inner)
    return Pass(tuple(outer), n, step, chunk, wide, left * inner.extent, packed(results))


def _rows_of_a_chunk(outer: Sequence[Group], n: int, width: int) -> int:
    chunks = max(COLUMN_TASKS // (prod(group.extent for group in outer) * width), 1)
    return max(-(-n // chunks), LEAST_ROWS)


def packed(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return the groups with the strides that they have when their elements are stored without gaps, merged."""
    merged: list[Group] = []
    stride = 1
    for group in reversed(groups):
        if group.extent == 1:
            continue
        if merged and merged[-1].reduced == group.reduced:
            inner = merged.pop()
            merged.append(Group(group.extent * inner.extent, inner.strides, inner.reduced))
        else:
            merged.append(Group(group.extent, (stride, 0), group.reduced))
        stride *= group.extent
    return tuple(reversed(merged))
