"""Sums of host arrays: in place where the device computes on the host's memory, otherwise copied, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Group, Reduction, prepare
from dispatch_opencl.memory import DeviceMemory, HostMemory
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Summation, why_no_cast

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
    reduction = prepare(a, *arguments)
    if reduction.count == 0 or reduction.sums == 0:
        return reduction.finish(np.empty(reduction.sums, reduction.dtype))
    if why_no_cast(a.dtype, reduction.dtype, runtime.traits.fp64):
        a = a.astype(reduction.dtype)
        reduction = prepare(a, *arguments)
    elif not _walkable(runtime, a, reduction):
        a = np.array(a, order="K", copy=True)
        reduction = prepare(a, *arguments)
    return reduction.finish(_raw_sums(runtime, a, reduction))


def _walkable(runtime: Runtime, a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether kernels can read the elements where they are, and a copy of all between them would not be wasted."""
    item = reduction.operand.itemsize
    if not a.flags.aligned or any(group.strides[0] % item for group in reduction.layout.groups):
        return False
    return runtime.traits.unified or _span(reduction.layout.groups, 0, item) <= SPARSE * a.nbytes


def _raw_sums(runtime: Runtime, a: NDArray[Any], reduction: Reduction) -> NDArray[Any]:
    summation = Summation(runtime, reduction)
    item = summation.element.itemsize
    mask = None if reduction.where is None else np.asarray(reduction.where)
    groups = summation.groups()
    first = a.ctypes.data + reduction.layout.offsets[0]
    mask_first = 0 if mask is None else mask.ctypes.data + reduction.layout.offsets[1]
    raw = np.full(
        [g.extent for g in groups if not g.reduced], -0.0 if summation.dtype.kind == "f" else 0, summation.dtype
    )
    pending: list[_Pending] = []
    for slab in _slabs(groups, slab_bytes(runtime) // item):
        operand = _wrapped(runtime, a, first + slab.start * item, _span(slab.groups, 0, 1) * item)
        marks, mask_start = None, 0
        if mask is not None:
            # A mask may be walked backwards where the operand is walked forwards.
            mask_start = sum((g.extent - 1) * max(-g.strides[1], 0) for g in slab.groups)
            nbytes = mask_start + sum((g.extent - 1) * max(g.strides[1], 0) for g in slab.groups) + 1
            marks = _wrapped(runtime, mask, mask_first + slab.mask_start - mask_start, nbytes)
        memory = summation.run(slab.groups, operand, 0, marks, mask_start)
        pending.append(_Pending(slab, memory, operand, marks))
        runtime.flush()
        if len(pending) == SLABS_IN_FLIGHT:
            _collect(runtime, pending.pop(0), raw)
    for waiting in pending:
        _collect(runtime, waiting, raw)
    return summation.values(raw.reshape(-1))


class _Slab(NamedTuple):
    """A part of the walk: its groups, its first element and mark, and where its sums go."""

    groups: tuple[Group, ...]
    start: int
    mask_start: int
    place: tuple[slice, ...]


class _Pending(NamedTuple):
    slab: _Slab
    sums: DeviceMemory
    operand: HostMemory
    mask: HostMemory | None


def slab_bytes(runtime: Runtime) -> int:
    """Return how much of the operand one buffer may hold."""
    traits = runtime.traits
    return min(traits.largest, traits.memory // (2 * SLABS_IN_FLIGHT))


def _slabs(groups: Sequence[Group], most: int) -> Iterator[_Slab]:
    """Cut the walk along its outermost groups into parts that span at most so many elements."""
    if _span(groups, 0, 1) <= most:
        kept = [slice(None) for group in groups if not group.reduced]
        yield _Slab(tuple(groups), 0, 0, tuple(kept))
        return
    outer, rest = groups[0], tuple(groups[1:])
    step = max((most - _span(rest, 0, 1)) // max(outer.strides[0], 1) + 1, 1)
    for begin in range(0, outer.extent, step):
        extent = min(step, outer.extent - begin)
        place = () if outer.reduced else (slice(begin, begin + extent),)
        part = (replace(outer, extent=extent),) if extent > 1 else ()
        for slab in _slabs((*part, *rest), most) if part else _slabs(rest, most):
            inner = slab.place if not part or outer.reduced else slab.place[1:]
            yield _Slab(
                slab.groups,
                slab.start + begin * outer.strides[0],
                slab.mask_start + begin * outer.strides[1],
                (*place, *inner),
            )


def _span(groups: Sequence[Group], which: int, item: int) -> int:
    """Return the elements, or bytes, from the first that a walk touches to the last."""
    return sum((group.extent - 1) * group.strides[which] for group in groups) + item


class _Bytes:
    """Bytes of an array, whatever its strides, for `numpy.asarray`, which keeps the array alive."""

    def __init__(self, array: NDArray[Any], address: int, nbytes: int) -> None:
        self._array = array
        self.__array_interface__ = {"data": (address, True), "shape": (nbytes,), "typestr": "|u1", "version": 3}


def _wrapped(runtime: Runtime, array: NDArray[Any], address: int, nbytes: int) -> HostMemory:
    return runtime.wrap(np.asarray(_Bytes(array, address, nbytes)))


def _collect(runtime: Runtime, done: _Pending, raw: NDArray[Any]) -> None:
    """Add the sums of a slab to those of the slabs before."""
    part = raw[done.slab.place]
    sums = np.empty(part.shape, raw.dtype)
    runtime.read(sums, done.sums)
    done.operand.idle = True
    if done.mask is not None:
        done.mask.idle = True
    raw[done.slab.place] = part + sums
