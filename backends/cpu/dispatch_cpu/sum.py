"""`sum` on the host: who adds what. Few elements go to NumPy, kernels take what they can read, NumPy packs the rest."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, prepare
from dispatch_cpu import any_layout
from dispatch_cpu.kernel_route import KernelRoute
from dispatch_cpu.numpy_sums import CHUNK, is_best, is_best_for_vectors
from dispatch_cpu.one_call import OneCall
from dispatch_cpu.routes import is_over_many_axes, plan_route

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""

Run: TypeAlias = Callable[..., Any]
"""What takes the arguments of `sum_array`."""

CAST = 1 << 21
"""Bytes below which arrays are copied as a whole, and stay in the cache."""

PACKED = 1 << 15
"""Elements from which integers under a mask that no kernel walks beside them take less time if they are packed."""

WIDER = {"e": "d", "f": "d", "F": "D"}
"""In what floats are summed that something is still to be added to, by the characters of dtypes."""

_reduce: Callable[..., Any] = np.add.reduce
_ndarray = np.ndarray


def sum_array(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    """Return ``dispatch.sum`` of a plain array. Arguments that are left out are None or, the last two, `NO_VALUE`."""
    return plan_sum(a, axis, dtype, out, keepdims, initial, where)(a, axis, dtype, out, keepdims, initial, where)


def plan_sum(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Run:
    """Return what sums `a` and arrays like it: what `Backend.prepare_sum` returns."""
    is_masked, is_started = where is not NO_VALUE and where is not True, initial is not NO_VALUE
    by_numpy = _by_numpy if is_masked or is_started else _by_plain_numpy
    if a.dtype.kind in "fc" and a.size > CHUNK:
        by_numpy = _by_numpy_if_aligned
    if a.size < 2 or (not is_masked and dtype is None and out is None and is_best_for_vectors(a)):
        return by_numpy
    try:
        reduction = prepare(a, axis, dtype, out, keepdims, initial, where)
        elements = prepare(a, axis, reduction.dtype, None, keepdims, NO_VALUE, where)
    except (TypeError, ValueError, OverflowError):
        return _sum_any
    if not _is_ours(reduction) or is_best(a, reduction, masked=is_masked, started=is_started):
        return by_numpy
    result = reduction.dtype
    if _is_exact_sum_of_integers(a.dtype, reduction) or (a.dtype.kind in "biu" and result.char in "bhiBHI"):
        elements = prepare(a, axis, None, None, keepdims, NO_VALUE, where)
    elif is_started and result.char in WIDER:
        if a.dtype.char != result.char:
            return _sum_any  # each element is cast first, and then summed in a wider dtype
        elements = prepare(a, axis, WIDER[result.char], None, keepdims, NO_VALUE, where)
    if elements.dtype.kind in "iu" and is_best(a, elements, masked=is_masked, started=False):
        if result.kind in "iu" or (not is_started and _adds_exactly(a.dtype, reduction)):
            return by_numpy
        return _finishing(_by_numpy_in(elements.dtype), elements.dtype, result)
    if is_masked and where.__class__ is not _ndarray:
        return _sum_any
    is_done = not is_started and elements.dtype == result
    is_rounded = elements.dtype.kind in "fc"
    started = result if is_started and out is None and (is_rounded or elements.dtype == result) else None
    route = plan_route(a, elements, started)
    if route is not None:
        if started is not None and route.__class__ is OneCall:
            return _by_call_from(route, result, masked=is_masked)
        if is_done and out is not None and route.__class__ is OneCall and route.writes(out):
            return _by_call_into(route)
        add = _by_route(route, masked=is_masked)
    elif is_over_many_axes(elements) and a.size >= PACKED:
        wide = np.dtype(WIDER.get(elements.dtype.char, elements.dtype))
        return _finishing(_by_parts(a, wide, keepdims, where), wide, result)
    elif elements.dtype.kind in "iu" and a.dtype.kind in "biu" and not (is_masked and a.size >= PACKED):
        add = _by_numpy_in(elements.dtype)  # swapped bytes, say: NumPy is exact, and nothing is gained by a copy
    elif elements.dtype.kind in "fc" and a.size * elements.dtype.itemsize < CAST:
        add = _packing(a, axis, keepdims, where, elements.dtype)
    else:
        return _sum_any
    return add if is_done and out is None else _finishing(add, elements.dtype, result)


def _by_plain_numpy(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, *_: Any) -> Any:
    return _reduce(a, axis, dtype, out, keepdims)


def _by_numpy(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    return _reduce(a, axis, dtype, out, keepdims, initial, True if where is NO_VALUE else where)


def _by_numpy_if_aligned(
    a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any
) -> Any:
    """Return NumPy's sum, but of elements that it would copy into buffers first our own."""
    take = _by_numpy if a.flags.aligned else _sum_any
    return take(a, axis, dtype, out, keepdims, initial, where)


def _by_numpy_in(operation: np.dtype[Any]) -> Run:
    def run(a: NDArray[Any], axis: Any, _dtype: Any, _out: Any, keepdims: Any, _initial: Any, where: Any) -> Any:
        return _by_numpy(a, axis, operation, None, keepdims, NO_VALUE, where)

    return run


def _packing(a: NDArray[Any], axis: Any, keepdims: Any, where: Any, operation: np.dtype[Any]) -> Run:
    """Return what sums arrays after a copy in the dtype `operation`, with what changes no sum where a mask is False."""
    nothing = np.array(any_layout.neutral(operation), operation.newbyteorder("="))
    masked = where is not NO_VALUE and where is not True

    def pack(a: NDArray[Any], where: Any) -> NDArray[Any]:
        return np.where(where, a, nothing).astype(operation, copy=False) if masked else a.astype(operation)

    add = plan_sum(pack(a, where), axis, operation, None, keepdims, NO_VALUE, NO_VALUE)

    def run(a: NDArray[Any], axis: Any, _dtype: Any, _out: Any, keepdims: Any, _initial: Any, where: Any) -> Any:
        return add(pack(a, where), axis, operation, None, keepdims, NO_VALUE, NO_VALUE)

    return run


def _by_parts(a: NDArray[Any], operation: np.dtype[Any], keepdims: Any, where: Any) -> Run:
    """Return what sums along all axes but the longest one first: there is a copy for some of its indices at a time."""
    longest = int(np.argmax(a.shape))
    others = tuple(other for other in range(a.ndim) if other != longest)
    partial = plan_sum(a, others, operation, None, True, NO_VALUE, where)
    add = plan_sum(np.empty(a.shape[longest], operation), None, operation, None, False, NO_VALUE, NO_VALUE)
    shape = (1,) * a.ndim if keepdims else ()

    def run(a: NDArray[Any], _axis: Any, _dtype: Any, _out: Any, keepdims: Any, _initial: Any, where: Any) -> Any:
        sums = partial(a, others, operation, None, True, NO_VALUE, where).reshape(-1)
        total = add(sums, None, operation, None, False, NO_VALUE, NO_VALUE)
        return total.reshape(shape) if keepdims else total

    return run


def _by_route(route: KernelRoute | OneCall, *, masked: bool) -> Run:
    if masked:
        return lambda a, _axis, _dtype, _out, _keepdims, _initial, where: route.take(a, where)
    return lambda a, _axis, _dtype, _out, _keepdims, _initial, _where: route.take(a)


def _by_call_into(one: OneCall) -> Run:
    def run(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
        if not out.flags.writeable:  # the words are NumPy's
            return _by_numpy(a, axis, dtype, out, keepdims, initial, where)
        return one.take_into(a, out)

    return run


def _by_call_from(one: OneCall, result: np.dtype[Any], *, masked: bool) -> Run:
    """Return what sums from an initial value on."""
    most, kind = SIMPLE if result.char != "e" else SIMPLE_HALF, result.kind if result.char != "e" else "i"
    least = 0 if kind == "u" else -most

    def run(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
        if (initial.__class__ is int and least <= initial <= most) or (
            initial.__class__ is float and _is_simple(initial, kind)
        ):
            return one.take(a, where if masked else None, initial)
        return _sum_any(a, axis, dtype, out, keepdims, initial, where)

    return run


def _finishing(add: Run, operation: np.dtype[Any], result: np.dtype[Any]) -> Run:
    """Return what adds `initial` to a sum of elements in the dtype `operation`, casts it to `result`, and stores it."""
    is_integer, is_cast = operation.kind in "iu", operation != result
    is_narrowed = is_cast and is_integer and result.kind in "iu"
    most = SIMPLE if result.char != "e" else SIMPLE_HALF
    least, to_result = 0 if "u" in (operation.kind, result.kind) else -most, result.type
    if result.kind in "iu":
        least, most = max(least, np.iinfo(result).min), min(most, np.iinfo(result).max)
    is_real = operation.kind == result.kind == "f"

    def run(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
        if initial is NO_VALUE:
            total = add(a, axis, operation, None, keepdims, NO_VALUE, where)
        else:
            if initial.__class__ is int and least <= initial <= most:
                start = initial
            elif initial.__class__ is float and _is_simple(initial, result.kind):
                start = to_result(initial)
            else:
                return _sum_any(a, axis, dtype, out, keepdims, initial, where)
            total = add(a, axis, operation, None, keepdims, NO_VALUE, where)
            total = np.add(total, start) if is_integer else total + start  # of integers, the first wraps in silence
        if is_narrowed:
            total = total.astype(result)
        if out is not None:
            try:
                if is_integer or out.dtype.kind in "iu":
                    np.copyto(out, total, casting="unsafe")  # assignment would refuse those that do not fit
                else:
                    out[...] = total
            except ValueError:  # it is read-only: the words are NumPy's
                return _by_numpy(a, axis, dtype, out, keepdims, initial, where)
            return out
        if is_narrowed or not is_cast:
            return total
        if total.__class__ is _ndarray:
            return total.astype(result)
        return to_result(float(total) if is_real else total)  # Python's own number is cast in less time

    return run


SIMPLE = 60000
"""Largest initial value, by its magnitude, of which it is not asked whether the sum's dtype holds it."""

SIMPLE_HALF = 2048
"""The same where that is float16."""


def _is_simple(initial: float, kind: str) -> bool:
    """Whether all that is left to do with a float `initial` is to add it; a sum may be -0.0 if it starts from that."""
    return kind in "fc" and -SIMPLE <= initial <= SIMPLE and (initial != 0 or copysign(1, initial) > 0)


def _is_exact_sum_of_integers(dtype: np.dtype[Any], reduction: Reduction) -> bool:
    """Whether integers are summed in floats that hold each of them: then their exact sum has only to be cast."""
    widest = {"d": 4, "f": 2}.get(reduction.dtype.char, 0)
    return dtype.kind in "biu" and dtype.itemsize <= widest and reduction.count < 1 << 31


def _adds_exactly(dtype: np.dtype[Any], reduction: Reduction) -> bool:
    """Whether floats of the sum's dtype hold each sum of some of the integers: NumPy adds these without an error."""
    bits = {"d": 53, "f": 24}.get(reduction.dtype.char, 0)
    return dtype.kind in "biu" and reduction.count << 8 * dtype.itemsize <= 1 << bits


def _sum_any(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    try:
        reduction = prepare(a, axis, dtype, out, keepdims, initial, where)
    except (TypeError, ValueError, OverflowError):
        reduction = None
    if reduction is None or not _is_ours(reduction) or not (out is None or out.flags.writeable):
        # Here are the errors too: NumPy words them.
        return np.sum(a, axis, dtype, out, keepdims, initial, where)
    return any_layout.take(a, reduction)


def _is_ours(reduction: Reduction) -> bool:
    """Whether there are numbers to add, in an accumulator of ours, into a plain array."""
    return (
        reduction.accumulator is not None
        and reduction.operand.kind in "biufc"
        and reduction.dtype != np.bool_
        and ("R" in reduction.layout.pattern or reduction.layout.factor > 1)
        and reduction.count * reduction.sums > 0
        and (reduction.out is None or type(reduction.out) is np.ndarray)
        and (reduction.where is None or isinstance(reduction.where, np.ndarray))
    )
