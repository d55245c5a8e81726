"""Memory of a device: buffers that are kept for reuse, and flat views of arrays that others own."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 8
"""Sizes of buffers between a power of two and the next: a request is rounded up by an eighth at most."""

SMALLEST = 256


class DeviceMemory:
    """A flat array on the device, whose memory goes back to its pool when nothing refers to it any longer.

    Attributes
    ----------
    array : device array
        Its elements, as kernels take them; at least one, since kernels take no empty arrays.
    """

    __slots__ = ("_buffer", "_pool", "array")

    def __init__(self, pool: Pool, buffer: Any, dtype: np.dtype[Any], count: int) -> None:
        self._pool = pool
        self._buffer = buffer
        self.array = buffer[: max(count, 1) * dtype.itemsize].view(dtype)

    def __del__(self) -> None:
        self._pool.give_back(self._buffer)


class Pool:
    """Buffers of one device, by size.

    All work on them goes through one stream, in order, so that a buffer may be given to the next user while the last
    kernels of the previous one are still waiting. Taking and giving back are single operations of `deque`, which need
    no lock and may be interrupted by the garbage collector.

    Parameters
    ----------
    create : callable
        Makes a buffer of so many bytes.
    limit : int
        Most bytes to keep idle.
    """

    def __init__(self, create: Callable[[int], Any], limit: int) -> None:
        self._create = create
        self._limit = limit
        self._idle: defaultdict[int, deque[Any]] = defaultdict(deque)
        # Memory may become garbage as part of a cycle. By the time that its `__del__` runs, the collector has told
        # Numba that the buffer is gone, unless somebody outside the cycle refers to it.
        self._in_use: dict[int, Any] = {}

    @property
    def in_use(self) -> int:
        """How many buffers are referred to by somebody."""
        return len(self._in_use)

    @property
    def idle_bytes(self) -> int:
        """Bytes of the buffers that are kept for reuse."""
        return sum(size * len(buffers) for size, buffers in list(self._idle.items()))

    def take(self, count: int, dtype: Any) -> DeviceMemory:
        """Return memory for so many elements, with undefined contents."""
        dtype = np.dtype(dtype)
        size = rounded(count * dtype.itemsize)
        try:
            buffer = self._idle[size].pop()
        except IndexError:
            buffer = self._create(size)
        self._in_use[id(buffer)] = buffer
        return DeviceMemory(self, buffer, dtype, count)

    def give_back(self, buffer: Any) -> None:
        """Keep a buffer for reuse, or let it go where enough are kept."""
        self._in_use.pop(id(buffer), None)
        if self.idle_bytes + buffer.nbytes <= self._limit:
            self._idle[buffer.nbytes].append(buffer)

    def trim(self) -> None:
        """Let all idle buffers go."""
        for buffers in list(self._idle.values()):
            buffers.clear()


def rounded(nbytes: int) -> int:
    """Return the size of buffer for a request: the next of `STEPS` sizes between powers of two."""
    nbytes = max(nbytes, SMALLEST)
    step = (1 << (nbytes.bit_length() - 1)) // STEPS
    return -(-nbytes // step) * step


def flat(array: Any, offset: int, dtype: Any, count: int) -> Any:
    """Return `count` elements in a row of the memory of a device array, which they keep alive.

    They begin `offset` bytes behind its first element; before it, where the offset is negative, as that of a reversed
    array is.
    """
    from numba.cuda import current_context
    from numba.cuda.cudadrv.devicearray import DeviceNDArray
    from numba.cuda.cudadrv.driver import MemoryPointer, binding

    dtype = np.dtype(dtype)
    address = binding.CUdeviceptr(int(array.__cuda_array_interface__["data"][0]) + offset)
    memory = MemoryPointer(current_context(), address, size=count * dtype.itemsize, owner=array)
    return DeviceNDArray((count,), (dtype.itemsize,), dtype, gpu_data=memory)
