"""`sum` on the host: who adds what. Few elements go to NumPy, kernels take what they can read, NumPy packs the rest."""

from __future__ import annotations

from math import copysign
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, prepare
from dispatch_cpu import any_layout
from dispatch_cpu.few_elements import (
    ACCUMULATORS,
    MOST,
    NUMPY_BELOW,
    few_routes,
    is_axis,
    numpy_is_accurate,
    numpy_takes,
    plan_few,
)
from dispatch_cpu.kernel_route import KernelRoute, plan_route
from dispatch_cpu.signals import signal

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""

ROUTES = 4096
"""How many layouts are remembered."""

Choice = KernelRoute | Literal["numpy", "any"]
"""Who sums arrays of a layout: kernels, NumPy, or whoever can take each pass."""

SHORT = 256
"""Elements of a row below which NumPy's time goes to beginning it."""

_NOTHING = {char: -np.dtype(char).type(0) for char in "efdFD"}
"""What changes no sum, by the character of the dtype."""

_routes: dict[Any, Any] = {}


def sum_array(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    """Return ``dispatch.sum`` of a plain array. Arguments that are left out are None or, the last two, `NO_VALUE`."""
    # What follows, up to the first returns, is on the path of every call: it is written for speed.
    char = a.dtype.char
    if dtype is a.dtype and char in "efdFDlLqQ":
        dtype = None
    if out is None and initial is NO_VALUE and where is NO_VALUE and dtype is None:
        if char in NUMPY_BELOW and a.size < NUMPY_BELOW[char] and (char not in "dD" or a.ndim == 1):
            return np.add.reduce(a, axis, None, None, keepdims)  # type: ignore[call-overload]
        if keepdims.__class__ is bool and (axis is None or axis.__class__ is int or is_axis(axis)):
            key = char, a.ndim, a.flags.c_contiguous, axis, keepdims
            most, take = few_routes.get(key) or plan_few(key, a)
            if 0 < a.size < most:
                return take(a)
    elif numpy_takes(a, axis, dtype, out, initial, where):
        return _by_numpy(a, axis, dtype, out, keepdims, initial, where)
    if out is None and initial is NO_VALUE:
        result = _sum_elements(a, axis, dtype, keepdims, where)
        if result is not None:
            return result
    elif (wide := _stored_from(char, dtype, out, initial)) is not None:
        result = _sum_elements(a, axis, wide, keepdims, where)
        if result is not None and (out is None or out.shape == result.shape):
            if initial is not NO_VALUE:
                result = result + result.dtype.type(initial)
            if out is None:
                return result.astype(char if dtype is None else dtype)
            out[...] = result
            return out
    return _sum_any(a, axis, dtype, out, keepdims, initial, where)


def _sum_elements(a: NDArray[Any], axis: Any, dtype: Any, keepdims: Any, where: Any) -> Any:
    """Return the sum of the elements of a plain array; None where no route takes them."""
    if 0 < a.size < MOST and keepdims.__class__ is bool and is_axis(axis):
        operation = a.dtype if dtype is None else np.dtype(dtype)
        masked = where is not NO_VALUE
        if masked and not (where.__class__ is np.ndarray and where.dtype.char == "?" and where.shape == a.shape):
            operation = None
        if operation is not None and operation.isnative and operation.char in ACCUMULATORS:
            x = np.where(where, a, _NOTHING[a.dtype.char]) if masked and a.dtype.char in _NOTHING else a
            chars = x.dtype.char + operation.char
            key = chars, x.ndim, x.flags.c_contiguous, axis, keepdims
            most, take = few_routes.get(key) or plan_few(key, x)
            if a.size < most and (x is not a or not masked):
                return take(x)
    choice = _choice(a, axis, dtype, keepdims, where)
    if choice == "numpy":
        return _by_numpy(a, axis, dtype, None, keepdims, NO_VALUE, where)
    if isinstance(choice, KernelRoute):
        return choice.take(a, None if where is NO_VALUE else where)
    return None


def _stored_from(char: str, dtype: Any, out: Any, initial: Any) -> str | None:
    """Return the dtype in which elements are summed, if all that is left is to add `initial` and to store the sum."""
    if not (out is None or (out.__class__ is np.ndarray and out.dtype.char == char and out.flags.writeable)):
        return None
    if char not in ACCUMULATORS or dtype is not None:
        return None
    if initial is NO_VALUE:
        return char
    # A sum of zeros may be -0.0 if it starts from that; and large numbers may not fit the dtype.
    is_simple = initial.__class__ in (int, float) and -60000 < initial < 60000 and copysign(1, initial) > 0
    return ACCUMULATORS[char] if is_simple else None


def _by_numpy(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    mask = True if where is NO_VALUE else where
    return np.add.reduce(a, axis, dtype, out, keepdims, initial, mask)  # type: ignore[call-overload]


def _choice(a: NDArray[Any], axis: Any, dtype: Any, keepdims: Any, where: Any) -> Choice:
    """Return who sums arrays like `a`; what does not fit in a key is left to whoever can take it."""
    key: tuple[Any, ...] = (a.shape, a.strides, a.dtype.num, a.dtype.isnative, axis, keepdims)
    # True and 1.0 are equal to 1, but they are no axes.
    if axis is not None and axis.__class__ is not int:
        if axis.__class__ is not tuple:
            return "any"
        key = (*key, *map(type, axis))
    if keepdims.__class__ is not bool:
        return "any"
    try:
        if dtype is not None:
            operation = np.dtype(dtype)
            key = (*key, operation.num, operation.isnative)
        if where is not NO_VALUE:
            if where.__class__ is not np.ndarray:
                return "any"
            key = (*key, "where", where.shape, where.strides, where.dtype.num)
        choice: Choice | None = _routes.get(key)
    except TypeError:
        return "any"
    if choice is None:
        if len(_routes) >= ROUTES:
            _routes.clear()
        choice = _routes[key] = _plan(a, axis, dtype, keepdims, where)
    return choice


def _plan(a: NDArray[Any], axis: Any, dtype: Any, keepdims: Any, where: Any) -> Choice:
    """Decide who sums arrays like `a`; NumPy has what we do not add, and words the errors."""
    masked = where is not NO_VALUE
    try:
        reduction = prepare(a, axis, dtype, None, keepdims, NO_VALUE, where)
    except (TypeError, ValueError):
        return "numpy"
    if not _is_ours(reduction):
        return "numpy"
    is_accurate = numpy_is_accurate(a, axis, reduction.dtype.char, masked=masked)
    has_short_rows = a.dtype.char in "dD" and type(axis) is int and a.shape[axis] < SHORT
    if is_accurate and not masked and not has_short_rows and a.size < NUMPY_BELOW.get(a.dtype.char, 0):
        return "numpy"
    return plan_route(a, reduction) or "any"


def _sum_any(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    try:
        reduction = prepare(a, axis, dtype, out, keepdims, initial, where)
    except (TypeError, ValueError, OverflowError):
        reduction = None
    if reduction is None or not _is_ours(reduction):
        # Here are the errors too: NumPy words them.
        return np.sum(a, axis, dtype, out, keepdims, initial, where)
    raw = any_layout.raw_sums(a, reduction)
    if raw.dtype.kind in "fc" and not np.isfinite(raw).all():
        signal(raw, a)
    return reduction.finish(raw)


def _is_ours(reduction: Reduction) -> bool:
    """Whether there are numbers to add, in an accumulator of ours, into a plain array."""
    return (
        reduction.accumulator is not None
        and reduction.operand.kind in "biufc"
        and reduction.dtype != np.bool_
        and ("R" in reduction.layout.pattern or reduction.layout.factor > 1)
        and reduction.count * reduction.sums > 0
        and (reduction.out is None or (type(reduction.out) is np.ndarray and reduction.out.flags.writeable))
        and (reduction.where is None or isinstance(reduction.where, np.ndarray))
    )
