"""How a sum is made of passes: each adds up one group of axes, the innermost first, in chunks of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from dispatch.reduction import Group

LANES = {True: 8, False: 4}
"""Elements of a vector, on devices that stream and on those with groups."""

STRIPE = {True: 32, False: 1}
"""Vectors of columns that a work-item walks side by side: on a CPU enough to read whole pages, on a GPU one, since the
neighbouring items have the neighbouring columns."""

TASKS = {True: 64, False: 16384}
"""Independent tasks that a pass is split into, where there are enough elements."""

LEAST_CHUNK = 16384
"""Elements of a chunk of a row at least."""

LEAST_ROWS = 64
"""Rows of a chunk of columns at least."""

SHORT = 16
"""Rows of up to so many elements are added up several at a time."""

FLAT = 256
"""Columns to which a narrow contiguous block is widened by taking several rows as one."""


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


@lru_cache(maxsize=1024)
def next_pass(groups: tuple[Group, ...], streams: bool) -> Pass:
    """Return the pass that adds up the innermost reduced group; without any, one that copies each element."""
    reduced = [index for index, group in enumerate(groups) if group.reduced]
    if not reduced:
        return _rows(groups, Group(1, (0, 0), True), streams)
    outer, summed, kept = groups[: reduced[-1]], groups[reduced[-1]], groups[reduced[-1] + 1 :]
    if not kept:
        if summed.extent <= SHORT and outer and not outer[-1].reduced and outer[-1].extent >= LANES[streams]:
            # Short rows side by side: the vectors go across them.
            return _columns(outer[:-1], summed, outer[-1], streams)
        return _rows(outer, summed, streams)
    inner = kept[-1]
    together = FLAT // inner.extent
    flat = len(kept) == 1 and _continues(summed, inner)
    if flat and together > 1 and summed.extent >= 4 * together:
        return _widened(outer, summed, inner, together, streams)
    if inner.extent >= LANES[streams]:
        return _columns((*outer, *kept[:-1]), summed, inner, streams)
    return _rows((*outer, *kept), summed, streams)


def _continues(outer: Group, inner: Group) -> bool:
    return all(far == near * inner.extent for far, near in zip(outer.strides, inner.strides, strict=True))


def _rows(outer: Sequence[Group], summed: Group, streams: bool) -> Pass:
    chunks = max(TASKS[streams] // prod(group.extent for group in outer), 1)
    chunk = max(-(-summed.extent // chunks), LEAST_CHUNK)
    results = (*outer, Group(-(-summed.extent // chunk), (0, 0), True))
    return Pass(tuple(outer), summed.extent, summed.strides, chunk, None, 0, packed(results))


def _columns(outer: Sequence[Group], summed: Group, inner: Group, streams: bool) -> Pass:
    chunk = _rows_of_a_chunk(outer, summed.extent, inner.extent, streams)
    results = (*outer, Group(-(-summed.extent // chunk), (0, 0), True), inner)
    return Pass(tuple(outer), summed.extent, summed.strides, chunk, inner, 0, packed(results))


def _widened(outer: Sequence[Group], summed: Group, inner: Group, together: int, streams: bool) -> Pass:
    """Return the pass that takes `together` rows of few columns as one row of many; each keeps a sum of its own."""
    n, left = divmod(summed.extent, together)
    wide = Group(together * inner.extent, inner.strides, False)
    chunk = _rows_of_a_chunk(outer, n, wide.extent, streams)
    step = tuple(stride * together for stride in summed.strides)
    results = (*outer, Group(-(-n // chunk) * together, (0, 0), True), inner)
    return Pass(tuple(outer), n, step, chunk, wide, left * inner.extent, packed(results))


def _rows_of_a_chunk(outer: Sequence[Group], n: int, width: int, streams: bool) -> int:
    stripes = -(-width // (STRIPE[streams] * LANES[streams]))
    chunks = max(TASKS[streams] // (prod(group.extent for group in outer) * stripes), 1)
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
