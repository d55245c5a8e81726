"""The errors and warnings that are about backends; errors about arguments are NumPy's and SciPy's own types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One backend that was considered for a call and could not run it.

    Attributes
    ----------
    backend : str
        Name of the backend or of one of its devices, such as ``"cuda"`` or ``"cuda:1"``.
    reason : str
        Why it could not run the call.
    remedy : str
        What would make it run; empty when nothing would.
    """

    backend: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        advice = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.backend}: {self.reason}{advice}"


class UnknownBackendError(ValueError):
    """A backend was named that no plugin provides.

    Attributes
    ----------
    attempts : tuple of Attempt
        The unknown name.
    """

    def __init__(self, message: str, *, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class BackendUnavailableError(RuntimeError):
    """A backend is known but cannot run on this machine.

    Plugins raise it from `Backend.probe`; selection raises it when a backend that was asked for by name cannot run.

    Parameters
    ----------
    reason : str
        What is missing or broken, as one clause.
    remedy : str
        What the user can do about it.
    hardware_present : bool
        True when the hardware is there and only its software is not usable. Automatic selection then warns once
        instead of passing over the backend in silence.
    attempts : sequence of Attempt
        Every backend that was considered.
    """

    def __init__(
        self,
        reason: str,
        remedy: str = "",
        *,
        hardware_present: bool = False,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        self.reason, self.remedy = said(reason), said(remedy)
        super().__init__(self.reason if not self.remedy else f"{self.reason} ({self.remedy})")
        self.hardware_present = hardware_present
        self.attempts = tuple(attempts)


class BrokenContractError(BackendUnavailableError):
    """A plugin provides something else than a backend."""


class UnsupportedCallError(NotImplementedError):
    """The backend that must run this call cannot run it with these arguments.

    Attributes
    ----------
    attempts : tuple of Attempt
        Every backend that was considered, with the reason that each gave.
    """

    def __init__(self, message: str, *, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class BackendWarning(UserWarning):
    """Something about the choice that the user should know: hardware that cannot be used, a setting not obeyed."""


PLUGIN_FAULTS = (Exception, SystemExit)
"""What a plugin may raise where it is asked, that ends with it and not with the program; Ctrl-C is the user's."""


LONGEST_LINE = 500
"""Characters of somebody else's message that are passed on."""


def one_line(error: BaseException) -> str:
    """Return the type and the message of an error that a plugin or a package may have raised, as one line."""
    try:
        message = said(error) or "(without a message)"
    except PLUGIN_FAULTS:  # the error of a broken plugin may itself be broken
        message = "(its message cannot be shown)"
    return shortened(f"{type(error).__name__}: {message}")


def said(words: object) -> str:
    """Return what somebody gave as a reason or a remedy, as one line; empty where it is neither a text nor an error."""
    return printable(" ".join(str(words).split())) if isinstance(words, (str, BaseException)) else ""


def printable(text: str) -> str:
    """Return a text as one line without control characters, which would command the terminal that it is printed on."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shortened(text: str, most: int = LONGEST_LINE) -> str:
    """Return a text, cut to so many characters."""
    return text if len(text) <= most else f"{text[:most]}…"
