"""Who runs this call: the named backends in the order of the request, or the cheapest of all that can.

Named is strict: where nothing that was asked for can run, the call raises, and says why of each. Automatic choice
never raises for a backend's sake: it passes over what cannot run, logs it, and warns once when hardware is there but
unusable.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from dispatch.backend import Backend, Device, lacks
from dispatch.caller import warn_caller
from dispatch.decision import Candidate, Decision
from dispatch.entry import Entry, Unavailable
from dispatch.errors import (
    PLUGIN_FAULTS,
    Attempt,
    BackendUnavailableError,
    BackendWarning,
    UnknownBackendError,
    UnsupportedCallError,
    one_line,
    said,
    shortened,
)
from dispatch.hardware.calibration import WORTH_SECONDS, calibrate_in_background
from dispatch.operations.call import Call
from dispatch.registry import Table, registry
from dispatch.request import Request, Term

logger = logging.getLogger(__name__)


class Route(NamedTuple):
    """Where a call goes."""

    backend: Backend
    device: Device


def select(call: Call, request: Request, source: str) -> tuple[Route, Decision]:
    """Return who runs `call`, and why; only what must be asked to know that is loaded and probed.

    Raises
    ------
    UnknownBackendError, BackendUnavailableError, UnsupportedCallError
        When none can; each carries what was considered in its ``attempts``.
    """
    decision = _decide(call, request, source, exhaustive=False)
    logger.debug("%s", decision)
    _warn_of_unusable_hardware(decision)
    if _measuring_matters(decision, request):
        calibrate_in_background()
    if decision.error is not None:
        raise decision.error
    return _route(decision.chosen), decision


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
        # The first letter is seldom mistyped: who asks for "gpu" does not mean "cpu".
        close = difflib.get_close_matches(term.name, [name for name in known if name[0] == term.name[0]], n=1)
        reason, name = "no plugin provides it", shortened(term.name, 80)
        remedy = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known)}"
        if term.name == "lobpcg":
            remedy = "the solver's name is accepted by eigsh alone, as the whole of backend=; say 'auto'"
        attempt = Attempt(name, reason, remedy)
        raise UnknownBackendError(f"{source}: unknown backend {name!r}: {remedy}", attempts=[attempt])


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
        found = list(_candidates(term, call, table, owners))
        # A simulator that automatic choice passed over may be asked for by name behind it.
        names = {candidate.name for candidate in found}
        considered = [old for old in considered if old.can_run or old.name not in names]
        found = [candidate for candidate in found if all(candidate.name != old.name for old in considered)]
        if chosen is None:
            chosen = _cheapest([candidate for candidate in found if candidate.can_run])
        considered += found
        if chosen is not None and not exhaustive:
            break
    if chosen is None:
        return Decision(call.operation, source, tuple(considered), _failure(call, source, considered))
    marked = (replace(c, verdict="chosen") if c is chosen else c for c in considered)
    return Decision(call.operation, source, tuple(marked))


NEAR = 1.15
"""Estimates within this ratio of the lowest one are held to be equal: none is more accurate."""


def _cheapest(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate with the lowest estimate; among near equals one that copies nothing, and then the host."""
    limit = NEAR * min((_seconds(candidate) for candidate in candidates), default=math.inf)
    near = (candidate for candidate in candidates if _seconds(candidate) <= limit)
    return min(near, key=lambda c: (_copies(c), not c.name.startswith("cpu:"), _seconds(c)), default=None)


def _seconds(candidate: Candidate) -> float:
    return math.inf if candidate.seconds is None else candidate.seconds


def _copies(candidate: Candidate) -> bool:
    """Whether the device has a memory of its own. Data that is in there has no candidates elsewhere."""
    device = candidate.device
    if device is None or device.profile is None:
        return device is None or device.kind != "cpu"
    return not device.profile.on_host_memory


def _owners(call: Call, table: Table) -> frozenset[str]:
    """Return the backends on whose devices the operand lives; none, when it is a host object."""
    if _is_host_type(call.array_type):
        return frozenset()  # known without importing a plugin
    return frozenset(name for name, _ in _owning(call.array_type, table))


def _owning(kind: type, table: Table) -> list[tuple[str, Backend]]:
    backends = ((entry, entry.backend()) for entry in table.entries.values())
    return [
        (entry.name, found) for entry, found in backends if isinstance(found, Backend) and _owns(entry, found, kind)
    ]


def _owns(entry: Entry, backend: Backend, kind: type) -> bool:
    """Return whether a backend says that it owns a class; one that fails to say it does not."""
    try:
        return bool(backend.owns(kind))
    except PLUGIN_FAULTS as error:  # a broken plugin must not break calls that have nothing to do with it
        _blame(entry, f"say whether it owns a {kind.__name__}", error)
        return False


def _blame(entry: Entry, what: str, error: BaseException) -> None:
    """Log what a plugin failed to do, the first time as a warning."""
    if not entry.blamed:
        entry.blamed = True
        logger.warning("backend %r failed to %s: %s", entry.name, what, one_line(error))
    logger.debug("backend %r failed to %s", entry.name, what, exc_info=True)


def residence(array: Any) -> Hashable:
    """Return where a device array lives, as its backend tells it; None where nobody owns it or it cannot be said."""
    table = registry.table()
    kind = type(array)
    if kind not in table.owners:
        owning = [] if _is_host_type(kind) else _owning(kind, table)
        table.owners[kind] = owning[0][1] if len(owning) == 1 else None
    owner = table.owners[kind]
    if owner is None:
        return None
    try:
        return owner.residence(array)
    except PLUGIN_FAULTS:
        logger.debug("backend %r failed to say where an array lives", owner.name, exc_info=True)
        return None


def _is_host_type(kind: type) -> bool:
    """Whether objects of a class are NumPy's, SciPy's or Python's own, or of a class derived from these."""
    if issubclass(kind, (np.ndarray, np.generic)) or kind.__module__ == "builtins":
        return True
    return any(str(base.__module__).startswith("scipy.sparse") for base in kind.__mro__)


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
        yield candidate


def _measuring_matters(decision: Decision, request: Request) -> bool:
    """Whether a long call was given to one of several devices by rates that are assumed for any of them."""
    able = [candidate for candidate in decision.candidates if candidate.can_run and candidate.basis]
    return (
        len(able) > 1
        and any(term.automatic for term in request.terms)
        and any(candidate.basis == "assumed" for candidate in able)
        and min(map(_seconds, able)) >= WORTH_SECONDS
    )


def _warn_of_unusable_hardware(decision: Decision) -> None:
    """Warn, once a backend, when what was passed over has hardware here that its software cannot use."""
    entries = registry.table().entries
    for candidate in decision.candidates:
        entry = entries.get(candidate.name) if candidate.verdict == "unavailable" else None
        why = entry.devices() if entry is not None else None
        if entry is not None and isinstance(why, Unavailable) and why.hardware_present and not entry.warned:
            what = "the backend" if why.broken else "hardware for the backend"
            warn_caller(
                f"{what} {entry.name!r} is present but cannot be used: {why.reason} ({why.remedy})", BackendWarning
            )
            entry.warned = True


def _of_entry(entry: Entry, call: Call, owners: frozenset[str]) -> Iterator[Candidate]:
    backend, devices = entry.backend(), entry.devices()
    if isinstance(backend, Unavailable):
        yield Candidate(entry.name, None, None, "unavailable", backend.reason, backend.remedy)
    elif isinstance(devices, Unavailable):
        yield Candidate(entry.name, None, None, "unavailable", devices.reason, devices.remedy)
    else:
        for device in devices:
            yield _on_device(entry, backend, device, call, owners)


def _on_device(entry: Entry, backend: Backend, device: Device, call: Call, owners: frozenset[str]) -> Candidate:
    if owners and not _owns(entry, backend, call.array_type):
        kind = f"{call.array_type.__module__}.{call.array_type.__qualname__}"
        reason = f"the input is a {kind}, which lives on {' or '.join(sorted(owners))}, and is never copied silently"
        return Candidate(device.name, backend, device, "unsupported", reason, "copy it to the host yourself")
    if lacks(backend, call.operation):
        return Candidate(device.name, backend, device, "unsupported", f"it has no {call.operation}")
    try:
        answer = _verdict(backend.supports(call, device))
        seconds = _estimate(backend.cost(call, device)) if answer is True else None
    except PLUGIN_FAULTS as error:  # a broken plugin must not break the choice among the others
        _blame(entry, f"judge a call of {call.operation}", error)
        return Candidate(
            device.name, backend, device, "unsupported", f"its plugin raised {one_line(error)}", entry.way_out
        )
    if answer is not True:
        if reason := said(answer):
            return Candidate(device.name, backend, device, "unsupported", reason)
        reason = f"{entry.author} gives no reason: supports() returned {answer!r}"
        remedy = f"report it to the authors of {entry.author}"
        return Candidate(device.name, backend, device, "unsupported", reason, remedy)
    return Candidate(device.name, backend, device, "possible", seconds=seconds)


def _verdict(answer: object) -> str | Literal[True]:
    if answer is True or isinstance(answer, str):
        return answer
    raise TypeError(f"supports() returned {answer!r}, expected True or the reason as a string")


def _estimate(cost: object) -> float:
    if isinstance(cost, (int, float, np.floating)) and not isinstance(cost, bool) and cost >= 0:
        return float(cost)
    raise TypeError(f"cost() returned {cost!r}, expected seconds: a number of at least 0")


def _failure(call: Call, source: str, considered: Sequence[Candidate]) -> Exception:
    attempts = [candidate.attempt() for candidate in considered]
    reasons = "; ".join(str(attempt) for attempt in attempts)
    message = f"{call.operation}: nothing that {source} allows can run this call: {reasons}"
    if any(candidate.verdict == "unsupported" for candidate in considered):
        return UnsupportedCallError(message, attempts=attempts)
    return BackendUnavailableError(message, attempts=attempts)
