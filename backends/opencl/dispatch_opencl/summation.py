"""`Summation`: the passes of one sum over data that a device can read."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from dispatch.reduction import Group, Pass, Reduction, real_part
from dispatch_opencl.passes import LANES, STRIPE, next_pass
from dispatch_opencl.runtime import Runtime

CL_TYPES = {
    "b1": "uchar", "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "i8": "long", "u8": "ulong", "f2": "half", "f4": "float", "f8": "double",
}  # fmt: skip
"""OpenCL's names for the kinds and sizes of real numbers."""


def cl_type(dtype: np.dtype[Any]) -> str:
    """Return OpenCL's name for a real dtype."""
    return CL_TYPES[f"{dtype.kind}{dtype.itemsize}"]


def why_not(operation: np.dtype[Any], accumulator: np.dtype[Any] | None, fp64: bool) -> str:
    """Return why a device cannot add numbers of dtype `operation`, or the empty string."""
    if accumulator is None:
        return f"the device has no arithmetic for sums in {operation}"
    if not fp64 and real_part(operation) == np.float64:
        return f"the device has no double precision, and a sum in {operation} needs it"
    return ""


def why_no_cast(operand: np.dtype[Any], operation: np.dtype[Any], fp64: bool) -> str:
    """Return why kernels cannot cast elements of `operand` to `operation` by NumPy's rules, or the empty string."""
    real, op = real_part(operand), real_part(operation)
    if f"{real.kind}{real.itemsize}" not in CL_TYPES:
        return "the device has no such type"
    if not operand.isnative:
        return "they have not the machine's byte order"
    if operand.kind == "c" and operation.kind != "c":
        return "that drops imaginary parts"
    if (real.kind == "f" and op.kind != "f") or (operation.kind == "b" and operand.kind != "b"):
        return "out of range, the rules are those of the host's C compiler"
    if op == np.float16 != real:
        return "the device rounds to float16 when it stores, not before it adds"
    return "" if fp64 or real != np.float64 else "the device has no double precision"


class Destination(NamedTuple):
    """Where a device puts the sums themselves: memory, the first element in it, and the elements' real dtype."""

    memory: Any
    start: int
    dtype: np.dtype[Any]


class Summation:
    """One sum on one device.

    Parameters
    ----------
    runtime : Runtime
        The device.
    reduction : Reduction
        What to sum.
    """

    def __init__(self, runtime: Runtime, reduction: Reduction) -> None:
        self._runtime = runtime
        self._reduction = reduction
        self._streams = runtime.traits.streams
        self.element = real_part(reduction.operand)
        self.dtype = self._raw_dtype()
        """Dtype of the numbers that the device adds: the accumulator's real part, or float32 without fp64."""

    def _raw_dtype(self) -> np.dtype[Any]:
        accumulator = self._reduction.accumulator
        if accumulator is None:
            raise AssertionError("supports() has refused a sum without an accumulator")
        raw = real_part(accumulator)
        return np.dtype(np.float32) if raw == np.float64 and not self._runtime.traits.fp64 else raw

    def run(
        self,
        groups: Sequence[Group],
        operand: Any,
        start: int,
        mask: Any = None,
        mask_start: int = 0,
        into: Destination | None = None,
    ) -> Any:
        """Enqueue the passes and return the memory in which the raw sums will be.

        Parameters
        ----------
        groups : sequence of Group
            The walk, or a part of it.
        operand, mask : memory
            Of the elements, and of the mask, one byte each, where there is one.
        start, mask_start : int
            The first element of the walk in either.
        into : Destination, optional
            Where to put them, cast and with the initial value 0 added; by default new memory.
        """
        walk = tuple(groups)
        element, operation = self.element, self._reduction.dtype
        while True:
            this = next_pass(walk, self._streams)
            walk = this.results
            last = not any(group.reduced for group in walk)
            result = into if last and into else None
            options = self._options(element, operation, mask is not None, into)
            memory = self._launch(this, options, operand, start, mask, mask_start, result)
            if last:
                return memory
            element = operation = self.dtype
            operand, start, mask, mask_start = memory, 0, None, 0

    def _options(
        self, element: np.dtype[Any], operation: np.dtype[Any], masked: bool, into: Destination | None
    ) -> list[str]:
        accumulator = cl_type(self.dtype)
        options = [
            f"-DT={cl_type(element)}",
            f"-DHALF={int(element == np.float16)}",
            f"-DACC={accumulator}",
            f"-DFLOATING={int(self.dtype.kind == 'f')}",
            f"-DCOND={'long' if self.dtype.itemsize == 8 else 'int'}",
            f"-DLANES={LANES[self._streams]}",
            f"-DSTRIPE={STRIPE[self._streams]}",
            f"-DSTREAMS={int(self._streams)}",
            f"-DMASKED={int(masked)}",
            f"-DPOSITIVE={int(into is not None)}",
        ]
        op = real_part(operation)
        if op == np.float32 and element not in (op, np.float16):
            options.append("-DOP=float")
        return options

    def _launch(
        self,
        this: Pass,
        options: list[str],
        operand: Any,
        start: int,
        mask: Any,
        mask_start: int,
        into: Destination | None,
    ) -> Any:
        runtime = self._runtime
        group = 1 if self._streams else runtime.traits.group
        cooperate = not self._streams and this.columns is None and this.n >= 2 * group
        kernel = runtime.kernel(
            "sum.cl",
            "columns" if this.columns else "rows",
            (
                *options,
                f"-DCONTIGUOUS={int(self._contiguous(this, mask))}",
                f"-DCOOPERATE={int(cooperate)}",
                f"-DCOLUMNS={int(this.columns is not None)}",
                f"-DRESULT={cl_type(into.dtype if into else self.dtype)}",
            ),
        )
        result = into.memory if into else runtime.allocate(this.outputs * self.dtype.itemsize)
        # Without outer axes nothing reads them; some buffer has to stand for them.
        axes = runtime.constant([(g.extent, *g.strides) for g in this.outer]) if this.outer else operand
        outer = prod(g.extent for g in this.outer)
        arguments: list[Any] = [operand, start, mask or operand, mask_start, outer, len(this.outer), axes]
        arguments += [this.n, *this.step, this.chunk]
        tasks = this.tasks
        if this.columns:
            arguments += [this.columns.extent, *this.columns.strides, this.ragged]
            tasks *= -(-this.columns.extent // (STRIPE[self._streams] * LANES[self._streams]))
        runtime.launch(
            kernel, (self._items(tasks, group, cooperate),), (group,), *arguments, result, into.start if into else 0
        )
        return result

    def _contiguous(self, this: Pass, mask: Any) -> bool:
        strides = this.columns.strides if this.columns else this.step
        return strides[0] == 1 and (mask is None or strides[1] == 1)

    def _items(self, tasks: int, group: int, cooperate: bool) -> int:
        if self._streams:
            return min(tasks, 64)
        groups = tasks if cooperate else -(-tasks // group)
        return min(groups, MOST_GROUPS) * group

    def values(self, raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return raw sums as they come from the device in the accumulator's dtype, pairs as complex numbers."""
        accumulator = self._reduction.accumulator
        if self._reduction.operand.kind == "c":
            raw = raw.view(np.result_type(raw.dtype, np.complex64))
        return raw.astype(accumulator, copy=False)


MOST_GROUPS = 8192
"""Work-groups of a launch; each takes every so many tasks."""
