"""`Summation`: the launches of one kind of sum over data that a device can read."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from dispatch.reduction import Group, Pass, Reduction, real_part
from dispatch_opencl.passes import STRIPE, Chunks, chunks_left, lanes_of, next_pass
from dispatch_opencl.runtime import Runtime

CL_TYPES = {
    "b1": "uchar", "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "i8": "long", "u8": "ulong", "f2": "half", "f4": "float", "f8": "double",
}  # fmt: skip
"""OpenCL's names for the kinds and sizes of real numbers."""

MOST_GROUPS = {True: 1024, False: 8192}
"""Work-groups of a launch on devices that stream, of one item each, and on those with groups; they share the tasks."""

LAUNCHES_KEPT = 1024
"""Walks for which the launches are kept."""


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


def why_no_type(dtype: np.dtype[Any], fp64: bool = True) -> str:
    """Return why kernels can neither read nor write elements of a dtype, or the empty string."""
    real = real_part(dtype)
    if f"{real.kind}{real.itemsize}" not in CL_TYPES:
        return "the device has no such type"
    if not dtype.isnative:
        return "they have not the machine's byte order"
    return "" if fp64 or real != np.float64 else "the device has no double precision"


def why_no_cast(operand: np.dtype[Any], operation: np.dtype[Any], fp64: bool) -> str:
    """Return why kernels cannot cast elements of `operand` to `operation` by NumPy's rules, or the empty string."""
    real, op = real_part(operand), real_part(operation)
    if reason := why_no_type(operand):
        return reason
    if operand.kind == "c" and operation.kind != "c":
        return "that drops imaginary parts"
    if (real.kind == "f" and op.kind != "f") or (operation.kind == "b" and operand.kind != "b"):
        return "out of range, the rules are those of the host's C compiler"
    if op == np.float16 != real:
        return "the device rounds to float16 when it stores, not before it adds"
    return "" if fp64 or real != np.float64 else "the device has no double precision"


class Place(NamedTuple):
    """Where numbers begin on the device: memory, and the first of them in it."""

    memory: Any
    start: int


class Launch(NamedTuple):
    """One launch of a sum, without the memory that it reads and writes.

    Attributes
    ----------
    kernel : pyopencl.Kernel
        Built for what it reads.
    items, group : tuple of int
        Work-items, and those of a group.
    walks : bool
        Whether it walks an operand and a mask; otherwise it adds up chunks.
    axes : buffer or None
        Table of the outer axes of the walk, if it has any.
    numbers : tuple of int
        The kernel's numbers.
    nbytes : int
        Bytes of the sums that come out.
    """

    kernel: Any
    items: tuple[int]
    group: tuple[int]
    walks: bool
    axes: Any
    numbers: tuple[int, ...]
    nbytes: int

    def arguments(self, operand: Place, mask: Place | None, result: Place, last: bool) -> tuple[Any, ...]:
        """Return the kernel's arguments; as the `last` launch it writes results, otherwise sums."""
        memory = operand.memory
        if not self.walks:
            return (memory, *self.numbers, *result, int(last))
        # Without a mask or outer axes nothing reads them; some buffer has to stand for them.
        axes = memory if self.axes is None else self.axes
        return (*operand, *(mask or (memory, 0)), axes, *self.numbers, *result, int(last))


class Summation:
    """Sums of one kind on one device. Kernels are built for the first sum; all later ones only launch them.

    Parameters
    ----------
    runtime : Runtime
        The device.
    reduction : Reduction
        A sum of that kind.

    Attributes
    ----------
    element : numpy.dtype
        Real type of the elements.
    dtype : numpy.dtype
        Real type of the numbers that the device adds: the accumulator's, or float32 without fp64.
    result : numpy.dtype
        Real type that sums can be stored as.
    """

    def __init__(self, runtime: Runtime, reduction: Reduction) -> None:
        if reduction.accumulator is None:
            raise AssertionError("supports() has refused a sum without an accumulator")
        self._runtime = runtime
        self._streams = runtime.traits.streams
        self._accumulator = reduction.accumulator
        self._pairs = reduction.operand.kind == "c"
        self._masked = reduction.where is not None
        self._operation = real_part(reduction.dtype)
        self.element = real_part(reduction.operand)
        raw = real_part(reduction.accumulator)
        self.dtype = np.dtype(np.float32) if raw == np.float64 and not runtime.traits.fp64 else raw
        rounded_once = self._operation.kind != "b" and self._operation != np.float16
        self.result = self._operation if rounded_once else self.dtype

    def run(
        self, groups: tuple[Group, ...], operand: Place, mask: Place | None = None, into: Place | None = None
    ) -> tuple[Any, Any]:
        """Enqueue the launches; return the memory in which the sums will be, and the event of the last launch.

        Parameters
        ----------
        groups : tuple of Group
            The walk, or a part of it.
        operand, mask : Place
            The elements, and the mask, one byte each, where there is one.
        into : Place, optional
            Where to put results: the sums cast to `result`, with the initial value 0 added. By default the sums
            themselves, of type `dtype`, go to new memory.
        """
        launches = self.launches(groups, self.dtype if into is None else self.result)
        for launch in launches:
            last = into is not None and launch is launches[-1]
            result = into if into is not None and last else Place(self._runtime.allocate(launch.nbytes), 0)
            event = self._runtime.launch(
                launch.kernel, launch.items, launch.group, *launch.arguments(operand, mask, result, last)
            )
            operand, mask = result, None
        return operand.memory, event

    def values(self, raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return raw sums as they come from the device in the accumulator's dtype, pairs as complex numbers."""
        if self._pairs:
            raw = raw.view(np.result_type(raw.dtype, np.complex64))
        return raw.astype(self._accumulator, copy=False)

    def launches(self, groups: tuple[Group, ...], result: np.dtype[Any]) -> tuple[Launch, ...]:
        """Return the launches for a walk whose sums are stored as `result`; those of the last walks are kept."""
        key = (self.element.char, self._operation.char, self.dtype.char, result.char, self._masked, groups)
        known = self._runtime.launches
        launches = known.get(key)
        if launches is None:
            launches = tuple(self._plan(groups, result))
            if len(known) >= LAUNCHES_KEPT:
                known.clear()
            known[key] = launches
        return launches

    def _plan(self, walk: tuple[Group, ...], result: np.dtype[Any]) -> Iterator[Launch]:
        lanes = lanes_of(self.element.itemsize, self._streams)
        this = next_pass(walk, lanes, self._streams)
        options = self._options(this, lanes, self.element, self._operation, self._masked, result)
        yield self._walk(this, lanes, options)
        while any(group.reduced for group in this.results):
            chunks = chunks_left(this.results, self._streams)
            if chunks is not None:
                yield self._totals(chunks, options)
                return
            lanes = lanes_of(self.dtype.itemsize, self._streams)
            this = next_pass(this.results, lanes, self._streams)
            options = self._options(this, lanes, self.dtype, self.dtype, False, result)
            yield self._walk(this, lanes, options)

    def _options(
        self,
        this: Pass,
        lanes: int,
        element: np.dtype[Any],
        operation: np.dtype[Any],
        masked: bool,
        result: np.dtype[Any],
    ) -> tuple[str, ...]:
        """Return the build options of the program for a pass over elements of a type, each cast to `operation`."""
        neighbours = this.columns.strides if this.columns else this.step
        contiguous = neighbours[0] == 1 and (not masked or neighbours[1] == 1)
        options = (
            f"-DT={cl_type(element)}",
            f"-DHALF={int(element == np.float16)}",
            f"-DTRUTH={int(element.kind == 'b')}",
            f"-DACC={cl_type(self.dtype)}",
            f"-DFLOATING={int(self.dtype.kind == 'f')}",
            f"-DCOND={'long' if self.dtype.itemsize == 8 else 'int'}",
            f"-DRESULT={cl_type(result)}",
            f"-DLANES={lanes}",
            f"-DSTRIPE={STRIPE[self._streams]}",
            f"-DSTREAMS={int(self._streams)}",
            f"-DMASKED={int(masked)}",
            f"-DCONTIGUOUS={int(contiguous)}",
            f"-DCOOPERATE={int(self._cooperate(this))}",
            f"-DCOLUMNS={int(this.columns is not None)}",
        )
        rounds = operation == np.float32 and element not in (operation, np.float16)
        return (*options, "-DOP=float") if rounds else options

    def _cooperate(self, this: Pass) -> bool:
        """Return whether the items of a group share a row."""
        return not self._streams and this.columns is None and this.n >= 2 * self._runtime.traits.group

    def _walk(self, this: Pass, lanes: int, options: tuple[str, ...]) -> Launch:
        runtime, columns = self._runtime, this.columns
        kernel = runtime.kernel("sum.cl", "columns" if columns else "rows", options)
        axes = runtime.constant([(g.extent, *g.strides) for g in this.outer]) if this.outer else None
        numbers = [len(this.outer), prod(g.extent for g in this.outer), this.n, *this.step, this.chunk]
        items = this.tasks * (runtime.traits.group if self._cooperate(this) else 1)
        if columns:
            numbers += [columns.extent, *columns.strides, this.ragged]
            items *= -(-columns.extent // (STRIPE[self._streams] * lanes))
        nbytes = this.outputs * self.dtype.itemsize
        return Launch(kernel, *self._shape(items), True, axes, tuple(numbers), nbytes)

    def _totals(self, chunks: Chunks, options: tuple[str, ...]) -> Launch:
        """Return the launch that adds up chunks, by a kernel of the program that has made them."""
        kernel = self._runtime.kernel("sum.cl", "totals", options)
        sums = chunks.outer * chunks.width
        return Launch(kernel, *self._shape(sums), False, None, tuple(chunks), sums * self.dtype.itemsize)

    def _shape(self, items: int) -> tuple[tuple[int], tuple[int]]:
        """Return how many work-items to start, and those of a group, for work that so many could share."""
        traits = self._runtime.traits
        return traits.work_items(items, MOST_GROUPS[self._streams] * traits.group_started)
