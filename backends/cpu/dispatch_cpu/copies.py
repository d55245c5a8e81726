"""How elements are copied before they are summed, where that takes less time than to read them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from dispatch.reduction import Group, Reduction, real_part
from dispatch.reduction.layout import contiguous_strides
from dispatch_cpu import any_layout
from dispatch_cpu.row_sums import LINE

PACKED = 1 << 20
"""Bytes that are copied at once at most, where there can be no blocks."""

BLOCK = 1 << 16
"""About the bytes of a block otherwise."""

NEIGHBOURS = 256
"""Bytes that are read one after the other at least."""

PAGE = 4096
"""Bytes between rows that share few lines of the cache: their columns are therefore some less."""

RUN = 16
"""Bytes of neighbours that are copied in less time than such that are apart."""

LONG = 4
"""Elements that are enough to walk along."""

DIMENSIONS = 4
"""In how many dimensions they may be."""

FEWEST = 16
"""Units of a block at least where each block has a sum for each column: these are few beside the elements then."""

TOLD = 13 + 5 * DIMENSIONS
"""How many numbers `told_of_copies` returns."""


class Blocks(NamedTuple):
    """How elements are copied: along one group of the layout, some of its indices at a time.

    Attributes
    ----------
    group : int
        Which one that is.
    units : int
        How many indices there are.
    size : int
        The bytes of a unit.
    block : int
        The units of a block.
    summed : bool
        Whether the group is reduced: each block has sums of its own, which are added afterwards in pairs of neighbours.
    outer : int
        How many indices of the group before that are taken one after the other, each in blocks of its own.
    """

    group: int
    units: int
    size: int
    block: int
    summed: bool
    outer: int = 1

    @property
    def parts(self) -> int:
        """How many blocks there are."""
        return -(-self.units // self.block)


def is_converted(element: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether elements become floats when they are copied: no kernel reads them."""
    return element == np.uint64 and element.isnative and dtype == np.float64


def blocks_of(reduction: Reduction) -> Blocks:
    """Return the blocks of a sum; its layout has the groups that are reduced next to each other.

    They are along the outermost group in memory if that is reduced and blocks stay small, otherwise along the outermost
    one that is kept, or the next one if a unit of that would be too large to be copied at once.
    """
    groups, itemsize = reduction.layout.groups, reduction.operand.itemsize
    size = prod(group.extent for group in groups) * itemsize
    kept = next((place for place, group in enumerate(groups) if not group.reduced), -1)
    first = groups[0]
    is_outermost = all(group.strides[0] <= first.strides[0] for group in groups)
    if kept < 0 or (first.reduced and is_outermost and size // first.extent * FEWEST <= PACKED):
        size //= first.extent
        block = max(BLOCK // size, 1 if kept < 0 else FEWEST)
        if sum(group.reduced for group in groups) == 1:  # a part of the sum, in the order of one that is taken at once
            block = 1 << block.bit_length() - 1
        return Blocks(0, first.extent, size, min(block, first.extent), summed=True)
    blocks = _blocks_along(kept, groups, itemsize)
    if blocks.size > PACKED and kept + 1 < len(groups) and not groups[kept + 1].reduced:
        inner = _blocks_along(kept, groups[:kept] + groups[kept + 1 :], itemsize)
        return inner._replace(group=kept + 1, outer=blocks.units)
    return blocks


def _blocks_along(kept: int, groups: Sequence[Group], itemsize: int) -> Blocks:
    """Return the blocks along a group that is kept, of elements of so many bytes."""
    units = groups[kept].extent
    size = prod(group.extent for group in groups) * itemsize // units
    block = max(BLOCK // size, 1)
    if kept > 0:  # what is near each other is not read again and again
        block = max(block, NEIGHBOURS // max(groups[kept].strides[0], 1))
        columns = prod(group.extent for group in groups[kept + 1 :]) * itemsize
        if block * columns % PAGE == 0:
            block = max(block - max(LINE // columns, 1), 1)
    return Blocks(kept, units, size, min(block, units), summed=False)


def told_of_copies(reduction: Reduction) -> list[int]:
    """Return what `pass_kernels.passes` is told of the copies."""
    blocks, itemsize = blocks_of(reduction), reduction.operand.itemsize
    groups, along, outer = list(reduction.layout.groups), blocks.group, Group(1, (0,), False)
    if blocks.outer > 1:
        along -= 1
        outer = groups.pop(along)
    widened = along > 0
    extents = [1 if place == along else group.extent for place, group in enumerate(groups)]
    dimensions = [
        (
            group.extent,
            group.strides[0],
            sum(group.strides[1:]),
            0 if widened and group.reduced else step,
            step if widened and group.reduced else 0,
            place == along,
        )
        for place, (group, step) in enumerate(zip(groups, contiguous_strides(extents, itemsize), strict=True))
    ]
    # To begin a walk takes as long as a dozen elements: it goes along those that are near, if there are enough, and
    # along neighbours that are neighbours in the copy, too: they are copied several at once.
    dimensions.sort(key=lambda dimension: -dimension[1])
    is_run = dimensions[-1][1:4] == (itemsize, 0, itemsize) and dimensions[-1][0] * itemsize >= RUN
    inner = dimensions[-1] if is_run else max(reversed(dimensions), key=lambda dimension: min(dimension[0], LONG))
    dimensions.remove(inner)
    dimensions = [*[(1, 0, 0, 0, 0, False)] * (DIMENSIONS - 1 - len(dimensions)), *dimensions, inner]
    *numbers, blocked = zip(*dimensions, strict=True)
    columns = prod(extents[along:]) * itemsize // real_part(reduction.operand).itemsize if widened else 0
    becomes_float = is_converted(reduction.operand, reduction.dtype)
    neutral = _neutral(reduction.dtype if becomes_float else reduction.operand)
    told = [itemsize, neutral, becomes_float, blocks.units, blocks.block, blocked.index(True), blocks.size]
    summed = 0 if not blocks.summed else 2 if reduction.dtype.kind in "fc" else 1
    rows = prod(group.extent for group in groups[1:] if group.reduced)
    told += [columns, summed, rows, blocks.outer, outer.strides[0], sum(outer.strides[1:])]
    return [*told, *(number for each in numbers for number in each)]


def _neutral(element: np.dtype[Any]) -> int:
    """Return the bits of what changes no sum; of two parts, those of as much as has 8 bytes."""
    real = real_part(element).newbyteorder(element.byteorder)
    neutral = np.array([any_layout.neutral(real)] * (8 // real.itemsize), real)
    return int(neutral.view(np.int64)[0])
