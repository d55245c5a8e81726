"""How a sum is made of passes: each adds up one group of axes, the innermost first, in chunks of a fixed size.

The sizes depend on the shape and the dtype alone, so that a sum has the same bits on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dispatch.reduction import Group, Pass
from dispatch.reduction.layout import continues
from dispatch.reduction.passes import columns_pass, rows_pass, widened_pass

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
    if len(kept) == 1 and continues(summed, inner) and together > 1 and summed.extent >= 4 * together:
        return _widened(outer, summed, inner, together)
    return _columns((*outer, *kept[:-1]), summed, inner)


def _rows_together(width: int) -> int:
    """Return how many rows of so many columns are taken as one: as many as keep vectors aligned, if any do."""
    most = FLAT // width
    return next((rows for rows in range(most, 1, -1) if rows * width % MULTIPLE == 0), most)


def _rows(outer: Sequence[Group], summed: Group) -> Pass:
    n = summed.extent
    chunk = max(n, 1)
    if n > MEDIUM:
        chunks = max(ROW_TASKS // prod(group.extent for group in outer), 1)
        chunk = max(-(-n // (chunks * MULTIPLE)) * MULTIPLE, LEAST_CHUNK)
    return rows_pass(outer, summed, chunk)


def _columns(outer: Sequence[Group], summed: Group, inner: Group) -> Pass:
    return columns_pass(outer, summed, inner, _rows_of_a_chunk(outer, summed.extent, inner.extent))


def _widened(outer: Sequence[Group], summed: Group, inner: Group, together: int) -> Pass:
    chunk = _rows_of_a_chunk(outer, summed.extent // together, together * inner.extent)
    return widened_pass(outer, summed, inner, together, chunk)


def _rows_of_a_chunk(outer: Sequence[Group], n: int, width: int) -> int:
    chunks = max(COLUMN_TASKS // (prod(group.extent for group in outer) * width), 1)
    return max(-(-n // chunks), LEAST_ROWS)
