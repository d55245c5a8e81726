"""`Pass`: one launch of a kernel that adds up one group of a walk, in chunks of a fixed size.

A device takes a sum in passes, the innermost reduced group first, until no reduced group is left. Which group, and into
chunks of which size, is the backend's choice; what comes out of it is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from dispatch.reduction.layout import Group


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


def rows_pass(outer: Sequence[Group], summed: Group, chunk: int) -> Pass:
    """Return the pass that adds up `summed`, the innermost group, in chunks of so many elements."""
    results = (*outer, Group(-(-summed.extent // chunk), (0, 0), True))
    return Pass(tuple(outer), summed.extent, summed.strides, chunk, None, 0, packed(results))


def columns_pass(outer: Sequence[Group], summed: Group, inner: Group, chunk: int) -> Pass:
    """Return the pass that adds up `summed` in each column of the kept group `inner`, in chunks of so many rows."""
    results = (*outer, Group(-(-summed.extent // chunk), (0, 0), True), inner)
    return Pass(tuple(outer), summed.extent, summed.strides, chunk, inner, 0, packed(results))


def widened_pass(outer: Sequence[Group], summed: Group, inner: Group, together: int, chunk: int) -> Pass:
    """Return the pass that takes `together` rows of few columns as one row of many; each keeps a sum of its own.

    The rows must lie one behind the other in memory (`continues`); `chunk` counts the wide ones.
    """
    n, left = divmod(summed.extent, together)
    wide = Group(together * inner.extent, inner.strides, False)
    step = tuple(stride * together for stride in summed.strides)
    results = (*outer, Group(-(-n // chunk) * together, (0, 0), True), inner)
    return Pass(tuple(outer), n, step, chunk, wide, left * inner.extent, packed(results))


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
