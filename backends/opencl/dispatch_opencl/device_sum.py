"""Sums of `pyopencl.array.Array`s: on the array's own queue, into an array of the same class."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyopencl as cl
from pyopencl.array import empty_like

from dispatch_opencl.alignment import aligned_copy, aligned_like, copy_elements, is_aligned
from dispatch_opencl.backend import is_device_array
from dispatch_opencl.finish import finish, neutral
from dispatch_opencl.plans import NO_VALUE, Plan, plan_of
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Launch, Place


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
    if out is not None or where is not NO_VALUE:
        _check_arrays(runtime, out, where)
    mask, where = _mask(runtime, where)
    arguments = (axis, dtype, out, keepdims, initial, where)
    plan = plan_of(runtime, a, arguments)
    if out is None and mask is None and plan.only_launch is not None and a.offset % plan.alignment == 0:
        return _launched(runtime, a, plan, plan.only_launch)
    if plan.reduction.sums == 0:
        return _empty_like(runtime, a, plan) if out is None else out
    if plan.reduction.count and not is_aligned(a):
        _order_after(runtime, a)
        a = aligned_copy(runtime, a)
        plan = plan_of(runtime, a, arguments)
    if out is None:
        result = _empty_like(runtime, a, plan)
        _order_after(runtime, a, where)
        _add_up(runtime, a, mask, plan, result, plan.direct)
        return result
    _write_out(runtime, a, mask, plan, out)
    return out


def _check_arrays(runtime: Runtime, out: Any, where: Any) -> None:
    """Check that `out` can be written, and that both live in the operand's context: commands take no other arrays."""
    if out is not None and not is_device_array(out):
        raise TypeError(f"out is a {type(out).__qualname__}, expected a pyopencl.array.Array, where the sum lives")
    for name, array in {"out": out, "where": where}.items():
        if is_device_array(array) and array.context != runtime.context:
            raise ValueError(
                f"{name} lives in another OpenCL context than the operand, expected one for both; "
                f"make {name} on the operand's queue"
            )
    memory: Any = None if out is None else out.base_data
    if isinstance(memory, cl.MemoryObjectHolder):
        flags: Any = memory.get_info(cl.mem_info.FLAGS)
        if flags & cl.mem_flags.READ_ONLY:
            raise ValueError("out is in READ_ONLY memory, expected memory that kernels may write; make it elsewhere")


def _mask(runtime: Runtime, where: Any) -> tuple[Place | None, Any]:
    """Return the mask's memory and the first mark in it, and the mask as `prepare` takes it."""
    if where is NO_VALUE or where is True:
        return None, where
    if is_device_array(where):
        return Place(where.base_data, where.offset), where
    host = np.asarray(where if hasattr(where, "dtype") else np.asarray(where, bool), order="C")
    if host.dtype != np.bool_ or host.size == 0:
        return None, host
    return Place(runtime.copy(host), 0), host


def _launched(runtime: Runtime, a: Any, plan: Plan, launch: Launch) -> Any:
    """Return the sum of a device array that one launch writes. Then it is the call that takes time: do little."""
    result = _empty_like(runtime, a, plan)
    _order_after(runtime, a)
    operand = Place(a.base_data, (a.offset + plan.reduction.layout.offsets[0]) // plan.summation.element.itemsize)
    arguments = launch.arguments(operand, None, Place(result.base_data, 0), True)
    result.add_event(runtime.enqueue(launch.kernel, launch.items, launch.group, arguments))
    return result


def _empty_like(runtime: Runtime, a: Any, plan: Plan) -> Any:
    """Return a new array for the result, on the operand's queue and from its allocator."""
    with runtime.guard:
        if plan.template is None:
            # To find out what an array is like takes longer than to make another one. Nobody uses this one's memory.
            data = cl.Buffer(runtime.context, cl.mem_flags.READ_WRITE, 1)
            shape, dtype = plan.reduction.shape, plan.reduction.dtype
            plan.template = type(a)(runtime.queue, shape, dtype, data=data, strides=plan.result_strides)
        return empty_like(plan.template, queue=a.queue, allocator=a.allocator)


def _write_out(runtime: Runtime, a: Any, mask: Place | None, plan: Plan, out: Any) -> None:
    """Enqueue the sum into an array of the caller's: of any dtype, anywhere in memory, used by any queue."""
    if plan.reduction.operand.kind == "c" and out.dtype.kind not in "cb":
        warnings.warn(
            "out= is real, so the imaginary parts of the sums are dropped", np.exceptions.ComplexWarning, stacklevel=2
        )
    _order_after(runtime, a, plan.reduction.where, out)
    target = out if is_aligned(out) else aligned_like(runtime, out)
    shared = any(_share_memory(target, read) for read in (a, plan.reduction.where))
    _add_up(runtime, a, mask, plan, target, plan.writes(np.dtype(out.dtype), out.strides) and not shared)
    if target is not out:
        copy_elements(runtime, target, out)
    if out.queue != runtime.queue:
        # What its own queue does next with it waits for an event of this one.
        runtime.flush()


def _add_up(runtime: Runtime, a: Any, mask: Place | None, plan: Plan, result: Any, direct: bool) -> None:
    """Enqueue the sum of an aligned array into another one, by the last launch itself where that is `direct`."""
    reduction, summation = plan.reduction, plan.summation
    if reduction.count == 0:
        size = reduction.sums * (2 if reduction.operand.kind == "c" else 1)
        nothing = runtime.copy(np.full(size, neutral(summation.dtype)))
        result.add_event(finish(runtime, reduction, summation, nothing, result))
        return
    offsets = reduction.layout.offsets
    operand = Place(a.base_data, (a.offset + offsets[0]) // summation.element.itemsize)
    marks = Place(mask.memory, mask.start + offsets[1]) if mask else None
    into = Place(result.base_data, result.offset // summation.result.itemsize) if direct else None
    raw, event = summation.run(plan.groups, operand, marks, into)
    result.add_event(event if direct else finish(runtime, reduction, summation, raw, result))


def _order_after(runtime: Runtime, *arrays: Any) -> None:
    """Let what is enqueued next wait for the work on device arrays that would not be done before it anyway."""
    events = [
        event
        for array in arrays
        if is_device_array(array)
        for event in array.events
        if not runtime.keeps_order_after(event)
    ]
    if events:
        runtime.wait_for(events)


def _share_memory(out: Any, read: Any) -> bool:
    """Return whether two device arrays may be in the same memory; an object that is none has memory of its own."""
    if not is_device_array(read):
        return False
    first, second = (_memory_object(array.base_data) for array in (out, read))
    return first is None or first == second


def _memory_object(memory: Any) -> int | None:
    """Return the handle of the memory object that a buffer is, or is a part of; None where that cannot be said."""
    if not isinstance(memory, cl.MemoryObjectHolder):
        return None
    whole: Any = memory.get_info(cl.mem_info.ASSOCIATED_MEMOBJECT)
    handle: int = (memory if whole is None else whole).int_ptr
    return handle
