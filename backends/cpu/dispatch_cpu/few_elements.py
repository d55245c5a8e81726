"""Sums for which one thread is enough, and what counts is the call: that of a compiled ufunc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction
from dispatch_cpu import kernels, recipes, row_sums, summation
from dispatch_cpu.recipes import Recipe
from dispatch_cpu.signals import signal

MOST = 1 << 16
"""Floats that are few even if NumPy has to copy them for the ufunc."""

PIECE = 1 << 15
"""Elements that NumPy takes at a time in a ufunc's place, about: they stay in the cache."""

UNASKED = 2048
"""Elements below which a sum asks for its kernel only if there have been many such (`kernels.is_worth_loading`)."""

Change = Callable[[Any], Any]
"""What makes one array of another."""


class FewSums:
    """What sums few elements: a compiled ufunc between changes of shape, and until then NumPy.

    Attributes
    ----------
    take : callable
        Returns the sum of an array; if it is `masked`, of an array and a mask. It is replaced when the ufunc is ready.
    take_into : callable
        Writes it into the array that is the last argument, if `writes` says that it can.
    """

    __slots__ = ("_after", "_before", "_is_small", "_key", "_stand_in", "take", "take_into")

    def __init__(
        self, layout: str, chars: str, before: Sequence[Change], after: Sequence[Change], size: int, *, masked: bool
    ) -> None:
        self._key = recipes.few_key(layout, chars, masked=masked)
        self._before, self._after, self._is_small = before, after, size < UNASKED
        by_numpy = partial(sum_by_numpy, layout, chars)
        self._stand_in = _chained(before, _under_mask(by_numpy, chars[0]) if masked else by_numpy, after, masked=masked)
        self.take: Callable[..., Any] = self._take_first
        self.take_into: Callable[..., Any] = self._take_first_into

    def writes(self, out: NDArray[Any]) -> bool:
        """Whether the ufunc writes sums as they have to be in arrays like `out`."""
        return not self._after and bool(out.ndim) and out.flags.c_contiguous and out.dtype.char == self._key.result

    def _take_first(self, *operands: Any) -> Any:
        return self.take(*operands) if self._is_ready() else self._stand_in(*operands)

    def _take_first_into(self, *operands: Any) -> Any:
        if self._is_ready():
            return self.take_into(*operands)
        *given, out = operands
        return np.positive(self._stand_in(*given), out)

    def _is_ready(self) -> bool:
        """Whether the ufunc has taken the place of what adds in its order."""
        if self._is_small and not kernels.is_worth_loading():
            return False
        compiled = kernels.find(*self._key)
        if compiled is None:
            return False
        self.take = _chained(self._before, compiled, self._after, masked=self._key.masked)
        self.take_into = _chained_into(self._before, compiled)
        return True


def _under_mask(add: Change, char: str) -> Callable[[Any, Any], Any]:
    """Return what adds an array, of that dtype, where a mask is True."""
    nothing = NOTHING[char]
    return lambda a, mask: add(np.where(mask, a, nothing))


NOTHING = {char: np.array(-np.dtype(char).type(0)) for char in "efdFD"}
"""What changes no sum, by the character of the dtype."""


def _chained(
    before: Sequence[Change], add: Callable[..., Any], after: Sequence[Change], *, masked: bool
) -> Callable[..., Any]:
    """Return one function for several that follow each other."""
    if not (before or after):
        return add
    if len(before) == 1 and len(after) <= 1 and not masked:
        change = before[0]
        if after:
            last = after[0]
            return lambda a: last(add(change(a)))
        return lambda a: add(change(a))

    def take(*operands: Any) -> Any:
        for change in before:
            operands = tuple(map(change, operands))
        sums = add(*operands)
        for change in after:
            sums = change(sums)
        return sums

    return take


def _chained_into(before: Sequence[Change], add: Callable[..., Any]) -> Callable[..., Any]:
    """Return one function for several that follow each other, the last of which writes into an array."""
    if not before:
        return add

    def take_into(*operands: Any) -> Any:
        *given, out = operands
        for change in before:
            given = list(map(change, given))
        return add(*given, out)

    return take_into


LAYOUTS = {"R": recipes.ALL, "RK": recipes.COLUMNS, "KR": recipes.ROWS, "KRK": recipes.CUBES, "RKR": recipes.SLABS}
"""The ufunc for contiguous memory, by what is done with each axis: reduced or kept, neighbours of one kind as one."""

DIRECT = {
    (1, 0): recipes.ALL,
    (2, 0): recipes.COLUMNS,
    (2, 1): recipes.ROWS,
    (3, 1): recipes.CUBES,
    (3, 0, 2): recipes.SLABS,
}
"""The ufunc for contiguous arrays as they are, by their number of dimensions and the axes to sum over."""


def plan_few(a: NDArray[Any], reduction: Reduction, *, masked: bool) -> FewSums | None:
    """Return what sums arrays like `a`; None where they are not few, or of no such layout.

    If it is `masked`, what it returns takes contiguous arrays, and masks of the same layout.
    """
    chars = str(a.dtype.char) + str(reduction.dtype.char)
    numbers = a.size * (2 if a.dtype.kind == "c" else 1)
    is_few = a.size < MOST or (numbers <= row_sums.THREADED and _is_read_in_place(a, reduction))
    if not (a.size and MOST and is_few) or chars not in recipes.FEW:
        return None
    arranged = _arrange(a, reduction)
    if arranged is None:
        return None
    layout, before, after = arranged
    return FewSums(layout, chars, before, after, a.size, masked=masked)


def _is_read_in_place(a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether no element is copied for the ufunc, and memory is walked along its rows."""
    return a.dtype.isnative and (a.flags.forc or a.ndim == 1 or (a.ndim == 2 and len(reduction.axes) == 2))


def _arrange(a: NDArray[Any], reduction: Reduction) -> tuple[str, list[Change], list[Change]] | None:
    """Return the ufunc's layout, what makes of `a` what it takes, and of its result that of the sum; None for none."""
    axes, shape = sorted(reduction.axes), reduction.shape
    if not a.flags.forc:
        if len(axes) == a.ndim == 2:
            return recipes.BLOCK, [_transposed] if abs(a.strides[0]) < abs(a.strides[1]) else [], _reshaped((), shape)
        if len(axes) == a.ndim:
            return recipes.ALL, [] if a.ndim == 1 else [methodcaller("flatten", "K")], _reshaped((), shape)
        if a.ndim > 2:
            return None
        return recipes.ROWS, [] if axes == [1] else [_transposed], _reshaped((a.shape[1 - axes[0]],), shape)
    if a.flags.c_contiguous:
        direct = DIRECT.get((a.ndim, *axes))
        if direct is not None and not (direct == recipes.SLABS and 1 in a.shape):
            return direct, [], _reshaped(tuple(n for i, n in enumerate(a.shape) if i not in axes), shape)
        return _arrange_contiguous(a.shape, reduction.axes, shape, is_turned=False)
    turned = frozenset(a.ndim - 1 - axis for axis in reduction.axes)
    return _arrange_contiguous(a.shape[::-1], turned, shape[::-1], is_turned=True)


_transposed = attrgetter("T")


def _arrange_contiguous(
    extents: tuple[int, ...], axes: frozenset[int], shape: tuple[int, ...], *, is_turned: bool
) -> tuple[str, list[Change], list[Change]] | None:
    """Return the same for contiguous memory; if it is turned around, so are the axes, and what they are told of."""
    pattern = ""
    merged: list[int] = []
    for axis, extent in enumerate(extents):
        kind = "R" if axis in axes else "K"
        if extent == 1:
            continue
        if pattern[-1:] == kind:
            merged[-1] *= extent
        else:
            pattern += kind
            merged.append(extent)
    if pattern not in LAYOUTS:
        return None
    view = tuple(merged)
    sums = tuple(extent for kind, extent in zip(pattern, view, strict=True) if kind == "K")
    turned = [_transposed] if is_turned else []
    turned_back = turned if len(shape) > 1 else []
    return LAYOUTS[pattern], [*turned, *_reshaped(extents, view)], [*_reshaped(sums, shape), *turned_back]


def _reshaped(given: tuple[int, ...], shape: tuple[int, ...]) -> list[Change]:
    """Return what gives arrays of one shape another."""
    return [] if given == shape else [methodcaller("reshape", shape)]


def sum_by_numpy(layout: str, chars: str, x: NDArray[Any], recipe: Recipe | None = None) -> Any:
    """Return what the ufunc returns, by NumPy; the recipe is that of a first pass whose sums are kept in double."""
    recipe = recipe or recipes.few_recipe(chars)
    wide = "D" if chars[0] in "FD" else "d"
    if layout == recipes.BLOCK:
        sums = sum_by_numpy(recipes.ROWS, chars[0] + wide, x, recipe)
        return sum_by_numpy(recipes.ALL, wide + chars[1], sums)
    if layout == recipes.SLABS:
        rows, outer, inner = x.shape
        if inner > summation.LANES:
            sums = sum_by_numpy(recipes.ROWS, chars[0] + wide, x.reshape(-1, inner), recipe).reshape(rows, outer)
            return sum_by_numpy(recipes.COLUMNS, wide + chars[1], sums)
        sums = sum_by_numpy(recipes.COLUMNS, chars[0] + wide, x.reshape(rows, -1), recipe).reshape(outer, inner)
        return sum_by_numpy(recipes.ROWS, wide + chars[1], sums)
    if layout in (recipes.ROWS, recipes.CUBES) and len(x) > 1 and x.size > 2 * PIECE:
        pieces = np.array_split(x, min(x.size // PIECE, len(x)))
        return np.concatenate([sum_by_numpy(layout, chars, piece, recipe) for piece in pieces])
    if layout in (recipes.ALL, recipes.ROWS):
        x = x[..., None]
    if layout in (recipes.ALL, recipes.COLUMNS):
        x = x[None]
    outer, rows, columns = x.shape
    is_copied = not (x.dtype.isnative and x.flags.aligned)  # for the ufunc, which begins at the other end otherwise
    x = np.ascontiguousarray(x if is_copied or x.strides[1] >= 0 else x[:, ::-1], x.dtype.newbyteorder("="))
    parts = x.view(x.real.dtype).reshape(outer, rows, -1)
    sums = summation.sum_rows(parts, np.dtype(recipe.stage), np.dtype(recipe.total)) + 0.0
    if not np.isfinite(sums).all():
        signal(sums, x)
    result = np.dtype(chars[1])
    sums = sums.astype(result.char.lower()).view(result).reshape(outer, columns)
    if layout in (recipes.ALL, recipes.ROWS):
        sums = sums[:, 0]
    return sums[0] if layout in (recipes.ALL, recipes.COLUMNS) else sums
