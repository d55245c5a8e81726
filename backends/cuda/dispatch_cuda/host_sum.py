"""Sums of host arrays: copied to the device slab by slab, while the slab before is added up."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, prepare
from dispatch.reduction.slabs import mask_span, memory_of, slabs, span
from dispatch_cuda.memory import DeviceMemory
from dispatch_cuda.runtime import Runtime
from dispatch_cuda.summation import Summation, why_not

SLAB_BYTES = 1 << 26
"""Bytes of the operand that are on the device at once, for every device alike: the sum's last bits depend on it."""

SPARSE = 4
"""A walk that touches less than one of so many bytes is gathered on the host before it is sent to the device."""


def sum_host_array(runtime: Runtime, a: NDArray[Any], arguments: tuple[Any, ...], slab_bytes: int = SLAB_BYTES) -> Any:
    """Return ``dispatch.sum(a, *arguments)`` for an ndarray.

    What kernels cannot convert is converted by NumPy first, and what they cannot walk is copied first.
    """
    reduction = prepare(a, *arguments)
    if why_not(a.dtype, reduction.dtype, reduction.accumulator):
        a = a.astype(reduction.dtype)
        reduction = prepare(a, *arguments)
    if reduction.count == 0 or reduction.sums == 0:
        return reduction.finish(np.empty(reduction.sums, reduction.dtype))
    if not _walkable(a, reduction):
        a = np.array(a, order="K", copy=True)
        reduction = prepare(a, *arguments)
    return reduction.finish(_raw_sums(runtime, a, reduction, slab_bytes))


def _walkable(a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether kernels can read the elements as they lie, and a copy of all between them would not be wasted."""
    item = reduction.operand.itemsize
    if not a.flags.aligned or any(group.strides[0] % item for group in reduction.layout.groups):
        return False
    return span(reduction.layout.groups, item) <= SPARSE * a.nbytes


def _raw_sums(runtime: Runtime, a: NDArray[Any], reduction: Reduction, slab_bytes: int) -> NDArray[Any]:
    summation = Summation(runtime, reduction)
    groups, item = reduction.real_groups(), summation.element.itemsize
    mask = None if reduction.where is None else np.asarray(reduction.where)
    first = a.ctypes.data + reduction.layout.offsets[0]
    mask_first = 0 if mask is None else mask.ctypes.data + reduction.layout.offsets[1]
    parts = list(slabs(groups, slab_bytes // item))
    total = Total([group.extent for group in groups if not group.reduced], summation.dtype)
    sender = Sender(runtime, 0 if len(parts) == 1 else 2 if mask is None else 4)
    waiting: list[tuple[tuple[slice, ...], DeviceMemory]] = []

    def collect() -> None:
        place, memory = waiting.pop(0)
        total.add(place, runtime.read(memory))

    for slab in parts:
        nbytes = span(slab.groups) * item
        operand = sender.send(memory_of(a, first + slab.start * item, nbytes).view(summation.element))
        marks, before = None, 0
        if mask is not None:
            before, touched = mask_span(slab.groups)
            marks = sender.send(memory_of(mask, mask_first + slab.mask_start - before, touched))
        waiting.append((slab.place, summation.run(slab.groups, operand, 0, marks, before)))
        if len(waiting) > 1:
            collect()
    collect()
    return summation.values(total.value())


class Total:
    """The sum of the raw sums of slabs, with the rounding errors of each addition kept.

    Parameters
    ----------
    shape : sequence of int
        Extents of the kept groups.
    dtype : numpy.dtype
        float64 or int64.
    """

    def __init__(self, shape: list[int], dtype: np.dtype[Any]) -> None:
        self._sums = np.full(shape, -0.0 if dtype.kind == "f" else 0, dtype)
        self._errors = np.zeros(shape, dtype)

    def add(self, place: tuple[slice, ...], sums: NDArray[Any]) -> None:
        """Add the sums of a slab where they belong (two-sum: D. E. Knuth, TAOCP 2, 4.2.2, theorem B)."""
        total = self._sums[place]
        x = sums.reshape(total.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            s = total + x
            z = s - total
            self._errors[place] += (total - (s - z)) + (x - z)
        self._sums[place] = s

    def value(self) -> NDArray[Any]:
        """Return the sums, flat; where one has overflowed the errors mean nothing, and -0.0 stays what it is."""
        with np.errstate(invalid="ignore"):
            corrected = np.where(np.isfinite(self._errors) & (self._errors != 0), self._sums + self._errors, self._sums)
        return np.asarray(corrected).reshape(-1)


class Sender:
    """Copies from the host to the device: at once, or by way of page-locked buffers in turn.

    A copy from page-locked memory goes on while the host fills the next buffer and the device adds up the slab before.

    Parameters
    ----------
    runtime : Runtime
        The device.
    buffers : int
        How many page-locked buffers to use, two for each array; 0 to copy at once, which takes less time than making
        them for a single copy.
    """

    def __init__(self, runtime: Runtime, buffers: int) -> None:
        self._runtime = runtime
        self._buffers: deque[tuple[NDArray[np.uint8], Any]] = deque([(np.empty(0, np.uint8), None)] * buffers)

    def send(self, host: NDArray[Any]) -> DeviceMemory:
        """Enqueue a copy of a contiguous array, and return the memory that it will be in."""
        memory = self._runtime.allocate(host.size, host.dtype)
        if not self._buffers:
            self._runtime.write(memory, host)
            return memory
        buffer, sent = self._buffers.popleft()
        if sent is not None:
            self._runtime.wait_for(sent)
        if buffer.nbytes < host.nbytes:
            buffer = self._runtime.page_locked(host.nbytes)
        staged = buffer[: host.nbytes].view(host.dtype)
        np.copyto(staged, host)
        self._runtime.write(memory, staged)
        self._buffers.append((buffer, self._runtime.mark()))
        return memory
