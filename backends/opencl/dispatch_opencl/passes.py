"""How a sum is made of passes: each adds up one group of axes, the innermost first, in chunks of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from dispatch.reduction import Group, Pass
from dispatch.reduction.layout import continues
from dispatch.reduction.passes import columns_pass, rows_pass, widened_pass

STRIPE = {True: 256, False: 1}
"""Vectors of columns that a work-item walks side by side: on a CPU enough to read whole pages, on a GPU one, since the
neighbouring items have the neighbouring columns."""

TASKS = {True: 1024, False: 16384}
"""Independent tasks that a pass is split into, where there are enough elements."""

LEAST_CHUNK = 16384
"""Elements of a chunk of a row at least."""

LEAST_ROWS = {True: 128, False: 64}
"""Rows of a chunk of columns at least."""

SHORT = 16
"""Rows of up to so many elements are added up several at a time."""

FLAT = 256
"""Columns to which a narrow contiguous block is widened by taking several rows as one."""


CHUNKS = {True: 8192, False: 64}
"""Chunks of a sum that one work-item adds up: the most that there are, or so few that the others need not help."""


class Chunks(NamedTuple):
    """Sums of chunks in memory, in C order: ``n`` of each sum, for each of ``outer`` times ``width`` sums."""

    outer: int
    n: int
    width: int


def lanes_of(itemsize: int, streams: bool) -> int:
    """Return the elements of a vector.

    On a CPU vectors have at most 32 bytes, half a line of the cache: of 64 bytes that are not aligned, each takes two
    lines to load.
    """
    return 8 if streams and itemsize <= 4 else 4


def chunks_left(results: tuple[Group, ...], streams: bool) -> Chunks | None:
    """Return the results of a pass as chunks to be added up; None where another pass has to do that."""
    reduced = [index for index, group in enumerate(results) if group.reduced]
    if len(reduced) != 1 or results[reduced[0]].extent > CHUNKS[streams]:
        return None
    outer, (summed, *kept) = results[: reduced[0]], results[reduced[0] :]
    return Chunks(prod(group.extent for group in outer), summed.extent, prod(group.extent for group in kept))


@lru_cache(maxsize=1024)
def next_pass(groups: tuple[Group, ...], lanes: int, streams: bool) -> Pass:
    """Return the pass that adds up the innermost reduced group; without any, one that copies each element.

    Vectors have `lanes` elements.
    """
    reduced = [index for index, group in enumerate(groups) if group.reduced]
    if not reduced:
        return _rows(groups, Group(1, (0, 0), True), streams)
    outer, summed, kept = groups[: reduced[-1]], groups[reduced[-1]], groups[reduced[-1] + 1 :]
    if not kept:
        if summed.extent <= SHORT and outer and not outer[-1].reduced and outer[-1].extent >= lanes:
            # Short rows side by side: the vectors go across them.
            return _columns(outer[:-1], summed, outer[-1], lanes, streams)
        return _rows(outer, summed, streams)
    inner = kept[-1]
    together = FLAT // inner.extent
    flat = len(kept) == 1 and continues(summed, inner)
    if flat and together > 1 and summed.extent >= 4 * together:
        return _widened(outer, summed, inner, together, lanes, streams)
    if inner.extent >= lanes:
        return _columns((*outer, *kept[:-1]), summed, inner, lanes, streams)
    return _rows((*outer, *kept), summed, streams)


def _rows(outer: Sequence[Group], summed: Group, streams: bool) -> Pass:
    chunks = max(TASKS[streams] // prod(group.extent for group in outer), 1)
    return rows_pass(outer, summed, max(-(-summed.extent // chunks), LEAST_CHUNK))


def _columns(outer: Sequence[Group], summed: Group, inner: Group, lanes: int, streams: bool) -> Pass:
    return columns_pass(outer, summed, inner, _rows_of_a_chunk(outer, summed.extent, inner.extent, lanes, streams))


def _widened(outer: Sequence[Group], summed: Group, inner: Group, together: int, lanes: int, streams: bool) -> Pass:
    chunk = _rows_of_a_chunk(outer, summed.extent // together, together * inner.extent, lanes, streams)
    return widened_pass(outer, summed, inner, together, chunk)


def _rows_of_a_chunk(outer: Sequence[Group], n: int, width: int, lanes: int, streams: bool) -> int:
    stripes = -(-width // (STRIPE[streams] * lanes))
    chunks = max(TASKS[streams] // (prod(group.extent for group in outer) * stripes), 1)
    return max(-(-n // chunks), LEAST_ROWS[streams])
