"""The stream that work runs on: the backend's own, or one of the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_current: ContextVar[int | None] = ContextVar("stream", default=None)

LEGACY_DEFAULT = 1
"""The driver's handle of the legacy default stream, which is also written as 0."""


@contextmanager
def use_stream(stream: Any) -> Iterator[None]:
    """Run every call in the block on a stream of the caller's, with all its copies and kernels.

    Without it calls run on a stream of the backend's own, in order with the streams of the device arrays that they are
    given. The stream holds for this thread or asyncio task, and for the device that it belongs to; it must live as long
    as the block.

    Parameters
    ----------
    stream : object or int
        A stream of CuPy, PyTorch or Numba, any other object with ``__cuda_stream__``, or the driver's handle.

    Raises
    ------
    TypeError
        When it is none of these.
    """
    token = _current.set(handle_of(stream) or LEGACY_DEFAULT)
    try:
        yield
    finally:
        _current.reset(token)


def current_stream() -> int | None:
    """Return the handle of the stream of the innermost `use_stream`, or None."""
    return _current.get()


def handle_of(stream: Any) -> int:
    """Return the driver's handle of a stream."""
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])  # (version of the protocol, handle)
    for name in ("ptr", "cuda_stream", "handle"):  # CuPy, PyTorch, Numba
        handle = getattr(stream, name, None)
        if handle is not None:
            return int(getattr(handle, "value", handle) or 0)
    raise TypeError(f"stream is {stream!r}; pass a stream of CuPy, PyTorch or Numba, or its handle as an int")
