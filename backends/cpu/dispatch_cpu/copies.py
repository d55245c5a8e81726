"""How elements are copied before they are summed, where that takes less time than to read them as they are."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from dispatch.reduction import Reduction, real_part
from dispatch.reduction.layout import contiguous_strides
from dispatch_cpu import any_layout

PACKED = 1 << 20
"""Bytes that are copied at once at most, where there can be no blocks."""

BLOCK = 1 << 16
"""About the bytes of a block otherwise."""

NEIGHBOURS = 256
"""Bytes that are read one after the other at least."""

RUN = 16
"""Bytes of neighbours that are copied in less time than such that are apart."""

LONG = 4
"""Elements that are enough to walk along."""

DIMENSIONS = 4
"""In how many dimensions they may be."""

TOLD = 7 + 5 * DIMENSIONS
"""How many numbers `told_of_copies` returns."""


class Blocks(NamedTuple):
    """How elements are copied: along the outermost group that is kept, some of its indices at a time.

    Attributes
    ----------
    group : int
        Which one that is in the layout; -1 where there is none, and all are copied at once.
    units : int
        How many indices there are.
    size : int
        The bytes of a unit.
    block : int
        The units of a block.
    """

    group: int
    units: int
    size: int
    block: int


def blocks_of(reduction: Reduction) -> Blocks:
    """Return the blocks of a sum; its layout has the groups that are reduced next to each other."""
    groups = reduction.layout.groups
    size = prod(group.extent for group in groups) * reduction.operand.itemsize
    group = next((place for place, group in enumerate(groups) if not group.reduced), -1)
    units = 1 if group < 0 else groups[group].extent
    size //= units
    block = max(BLOCK // size, 1)
    if group > 0:  # what is near each other is not read again and again
        block = max(block, NEIGHBOURS // max(groups[group].strides[0], 1))
    return Blocks(group, units, size, min(block, units))


def told_of_copies(reduction: Reduction) -> list[int]:
    """Return what `pass_kernels.passes` is told of the copies."""
    groups, blocks, itemsize = reduction.layout.groups, blocks_of(reduction), reduction.operand.itemsize
    widened = blocks.group > 0
    extents = [1 if place == blocks.group else group.extent for place, group in enumerate(groups)]
    dimensions = [
        (
            group.extent,
            group.strides[0],
            sum(group.strides[1:]),
            0 if widened and group.reduced else step,
            step if widened and group.reduced else 0,
            place == blocks.group,
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
    columns = prod(extents[blocks.group :]) * itemsize // real_part(reduction.operand).itemsize if widened else 0
    told = [itemsize, _neutral(reduction.operand), blocks.units, blocks.block]
    told += [blocked.index(True) if True in blocked else -1, blocks.size, columns]
    return [*told, *(number for each in numbers for number in each)]


def _neutral(element: np.dtype[Any]) -> int:
    """Return the bits of what changes no sum; of two parts, those of as much as has 8 bytes."""
    real = real_part(element).newbyteorder(element.byteorder)
    neutral = np.array([any_layout.neutral(real)] * (8 // real.itemsize), real)
    return int(neutral.view(np.int64)[0])
