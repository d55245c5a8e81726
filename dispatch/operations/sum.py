"""`dispatch.sum`: NumPy's `sum` on whatever hardware there is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from dispatch import context, tracing
from dispatch.operations.call import Call, describe
from dispatch.registry import registry
from dispatch.request import BackendLike, parse
from dispatch.selection import Route, residence, select

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
    place: tuple[type, Hashable] | None = None
    if a.__class__ is not _ndarray:
        a = as_operand(a)
        if a.__class__ is not _ndarray and out is None and where is NO_VALUE and (home := residence(a)) is not None:
            place = type(a), home  # of a device array
    # A key holds all that calls have in common that are alike for `supports`.
    key: tuple[Any, ...] | None = None
    if a.__class__ is _ndarray or place is not None:
        request = context.current() if backend is None else parse(backend)
        key = (request, a.dtype, a.shape, axis, dtype, keepdims, initial is NO_VALUE, place)
        if out is not None or where is not NO_VALUE:
            key = _with_arrays(key, out, where)
        try:
            route: Route | None = (registry.latest or registry.table()).routes.get(key) if key else None
        except TypeError:  # an argument that cannot be hashed, such as a list of axes
            key = None
        else:
            if route is not None and not tracing.count:
                chosen, device = route
                return chosen.sum(a, axis, dtype, out, keepdims, initial, where, device=device)
    call = call_of(a, axis, dtype, out, keepdims, initial, where)
    route, decision = select(call, *context.in_force(backend))
    if key is not None and not tracing.logging_calls():
        _keep(key, route)
    with tracing.observed(decision, call):
        return route.backend.sum(a, axis, dtype, out, keepdims, initial, where, device=route.device)


_LITERALS = frozenset({list, tuple, int, float, complex, bool})
"""Python's own types, of which `numpy.sum` makes an array first."""


def as_operand(a: Any) -> Any:
    """Return what backends are given for `a`: Python's own lists and numbers become arrays."""
    return np.asanyarray(a) if type(a) in _LITERALS else a


_ndarray = np.ndarray

MOST_ROUTES = 4096
"""Decisions that are kept; beyond that they are taken anew."""


def _with_arrays(key: tuple[Any, ...], out: Any, where: Any) -> tuple[Any, ...] | None:
    """Return the key of a call with `out` or `where`; None where one of them is no plain array."""
    if where is NO_VALUE:
        return (*key, out.dtype, out.shape) if out.__class__ is _ndarray else None
    if where.__class__ is not _ndarray or not (out is None or out.__class__ is _ndarray):
        return None
    arrays = (None, None) if out is None else (out.dtype, out.shape)
    return (*key, *arrays, where.dtype, where.shape)


def _keep(key: tuple[Any, ...], route: Route) -> None:
    """Remember a decision, so that one look-up finds it, for as long as the table of backends is the same."""
    routes = registry.table().routes
    if key[0].reusable:
        if len(routes) >= MOST_ROUTES:
            routes.clear()
        routes[key] = route


def call_of(a: Any, axis: Any, dtype: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Call:
    """Return what backends are told about ``sum(a, axis, dtype, out, keepdims, initial, where)``."""
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
