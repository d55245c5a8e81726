"""What selection decided for one call, candidate by candidate: what `dispatch.explain` returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dispatch.backend import Backend, Device
from dispatch.errors import Attempt, shortened


@dataclass(frozen=True, slots=True)
class Candidate:
    """One backend, on one device, that was considered for a call.

    Attributes
    ----------
    name : str
        The device's name, such as ``"cuda:1"``; the backend's, where it has no device.
    backend : Backend or None
        The object to call; None where the backend cannot be loaded.
    device : Device or None
        The device to run on; None where there is none.
    verdict : {"chosen", "possible", "unavailable", "unsupported"}
        ``"possible"`` could run the call and was not chosen; ``"unavailable"`` cannot run anything on this machine;
        ``"unsupported"`` cannot run this call.
    reason, remedy : str
        Why, and what would change it.
    seconds : float or None
        The backend's estimate of the time the call takes, where it could run and was asked.
    """

    name: str
    backend: Backend | None = field(repr=False)
    device: Device | None
    verdict: Literal["chosen", "possible", "unavailable", "unsupported"]
    reason: str = ""
    remedy: str = ""
    seconds: float | None = None

    @property
    def basis(self) -> str:
        """What the estimate rests on: ``"measured"`` or ``"assumed"`` rates, or ``"its own"`` `cost`; empty without."""
        if self.seconds is None or self.backend is None or self.device is None or math.isinf(self.seconds):
            return ""
        if getattr(self.backend.cost, "__func__", None) is not Backend.cost or self.device.profile is None:
            return "its own"
        return "measured" if self.device.profile.measured else "assumed"

    @property
    def can_run(self) -> bool:
        """Whether the candidate could run the call."""
        return self.verdict in ("chosen", "possible")

    def attempt(self) -> Attempt:
        """Return the candidate as an error carries it."""
        return Attempt(self.name, self.reason, self.remedy)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; an estimate that is not finite is none."""
        known = self.seconds is not None and math.isfinite(self.seconds)
        return {
            "backend": self.backend.name if self.backend is not None else self.name.partition(":")[0],
            "device": self.device.name if self.device is not None else None,
            "description": self.device.description if self.device is not None else None,
            "verdict": self.verdict,
            "reason": self.reason,
            "remedy": self.remedy,
            "seconds": self.seconds if known else None,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Who runs a call, and why.

    Attributes
    ----------
    operation : str
        ``"sum"`` or ``"eigsh"``.
    source : str
        The setting that decided, such as ``"DISPATCH_BACKEND='cuda,cpu'"`` or ``"automatic choice"``.
    candidates : tuple of Candidate
        Everything that was considered, in the order in which it was.
    error : Exception or None
        What the call raises, when no candidate can run it.
    plan : str
        The method by which `eigsh` would solve its problem, as far as it is known without running; empty for `sum`.
    """

    operation: str
    source: str
    candidates: tuple[Candidate, ...]
    error: Exception | None = None
    plan: str = ""

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that runs the call; None when the call raises `error`."""
        return next((candidate for candidate in self.candidates if candidate.verdict == "chosen"), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain values, ready for JSON."""
        return {
            "operation": self.operation,
            "source": self.source,
            "chosen": self.chosen.name if self.chosen is not None else None,
            "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
            "plan": self.plan,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }

    def __str__(self) -> str:
        """Return a table, one candidate a line."""
        rows = [("candidate", "device", "verdict", "estimate", "rates", "reason")]
        for candidate in self.candidates:
            reason = f"{candidate.reason} -> {candidate.remedy}" if candidate.remedy else candidate.reason
            description = shortened(candidate.device.description, 40) if candidate.device is not None else "-"
            estimate = format_seconds(candidate.seconds)
            rows.append((candidate.name, description, candidate.verdict, estimate, candidate.basis or "-", reason))
        table = f"\n{aligned(rows)}" if self.candidates else ""
        plan = f"\n  {self.plan}" if self.plan else ""
        if self.error is None:
            return f"{self.operation}: runs on {self._chosen_name()} ({self.source}){plan}{table}"
        why = "" if self.candidates else f": {self.error}"  # otherwise the table says it
        return f"{self.operation}: raises {type(self.error).__name__} ({self.source}){why}{plan}{table}"

    def _chosen_name(self) -> str:
        return self.chosen.name if self.chosen is not None else "nothing"


def format_seconds(seconds: float | None) -> str:
    """Return an estimate for people: ``"1.2 ms"``; ``"-"`` where there is none."""
    if seconds is None or seconds == float("inf"):
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of cells as lines with their columns below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)
