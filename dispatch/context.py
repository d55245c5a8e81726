"""Which request is in force: the innermost `use`, else the process's default, else ``DISPATCH_BACKEND``, else auto.

A request given as an argument comes before all of these; `in_force` puts them in order.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, cast

from dispatch.request import AUTO, BackendLike, Request, parse
from dispatch.selection import refuse_unknown

F = TypeVar("F", bound=Callable[..., Any])


class _Frame(NamedTuple):
    """One `use` that is in force in a context, and the one around it."""

    request: Request
    outer: _Frame | None


class _ProcessWide(NamedTuple):
    """What holds outside every `use`, and where it comes from."""

    request: Request
    source: str


_innermost: ContextVar[_Frame | None] = ContextVar("dispatch_use", default=None)
_default: _ProcessWide | None = None
_environment: _ProcessWide | None = None


class use:  # noqa: N801 - reads as a verb: with dispatch.use("opencl")
    """Ask for a backend for all calls in a ``with`` block or in a decorated function.

    Safe in threads and asyncio tasks: the request holds in the context that entered it and in the tasks created
    there, and nowhere else. Uses nest; the innermost counts. A new thread starts with none.

    Parameters
    ----------
    backend : str or Backend
        What to ask for, in the grammar of `dispatch.request`.

    Raises
    ------
    UnknownBackendError
        When a name in it is not known.
    ValueError, TypeError
        When it is not of the grammar; when a generator function is decorated, whose caller would see the request
        between two items.

    Examples
    --------
    >>> import dispatch
    >>> with dispatch.use("cpu"):
    ...     dispatch.sum([1, 2, 3])
    np.int64(6)
    """

    def __init__(self, backend: BackendLike) -> None:
        self._request = parse(backend)
        refuse_unknown(self._request, f"use({self._request.text})")

    def __enter__(self) -> None:
        _innermost.set(_Frame(self._request, _innermost.get()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = _innermost.get()
        if frame is not None:
            _innermost.set(frame.outer)

    def __call__(self, function: F) -> F:
        """Return `function`, or coroutine function, with its calls made under this request."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"dispatch.use cannot decorate the generator function {function.__qualname__!r}: "
                "the request would hold in its caller between two items; use a with block inside it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", run_coroutine)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", run)


def set_default(backend: BackendLike | None) -> None:
    """Ask for a backend for all calls of this process that nothing closer decides; None undoes it.

    Comes after ``backend=`` and `use`, and before ``DISPATCH_BACKEND``.

    Parameters
    ----------
    backend : str, Backend or None
        What to ask for, in the grammar of `dispatch.request`.

    Raises
    ------
    UnknownBackendError
        When a name in it is not known.
    ValueError, TypeError
        When it is not of the grammar.
    """
    global _default
    if backend is None:
        _default = None
        return
    request = parse(backend)
    source = f"set_default({request.text})"
    refuse_unknown(request, source)
    _default = _ProcessWide(request, source)


def current() -> Request:
    """Return the request in force where no argument gives one. This is on the path of every call."""
    frame = _innermost.get()
    if frame is not None:
        return frame.request
    return (_default or _environment or _read_environment()).request


def in_force(argument: BackendLike | None) -> tuple[Request, str]:
    """Return the request that a call with ``backend=argument`` obeys, and where it comes from, for messages."""
    if argument is not None:
        request = parse(argument)
        return request, f"backend={request.text}"
    frame = _innermost.get()
    if frame is not None:
        return frame.request, f"use({frame.request.text})"
    return _default or _environment or _read_environment()


def forget_environment() -> None:
    """Read ``DISPATCH_BACKEND`` again at the next call."""
    global _environment
    _environment = None


def _read_environment() -> _ProcessWide:
    global _environment
    text = os.environ.get("DISPATCH_BACKEND", "").strip()
    if not text:
        found = _ProcessWide(AUTO, "automatic choice")
    else:
        try:
            request = parse(text)
        except ValueError as error:
            raise ValueError(f"environment variable DISPATCH_BACKEND: {error}") from None
        found = _ProcessWide(request, f"DISPATCH_BACKEND={request.text}")
    _environment = found
    return found
