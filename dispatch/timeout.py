"""Give a plugin a limited time to answer: one that hangs must not hang the program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEFAULT_SECONDS = 10.0


def read_probe_timeout() -> tuple[float, str]:
    """Return the seconds that a plugin may take, and what is wrong with ``DISPATCH_PROBE_TIMEOUT``, if anything."""
    text = os.environ.get("DISPATCH_PROBE_TIMEOUT", "").strip()
    if not text:
        return DEFAULT_SECONDS, ""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= threading.TIMEOUT_MAX:
        expected = "expected a finite number of seconds above 0"
        return DEFAULT_SECONDS, f"it is {text!r}, {expected}; {DEFAULT_SECONDS:g} is used"
    return seconds, ""


def call_with_timeout(action: Callable[[], T], seconds: float) -> T:
    """Return ``action()``, run in a thread of its own so that it can be given up.

    Python cannot stop a thread: one that is given up goes on, as a daemon, until it returns or the process ends.

    Raises
    ------
    TimeoutError
        When `action` has not returned after `seconds`.
    BaseException
        Whatever `action` raises; and KeyboardInterrupt when the user interrupts the wait.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            errors.append(error)

    thread = threading.Thread(target=run, name="dispatch-probe", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer after {seconds:g} s")
    return results[0]
