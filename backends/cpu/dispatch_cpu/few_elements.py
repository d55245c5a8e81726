"""Sums for which one thread is enough, and what counts is the call: that of a compiled ufunc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction
from dispatch_cpu import kernels, recipes, row_sums
from dispatch_cpu.few_arrangement import Change, arrange
from dispatch_cpu.few_by_numpy import sum_by_numpy
from dispatch_cpu.row_sums import touched

MOST = 1 << 16
"""Floats that are few even if NumPy has to copy them for the ufunc."""

UNASKED = 2048
"""Elements below which a sum asks for its kernel only if there have been many such (`kernels.is_worth_loading`)."""


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

    def take(a: Any) -> Any:
        for change in before:
            a = change(a)
        sums = add(a)
        for change in after:
            sums = change(sums)
        return sums

    def take_under_mask(a: Any, mask: Any) -> Any:
        for change in before:
            a, mask = change(a), change(mask)
        sums = add(a, mask)
        for change in after:
            sums = change(sums)
        return sums

    return take_under_mask if masked else take


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


def plan_few(a: NDArray[Any], reduction: Reduction, *, masked: bool) -> FewSums | None:
    """Return what sums arrays like `a`; None where they are not few, or no ufunc reads and writes such dtypes.

    If it is `masked`, what it returns takes contiguous arrays, and masks of the same layout.
    """
    chars = str(a.dtype.char) + str(reduction.dtype.char)
    steps = (step for extent, step in zip(a.shape, a.strides, strict=True) if extent > 1)
    if chars not in recipes.FEW or not (a.size and MOST) or touched(a.size, a.itemsize, steps) > row_sums.THREADED:
        return None
    layout, before, after, is_copied = arrange(a, reduction)
    if a.size >= MOST and (is_copied or not a.dtype.isnative):
        return None
    if not (masked or a.dtype.isnative or a.flags.forc):
        before = [methodcaller("astype", a.dtype.newbyteorder("="), "C"), *before]
    return FewSums(layout, chars, before, after, a.size, masked=masked)
