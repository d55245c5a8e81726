"""What is done to an array before a generalized ufunc sums it, and to the sums: changes of shape, or a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

from numpy.typing import NDArray

from dispatch.reduction import Group, Reduction
from dispatch.reduction.layout import continues, merged
from dispatch_cpu.few_layouts import LAYOUTS
from dispatch_cpu.row_sums import SPLIT_UP

SMALL = 2048
"""Elements up to which nothing takes longer than to begin."""

Change = Callable[[Any], Any]
"""What makes one array of another."""


class Arrangement(NamedTuple):
    """What is done with arrays of one kind.

    Attributes
    ----------
    layout : str
        That of the ufunc (`few_layouts.LAYOUTS`).
    before, after : list of callable
        What makes of the array what the ufunc takes, and of what it returns the sum.
    is_copied : bool
        Whether the elements are copied on the way.
    """

    layout: str
    before: list[Change]
    after: list[Change]
    is_copied: bool


def arrange(a: NDArray[Any], reduction: Reduction) -> Arrangement:
    """Return what is done with arrays like `a`, whose axes are walked in the order of memory."""
    order = list(range(a.ndim))
    if not a.flags.c_contiguous:
        order.sort(key=lambda axis: -abs(a.strides[axis]))
    kept = [axis for axis in order if reduction.keepdims or axis not in reduction.axes]
    shape = tuple(1 if axis in reduction.axes else a.shape[axis] for axis in kept)
    ordered_back = _transposed([kept.index(axis) for axis in sorted(kept)])
    axes = [Group(a.shape[axis], (a.strides[axis],), axis in reduction.axes) for axis in order]
    before, walked = _transposed(order), merged(axis for axis in axes if axis.extent > 1)
    is_copied = _pattern(walked) not in LAYOUTS or _is_split_up(walked)
    if _is_walked_as_it_is(axes, walked, is_small=a.size < SMALL):
        walked = axes
    elif _pattern(walked) in LAYOUTS:
        before += _reshaped(_extents(axes), _extents(walked))
    else:
        # What is left of a sum over all axes is a vector, and of others a matrix with a row a sum.
        before += _transposed(sorted(range(len(axes)), key=lambda axis: axes[axis].reduced))
        sizes = [prod(axis.extent for axis in axes if axis.reduced is reduced) for reduced in (False, True)]
        walked = [Group(size, (0,), bool(reduced)) for reduced, size in enumerate(sizes) if reduced or size > 1]
        before.append(methodcaller("reshape", _extents(walked)))
    if _is_split_up(walked):
        before.append(methodcaller("copy"))
    sums = tuple(axis.extent for axis in walked if not axis.reduced)
    return Arrangement(_pattern(walked), before, [*_reshaped(sums, shape), *ordered_back], is_copied)


def _is_walked_as_it_is(axes: Sequence[Group], fewest: Sequence[Group], *, is_small: bool) -> bool:
    """Whether a ufunc takes these axes as fast as merged ones: another shape costs a tenth of a small sum, or more.

    It merges kept axes itself; but columns of one element are walked one after the other.
    """
    passes, needed = (sum(axis.reduced for axis in walked) for walked in (axes, fewest))
    return _pattern(axes) in LAYOUTS and passes == needed and (is_small or axes[-1].extent > 1)


def _is_split_up(axes: Sequence[Group]) -> bool:
    """Whether a ufunc would begin anew for every few elements, and would not if they were contiguous."""
    if _pattern(axes) != "RKK":
        return False
    rows, outer, columns = axes
    return rows.extent * columns.extent < SPLIT_UP and not continues(outer, columns)


def _pattern(axes: Sequence[Group]) -> str:
    return "".join("R" if axis.reduced else "K" for axis in axes)


def _extents(axes: Sequence[Group]) -> tuple[int, ...]:
    return tuple(axis.extent for axis in axes)


def _transposed(order: list[int]) -> list[Change]:
    """Return what puts axes into an order."""
    if order == sorted(order):
        return []
    return [attrgetter("T") if order == sorted(order)[::-1] else methodcaller("transpose", order)]


def _reshaped(given: tuple[int, ...], shape: tuple[int, ...]) -> list[Change]:
    """Return what gives arrays of one shape another."""
    return [] if given == shape else [methodcaller("reshape", shape)]
