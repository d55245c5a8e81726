"""The canonical form of a reduction: the fewest kept and reduced groups of axes that walk the same memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TypeAlias

Strides: TypeAlias = tuple[int, ...]
"""Bytes from one element to the next along each axis."""


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring axes that one index walks.

    Attributes
    ----------
    extent : int
        How many indices there are; at least 2, or 0 in an empty array.
    strides : tuple of int
        Bytes from one index to the next: in the operand and, where there is one, in the mask. That of the operand is
        never negative.
    reduced : bool
        Whether elements along the group are added; otherwise each index has a sum of its own.
    """

    extent: int
    strides: Strides
    reduced: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The walk through the operand, and through the mask beside it.

    Attributes
    ----------
    groups : tuple of Group
        Outermost first, in the order of memory; empty for a single element.
    offsets : tuple of int
        Bytes from the first element of the operand, and of the mask, to where the walk starts: axes with negative
        strides are walked from their other end.
    factor : int
        How often each raw sum counts: the number of repetitions along reduced axes of stride 0.
    kept : tuple of int
        The kept axes longer than one, in the order of the kept groups, outermost first. NumPy lays out the result in
        this order.
    flipped : frozenset of int
        Those among them that are walked backwards.
    """

    groups: tuple[Group, ...]
    offsets: tuple[int, ...]
    factor: int
    kept: tuple[int, ...]
    flipped: frozenset[int]

    @property
    def pattern(self) -> str:
        """The kinds of the groups, outermost first: ``"R"``, ``"KR"``, ``"RK"``, …; ``""`` for a single element."""
        return "".join("R" if group.reduced else "K" for group in self.groups)


def contiguous_strides(shape: Sequence[int], itemsize: int) -> Strides:
    """Return the strides of a C-contiguous array."""
    return tuple(itemsize * prod(shape[axis + 1 :]) for axis in range(len(shape)))


@lru_cache(maxsize=1024)
def canonical_layout(shape: tuple[int, ...], strides: tuple[Strides, ...], reduced: frozenset[int]) -> Layout:
    """Return the canonical form of a reduction.

    Parameters
    ----------
    shape : tuple of int
        Shape of the operand.
    strides : tuple of tuple of int
        Strides of the operand and, where there is one, of the mask broadcast against it.
    reduced : frozenset of int
        The axes to sum over.

    Returns
    -------
    Layout
        Axes of length one are dropped, repetitions become the factor, negative strides are turned around, axes are
        sorted by stride as NumPy sorts them, and neighbours of one kind are merged where one stride continues another.
    """
    by_axis = {axis: [operand[axis] for operand in strides] for axis in range(len(shape)) if shape[axis] != 1}
    factor = 1
    for axis in [axis for axis in by_axis if axis in reduced and shape[axis] and not any(by_axis[axis])]:
        factor *= shape[axis]
        del by_axis[axis]

    offsets = [0] * len(strides)
    flipped = set()
    for axis, steps in by_axis.items():
        if next((step for step in steps if step), 0) < 0:
            flipped.add(axis)
            for operand, step in enumerate(steps):
                offsets[operand] += step * max(shape[axis] - 1, 0)
                steps[operand] = -step

    order = _memory_order(by_axis)
    groups = merged(Group(shape[axis], tuple(by_axis[axis]), axis in reduced) for axis in order)
    kept = tuple(axis for axis in order if axis not in reduced)
    return Layout(tuple(groups), tuple(offsets), factor, kept, frozenset(flipped - reduced))


def merged(groups: Iterable[Group]) -> list[Group]:
    """Return the fewest groups that walk the same memory in the same order."""
    fewest: list[Group] = []
    for inner in groups:
        if fewest and fewest[-1].reduced == inner.reduced and continues(fewest[-1], inner):
            inner = Group(fewest.pop().extent * inner.extent, inner.strides, inner.reduced)
        fewest.append(inner)
    return fewest


def continues(outer: Group, inner: Group) -> bool:
    """Whether one index can walk both groups: every stride of the outer one is the whole length of the inner one."""
    return all(far == near * inner.extent for far, near in zip(outer.strides, inner.strides, strict=True))


def _memory_order(by_axis: dict[int, list[int]]) -> list[int]:
    """Return the axes from the largest stride to the smallest: the insertion sort of `numpy.nditer`.

    The order of the kept axes decides the layout of the result, so it has to be NumPy's own: where strides of 0 leave
    it open or two operands disagree, C order stands.
    """
    inner_first: list[int] = []
    for axis in reversed(by_axis):
        place = len(inner_first)
        for position in range(len(inner_first) - 1, -1, -1):
            steps = zip(by_axis[axis], by_axis[inner_first[position]], strict=True)
            outside = [abs(step) >= abs(inner) for step, inner in steps if step and inner]
            if any(outside):
                break
            if outside:
                place = position
        inner_first.insert(place, axis)
    return inner_first[::-1]
