"""Which request is in force: the innermost `use`, else the process's default, else ``DISPATCH_BACKEND``, else auto.

A request given as an argument comes before all of these; `in_force` puts them in order.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, cast

from dispatch.discovery import DiscoveryProblem
from dispatch.request import AUTO, BackendLike, Request, parse
from dispatch.selection import refuse_unknown

F = TypeVar("F", bound=Callable[..., Any])


class _Frame(NamedTuple):
    """One `use` that is in force in a context, and the one around it."""

    owner: use
    request: Request
    outer: _Frame | None

    def without(self, owner: use) -> _Frame | None:
        """Return the frames without the innermost one of `owner`.

        It need not be the innermost of all: a generator may be closed inside a block that its caller has entered since.
        """
        if self.owner is owner:
            return self.outer
        return self if self.outer is None else self._replace(outer=self.outer.without(owner))


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
    there, and nowhere else. Uses nest; the innermost counts. A new thread starts with none. A generator shares the
    context of its caller: where a ``yield`` interrupts the block, the request holds in the caller too.

    Parameters
    ----------
    backend : str or Backend
        What to ask for, in the grammar of `dispatch.request`.

    Raises
    ------
    UnknownBackendError
        When a name in it is not known.
    ValueError, TypeError
        When it is not of the grammar; when something else than a function is decorated, or a function that returns a
        generator or a coroutine, which would run when the request is no longer in force.

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
        _innermost.set(_Frame(self, self._request, _innermost.get()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = _innermost.get()
        if frame is not None:
            _innermost.set(frame.without(self))

    def __call__(self, function: F) -> F:
        """Return `function`, or coroutine function, with its calls made under this request."""
        name = getattr(function, "__qualname__", repr(function))
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                f"dispatch.use decorates functions, not {name}: put it below @property, @classmethod and "
                "@staticmethod, or on the methods of a class"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise _outlives(name)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", run_coroutine)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                result = function(*args, **kwargs)
            if isinstance(result, (Coroutine, Generator, AsyncGenerator)):
                if isinstance(result, (Coroutine, Generator)):
                    result.close()
                raise _outlives(name)
            return result

        return cast("F", run)


def _outlives(name: str) -> TypeError:
    return TypeError(
        f"dispatch.use cannot decorate {name!r}: it returns a generator or a coroutine, which runs when the request is "
        "no longer in force; decorate an async def, or use a with block inside it that no yield interrupts"
    )


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


def environment_problem() -> tuple[DiscoveryProblem, ...]:
    """Return what is wrong with ``DISPATCH_BACKEND``, if anything: it names nobody, or is not of the grammar."""
    try:
        setting = _environment or _read_environment()
        refuse_unknown(setting.request, setting.source)
    except ValueError as error:
        return (DiscoveryProblem("DISPATCH_BACKEND", str(error), "correct it, or unset it"),)
    return ()


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
