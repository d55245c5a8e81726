"""Sums of `pyopencl.array.Array`s: on the array's own queue, into an array of the same class."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyopencl as cl
from pyopencl.array import empty_like

from dispatch.reduction import Reduction, real_part
from dispatch_opencl.alignment import aligned_like, copy_elements, is_aligned
from dispatch_opencl.backend import is_device_array
from dispatch_opencl.plans import NO_VALUE, Plan, plan_of
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Launch, Place, Summation, cl_type


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
    if out is not None or where is not NO_VALUE:
        _check_contexts(runtime, out=out, where=where)
    mask, where = _mask(runtime, where)
    plan = plan_of(runtime, a, (axis, dtype, out, keepdims, initial, where))
    if out is None and mask is None and plan.only_launch is not None and a.offset % plan.alignment == 0:
        return _launched(runtime, a, plan, plan.only_launch)
    reduction, summation = plan.reduction, plan.summation
    result = out if out is not None else _empty_like(runtime, a, plan)
    if reduction.sums == 0:
        return result
    if reduction.count and not is_aligned(a):
        _order_after(runtime, a)
        copy = aligned_like(runtime, a)
        copy_elements(runtime, a, copy)
        return sum_device_array(runtime, copy, arguments)
    if out is not None and not is_aligned(out):
        sums = sum_device_array(runtime, a, (axis, dtype, aligned_like(runtime, out), keepdims, initial, where))
        _order_after(runtime, sums, out)
        copy_elements(runtime, sums, out)
        return out
    if reduction.operand.kind == "c" and result.dtype.kind not in "cb":
        warnings.warn(
            "out= is real, so the imaginary parts of the sums are dropped", np.exceptions.ComplexWarning, stacklevel=2
        )
    _order_after(runtime, a, *(array for array in (out, where) if is_device_array(array)))
    if reduction.count == 0:
        size = reduction.sums * (2 if reduction.operand.kind == "c" else 1)
        raw = runtime.copy(np.zeros(size, summation.dtype))
        result.add_event(_finish(runtime, reduction, summation, raw, result))
        return result
    offsets = reduction.layout.offsets
    operand = Place(a.base_data, (a.offset + offsets[0]) // summation.element.itemsize)
    marks = Place(mask.memory, mask.start + offsets[1]) if mask else None
    into = None
    direct = plan.direct if out is None else plan.writes(np.dtype(out.dtype), out.strides)
    if direct and not (out is not None and any(_share_memory(out, read) for read in (a, where))):
        into = Place(result.base_data, result.offset // summation.result.itemsize)
    raw, event = summation.run(plan.groups, operand, marks, into)
    result.add_event(event if into is not None else _finish(runtime, reduction, summation, raw, result))
    return result


def _launched(runtime: Runtime, a: Any, plan: Plan, launch: Launch) -> Any:
    """Return the sum of a device array that one launch writes. Then it is the call that takes time: do little."""
    result = _empty_like(runtime, a, plan)
    _order_after(runtime, a)
    operand = Place(a.base_data, (a.offset + plan.reduction.layout.offsets[0]) // plan.summation.element.itemsize)
    arguments = launch.arguments(operand, None, Place(result.base_data, 0), True)
    result.add_event(runtime.enqueue(launch.kernel, launch.items, launch.group, arguments))
    return result


def _check_contexts(runtime: Runtime, **arguments: Any) -> None:
    """Check that arrays live in the operand's context: OpenCL takes no other ones for a command."""
    for name, array in arguments.items():
        if is_device_array(array) and array.context != runtime.context:
            raise ValueError(
                f"{name} lives in another OpenCL context than the operand, expected one for both; "
                f"make {name} on the operand's queue"
            )


def _mask(runtime: Runtime, where: Any) -> tuple[Place | None, Any]:
    """Return the mask's memory and the first mark in it, and the mask as `prepare` takes it."""
    if where is NO_VALUE or where is True:
        return None, where
    if is_device_array(where):
        return Place(where.base_data, where.offset), where
    host = np.asarray(where, order="C")
    if host.dtype != np.bool_ or host.size == 0:
        return None, host
    return Place(runtime.copy(host), 0), host


def _empty_like(runtime: Runtime, a: Any, plan: Plan) -> Any:
    """Return a new array for the result, on the operand's queue and from its allocator."""
    if plan.template is None:
        # To find out what an array is like takes longer than to make another one. Nobody uses this one's memory.
        data = cl.Buffer(runtime.context, cl.mem_flags.READ_WRITE, 1)
        shape, dtype = plan.reduction.shape, plan.reduction.dtype
        plan.template = type(a)(runtime.queue, shape, dtype, data=data, strides=plan.result_strides)
    return empty_like(plan.template, queue=a.queue, allocator=a.allocator)


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


def _order_after(runtime: Runtime, *arrays: Any) -> None:
    """Let what is enqueued next wait for the work on the arrays that would not be done before it anyway."""
    events = [event for array in arrays for event in array.events if not runtime.keeps_order_after(event)]
    if events:
        runtime.wait_for(events)


def _finish(runtime: Runtime, reduction: Reduction, summation: Summation, raw: Any, result: Any) -> Any:
    """Enqueue the writing of the result by the raw sums, with all that is to be done to them."""
    dtype, pairs = np.dtype(result.dtype), reduction.operand.kind == "c"
    real, operation = real_part(dtype), real_part(reduction.dtype)
    parts = 2 if dtype.kind == "c" else 1
    options = [
        f"-DACC={cl_type(summation.dtype)}",
        f"-DFLOATING={int(summation.dtype.kind == 'f')}",
        f"-DT={cl_type(real)}",
        f"-DHALF={int(real == np.float16)}",
        f"-DTRUTH={int('b' in (operation.kind, real.kind))}",
        f"-DPAIRS={int(pairs)}",
        f"-DPARTS={parts}",
    ]
    if real.kind in "biu":
        options += [f"-DWRAP={8 * real.itemsize}", f"-DUNSIGNED={int(real.kind == 'u')}"]
    if operation == np.float16 != real:
        options.append("-DROUND_HALF=1")
    elif operation.kind != "b" and operation not in (real, summation.dtype):
        options.append(f"-DOP={cl_type(operation)}")
    offset, axes = reduction.destination(result.strides)
    walk = [(extent, stride // real.itemsize) for extent, stride in axes] or [(1, 0)]
    initial: Any = complex(reduction.initial) if pairs else reduction.initial
    cast = summation.dtype.type
    values = (cast(initial.real), cast(initial.imag)) if pairs else (cast(initial), cast(0))
    count = reduction.sums * parts
    return runtime.launch(
        runtime.kernel("finish.cl", "finish", options),
        *runtime.traits.work_items(count),
        count,
        len(walk),
        runtime.constant(walk),
        raw,
        cast(reduction.layout.factor),
        *values,
        result.base_data,
        (result.offset + offset) // real.itemsize,
    )
