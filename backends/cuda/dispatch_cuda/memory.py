"""Memory of a device: typed arrays in pooled buffers, and flat views of arrays that others own."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

import numpy as np

from dispatch.devices import PooledBuffer
from dispatch.reduction import real_part


class DeviceMemory:
    """A flat array on the device, whose memory goes back to its pool when nothing refers to it any longer.

    Attributes
    ----------
    array : device array
        Its elements, as kernels take them; at least one, since kernels take no empty arrays.
    """

    __slots__ = ("_held", "array")

    def __init__(self, held: PooledBuffer, dtype: np.dtype[Any], count: int) -> None:
        self._held = held
        self.array = held.buffer[: max(count, 1) * dtype.itemsize].view(dtype)


class Held:
    """Memory of Numba's that is given back in the context of its device.

    The driver takes it back in no other way, and the thread that drops the last array on it may have no context.
    """

    # Where an array is garbage as part of a cycle, the collector tells Numba so before `__del__` runs, unless somebody
    # outside the cycle refers to the memory.
    _all: ClassVar[dict[int, Any]] = {}

    def __init__(self, context: Any, memory: Any) -> None:
        self._context, self._key = context, id(memory)
        self._all[self._key] = memory

    def __del__(self) -> None:
        # In the middle of a call on another device this context cannot be entered, and that one's does as well.
        with contextlib.suppress(Exception), self._context:
            del self._all[self._key]
        self._all.pop(self._key, None)


def hold(array: Any, context: Any) -> None:
    """Have the memory of a new device array held until nobody refers to it, or to a part of it, any longer."""
    from numba.cuda import current_context
    from numba.cuda.cudadrv.driver import MemoryPointer

    memory = array.gpu_data
    held = Held(context, memory)
    array.gpu_data = MemoryPointer(current_context(), memory.device_pointer, size=memory.size, owner=held)


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


def why_misaligned(name: str, interface: dict[str, Any]) -> str:
    """Return why kernels cannot address elements in memory that is described so, or the empty string.

    They count in elements, or in the parts of complex ones, and a GPU reads and writes none across a boundary.
    """
    item = real_part(np.dtype(interface["typestr"])).itemsize
    if any(step % item for step in interface.get("strides") or ()):
        return f"{name} has strides {interface['strides']}, no multiples of its elements' size, {item} bytes; copy it"
    address = interface["data"][0] or 0
    if address % item:
        return f"{name} begins at address {address:#x}, no multiple of its elements' size, {item} bytes; copy it"
    return ""
