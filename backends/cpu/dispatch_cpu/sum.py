"""`sum` on the host: who adds what. Few elements go to NumPy, kernels take what they can read, NumPy packs the rest."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, operation_dtype, prepare
from dispatch_cpu import any_layout, few_elements, kernels, recipes, summation
from dispatch_cpu.few_elements import numpy_is_accurate
from dispatch_cpu.in_place import can_read
from dispatch_cpu.kernel_route import KernelRoute, plan_route
from dispatch_cpu.memory_views import writeable
from dispatch_cpu.signals import signal

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""

VECTOR = 1 << 16
"""Elements below which a float32 vector has a kernel that costs little to call."""

ROUTES = 4096
"""How many layouts are remembered."""

Choice = KernelRoute | Literal["numpy", "wider", "copy", "any"]
"""Who sums arrays of a layout: kernels; NumPy as it is, or in a wider dtype; kernels, after a copy; or whoever can
take each pass."""

_routes: dict[Any, Any] = {}


def sum_array(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    """Return ``numpy.sum`` of a plain ndarray, as accurate as the documentation says."""
    if out is None and initial is NO_VALUE:
        if where is NO_VALUE and dtype is None:
            char, size = a.dtype.char, a.size
            if a.ndim == 1 and size < few_elements.UNHURRIED.get(char, 0):
                return np.add.reduce(a, axis, None, None, keepdims)  # type: ignore[call-overload]
            if char in "fe" and (axis is None or (a.ndim == 1 and axis.__class__ is int and axis in (0, -1))):
                result = _sum_narrow(a, char, size, keepdims)
                if result is not None:
                    return result
        choice = _choice(a, axis, dtype, keepdims, where)
        if choice == "copy":
            a, where = _copied(a, dtype, where), NO_VALUE
            choice = _choice(a, axis, dtype, keepdims, where)
        if choice == "numpy":
            return _by_numpy(a, axis, dtype, out, keepdims, initial, where)
        if choice == "wider":
            return few_elements.sum_wider(a, axis, keepdims)
        if isinstance(choice, KernelRoute):
            result = choice.take(a, None if where is NO_VALUE else where)
            if result is not None:
                return result
    elif _numpy_takes(a, axis, dtype, out, where):
        return _by_numpy(a, axis, dtype, out, keepdims, initial, where)
    elif _is_only_stored(a, dtype, out, initial):
        sums = sum_array(a, axis, None, None, keepdims, NO_VALUE, where)
        if sums.shape == out.shape:
            np.copyto(out, sums)
            return out
    return _sum_any(a, axis, dtype, out, keepdims, initial, where)


def _by_numpy(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    mask = True if where is NO_VALUE else where
    return np.add.reduce(a, axis, dtype, out, keepdims, initial, mask)  # type: ignore[call-overload]


def _sum_narrow(a: NDArray[Any], char: str, size: int, keepdims: Any) -> Any:
    """Return the sum of all elements, float16 or float32; None where no short cut takes them or it is not finite."""
    if keepdims is not False or size == 0:
        return None
    if size <= few_elements.EXACT:
        return few_elements.sum_exactly(a)
    if char == "e" or size >= VECTOR or not a.flags.c_contiguous:
        return None
    vector = a if a.ndim == 1 else a.reshape(-1)
    if not (a.dtype.isnative and a.flags.aligned):
        vector = vector.astype(np.float32)
    kernel = _routes.get("vector")
    if kernel is None and (size >= few_elements.SMALL or kernels.is_worth_loading()):
        kernel = kernels.find(*recipes.VECTOR)
        if kernel is not None:
            _routes["vector"] = kernel
    if kernel is None:
        double = np.dtype(np.float64)
        total = summation.sum_rows(vector.reshape(1, -1, 1), double, double).item() + 0.0
    else:
        vector = vector if vector.flags.writeable else writeable(vector)
        total = kernel(vector, summation.LANES, summation.LANES * summation.SERIAL)
    return np.float32(total) if total - total == 0 else None


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
    if is_accurate and not masked and a.size < few_elements.UNHURRIED.get(a.dtype.char, 0):
        return "numpy"
    if a.size < few_elements.SMALL and a.dtype.char in few_elements.WIDER and dtype is None and not masked:
        return "wider"
    route = plan_route(a, reduction)
    if route is not None:
        return route
    if is_accurate and a.size < few_elements.SMALL:
        return "numpy"
    if a.size < any_layout.PACKED:
        copy = _copied(a, dtype, where)
        if plan_route(copy, prepare(copy, axis, dtype, None, keepdims)) is not None:
            return "copy"
    return "any"


def _copied(a: NDArray[Any], dtype: Any, where: Any) -> NDArray[Any]:
    """Return a contiguous copy in the order of memory, in `dtype`, with what changes no sum where the mask is False."""
    operation = operation_dtype(a.dtype, None if dtype is None else np.dtype(dtype))
    native = a.dtype.newbyteorder("=")
    copy = np.empty_like(a, native if can_read(native, operation) else operation)
    if where is NO_VALUE:
        np.copyto(copy, a, casting="unsafe")
        return copy
    copy.fill(any_layout.neutral(copy.dtype))
    np.copyto(copy, a, casting="unsafe", where=where)
    return copy


def _numpy_takes(a: NDArray[Any], axis: Any, dtype: Any, out: Any, where: Any) -> bool:
    """Whether the sum is of a few elements, and NumPy adds them as accurately in the operation's own dtype."""
    if a.size >= few_elements.SMALL or not (out is None or type(out) is np.ndarray):
        return False
    char = (a if dtype is None and out is None else out).dtype.char if dtype is None else np.dtype(dtype).char
    return numpy_is_accurate(a, axis, char, masked=where is not NO_VALUE)


def _is_only_stored(a: NDArray[Any], dtype: Any, out: Any, initial: Any) -> bool:
    """Whether the sum is what it would be without `out`, which takes it as it is."""
    return (
        type(out) is np.ndarray
        and out.flags.writeable
        and a.dtype.char in "efdFD"
        and out.dtype.char == a.dtype.char
        and dtype is None
        and initial is NO_VALUE
    )


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
    """Whether there is something to add, in an accumulator of ours, into a plain array."""
    return (
        reduction.accumulator is not None
        and reduction.dtype != np.bool_
        and ("R" in reduction.layout.pattern or reduction.layout.factor > 1)
        and reduction.count * reduction.sums > 0
        and (reduction.out is None or (type(reduction.out) is np.ndarray and reduction.out.flags.writeable))
        and (reduction.where is None or isinstance(reduction.where, np.ndarray))
    )
