"""Who runs this call: the named backends in the order of the request, or the cheapest of all that can.

Named is strict: where nothing that was asked for can run, the call raises, and says why of each. Automatic choice
never raises for a backend's sake: it passes over what cannot run, logs it, and warns once when hardware is there but
unusable.
"""

from __future__ import annotations

import difflib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from dispatch.backend import Backend, Device
from dispatch.decision import Candidate, Decision
from dispatch.entry import Entry, Unavailable
from dispatch.errors import (
    Attempt,
    BackendUnavailableError,
    BackendWarning,
    UnknownBackendError,
    UnsupportedCallError,
)
from dispatch.operations.call import Call
from dispatch.registry import Table, registry
from dispatch.request import Request, Term

logger = logging.getLogger(__name__)


class Route(NamedTuple):
    """Where a call goes."""

    backend: Backend
    device: Device


def select(call: Call, request: Request, source: str) -> Route:
    """Return who runs `call`; only what must be asked to know that is loaded and probed.

    Raises
    ------
    UnknownBackendError, BackendUnavailableError, UnsupportedCallError
        When none can; each carries what was considered in its ``attempts``.
    """
    decision = _decide(call, request, source, exhaustive=False)
    if decision.error is not None:
        raise decision.error
    logger.debug("%s", decision)
    return _route(decision.chosen)


def _route(chosen: Candidate | None) -> Route:
    if chosen is None or chosen.backend is None or chosen.device is None:
        raise AssertionError(f"a decision without an error has a chosen candidate, not {chosen!r}")
    return Route(chosen.backend, chosen.device)


def explain_call(call: Call, request: Request, source: str) -> Decision:
    """Return the decision that `select` takes for `call`, with every candidate of the request asked."""
    return _decide(call, request, source, exhaustive=True)


def refuse_unknown(request: Request, source: str) -> None:
    """Raise `UnknownBackendError` when `request` names a backend that nobody provides: a typo is never passed over."""
    known = registry.table().entries
    for term in request.terms:
        if term.automatic or term.backend is not None or term.name in known:
            continue
        close = difflib.get_close_matches(term.name, known, n=1)
        reason = "no plugin provides it"
        remedy = f"did you mean {close[0]!r}?" if close else f"did you mean one of {', '.join(known)}?"
        attempt = Attempt(term.name, reason, remedy)
        raise UnknownBackendError(f"{source}: unknown backend {term.name!r}: {remedy}", attempts=[attempt])


def _decide(call: Call, request: Request, source: str, *, exhaustive: bool) -> Decision:
    try:
        refuse_unknown(request, source)
    except UnknownBackendError as error:
        return Decision(call.operation, source, (), error)
    table = registry.table()
    owners = _owners(call, table)
    considered: list[Candidate] = []
    chosen: Candidate | None = None
    for term in request.terms:
        found = [c for c in _candidates(term, call, table, owners) if all(c.name != old.name for old in considered)]
        if chosen is None:
            chosen = min((c for c in found if c.can_run), key=_rank, default=None)
        considered += found
        if chosen is not None and not exhaustive:
            break
    if chosen is None:
        return Decision(call.operation, source, tuple(considered), _failure(call, source, considered))
    marked = (replace(c, verdict="chosen") if c is chosen else c for c in considered)
    return Decision(call.operation, source, tuple(marked))


def _rank(candidate: Candidate) -> tuple[float, bool]:
    """Sort the lowest estimate first, and between equals the host, where the data is."""
    return (
        math.inf if candidate.seconds is None else candidate.seconds,
        not candidate.name.startswith("cpu:"),
    )


def _owners(call: Call, table: Table) -> frozenset[str]:
    """Return the backends on whose devices the operand lives; none, when it is a host object."""
    if call.array_type.__module__.partition(".")[0] in {"numpy", "scipy", "builtins"}:
        return frozenset()  # known without importing a plugin
    backends = ((entry.name, entry.backend()) for entry in table.entries.values())
    return frozenset(name for name, backend in backends if isinstance(backend, Backend) and _owns(backend, call))


def _owns(backend: Backend, call: Call) -> bool:
    names = (f"{base.__module__}.{base.__qualname__}" for base in call.array_type.__mro__)
    return not set(backend.array_types).isdisjoint(names)


def _candidates(term: Term, call: Call, table: Table, owners: frozenset[str]) -> Iterator[Candidate]:
    if term.automatic:
        for entry in table.entries.values():
            yield from _automatic(entry, call, owners)
        return
    entry = table.entries[term.name] if term.backend is None else registry.entry_of(term.backend)
    for candidate in _of_entry(entry, call, owners):
        if term.device is None or candidate.device is None or candidate.name == f"{term.name}:{term.device}":
            yield candidate
    devices = entry.devices()
    if term.device is not None and not isinstance(devices, Unavailable) and term.device >= len(devices):
        there = ", ".join(device.name for device in devices)
        yield Candidate(f"{term.name}:{term.device}", None, None, "unavailable", "no such device", f"there is {there}")


def _automatic(entry: Entry, call: Call, owners: frozenset[str]) -> Iterator[Candidate]:
    for candidate in _of_entry(entry, call, owners):
        if candidate.device is not None and candidate.device.kind == "simulator" and candidate.can_run:
            yield replace(
                candidate,
                verdict="unsupported",
                reason="a simulator runs only when it is asked for by name",
                remedy=f"backend={entry.name!r}",
                seconds=None,
            )
            continue
        if candidate.verdict == "unavailable":
            logger.debug("%s: passing over %s", call.operation, candidate.attempt())
            _warn_once_of_unusable_hardware(entry)
        yield candidate


def _warn_once_of_unusable_hardware(entry: Entry) -> None:
    why = entry.devices()
    if isinstance(why, Unavailable) and why.hardware_present and not entry.warned:
        entry.warned = True
        warnings.warn(
            f"hardware for the backend {entry.name!r} is present but cannot be used: {why.reason} ({why.remedy})",
            BackendWarning,
            stacklevel=2,
        )


def _of_entry(entry: Entry, call: Call, owners: frozenset[str]) -> Iterator[Candidate]:
    backend, devices = entry.backend(), entry.devices()
    if isinstance(backend, Unavailable):
        yield Candidate(entry.name, None, None, "unavailable", backend.reason, backend.remedy)
    elif isinstance(devices, Unavailable):
        yield Candidate(entry.name, None, None, "unavailable", devices.reason, devices.remedy)
    else:
        for device in devices:
            yield _on_device(backend, device, call, owners)


def _on_device(backend: Backend, device: Device, call: Call, owners: frozenset[str]) -> Candidate:
    if owners and not _owns(backend, call):
        kind = f"{call.array_type.__module__}.{call.array_type.__qualname__}"
        reason = f"the input is a {kind}, which lives on {' or '.join(sorted(owners))}, and is never copied silently"
        return Candidate(device.name, backend, device, "unsupported", reason, "copy it to the host yourself")
    try:
        answer = backend.supports(call, device)
        seconds = backend.cost(call, device) if answer is True else None
    except Exception as error:  # a broken plugin must not break the choice among the others
        logger.warning("backend %r failed to judge a call of %s", backend.name, call.operation, exc_info=True)
        reason = f"its plugin raised {type(error).__name__}: {error}"
        return Candidate(device.name, backend, device, "unsupported", reason, f"set DISPATCH_DISABLE={backend.name}")
    if answer is not True:
        return Candidate(device.name, backend, device, "unsupported", str(answer))
    return Candidate(device.name, backend, device, "possible", seconds=seconds)


def _failure(call: Call, source: str, considered: Sequence[Candidate]) -> Exception:
    attempts = [candidate.attempt() for candidate in considered]
    reasons = "; ".join(str(attempt) for attempt in attempts)
    message = f"{call.operation}: nothing that {source} allows can run this call: {reasons}"
    if any(candidate.verdict == "unsupported" for candidate in considered):
        return UnsupportedCallError(message, attempts=attempts)
    return BackendUnavailableError(message, attempts=attempts)
