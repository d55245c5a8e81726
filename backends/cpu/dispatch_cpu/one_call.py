"""Sums for which one thread is enough, and what counts is the call: that of one compiled function for all passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, real_part
from dispatch_cpu import any_layout, kernels
from dispatch_cpu.copies import TOLD, told_of_copies
from dispatch_cpu.recipes import RUN_FEW, RUN_PASSES
from dispatch_cpu.row_sums import Jobs, find_kernels
from dispatch_cpu.signals import signal, signal_overflow

UNASKED = 2048
"""Elements below which a sum asks for its kernels only if there have been many such (`kernels.is_worth_loading`)."""

UNFIT, OVERFLOW, INTEGER = -1, -2, 2
"""Those of `pass_kernels`, which takes time to import."""


class OneCall:
    """What sums arrays of one layout by `pass_kernels`, and until its kernels are ready by NumPy.

    Parameters
    ----------
    a : ndarray
        One of these arrays.
    passes : sequence of Jobs
        Those over the array, or over what is packed.
    reduction : Reduction
        The sum.
    packed : Reduction, optional
        The sum of what is packed: a contiguous array, in the order of the layout's groups. None if kernels read the
        elements where they are.
    started : numpy.dtype, optional
        That of the result, if sums start from an initial value.

    Attributes
    ----------
    take : callable
        Returns the sum of an array, under a mask or None, from an initial value on. It is replaced when the kernels are
        ready.
    take_into : callable
        Writes it into an array, the second argument, if `writes` says that it can. There is no mask.
    """

    __slots__ = ("_is_small", "_masked", "_packed", "_passes", "_reduction", "_started", "take", "take_into")

    def __init__(
        self,
        a: NDArray[Any],
        passes: Sequence[Jobs],
        reduction: Reduction,
        packed: Reduction | None = None,
        started: np.dtype[Any] | None = None,
    ) -> None:
        self._is_small, self._passes, self._packed, self._started = a.size < UNASKED, passes, packed, started
        self._masked, self._reduction = reduction.where is not None, reduction.under(None)
        self.take: Callable[..., Any] = self._take_first
        self.take_into: Callable[..., Any] = self._take_first_into

    def writes(self, out: NDArray[Any]) -> bool:
        """Whether sums are written as they have to be in arrays like `out`."""
        reduction = self._reduction
        wanted = zip(out.shape, out.strides, reduction.result_strides(out.itemsize), strict=True)
        is_alike = all(step == expected for extent, step, expected in wanted if extent > 1)
        return out.dtype == reduction.dtype and is_alike and not reduction.layout.flipped and not self._masked

    def _take_first(self, a: NDArray[Any], mask: NDArray[np.bool_] | None = None, initial: float = 0.0) -> Any:
        return self.take(a, mask, initial) if self._is_ready() else self._by_numpy(a, mask, initial)

    def _take_first_into(self, a: NDArray[Any], out: NDArray[Any]) -> Any:
        out[...] = self.take(a)
        return out

    def _by_numpy(self, a: NDArray[Any], mask: NDArray[np.bool_] | None, initial: float = 0.0) -> Any:
        total = any_layout.take(a, self._reduction.under(mask), copied=self._packed, compiled=not self._is_small)
        if self._started is None:
            return total
        return np.add(total, self._started.type(initial).astype(total.dtype)).astype(self._started)

    def _report(self, strange: int, a: NDArray[Any], mask: NDArray[np.bool_] | None, sums: NDArray[Any]) -> None:
        """Signal what `pass_kernels.passes` found."""
        if strange == OVERFLOW:
            signal_overflow()
        else:
            signal(a, self._reduction.under(mask), sums, self._dtype)

    def _is_ready(self) -> bool:
        """Whether the compiled function has taken NumPy's place."""
        if self._is_small and not kernels.is_worth_loading():
            return False
        found = find_kernels(self._passes, masked=self._masked and self._packed is None)
        run = kernels.find(*(RUN_FEW if self._is_small else RUN_PASSES))
        if run is None or found is None:
            return False
        self._replace(run.call, self._told(run.address, [kernel.address for kernel in found]))
        return True

    @property
    def _dtype(self) -> np.dtype[Any]:
        """That of the result."""
        return self._reduction.dtype if self._started is None else self._started

    def _told(self, passes: int, addresses: Sequence[int]) -> NDArray[np.int64]:
        """Return what `pass_kernels.passes` is told, by its address and that of the kernel of each pass."""
        reduction, result, is_packed = self._reduction, real_part(self._dtype), self._packed is not None
        layout, element, parts = reduction.layout, reduction.operand, self._dtype.itemsize // result.itemsize
        low = layout.offsets[0]
        high = low + sum((group.extent - 1) * group.strides[0] for group in layout.groups) + element.itemsize
        told = [passes, len(self._passes), low, layout.offsets[1] if self._masked else 0, self._masked, high]
        told += [1 if is_packed else element.alignment, result.itemsize, parts, reduction.sums * self._dtype.itemsize]
        told += [0 if self._started is None else INTEGER if self._dtype.kind in "iu" else 1]
        told += told_of_copies(reduction) if is_packed else [0] * TOLD
        for jobs, address in zip(self._passes, addresses, strict=True):
            outer, _, width = jobs.shape
            sizes = (np.dtype(jobs.recipe.element).itemsize, np.dtype(jobs.result).itemsize)
            told += [address, jobs.count, *sizes, outer * width, *jobs.plan]
        return np.array(told, np.int64)

    def _replace(self, run: Callable[..., int], told: NDArray[np.int64]) -> None:
        """Have sums taken by the compiled function. What follows is on the path of every call."""
        shape, arranged = _arrangement(self._reduction)
        dtype, by_numpy, report, masked, empty = self._dtype, self._by_numpy, self._report, self._masked, np.empty

        def take(a: NDArray[Any], mask: NDArray[np.bool_] | None = None, initial: float = 0.0) -> Any:
            sums = empty(shape, dtype)
            strange = run(a, mask if masked else a, sums, told, initial)
            if strange:
                if strange == UNFIT:
                    return by_numpy(a, mask, initial)
                report(strange, a, mask, sums)
            return sums[()] if arranged is None else arranged(sums)

        def take_into(a: NDArray[Any], out: NDArray[Any]) -> Any:
            strange = run(a, a, out, told, 0.0)
            if strange:
                if strange == UNFIT:
                    out[...] = by_numpy(a, None)
                else:
                    report(strange, a, None, out)
            return out

        self.take, self.take_into = take, take_into


def _arrangement(reduction: Reduction) -> tuple[tuple[int, ...], Callable[[NDArray[Any]], NDArray[Any]] | None]:
    """Return the shape of what is written, and what makes the result of that; None if it is the result."""
    shape, layout, places = reduction.shape, reduction.layout, reduction.places
    if list(places) == sorted(places) and not layout.flipped:
        return shape, None
    order = [*places, *(axis for axis in range(len(shape)) if axis not in places)]
    written = tuple(shape[axis] for axis in order)
    ordered = methodcaller("transpose", np.argsort(order).tolist())
    if not layout.flipped:
        return written, ordered
    backwards = tuple(slice(None, None, -1 if axis in layout.flipped else 1) for axis in layout.kept)
    if order == sorted(order):
        return written, lambda sums: sums[backwards].copy()
    return written, lambda sums: ordered(sums[backwards]).copy("K")
