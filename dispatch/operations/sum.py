"""`dispatch.sum`: NumPy's `sum` on whatever hardware there is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from dispatch import context, tracing
from dispatch.operations.call import Call, describe
from dispatch.registry import registry
from dispatch.request import BackendLike, Request, parse
from dispatch.selection import residence, select

NO_VALUE: Any = np._NoValue
"""NumPy's own mark for an argument that was left out, so that arguments pass through to NumPy unchanged."""


def sum(
    a: Any,
    axis: int | tuple[int, ...] | None = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = NO_VALUE,
    where: Any = NO_VALUE,
    *,
    backend: BackendLike | None = None,
) -> Any:
    """Sum of array elements over the given axes.

    Parameters
    ----------
    a : array_like or device array
        Elements to sum. A host array may run anywhere; a device array runs, and its sum stays, on its device.
    axis : int, tuple of int or None
        Axes to sum over; None for all, ``()`` for none. Negative axes count from the last.
    dtype : dtype, optional
        Type in which elements are added, and of the result. By default that of `a`, but never a boolean or an
        integer narrower than the platform's.
    out : array, optional
        Where to put the result; it is returned. It must have the result's shape and live where the result would.
    keepdims : bool
        Whether the summed axes stay, with length one.
    initial : scalar, optional
        Value that the sum starts from.
    where : array_like of bool, optional
        Which elements count; broadcasts against `a`.
    backend : str or Backend, optional
        Who runs the call: a name, a device (``"cuda:1"``), a list (``"cuda,cpu"``), ``"auto"`` or a `Backend`.
        By default whoever `use`, `set_default` or ``DISPATCH_BACKEND`` ask for, otherwise the fastest.

    Returns
    -------
    array or scalar
        The sum, of the type that `numpy.sum` returns for host input.

    Raises
    ------
    UnknownBackendError, BackendUnavailableError, UnsupportedCallError
        When what was asked for cannot run the call.
    TypeError, ValueError, numpy.exceptions.AxisError
        As `numpy.sum` raises them.

    Notes
    -----
    Integers are added modulo ``2**64`` exactly. Floating-point sums are at least as accurate as pairwise summation
    along every axis and layout, and the same input gives the same bits on the same device.

    Examples
    --------
    >>> import numpy as np, dispatch
    >>> dispatch.sum(np.arange(1000000))
    np.int64(499999500000)
    """
    # What follows, up to the first return, is on the path of every call: it is written for speed.
    if a.__class__ is not _ndarray:
        a = as_operand(a)
    # A key holds all in which the sums are alike that are prepared together, in tuples of tuples: that spares copies.
    key: tuple[Any, ...] | None
    request = context.current() if backend is None else parse(backend)
    if a.__class__ is _ndarray:
        # C's long and long long are equal as dtypes, and different in their numbers and as results.
        own = a.dtype
        key = (
            request,
            own,
            own.num,
            a.shape,
            a.strides,
            axis,
            dtype,
            keepdims,
            keepdims.__class__,
            initial is NO_VALUE,
        )
        if dtype is not None:
            key = (*key, getattr(dtype, "num", None))
        if axis is not None and axis.__class__ is not int:  # True and 1.0 are equal to 1, but they are no axes
            if axis.__class__ is not tuple:
                key = (key, axis.__class__)
            else:
                for one in axis:
                    if one.__class__ is not int:
                        key = (key, *map(type, axis))
                        break
        if out is not None:
            key = (key, "out", out.dtype, out.shape, out.strides) if out.__class__ is _ndarray else None
        if where is not NO_VALUE and key is not None:
            key = (key, "where", where.dtype, where.shape, where.strides) if where.__class__ is _ndarray else None
    elif out is None and where is NO_VALUE and (home := residence(a)) is not None:
        key = (request, a.dtype, a.shape, axis, dtype, keepdims, initial is NO_VALUE, type(a), home)
    else:
        key = None
    try:
        run: Run | None = (registry.latest or registry.table()).routes.get(key)
    except TypeError:  # an argument that cannot be hashed, such as a list of axes
        key = None
    else:
        if run is not None and not tracing.count:
            return run(a, axis, dtype, out, keepdims, initial, where)
    call = call_of(a, axis, dtype, out, keepdims, initial, where)
    (chosen, device), decision = select(call, *context.in_force(backend))
    if a.__class__ is _ndarray:
        run = chosen.prepare_sum(a, axis, dtype, out, keepdims, initial, where, device=device)
    else:
        run = partial(chosen.sum, device=device)
    if key is not None and not tracing.logging_calls():
        _keep(key, run, request)
    with tracing.observed(decision, call):
        return run(a, axis, dtype, out, keepdims, initial, where)


_LITERALS = frozenset({list, tuple, int, float, complex, bool})
"""Python's own types, of which `numpy.sum` makes an array first."""


def as_operand(a: Any) -> Any:
    """Return what backends are given for `a`: Python's own lists and numbers become arrays."""
    return np.asanyarray(a) if type(a) in _LITERALS else a


_ndarray = np.ndarray

Run: TypeAlias = Callable[..., Any]
"""What takes the arguments of a sum by position (`Backend.prepare_sum`)."""

MOST_ROUTES = 4096
"""Sums that stay prepared; beyond that they are prepared anew."""


def _keep(key: tuple[Any, ...], run: Run, request: Request) -> None:
    """Remember what runs a sum, so that one look-up finds it, for as long as the table of backends is the same."""
    routes = registry.table().routes
    if request.reusable:
        if len(routes) >= MOST_ROUTES:
            routes.clear()
        routes[key] = run


def call_of(a: Any, axis: Any, dtype: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Call:
    """Return what backends are told about ``sum(a, axis, dtype, out, keepdims, initial, where)``.

    Raises
    ------
    TypeError
        When `out` or `where` is on a device, and `a` is on the host: what would read them there is a silent copy.
    """
    from dispatch.devices import is_foreign, on_cuda  # not needed for `import dispatch`, which stays light

    for name, array in (("out", out), ("where", where)):
        if on_cuda(array) and not on_cuda(a):
            raise TypeError(
                f"{name} is a {type(array).__qualname__} on a CUDA device, and a is not; copy one to where the other is"
            )
        if is_foreign(array) and not (is_foreign(a) or on_cuda(a)):
            raise TypeError(
                f"{name} is a {type(array).__module__}.{type(array).__qualname__}, which NumPy cannot read, and a is "
                "on the host; copy one to where the other is"
            )
    given = {
        "axis": axis,
        "dtype": dtype,
        "out": out,
        "keepdims": keepdims,
        "initial": initial,
        "where": where,
    }
    return describe(
        "sum",
        a,
        {name: value for name, value in given.items() if value is not None and value is not NO_VALUE},
    )
