"""Sums of host arrays: in place where the device computes on the host's memory, otherwise copied, slab by slab."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.devices import PooledBuffer
from dispatch.reduction import Reduction
from dispatch.reduction.slabs import Slab, mask_span, memory_of, slabs, span
from dispatch_opencl.memory import HostMemory
from dispatch_opencl.plans import Plan, plan_of
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Place, why_no_cast

SLABS_IN_FLIGHT = 2
"""While one slab is added up, the next is on its way."""

SPARSE = 4
"""A walk that touches less than one of so many bytes is gathered on the host before it is sent to a device."""


def sum_host_array(runtime: Runtime, a: NDArray[Any], arguments: tuple[Any, ...]) -> Any:
    """Return the sum of an ndarray.

    Parameters
    ----------
    runtime : Runtime
        The device.
    a : ndarray
        The operand.
    arguments : tuple
        ``axis``, ``dtype``, ``out``, ``keepdims``, ``initial`` and ``where``, as `dispatch.sum` takes them.
    """
    out = arguments[2]
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__qualname__}, expected an ndarray")
    plan = plan_of(runtime, a, arguments)
    reduction = plan.reduction
    if reduction.count == 0 or reduction.sums == 0:
        return reduction.finish(np.empty(reduction.sums, reduction.dtype))
    if why_no_cast(a.dtype, reduction.dtype, runtime.traits.fp64):
        a = a.astype(reduction.dtype)
        plan = plan_of(runtime, a, arguments)
    elif not _walkable(runtime, a, reduction):
        a = np.array(a, order="K", copy=True)
        plan = plan_of(runtime, a, arguments)
    return plan.reduction.finish(_raw_sums(runtime, a, plan))


def _walkable(runtime: Runtime, a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether kernels can read the elements where they are, and a copy of all between them would not be wasted."""
    item = reduction.operand.itemsize
    if not a.flags.aligned or any(group.strides[0] % item for group in reduction.layout.groups):
        return False
    return runtime.traits.unified or span(reduction.layout.groups, item) <= SPARSE * a.nbytes


def _raw_sums(runtime: Runtime, a: NDArray[Any], plan: Plan) -> NDArray[Any]:
    summation, groups = plan.summation, plan.groups
    parts = list(slabs(groups, slab_bytes(runtime) // summation.element.itemsize))
    if len(parts) == 1:
        raw = _collect(runtime, _start(runtime, a, plan, parts[0]), summation.dtype)
        return summation.values(raw)
    raw = np.full(
        [g.extent for g in groups if not g.reduced], -0.0 if summation.dtype.kind == "f" else 0, summation.dtype
    )
    pending: list[_Pending] = []
    for slab in parts:
        pending.append(_start(runtime, a, plan, slab))
        runtime.flush()
        if len(pending) == SLABS_IN_FLIGHT:
            _add(runtime, pending.pop(0), raw)
    for waiting in pending:
        _add(runtime, waiting, raw)
    return summation.values(raw.reshape(-1))


class _Pending(NamedTuple):
    slab: Slab
    sums: PooledBuffer
    operand: HostMemory
    mask: HostMemory | None


def slab_bytes(runtime: Runtime) -> int:
    """Return how much of the operand one buffer may hold."""
    traits = runtime.traits
    return min(traits.largest, traits.memory // (2 * SLABS_IN_FLIGHT))


def _start(runtime: Runtime, a: NDArray[Any], plan: Plan, slab: Slab) -> _Pending:
    """Enqueue the sums of a slab."""
    reduction = plan.reduction
    item = plan.summation.element.itemsize
    first = a.ctypes.data + reduction.layout.offsets[0] + slab.start * item
    operand = _wrapped(runtime, a, first, span(slab.groups) * item)
    marks = None
    if reduction.where is not None:
        mask = np.asarray(reduction.where)
        before, nbytes = mask_span(slab.groups)
        first = mask.ctypes.data + reduction.layout.offsets[1] + slab.mask_start
        marks = Place(_wrapped(runtime, mask, first - before, nbytes), before)
    memory, _ = plan.summation.run(slab.groups, Place(operand, 0), marks)
    return _Pending(slab, memory, operand, None if marks is None else marks.memory)


def _wrapped(runtime: Runtime, array: NDArray[Any], address: int, nbytes: int) -> HostMemory:
    return runtime.wrap(memory_of(array, address, nbytes))


def _collect(runtime: Runtime, done: _Pending, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Wait for the sums of a slab."""
    sums = np.empty(prod(group.extent for group in done.slab.groups if not group.reduced), dtype)
    runtime.read(sums, done.sums)
    done.operand.idle = True
    if done.mask is not None:
        done.mask.idle = True
    return sums


def _add(runtime: Runtime, done: _Pending, raw: NDArray[Any]) -> None:
    """Add the sums of a slab to those of the slabs before."""
    part = raw[done.slab.place]
    raw[done.slab.place] = part + _collect(runtime, done, raw.dtype).reshape(part.shape)
