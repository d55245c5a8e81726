"""Sums of `pyopencl.array.Array`s: on the array's own queue, into an array of the same class."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.reduction import Reduction, prepare, real_part
from dispatch_opencl.backend import is_device_array
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Destination, Summation, cl_type

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
        size = reduction.sums * (2 if reduction.operand.kind == "c" else 1)
        raw = runtime.allocate(size * summation.dtype.itemsize)
        runtime.write(raw, np.zeros(size, summation.dtype))
        result.add_event(_finish(runtime, reduction, summation, raw, result))
        return result
    start = (a.offset + reduction.layout.offsets[0]) // summation.element.itemsize
    mask_start = (mask[1] + reduction.layout.offsets[1]) if mask else 0
    into = _destination(reduction, result)
    raw = summation.run(reduction.real_groups(), a.base_data, start, mask[0] if mask else None, mask_start, into)
    if into is None:
        result.add_event(_finish(runtime, reduction, summation, raw, result))
    else:
        result.add_event(runtime.marker())
    return result


def _destination(reduction: Reduction, result: Any) -> Destination | None:
    """Return where the last pass may write the result at once: where nothing is left to do but the cast."""
    real = real_part(np.dtype(result.dtype))
    parts = result.dtype.itemsize // real.itemsize
    offset, axes = reduction.destination(result.strides)
    packed = offset == 0 and len(axes) <= 1 and all(stride == result.dtype.itemsize for _, stride in axes)
    # A zero with its sign: adding -0.0 would be another sum.
    plain = reduction.initial is not None and not np.signbit([reduction.initial.real, reduction.initial.imag]).any()
    plain = plain and reduction.initial == 0 and reduction.layout.factor == 1
    rounded_once = real == real_part(reduction.dtype) and real.kind != "b" and real != np.float16
    pairs_fit = (parts == 2) == (reduction.operand.kind == "c")
    if not (packed and plain and rounded_once and pairs_fit):
        return None
    return Destination(result.base_data, result.offset // real.itemsize, real)


def _mask(runtime: Runtime, where: Any) -> tuple[tuple[Any, int] | None, Any]:
    """Return the mask's memory and the first mark in it, and the mask as `prepare` takes it."""
    if where is np._NoValue or where is True:
        return None, where
    if is_device_array(where):
        return (where.base_data, where.offset), where
    host = np.ascontiguousarray(where)
    if host.dtype != np.bool_ or host.size == 0:
        return None, host
    memory = runtime.allocate(host.nbytes)
    runtime.write(memory, host)
    return (memory, 0), host


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

    events = [event for array in arrays for event in array.events if event.command_queue != runtime.queue]
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
        runtime.constant(walk),
        raw,
        cast(reduction.layout.factor),
        *values,
        result.base_data,
        (result.offset + offset) // real.itemsize,
    )
