"""`Summation`: the passes of one sum over data that is on the device."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Group, Pass, Reduction, real_part
from dispatch_cuda.memory import DeviceMemory
from dispatch_cuda.passes import MEDIUM, SHORT, WARP, next_pass
from dispatch_cuda.runtime import Runtime

if TYPE_CHECKING:
    from dispatch_cuda.kernels.sums import Elements

VECTOR_BYTES = 16

OPERAND, MASK = 0, 1
"""Places of their strides in those of a group."""


def why_not(operand: np.dtype[Any], operation: np.dtype[Any], accumulator: np.dtype[Any] | None) -> str:
    """Return why kernels cannot sum elements of `operand` as `operation`, or the empty string."""
    real, op = real_part(operand), real_part(operation)
    if accumulator is None or real.kind not in "biuf" or real.itemsize > 8:
        return f"there is no arithmetic on the device for {operand} summed as {operation}"
    if not operand.isnative:
        return f"the elements ({operand.str}) have not the machine's byte order"
    if operand.kind == "c" and operation.kind != "c":
        return f"summing {operand} as {operation} drops imaginary parts"
    if operand.kind != "c" and operation.kind == "c":
        return f"kernels add {operand} without the imaginary parts that {operation} has"
    if real.kind == "f" and op.kind != "f":
        return f"summing {operand} as {operation} converts each element by the rules of the host's C compiler"
    if operation.kind == "b" and operand.kind != "b":
        return f"{operand} is summed as bool on the host alone"
    if op == np.float16 != real:
        return f"each element of {operand} is rounded to float16 on the host alone"
    return ""


class Summation:
    """One sum on one device.

    Parameters
    ----------
    runtime : Runtime
        The device.
    reduction : Reduction
        What to sum.

    Attributes
    ----------
    element : numpy.dtype
        Real type of the elements in memory, as kernels read them.
    dtype : numpy.dtype
        Type of the sums on the device: float64, or int64 modulo ``2**64``. Complex sums are pairs.
    """

    def __init__(self, runtime: Runtime, reduction: Reduction) -> None:
        self._runtime = runtime
        self._reduction = reduction
        floating = reduction.dtype.kind in "fc"
        self.dtype = np.dtype(np.float64 if floating else np.int64)
        real = real_part(reduction.operand)
        self.element = {"b1": np.dtype(np.uint8), "u8": real if floating else np.dtype(np.int64)}.get(
            f"{real.kind}{real.itemsize}", np.dtype(f"{real.kind}{real.itemsize}")
        )

    def run(
        self, groups: Sequence[Group], operand: Any, start: int, mask: Any = None, mask_start: int = 0
    ) -> DeviceMemory:
        """Enqueue the passes and return the memory in which the raw sums will be.

        Parameters
        ----------
        groups : sequence of Group
            The walk, or a part of it.
        operand, mask : device array or DeviceMemory
            The elements, flat; the mask as uint8, where there is one.
        start, mask_start : int
            The first element of the walk in either.
        """
        from dispatch_cuda.kernels.sums import Elements

        this = next_pass(groups)
        memory = self._launch(this, self.elements(mask is not None), operand, start, mask, mask_start)
        elements = Elements(self.dtype, False, False, self.dtype.kind == "f", False)
        while any(group.reduced for group in this.results):
            this = next_pass(this.results)
            memory = self._launch(this, elements, memory, 0, None, 0)
        return memory

    def elements(self, masked: bool) -> Elements:
        """Return what kernels are specialised by that read the elements, and a mask or none."""
        from dispatch_cuda.kernels.sums import Elements

        floating = self.dtype.kind == "f"
        return Elements(
            dtype=self.element,
            boolean=self._reduction.operand.kind == "b",
            single=floating and real_part(self._reduction.dtype).itemsize < 8,
            floating=floating,
            masked=masked,
        )

    def values(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return raw sums as they come from the device in the accumulator's dtype, pairs as complex numbers."""
        if self._reduction.accumulator is None:
            raise AssertionError("why_not() has refused a sum without an accumulator")
        return raw.view(self._reduction.accumulator)

    def _launch(
        self, this: Pass, elements: Elements, operand: Any, start: int, mask: Any, mask_start: int
    ) -> DeviceMemory:
        from dispatch_cuda.kernels import sums

        runtime, columns = self._runtime, this.columns
        out = runtime.allocate(this.outputs, self.dtype)
        more, axes = 0, runtime.no_axes
        if len(this.outer) > 1:
            more = len(this.outer)
            axes = runtime.constant(np.array([(g.extent, *g.strides) for g in this.outer], np.int64))
        strides = this.outer[-1].strides if this.outer else (0, 0)
        outer = prod(g.extent for g in this.outer)
        item, lanes = elements.dtype.itemsize, VECTOR_BYTES // elements.dtype.itemsize
        vectorised = _in_vectors(this, OPERAND, _address(operand) + start * item, item, lanes)
        marks = mask is not None and vectorised and _in_vectors(this, MASK, _address(mask) + mask_start, 1, lanes)
        arguments: list[Any] = [operand, start, out if mask is None else mask, mask_start, outer, more, axes, *strides]
        arguments += [this.n, *this.step, this.chunk]
        if columns is None:
            team = 1 if this.n <= SHORT else WARP if this.n <= MEDIUM else runtime.threads
            kernel = sums.rows(elements, vectorised, marks, team, runtime.threads)
            blocks = runtime.blocks(this.tasks * team)
        else:
            kernel = sums.columns(elements, vectorised, marks, runtime.threads)
            blocks = runtime.blocks(this.tasks * (columns.extent // (lanes if vectorised else 1)))
            arguments += [columns.extent, *columns.strides, this.ragged]
        runtime.launch(kernel, blocks, *arguments, out)
        return out


def _in_vectors(this: Pass, which: int, address: int, itemsize: int, lanes: int) -> bool:
    """Whether every `lanes` elements, or their marks in the mask, lie in a row and on a boundary of their size.

    The first of the pass is at the given address.
    """
    neighbours = this.columns.strides[which] if this.columns else this.step[which]
    if neighbours != 1 or address % (itemsize * lanes) or (this.columns and this.columns.extent % lanes):
        return False
    steps = [group.strides[which] for group in this.outer]
    steps.append(this.step[which] if this.columns else this.chunk if this.chunk < this.n else 0)
    return all(step % lanes == 0 for step in steps)


def _address(operand: Any) -> int:
    array = operand.array if isinstance(operand, DeviceMemory) else operand
    return int(array.__cuda_array_interface__["data"][0])
