"""Arrays on the device that are known by DLPack alone, as those of JAX may be: there and back, without a copy."""

from __future__ import annotations

from typing import Any

from dispatch_cuda.memory import why_misaligned


class Borrowed:
    """An array of another library's, with the interface that Numba reads; it is given back when this is dropped.

    Parameters
    ----------
    array : object
        An array with ``__dlpack__``, on a CUDA device.
    stream : int
        The stream on which the data is read: the producer lets it wait until the data is there.

    Raises
    ------
    ValueError
        When the data is not aligned, which no call sees before.
    """

    def __init__(self, array: Any, stream: int) -> None:
        from cuda.core.utils import StridedMemoryView

        self._view = view = StridedMemoryView.from_dlpack(array, stream_ptr=stream)
        item = view.dtype.itemsize
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": view.shape,
            "typestr": view.dtype.str,
            "strides": None if view.strides is None else tuple(step * item for step in view.strides),
            "data": (view.ptr, view.readonly),
        }
        if reason := why_misaligned("the array", self.__cuda_array_interface__):
            raise ValueError(reason)


def lent(namespace: Any, array: Any) -> Any:
    """Return a device array, whose data is there, as an array of the library with that ``from_dlpack``."""
    from cuda.core.utils import StridedMemoryView

    return namespace.from_dlpack(StridedMemoryView.from_cuda_array_interface(array, stream_ptr=-1))
