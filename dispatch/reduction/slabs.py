"""Parts of a walk that a device can hold, for operands that do not fit it or whose copy shall overlap with the sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction.layout import Group


class Slab(NamedTuple):
    """A part of a walk whose groups count their strides in elements.

    Attributes
    ----------
    groups : tuple of Group
        Its groups.
    start, mask_start : int
        Its first element, and its first mark, counted from those of the whole.
    place : tuple of slice
        Where its sums go in the array of all raw sums.
    """

    groups: tuple[Group, ...]
    start: int
    mask_start: int
    place: tuple[slice, ...]


def slabs(groups: Sequence[Group], most: int) -> Iterator[Slab]:
    """Cut a walk along its outermost groups into parts that span at most so many elements, each in its order."""
    if span(groups) <= most:
        kept = [slice(None) for group in groups if not group.reduced]
        yield Slab(tuple(groups), 0, 0, tuple(kept))
        return
    outer, rest = groups[0], tuple(groups[1:])
    step = max((most - span(rest)) // max(outer.strides[0], 1) + 1, 1)
    for begin in range(0, outer.extent, step):
        extent = min(step, outer.extent - begin)
        place = () if outer.reduced else (slice(begin, begin + extent),)
        part = (replace(outer, extent=extent),) if extent > 1 else ()
        for slab in slabs((*part, *rest), most) if part else slabs(rest, most):
            inner = slab.place if not part or outer.reduced else slab.place[1:]
            yield Slab(
                slab.groups,
                slab.start + begin * outer.strides[0],
                slab.mask_start + begin * outer.strides[1],
                (*place, *inner),
            )


def span(groups: Sequence[Group], item: int = 1) -> int:
    """Return the elements from the first that a walk touches to the last; bytes, where `item` is the size of one."""
    return sum((group.extent - 1) * group.strides[0] for group in groups) + item


def mask_span(groups: Sequence[Group]) -> tuple[int, int]:
    """Return the bytes of the mask in front of its first mark that a walk touches, and all that it touches.

    The walk goes through the operand forwards, so it may go through the mask backwards.
    """
    before = sum((group.extent - 1) * max(-group.strides[1], 0) for group in groups)
    return before, before + sum((group.extent - 1) * max(group.strides[1], 0) for group in groups) + 1


class _Memory:
    """Bytes of an array, whatever its strides, for `numpy.asarray`, which keeps the array alive."""

    def __init__(self, array: NDArray[Any], address: int, nbytes: int) -> None:
        self._array = array
        self.__array_interface__ = {"data": (address, True), "shape": (nbytes,), "typestr": "|u1", "version": 3}


def memory_of(array: NDArray[Any], address: int, nbytes: int) -> NDArray[np.uint8]:
    """Return a part of the memory behind a host array, read-only."""
    return np.asarray(_Memory(array, address, nbytes))
