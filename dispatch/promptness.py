"""Whether a backend judges calls promptly. Every automatic choice asks it, in the caller's thread, and waits for it.

Nothing limits that wait in a call: a thread for each question would cost more than most sums. What takes too long is
found by ``dispatch doctor`` and by the conformance kit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from dispatch.backend import Backend, Device
from dispatch.entry import Entry, Unavailable
from dispatch.errors import PLUGIN_FAULTS
from dispatch.operations.call import Call, describe
from dispatch.operations.eigsh import problem_of
from dispatch.timeout import call_with_timeout

PROMPT = 1.0
"""Seconds within which the fastest of some answers must come: a prompt one takes microseconds, on any machine."""

GIVEN_UP = 10.0
"""Seconds after which an answer is not waited for any longer."""

ATTEMPTS = 3
"""How often a question is asked that is answered slowly: the first time something may be loaded."""


def small_call(operation: str, operand: Any) -> Call:
    """Return the call of an operation without further arguments, as backends are told about it."""
    return describe(operation, operand, {"problem": problem_of(operand, 1, which="SA")} if operation == "eigsh" else {})


def lateness(entry: Entry) -> str:
    """Return what is wrong where `supports` or `cost` hangs or takes long; empty where they answer in time.

    An entry is asked once: what hangs would hang again.
    """
    if entry not in _LATENESS:
        backend, devices = entry.backend(), entry.devices()
        if isinstance(backend, Unavailable) or isinstance(devices, Unavailable):
            return ""
        _LATENESS[entry] = _lateness(backend, devices[0])
    return _LATENESS[entry]


_LATENESS: WeakKeyDictionary[Entry, str] = WeakKeyDictionary()


def _lateness(backend: Backend, device: Device) -> str:
    for operation, operand in (("sum", np.ones(3)), ("eigsh", np.eye(3))):
        call = small_call(operation, operand)
        for method in ("supports", "cost"):
            answer, seconds = _timed(partial(getattr(backend, method), call, device))
            if seconds >= PROMPT:
                return (
                    f"its {method}() has taken {seconds:.3g} s to answer about a small {operation}, expected "
                    f"far less than {PROMPT:g} s: every automatic choice waits for it; decide on what the call says, "
                    "and look up the rest in probe()"
                )
            if answer is not True:
                break
    return ""


def _timed(ask: Callable[[], object]) -> tuple[object, float]:
    """Return an answer, None where there is none, and the seconds that the fastest of some attempts took."""
    fastest = GIVEN_UP
    for _ in range(ATTEMPTS):
        answer: object = None
        started = time.perf_counter()
        with contextlib.suppress(*PLUGIN_FAULTS):  # they are told of where the answers are judged
            answer = call_with_timeout(ask, GIVEN_UP)
        seconds = time.perf_counter() - started
        fastest = min(fastest, seconds)
        if seconds < PROMPT or seconds >= GIVEN_UP:
            break
    return answer, fastest
