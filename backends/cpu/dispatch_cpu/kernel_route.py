"""`KernelRoute`: what was decided for a layout that kernels can sum where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction
from dispatch_cpu import few_elements, kernels
from dispatch_cpu.in_place import can_read, first_pass, is_parallel, plan_in_place, repeats
from dispatch_cpu.memory_views import writeable
from dispatch_cpu.row_sums import SPLIT_UP, Jobs
from dispatch_cpu.signals import signal
from dispatch_cpu.summation import SERIAL


class KernelRoute:
    """The passes over an operand: each sums over one reduced group, the first of them reads the operand itself.

    Attributes
    ----------
    operation : numpy.dtype
        The dtype of the sums.
    """

    __slots__ = (
        "_arrange",
        "_corner",
        "_element",
        "_kernels",
        "_passes",
        "_shape",
        "_small",
        "_view",
        "operation",
    )

    def __init__(self, a: NDArray[Any], passes: Sequence[Jobs], reduction: Reduction) -> None:
        first, last = passes[0], passes[-1]
        self._passes = passes
        self._kernels: list[Any] | None = None
        self._element = None if a.dtype == first.recipe.element else np.dtype(first.recipe.element)
        self._corner = "C" if a.flags.c_contiguous else "F" if a.flags.f_contiguous else _corner(a)
        self._small = a.size < few_elements.UNASKED
        kept, flipped = reduction.layout.kept, reduction.layout.flipped
        simple = reduction.layout.factor == 1 and not flipped and list(kept) == sorted(kept)
        self._arrange = None if simple else replace(reduction, where=None)
        self.operation = reduction.dtype
        self._shape = reduction.shape
        # Complex and unsigned sums are views of what the kernel writes.
        written = np.dtype(last.result if last.shape[1] == 1 else last.recipe.total)
        self._view: np.dtype[Any] | None = None
        if self.operation.kind == "c":
            self._view = np.dtype(f"c{2 * written.itemsize}")
        elif self.operation.itemsize == written.itemsize and self.operation.num != written.num:
            self._view = self.operation

    @property
    def suits_integers(self) -> bool:
        """Whether NumPy is no faster, which it is in jobs of a handful of elements and in short rows that are apart."""
        jobs = self._passes[0]
        outer, _, width = jobs.shape
        row_stride, rows = jobs.plan[1], jobs.plan[3]
        is_split_up = outer > 1 and width > 1 and rows * width < SPLIT_UP
        is_apart = jobs.kernel == "sum_short_rows" and row_stride != width and rows > SERIAL
        return not (is_split_up or is_apart)

    def take(self, a: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> Any:
        """Return the sum of `a`; None where its elements are not aligned or a kernel is not ready."""
        if not a.flags.aligned:
            return None
        compiled = self._kernels
        if compiled is None:
            compiled = self._find_kernels(mask is not None)
            if compiled is None:
                return None
        jobs = self._passes[0]
        sums, strange = jobs.run(compiled[0], self._span(a, self._element), None if mask is None else self._span(mask))
        if len(compiled) > 1:
            for jobs, kernel in zip(self._passes[1:], compiled[1:], strict=True):
                sums, strange = jobs.run(kernel, sums, None)
        if strange:
            signal(sums, a)
        return self._result(sums, started=bool(jobs.plan[10]))

    def _find_kernels(self, masked: bool) -> list[Any] | None:
        if self._small and not kernels.is_worth_loading():
            return None
        found = [jobs.find_kernel(masked and i == 0) for i, jobs in enumerate(self._passes)]
        if all(kernel is not None for kernel in found):
            self._kernels = found
        return self._kernels

    def _span(self, a: NDArray[Any], element: np.dtype[Any] | None = None) -> NDArray[Any]:
        """Return a vector that begins with the first element of the walk."""
        if self._corner == "C":
            x = a.reshape(-1)
        elif self._corner == "F":
            x = a.T.reshape(-1)
        else:
            x = a[self._corner].reshape(-1)
        if element is not None:
            x = x.view(element)
        return writeable(x)

    def _result(self, sums: NDArray[Any], *, started: bool) -> Any:
        if not started:
            sums += 0  # the sum starts from 0, so it is never -0.0
        if self._view is not None:
            sums = sums.view(self._view)
        if self._arrange is not None:
            return self._arrange.finish(sums)
        if not self._shape:
            return sums[0] if sums.dtype is self.operation else self.operation.type(sums[0])
        if sums.shape != self._shape:
            sums = sums.reshape(self._shape)
        return sums if sums.dtype is self.operation else sums.astype(self.operation)


def _corner(a: NDArray[Any]) -> tuple[slice, ...]:
    """Return the index of the element in which a walk with positive strides begins."""
    return tuple(
        slice(-1, None) if step < 0 and n > 1 else slice(0, 1) for n, step in zip(a.shape, a.strides, strict=True)
    )


def plan_route(a: NDArray[Any], reduction: Reduction) -> KernelRoute | None:
    """Return the route for arrays like `a`; None where a pass cannot read its elements where they are."""
    mask = reduction.where
    if not can_read(a.dtype, reduction.dtype):
        return None
    if mask is not None and not (type(mask) is np.ndarray and mask.shape == a.shape and is_parallel(mask, a)):
        return None
    if mask is not None and repeats(a):
        return None
    groups = [(group.extent, group.strides[0], group.reduced) for group in reduction.layout.groups]
    real = 4 if reduction.dtype in (np.float32, np.complex64) else 8
    dtype, operation, passes = a.dtype, reduction.dtype, []
    simple = reduction.layout.factor == 1
    while any(reduced for *_, reduced in groups):
        others, rows, columns = first_pass([extent for extent, *_ in groups], [reduced for *_, reduced in groups])
        left = [groups[group] for group in others] + ([] if columns is None else [groups[columns]])
        final = simple and not any(reduced for *_, reduced in left)
        result = (f"f{real}" if reduction.dtype.kind in "fc" else "i8") if final else None
        walk = [*(groups[group] for group in others), groups[rows]]
        walk.append((1, 0, False) if columns is None else groups[columns])
        jobs = plan_in_place([group[0] for group in walk], [group[1] for group in walk], dtype, operation, result)
        if jobs is None:
            return None
        passes.append(jobs)
        # What comes out is contiguous, in the accumulator's dtype.
        dtype = operation = np.dtype({"f": "f8", "c": "c16"}.get(reduction.dtype.kind, "i8"))
        groups, step = [], dtype.itemsize
        for extent, _, reduced in reversed(left):
            groups.insert(0, (extent, step, reduced))
            step *= extent
    return KernelRoute(a, passes, reduction) if passes else None
