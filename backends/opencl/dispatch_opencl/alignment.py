"""Device arrays whose elements are not where their type must be: kernels are given a copy where they are."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pyopencl as cl

from dispatch.reduction import real_part
from dispatch_opencl.runtime import Runtime


def is_aligned(array: Any) -> bool:
    """Return whether the elements of a device array are where kernels can read and write them.

    The parts of a complex number are read one by one, so it need be aligned as these are.
    """
    item = real_part(np.dtype(array.dtype)).itemsize
    return not (array.offset % item or any(stride % item for stride in array.strides))


def aligned_copy(runtime: Runtime, array: Any) -> Any:
    """Return a new array that is aligned, and enqueue the copying of the elements of `array`."""
    copy = aligned_like(runtime, array)
    copy_elements(runtime, array, copy)
    return copy


def aligned_like(runtime: Runtime, array: Any) -> Any:
    """Return a new array of the same class, shape, dtype and order of axes, aligned and without gaps.

    What is repeated in `array` is repeated in it. Its memory is a buffer, which the driver keeps until all commands on
    it are done; the memory of other allocators may be gone by then.
    """
    strides = [0] * array.ndim
    step = array.dtype.itemsize
    for axis in sorted(range(array.ndim), key=lambda axis: (abs(array.strides[axis]), -axis)):
        if array.strides[axis]:
            strides[axis] = step
            step *= array.shape[axis]
    with runtime.guard:
        memory = cl.Buffer(runtime.context, cl.mem_flags.READ_WRITE, step)
    return type(array)(
        runtime.queue, array.shape, array.dtype, data=memory, strides=tuple(strides), allocator=array.allocator
    )


def copy_elements(runtime: Runtime, source: Any, target: Any) -> None:
    """Enqueue a copy from one device array to another of the same shape, dtype and repetitions, aligned or not."""
    item = source.dtype.itemsize
    steps = zip(source.shape, source.strides, target.strides, strict=True)
    walk = [(extent, *strides) for extent, *strides in steps if any(strides)] or [(1, 0, 0)]
    count = prod(extent for extent, *_ in walk)
    event = runtime.launch(
        runtime.kernel("copy.cl", "copy"),
        *runtime.traits.work_items(count * item),
        count,
        item,
        len(walk),
        runtime.constant(walk),
        source.base_data,
        source.offset,
        target.base_data,
        target.offset,
    )
    target.add_event(event)
