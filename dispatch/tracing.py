"""`dispatch.trace`: what each call decided, and how long it took against the estimate."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, overload

from dispatch.decision import Decision, aligned, format_seconds
from dispatch.errors import one_line
from dispatch.operations.call import Call

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One call that a trace has recorded.

    Attributes
    ----------
    decision : Decision
        Who ran it, and why; only what the choice needed to ask is among its candidates.
    shape : tuple of int
        Of the array or matrix; empty where it was not known.
    dtype : str
        Of its elements; empty where it was not known.
    seconds : float
        How long the call took, the choice apart. A device array's sum may not be finished when the call returns.
    error : str
        What the call raised, as one line; empty if nothing.
    """

    decision: Decision
    shape: tuple[int, ...]
    dtype: str
    seconds: float
    error: str = ""

    @property
    def device(self) -> str:
        """The device that ran the call."""
        return self.decision.chosen.name if self.decision.chosen is not None else ""

    @property
    def estimate(self) -> float | None:
        """The estimated seconds; None where there was no estimate."""
        return self.decision.chosen.seconds if self.decision.chosen is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return {
            "device": self.device,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "seconds": self.seconds,
            "error": self.error,
            "decision": self.decision.to_dict(),
        }

    def __str__(self) -> str:
        """Return one line."""
        ending = f": raised {self.error}" if self.error else ""
        took, estimate = format_seconds(self.seconds), format_seconds(self.estimate)
        operand = " ".join(map(str, filter(None, (self.shape, self.dtype))))
        source = self.decision.source
        return (
            f"{self.decision.operation} {operand} took {took} on {self.device}, estimated {estimate} ({source}){ending}"
        )


class Trace(Sequence[TracedCall]):
    """The calls that were made while it was open, in the order in which they ended. Printing it shows a table."""

    def __init__(self) -> None:
        self._calls: list[TracedCall] = []

    @overload
    def __getitem__(self, index: int) -> TracedCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[TracedCall]: ...
    def __getitem__(self, index: int | slice) -> TracedCall | list[TracedCall]:
        return self._calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[TracedCall]:
        return iter(tuple(self._calls))

    def _add(self, call: TracedCall) -> None:
        self._calls.append(call)

    def to_dict(self) -> dict[str, Any]:
        """Return the calls as plain values, ready for JSON."""
        return {"calls": [call.to_dict() for call in self]}

    def __str__(self) -> str:
        """Return a table, one call a line."""
        rows = [("operation", "shape", "dtype", "device", "took", "estimate", "source", "error")]
        for call in self:
            times = format_seconds(call.seconds), format_seconds(call.estimate)
            decision = call.decision
            shape = "x".join(map(str, call.shape)) or "-"
            rows.append((decision.operation, shape, call.dtype, call.device, *times, decision.source, call.error))
        return aligned(rows)


_open: ContextVar[tuple[Trace, ...]] = ContextVar("dispatch_trace", default=())
_lock = threading.Lock()

count = 0
"""How many traces are open in this process, in any context: what calls look at before anything that costs more."""


class trace:  # noqa: N801 - reads as a verb: with dispatch.trace() as log
    """Record every call in a ``with`` block: its decision, and its time against the estimate.

    Safe in threads and asyncio tasks: a trace holds in the context that opened it and in the tasks created there, and
    nowhere else; a new thread starts with none. Traces nest, and each records. While one is open anywhere, calls of
    the process are decided anew each time; without one, nothing is added to a call.

    The same lines go to the logger ``dispatch.tracing`` at DEBUG, for calls that are decided while it is enabled:
    enable it before the first call, or call `dispatch.refresh` after.

    Examples
    --------
    >>> import dispatch
    >>> with dispatch.trace() as log:
    ...     total = dispatch.sum([1, 2, 3], backend="cpu")
    >>> log[0].device
    'cpu:0'
    """

    def __init__(self) -> None:
        self._logs: list[Trace] = []

    def __enter__(self) -> Trace:
        global count
        log = Trace()
        self._logs.append(log)
        _open.set((*_open.get(), log))
        with _lock:
            count += 1
        return log

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global count
        log = self._logs.pop()
        # It need not be the innermost: a generator may be closed inside a block that its caller has entered since.
        _open.set(tuple(other for other in _open.get() if other is not log))
        with _lock:
            count -= 1


def logging_calls() -> bool:
    """Return whether every call is to be logged."""
    return logger.isEnabledFor(logging.DEBUG)


@contextmanager
def observed(decision: Decision, call: Call) -> Iterator[None]:
    """Record and log what runs in the block as the execution of `call`, where anybody wants to know."""
    traces = _open.get()
    if not traces and not logging_calls():
        yield
        return
    error = ""
    started = time.perf_counter()
    try:
        yield
    except BaseException as raised:
        error = one_line(raised)
        raise
    finally:
        seconds = time.perf_counter() - started
        dtype = call.dtype.name if call.dtype is not None else ""
        record = TracedCall(decision, call.shape, dtype, seconds, error)
        for log in traces:
            log._add(record)
        logger.debug("%s", record)
