"""`KernelRoute`: the passes of a sum on all cores, over elements where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction
from dispatch_cpu import any_layout, kernels
from dispatch_cpu.memory_views import writeable
from dispatch_cpu.row_sums import Jobs, find_kernels
from dispatch_cpu.signals import signal


class KernelRoute:
    """The passes over an operand: each sums over one reduced group, the first of them reads the operand itself."""

    __slots__ = ("_arranged", "_corner", "_element", "_kernels", "_masked", "_passes", "_reduction", "_view")

    def __init__(self, a: NDArray[Any], passes: Sequence[Jobs], reduction: Reduction) -> None:
        first, last = passes[0], passes[-1]
        self._passes = passes
        self._kernels: list[kernels.Kernel] | None = None
        self._element = None if a.dtype == first.recipe.element else np.dtype(first.recipe.element)
        self._corner = "C" if a.flags.c_contiguous else "F" if a.flags.f_contiguous else _corner(a)
        self._masked, self._reduction = reduction.where is not None, reduction.under(None)
        self._arranged = replace(self._reduction, initial=None)  # sums of kernels have started from 0
        # Complex and unsigned sums are views of what the kernel writes.
        written = np.dtype(last.result if last.shape[1] == 1 else last.recipe.total)
        self._view: np.dtype[Any] | None = None
        if reduction.dtype.kind == "c":
            self._view = np.dtype(f"c{2 * written.itemsize}")
        elif reduction.dtype.itemsize == written.itemsize and reduction.dtype.num != written.num:
            self._view = reduction.dtype

    def take(self, a: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> Any:
        """Return the sum of `a`: by NumPy where its elements are not aligned or a kernel is not ready."""
        found = self._kernels = self._kernels or find_kernels(self._passes, masked=self._masked)
        if found is None or not a.flags.aligned:
            return any_layout.take(a, self._reduction.under(mask))
        sums, strange = self._span(a, self._element), False
        marks = None if mask is None else self._span(mask)
        for jobs, kernel in zip(self._passes, found, strict=True):
            sums, strange = jobs.run(kernel.call, sums, marks)
            marks = None
        if strange:
            signal(a, self._reduction.under(mask), sums)
        if not self._passes[-1].plan[10]:
            sums += 0  # the sum starts from 0, so it is never -0.0
        return self._arranged.finish(sums if self._view is None else sums.view(self._view))

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


def _corner(a: NDArray[Any]) -> tuple[slice, ...]:
    """Return the index of the element in which a walk with positive strides begins."""
    return tuple(
        slice(-1, None) if step < 0 and n > 1 else slice(0, 1) for n, step in zip(a.shape, a.strides, strict=True)
    )
