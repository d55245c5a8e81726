"""Device arrays whose elements are not where their type must be: kernels are given a copy where they are."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dispatch.reduction import real_part
from dispatch_opencl.runtime import Runtime


def is_aligned(array: Any) -> bool:
    """Return whether the elements of a device array are where kernels can read and write them.

    The parts of a complex number are read one by one, so it need be aligned as these are.
    """
    item = real_part(np.dtype(array.dtype)).itemsize
    return not (array.offset % item or any(stride % item for stride in array.strides))


def aligned_like(runtime: Runtime, array: Any) -> Any:
    """Return a new array of the same class, shape, dtype and order of axes, aligned and without gaps."""
    strides = [0] * array.ndim
    step = array.dtype.itemsize
    for axis in sorted(range(array.ndim), key=lambda axis: (abs(array.strides[axis]), -axis)):
        strides[axis] = step
        step *= array.shape[axis]
    return type(array)(runtime.queue, array.shape, array.dtype, strides=tuple(strides), allocator=array.allocator)


def copy_elements(runtime: Runtime, source: Any, target: Any) -> None:
    """Enqueue a copy from one device array to another of the same shape and dtype, aligned or not."""
    item = source.dtype.itemsize
    walk = list(zip(source.shape, source.strides, target.strides, strict=True)) or [(1, 0, 0)]
    nbytes = prod(source.shape) * item
    event = runtime.launch(
        runtime.kernel("copy.cl", "copy"),
        *runtime.traits.work_items(nbytes),
        nbytes // item,
        item,
        len(walk),
        runtime.constant(walk),
        source.base_data,
        source.offset,
        target.base_data,
        target.offset,
    )
    target.add_event(event)
