"""Sums of arrays that are on the device: read where they are, in the order of the streams, with the sum left there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dispatch.devices import on_cuda
from dispatch.reduction import Reduction, prepare, real_part
from dispatch.reduction.slabs import mask_span, span
from dispatch_cuda.dlpack import Borrowed, lent
from dispatch_cuda.memory import flat
from dispatch_cuda.runtime import Runtime
from dispatch_cuda.streams import LEGACY_DEFAULT
from dispatch_cuda.summation import Summation

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""


def sum_device_array(runtime: Runtime, a: Any, arguments: tuple[Any, ...]) -> Any:
    """Return ``dispatch.sum(a, *arguments)`` for an array with ``__cuda_array_interface__`` or ``__dlpack__``.

    The result is an array of the kind of `a`, of no dimensions for a full sum, or `out`. Nothing waits for the device:
    the work is ordered behind what the producers of `a`, `where` and `out` have enqueued, and in front of what they
    enqueue next. Only DLPack does not say how to order the latter, so that arrays known by it alone are waited for.

    Raises
    ------
    TypeError
        When `where` or `out` is not on the device, or `out` is of another dtype than the sum.
    ValueError
        When `out` is read-only.
    """
    axis, dtype, out, keepdims, initial, where = arguments
    if isinstance(where, np.bool_):
        where = bool(where)
    for name, array, others in (("where", where, (NO_VALUE, True, False)), ("out", out, (None,))):
        if not on_cuda(array) and not any(array is value for value in others):
            raise TypeError(
                f"{name} is a {type(array).__qualname__} on the host, and a is on {runtime.name}; copy it there first"
            )
    operand = wrapped(a, runtime)
    target = None if out is None else wrapped(out, runtime, is_written=True)
    mask = wrapped(where, runtime) if on_cuda(where) else where
    reduction = prepare(operand, axis, dtype, target, keepdims, initial, mask)
    if target is not None and target.dtype != reduction.dtype:
        raise TypeError(
            f"out is of dtype {target.dtype}, and the sum is of dtype {reduction.dtype}; pass one of that dtype"
        )
    with _ordered(runtime, [array for array in (a, where, out) if on_cuda(array)]):
        if target is None:
            strides = reduction.result_strides(reduction.dtype.itemsize)
            target = runtime.new_array(reduction.shape, reduction.dtype, strides)
        if reduction.sums:
            _sum_into(runtime, operand, reduction, target, is_empty=not reduction.count or where is False)
    return out if out is not None else _like(a, target)


def wrapped(array: Any, runtime: Runtime, is_written: bool = False) -> Any:
    """Return an array on the device as Numba's, without a copy and without waiting for its producer."""
    from numba import cuda

    if getattr(array, "__cuda_ndarray__", False):
        return array
    if not _says_its_stream(array):
        array = Borrowed(array, runtime.stream_handle)
    if is_written and array.__cuda_array_interface__["data"][1]:  # Numba's arrays do not keep that
        raise ValueError("out is read-only; pass an array that may be written to")
    return cuda.as_cuda_array(array, sync=False)


def _sum_into(runtime: Runtime, a: Any, reduction: Reduction, target: Any, is_empty: bool) -> None:
    summation = Summation(runtime, reduction)
    memory = None
    if not is_empty:
        groups, offsets, mask = reduction.real_groups(), reduction.layout.offsets, reduction.where
        elements = flat(a, offsets[0], summation.element, span(groups))
        marks, before = None, 0
        if mask is not None:
            before, touched = mask_span(groups)
            marks = flat(mask, offsets[1] - before, np.uint8, touched)
        memory = summation.run(groups, elements, 0, marks, before)
    _write(runtime, reduction, summation.dtype, memory, target)


def _write(runtime: Runtime, reduction: Reduction, dtype: np.dtype[Any], memory: Any, target: Any) -> None:
    """Enqueue what makes the result of raw sums of the given dtype; of none, where the sums are empty."""
    from dispatch_cuda.kernels.finish import finish

    real = real_part(reduction.dtype)
    parts = 2 if reduction.dtype.kind == "c" else 1
    neutral = dtype.type(-0.0 if dtype.kind == "f" else 0)
    initial = np.full(2, neutral, dtype)
    if reduction.initial is not None:
        initial[:parts] = np.asarray([reduction.initial]).astype(reduction.accumulator).view(dtype)
    offset, axes = reduction.destination(target.strides)
    steps = [(extent, stride // real.itemsize) for extent, stride in axes]
    lowest = sum(min((extent - 1) * step, 0) for extent, step in steps)
    reach = sum((extent - 1) * abs(step) for extent, step in steps) + parts
    element = np.dtype(np.uint8) if real.kind == "b" else np.dtype(f"{real.kind}{real.itemsize}")
    out = flat(target, offset + lowest * real.itemsize, element, reach)
    more, places = 0, runtime.no_axes
    if len(steps) > 1:
        more = len(steps)
        places = runtime.constant(np.array([(*step, 0) for step in steps], np.int64))
    count = reduction.sums * parts
    raw = out if memory is None else memory
    runtime.launch(
        finish(element, real.kind == "b", runtime.threads), runtime.blocks(count),
        raw, count, parts, dtype.type(reduction.layout.factor), memory is None, neutral, initial[0], initial[1],
        -lowest, steps[-1][1] if steps else 0, more, places, out,
    )  # fmt: skip


@contextmanager
def _ordered(runtime: Runtime, arrays: list[Any]) -> Iterator[None]:
    """Put the work of the block behind what the arrays' streams hold, and what they get next behind the work."""
    known = [array for array in arrays if _says_its_stream(array)]
    streams = {} if runtime.device.simulated else {_stream_of(array): None for array in known}
    for stream in streams:
        runtime.wait_on_device(stream)
    yield
    for stream in streams:
        runtime.let_wait(stream)
    if len(known) < len(arrays):
        runtime.synchronize()


def _says_its_stream(array: Any) -> bool:
    """Whether an array's interface says on which stream its data is made, as it does from version 3 on.

    DLPack is asked where it does not, as that of JAX; but of PyTorch the stream is known, and others have nothing else.
    """
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        return False
    return interface.get("version", 0) >= 3 or _library(array) == "torch" or not hasattr(array, "__dlpack__")


def _stream_of(array: Any) -> int:
    """Return the number of the stream that an array's producer works on; 1, the legacy default one, where none is said.

    That is what the interface's version 3 says, https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html.
    PyTorch has its version 2, which knows no streams, and works on its current one.
    """
    if _library(array) == "torch":
        import torch

        return int(torch.cuda.current_stream(array.device).cuda_stream) or LEGACY_DEFAULT
    return int(array.__cuda_array_interface__.get("stream") or LEGACY_DEFAULT)


def _library(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


class _Ordered:
    """A device array whose stream others need not wait for: events have put theirs behind it."""

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._array.__cuda_array_interface__, "stream": None}


def _like(a: Any, result: Any) -> Any:
    """Return an array of Numba's as one of the library that `a` is of, where that is known; without a copy."""
    if not _says_its_stream(a):
        return lent(a.__array_namespace__(), result) if hasattr(a, "__array_namespace__") else result
    library = _library(a)
    if library == "cupy":
        import cupy

        return cupy.asarray(_Ordered(result))
    if library == "torch":
        import torch

        return torch.as_tensor(_Ordered(result), device=a.device)
    return result
