"""Sums of so few elements that what counts is the call: one of NumPy's, or one of a compiled ufunc."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import kernels, recipes, summation
from dispatch_cpu.signals import signal

NUMPY_BELOW = dict.fromkeys("?bBhHiI", 1 << 14) | dict.fromkeys("lLqQd", 1 << 20) | {"D": 1 << 19}
"""Elements, by character of the dtype, below which no kernel is faster where NumPy adds accurately in that dtype."""

MOST = 1 << 16
"""Floats that are few."""

UNASKED = 2048
"""Elements below which a sum asks for its kernel only if there have been many such (`kernels.is_worth_loading`)."""

BUFFERED = 1 << 14
"""Elements below which NumPy adds in pairs although it casts them: it does so in buffers, of which these fill two."""

ACCUMULATORS = {"e": "d", "f": "d", "d": "d", "F": "D", "D": "D"}
"""In what few floats are added, by the characters of dtypes."""


def numpy_is_accurate(a: NDArray[Any], axis: Any, char: str, *, masked: bool) -> bool:
    """Whether NumPy adds in the dtype `char` exactly, or in pairs, or 16 elements at most.

    It adds in pairs along the innermost axis in memory alone, and where there is no mask.
    """
    if char not in "dD":
        return char not in "efF"
    if type(axis) is int and -a.ndim <= axis < a.ndim:
        return (a.strides[axis] == a.itemsize and not masked) or a.shape[axis] <= summation.SERIAL
    return ((a.ndim == 1 or (axis is None and a.flags.forc)) and not masked) or a.size <= summation.SERIAL


def numpy_takes(a: NDArray[Any], axis: Any, dtype: Any, out: Any, initial: Any, where: Any) -> bool:
    """Whether the sum is of so few elements that none is faster than NumPy's, and as accurate."""
    if not (out is None or out.__class__ is np.ndarray):
        return False
    own = a.dtype.char
    is_plain = dtype is None and initial is where is np._NoValue
    if is_plain and out is not None and own in "dD" and out.dtype.char == own:
        return False  # out= changes no bit, and without it a ufunc or a kernel may add
    if dtype is None:
        char = own if out is None else out.dtype.char
    else:
        try:
            char = np.dtype(dtype).char
        except TypeError:
            return True  # the words of the error are NumPy's
    masked = where is not np._NoValue
    most = UNASKED if masked else BUFFERED if char in "dD" and char != own else NUMPY_BELOW.get(char, 0)
    return a.size < 2 or (char in NUMPY_BELOW and a.size < most and numpy_is_accurate(a, axis, char, masked=masked))


Few = tuple[int, Callable[[NDArray[Any]], Any]]
"""Elements below which arrays are few, and what sums them."""

ROUTES = 4096
"""How many routes are remembered."""

few_routes: dict[Any, Few] = {}
"""How few elements are summed, by what they have in common: what `plan_few` takes for a key."""


def plan_few(key: tuple[str, int, bool, Any, bool], a: NDArray[Any]) -> Few:
    """Return how few elements like those of `a` are summed; there are never few where this is not the way.

    Parameters
    ----------
    key : tuple
        The characters of the dtypes of `a` and of the result, one if they are the same; the number of dimensions;
        whether `a` is C-contiguous; the axis; whether it stays in the result.
    a : array
        Elements, one or more.
    """
    chars, *_, axis, keepdims = key
    route, is_final = _plan(a, axis, keepdims, chars[-1])
    if is_final:
        if len(few_routes) >= ROUTES:
            few_routes.clear()
        few_routes[key] = route
    return route


def _plan(a: NDArray[Any], axis: Any, keepdims: bool, result: str) -> tuple[Few, bool]:
    """Return the route, and whether it is for good: until a kernel is ready, NumPy adds in its order."""
    char, numpy = a.dtype.char, partial(np.add.reduce, axis=axis, keepdims=keepdims)
    if result == char and a.ndim == 0:
        return (MOST, numpy), True
    if result == char and char in NUMPY_BELOW:
        along_memory = a.ndim < 2 or (
            a.flags.c_contiguous and (axis is None or (a.ndim > 2 and axis in (-1, a.ndim - 1)))
        )
        if along_memory or char not in "dD":
            return (NUMPY_BELOW[char], numpy), True
    if char == "e" and result in "efd":
        (most, of_wider), is_final = _plan(_widened(a), axis, keepdims, "d" if result == "e" else result)
        if result == "e":
            return (most, lambda x: of_wider(_widened(x)).astype(np.float16)), is_final
        return (most, lambda x: of_wider(_widened(x))), is_final
    axes = _axes(a.ndim, axis)
    if char + result not in recipes.FEW or axes is None:
        return (0, numpy), True
    layout, shaped = _layout(a, axes, keepdims)
    if shaped is None:
        return (0, numpy), True
    add, is_final = _find(layout, char + result, a.size)
    take = shaped(add)
    if result == char and char in "dD" and axis.__class__ is int and not (a.ndim == 2 and a.flags.c_contiguous):
        return (MOST, partial(_numpy_or, take, numpy, axis)), is_final
    return (MOST, take), is_final


def _numpy_or(take: Any, numpy: Any, axis: int, a: NDArray[Any]) -> Any:
    """Return the sum by NumPy where it adds in pairs or few, and otherwise by `take`."""
    return (numpy if a.strides[axis] == a.itemsize or a.shape[axis] <= summation.SERIAL else take)(a)


def _widened(a: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous copy of float16 in float32."""
    return a.astype(np.float32, order="C")


def _layout(a: NDArray[Any], axes: tuple[int, ...], keepdims: bool) -> tuple[str, Any]:
    """Return the ufunc's signature for arrays like `a`, and what makes of the ufunc a function that sums them."""
    ndim, contiguous, is_complex = a.ndim, a.flags.c_contiguous, a.dtype.kind == "c"
    if len(axes) == ndim:
        if ndim == 1 and not keepdims and (contiguous or not is_complex):
            return recipes.ALL, lambda add: add
        return recipes.ALL, lambda add: partial(_sum_all, add, keepdims)
    if ndim == 2 and contiguous:
        layout = recipes.ROWS if axes == (1,) else recipes.COLUMNS
        return layout, lambda add: partial(_keep, add, axes[0]) if keepdims else add
    if ndim == 2:
        return recipes.ROWS, lambda add: partial(_sum_matrix, add, axes[0], keepdims)
    return recipes.CUBES, (lambda add: partial(_sum_axes, add, axes, keepdims)) if contiguous else None


def _find(layout: str, chars: str, size: int) -> tuple[Any, bool]:
    """Return the compiled ufunc, and True, if it is ready, and otherwise what does the same by NumPy."""
    if size >= UNASKED or kernels.is_worth_loading():
        compiled = kernels.find(*recipes.few_key(layout, *chars))
        if compiled is not None:
            return compiled, True
    return partial(sum_by_numpy, layout, np.dtype(chars[1])), False


def _sum_all(add: Any, keepdims: bool, a: NDArray[Any]) -> Any:
    """Return the sum of all elements, in the order of memory."""
    total = add(np.ascontiguousarray(a.ravel("K")))
    return np.full((1,) * a.ndim, total) if keepdims else total


def _keep(add: Any, axis: int, a: NDArray[Any]) -> Any:
    """Return the sum of a contiguous matrix, as a matrix."""
    return add(a)[:, None] if axis else add(a)[None]


def _sum_matrix(add: Any, axis: int, keepdims: bool, a: NDArray[Any]) -> Any:
    """Return the sum of a matrix of any strides over axis 0 or 1, by a ufunc that sums along rows."""
    b = a if axis else a.T
    sums = add(b.copy() if a.dtype.kind == "c" else b)
    return sums if not keepdims else sums[:, None] if axis else sums[None]


def _sum_axes(add: Any, axes: tuple[int, ...], keepdims: bool, a: NDArray[Any]) -> Any:
    """Return the sum of a contiguous array over ascending axes."""
    shape, kept = a.shape, [i for i in range(a.ndim) if i not in axes]
    first, last = axes[0], axes[-1] + 1
    if last - first == len(axes):
        sums = add(a.reshape(prod(shape[:first]), prod(shape[first:last]), prod(shape[last:])))
    else:
        columns = prod(shape[i] for i in kept)
        sums = add(a.transpose(*kept, *axes).reshape(columns, a.size // columns, 1))
    return sums.reshape([1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes])


def is_axis(axis: Any) -> bool:
    """Whether it is None, an integer, or a tuple of some; True is none."""
    return (
        axis is None
        or axis.__class__ is int
        or (axis.__class__ is tuple and all(item.__class__ is int for item in axis))
    )


def _axes(ndim: int, axis: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the axes in ascending order, counted from 0; None if there are none, too many, or one twice."""
    given = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if not given or any(not -ndim <= item < ndim for item in given):
        return None
    axes = tuple(sorted({item % ndim for item in given}))
    return axes if len(axes) == len(given) else None


def sum_by_numpy(layout: str, result: np.dtype[Any], x: NDArray[Any]) -> Any:
    """Return what the ufunc returns, by NumPy."""
    if layout in (recipes.ALL, recipes.ROWS):
        x = x[..., None]
    if layout in (recipes.ALL, recipes.COLUMNS):
        x = x[None]
    outer, rows, columns = x.shape
    x = np.ascontiguousarray(x if x.strides[1] >= 0 else x[:, ::-1], x.dtype.newbyteorder("="))
    double = np.dtype(np.float64)
    parts = x.view(x.real.dtype).reshape(outer, rows, -1)
    sums = summation.sum_rows(parts, double, double) + 0.0
    if not np.isfinite(sums).all():
        signal(sums, x)
    with np.errstate(over="ignore"):
        sums = sums.astype(result.char.lower()).view(result).reshape(outer, columns)
    if layout in (recipes.ALL, recipes.ROWS):
        sums = sums[:, 0]
    return sums[0] if layout in (recipes.ALL, recipes.COLUMNS) else sums
