"""Sums of `pyopencl.array.Array`s: on the array's own queue, into an array of the same class."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.reduction import Reduction, prepare
from dispatch_opencl.backend import is_device_array
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Summation, cl_type, real_part

ITEMS = 16384
"""Work-items that write the result at most."""


def queue_of(a: Any) -> Any:
    """Return the queue that an array's work goes to.

    Raises
    ------
    ValueError
        When the array has none.
    """
    queue = a.queue
    if queue is None:
        raise ValueError("the array has no queue to run on; give it one with a.with_queue(queue)")
    return queue


def sum_device_array(runtime: Runtime, a: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the sum of a device array, enqueued on its queue and not waited for.

    Parameters
    ----------
    runtime : Runtime
        The array's device, with its queue.
    a : pyopencl.array.Array
        The operand.
    arguments : tuple
        ``axis``, ``dtype``, ``out``, ``keepdims``, ``initial`` and ``where``, as `dispatch.sum` takes them; `out` and
        `where` are device arrays of the same context, `where` may be a host array.
    """
    axis, dtype, out, keepdims, initial, where = arguments
    if out is not None and not is_device_array(out):
        raise TypeError(f"out is a {type(out).__qualname__}, expected a pyopencl.array.Array, where the sum lives")
    mask, where = _mask(runtime, where)
    reduction = prepare(a, axis, dtype, out, keepdims, initial, where)
    result = out if out is not None else _empty_like(a, reduction)
    if reduction.sums == 0:
        return result
    _order_after(runtime, a, *(array for array in (out, where) if is_device_array(array)))
    summation = Summation(runtime, reduction)
    if reduction.count == 0:
        raw = runtime.constant(np.zeros(reduction.sums * (2 if reduction.operand.kind == "c" else 1), summation.dtype))
    else:
        start = (a.offset + reduction.layout.offsets[0]) // summation.element.itemsize
        mask_start = (mask[1] + reduction.layout.offsets[1]) if mask else 0
        raw = summation.run(summation.groups(), a.base_data, start, mask[0] if mask else None, mask_start)
    event = _finish(runtime, reduction, summation, raw, result)
    result.add_event(event)
    a.add_event(event)
    return result


def _mask(runtime: Runtime, where: Any) -> tuple[tuple[Any, int] | None, Any]:
    """Return the mask's memory and the first mark in it, and the mask as `prepare` takes it."""
    if where is np._NoValue or where is True:
        return None, where
    if is_device_array(where):
        return (where.base_data, where.offset), where
    host = np.ascontiguousarray(where)
    if host.dtype != np.bool_ or host.size == 0:
        return None, host
    return (runtime.constant(host), 0), host


def _empty_like(a: Any, reduction: Reduction) -> Any:
    import pyopencl.array

    return pyopencl.array.Array(
        a.queue,
        reduction.shape,
        reduction.dtype,
        strides=reduction.result_strides(reduction.dtype.itemsize),
        allocator=a.allocator,
    )


def _order_after(runtime: Runtime, *arrays: Any) -> None:
    """Let what is enqueued next wait for the work on the arrays that other queues may still do."""
    import pyopencl as cl

    events = [event for array in arrays for event in array.events]
    if events:
        with runtime.guard():
            cl.enqueue_barrier(runtime.queue, wait_for=events)


def _finish(runtime: Runtime, reduction: Reduction, summation: Summation, raw: Any, result: Any) -> Any:
    pairs = reduction.operand.kind == "c"
    real = real_part(np.dtype(result.dtype))
    options = [f"-DACC={cl_type(summation.dtype)}", f"-DT={cl_type(real)}", f"-DHALF={int(real == np.float16)}"]
    options.append(f"-DPAIRS={int(pairs)}")
    operation = real_part(reduction.dtype)
    if operation != real and operation != summation.dtype:
        options.append(f"-DOP={cl_type(operation)}")
    offset, axes = reduction.destination(result.strides)
    walk = [(extent, stride // real.itemsize) for extent, stride in axes] or [(1, 0)]
    initial = complex(reduction.initial) if pairs else reduction.initial
    cast = summation.dtype.type
    values = (cast(initial.real), cast(initial.imag)) if pairs else (cast(initial), cast(0))
    count = reduction.sums * (2 if pairs else 1)
    group = 1 if runtime.traits.streams else runtime.traits.group
    return runtime.launch(
        runtime.kernel("finish.cl", "finish", options),
        (-(-min(count, ITEMS) // group) * group,),
        (group,),
        count,
        len(walk),
        runtime.constant(np.array(walk, np.int64)),
        raw,
        cast(reduction.layout.factor),
        *values,
        result.base_data,
        (result.offset + offset) // real.itemsize,
    )
