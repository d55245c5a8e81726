"""From the arguments of `sum` to a `Reduction`, refusing what NumPy refuses."""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any

import numpy as np

from dispatch.reduction.dtypes import accumulator_dtype, operation_dtype
from dispatch.reduction.layout import Strides, canonical_layout, contiguous_strides
from dispatch.reduction.reduction import Reduction

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""


def prepare(
    a: Any,
    axis: int | tuple[int, ...] | None = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = NO_VALUE,
    where: Any = NO_VALUE,
) -> Reduction:
    """Check the arguments of `sum` by NumPy's rules and return the plan for it.

    Parameters
    ----------
    a : array
        Anything with ``shape``, ``dtype`` and ``strides``; strides of None, or none at all, mean C order.
    axis, dtype, out, keepdims, initial, where
        As `dispatch.sum` takes them. `out` needs a ``shape`` and a ``dtype``. `where` may be a list, or an array that
        is described as `a` is.

    Raises
    ------
    numpy.exceptions.AxisError
        For an axis that `a` does not have.
    ValueError
        For an axis that is named twice, a shape of `out` or `where` that does not fit, an `initial` that is no scalar,
        and an empty sum without an initial value.
    TypeError
        For an argument of a wrong type, and for elements that have no sum.
    OverflowError
        For an integer `initial` that the operation's dtype does not hold.
    """
    shape = tuple(a.shape)
    axes = normalized_axes(axis, len(shape))
    keepdims = bool(index(keepdims))
    operand = np.dtype(a.dtype)
    if out is not None and not hasattr(out, "dtype"):
        raise TypeError(f"out must be an array, not {type(out).__name__}")
    operation = operation_dtype(
        operand, None if dtype is None else np.dtype(dtype), None if out is None else np.dtype(out.dtype)
    )
    mask = _mask_of(where)
    strides = [_strides_of(a)]
    if mask is not None:
        if mask.dtype != np.bool_:
            raise TypeError(
                f"where must be of dtype bool, not {mask.dtype}; compare or convert it: where=mask.astype(bool)"
            )
        strides.append(_broadcast_strides(mask, shape))
    result = tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
    if out is not None and tuple(out.shape) != result:
        raise ValueError(
            f"out has shape {tuple(out.shape)}, but the sum of shape {shape} over axis={axis} has shape {result}"
        )
    count = prod(shape[i] for i in axes)
    if initial is None and (mask is not None or (not count and 0 not in result)):
        raise ValueError("initial=None leaves sums of no elements without a value; leave initial out, or pass a number")
    return Reduction(
        operand=operand,
        dtype=operation,
        accumulator=accumulator_dtype(operation),
        shape=result,
        axes=axes,
        keepdims=keepdims,
        count=count,
        layout=canonical_layout(shape, tuple(strides), axes),
        initial=initial_value(initial, operation),
        out=out,
        where=mask,
    )


def _mask_of(where: Any) -> Any:
    """Return an array of what `where` says, None for all elements."""
    if where is NO_VALUE or where is True:
        return None
    if isinstance(where, np.generic):
        return np.asarray(where)
    return where if hasattr(where, "dtype") else np.asarray(where, bool)


def normalized_axes(axis: Any, ndim: int) -> frozenset[int]:
    """Return the axes that `axis` means, counted from 0; an array of no dimensions takes axis 0 and -1."""
    if axis is None:
        return frozenset(range(ndim))
    axes = []
    for item in axis if isinstance(axis, tuple) else (axis,):
        if isinstance(item, bool | np.bool_):
            raise TypeError(f"axis must be an integer, a tuple of integers or None, not {item!r}")
        number = index(item)
        if ndim == 0 and number in (0, -1) and not isinstance(axis, tuple):
            continue
        if not -ndim <= number < ndim:
            raise np.exceptions.AxisError(number, ndim)
        axes.append(number % ndim)
    if len(set(axes)) < len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return frozenset(axes)


def initial_value(initial: Any, dtype: np.dtype[Any]) -> Any:
    """Return what a sum in `dtype` starts from: zero by default, otherwise `initial` cast as NumPy casts it."""
    if initial is None:
        return None
    value = np.zeros((), dtype)
    if initial is not NO_VALUE:
        if np.ndim(initial):
            raise ValueError(f"initial must be a scalar, not an array of shape {np.shape(initial)}")
        value[()] = initial
    return value[()]


def _strides_of(array: Any) -> Strides:
    strides = getattr(array, "strides", None)
    return contiguous_strides(array.shape, np.dtype(array.dtype).itemsize) if strides is None else tuple(strides)


def _broadcast_strides(mask: Any, shape: tuple[int, ...]) -> Strides:
    """Return the strides of a mask as broadcast to `shape`, which it must not enlarge."""
    own = tuple(mask.shape)
    lead = len(shape) - len(own)
    if lead < 0 or any(n not in (1, m) for n, m in zip(own, shape[lead:], strict=True)):
        raise ValueError(f"where has shape {own}, which does not broadcast to the shape {shape} of the array")
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(own, _strides_of(mask), strict=True))
