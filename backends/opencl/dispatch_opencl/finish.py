"""The end of a sum on the device: from raw sums to the result, with all that is to be done to them, in one launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.reduction import Reduction, real_part
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Summation, cl_type


def finish(runtime: Runtime, reduction: Reduction, summation: Summation, raw: Any, result: Any) -> Any:
    """Enqueue the writing of `result`, a device array, by the raw sums; return the event."""
    real = real_part(np.dtype(result.dtype))
    parts = 2 if result.dtype.kind == "c" else 1
    offset, axes = reduction.destination(result.strides)
    walk = [(extent, stride // real.itemsize) for extent, stride in axes] or [(1, 0)]
    count = reduction.sums * parts
    return runtime.launch(
        runtime.kernel("finish.cl", "finish", _options(reduction, summation.dtype, real, parts)),
        *runtime.traits.work_items(count),
        count,
        len(walk),
        runtime.constant(walk),
        raw,
        summation.dtype.type(reduction.layout.factor),
        *_initial(reduction, summation.dtype),
        result.base_data,
        (result.offset + offset) // real.itemsize,
    )


def neutral(dtype: np.dtype[Any]) -> Any:
    """Return what changes nothing when it is added, not even the sign of zero."""
    return dtype.type(-0.0 if dtype.kind == "f" else 0)


def _initial(reduction: Reduction, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the real and the imaginary part of what is added to each sum."""
    initial = reduction.initial
    if initial is None:
        return neutral(dtype), neutral(dtype)
    if reduction.operand.kind != "c":
        return dtype.type(initial), dtype.type(0)
    return dtype.type(initial.real), dtype.type(initial.imag)


def _options(reduction: Reduction, raw: np.dtype[Any], real: np.dtype[Any], parts: int) -> list[str]:
    """Return the build options for raw sums of a type, and for results of so many parts of type `real`."""
    operation = real_part(reduction.dtype)
    options = [
        f"-DACC={cl_type(raw)}",
        f"-DFLOATING={int(raw.kind == 'f')}",
        f"-DT={cl_type(real)}",
        f"-DHALF={int(real == np.float16)}",
        f"-DTRUTH={int('b' in (operation.kind, real.kind))}",
        f"-DPAIRS={int(reduction.operand.kind == 'c')}",
        f"-DPARTS={parts}",
    ]
    if real.kind in "biu":
        options += [f"-DWRAP={8 * real.itemsize}", f"-DUNSIGNED={int(real.kind == 'u')}"]
    if operation == np.float16 != real:
        options.append("-DROUND_HALF=1")
    elif operation.kind != "b" and operation not in (real, raw):
        options.append(f"-DOP={cl_type(operation)}")
    return options
