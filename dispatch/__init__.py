"""One call, any hardware: `sum` and `eigsh` on the best backend that this machine has."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dispatch.backend import API_VERSION, Backend, Device, Profile
from dispatch.context import set_default, use
from dispatch.decision import Candidate, Decision
from dispatch.errors import (
    Attempt,
    BackendUnavailableError,
    BackendWarning,
    UnknownBackendError,
    UnsupportedCallError,
)
from dispatch.explanation import explain
from dispatch.inventory import BackendInfo, Inventory
from dispatch.management import backends, refresh, register
from dispatch.operations.call import Call
from dispatch.operations.eigsh import eigsh
from dispatch.operations.sum import sum
from dispatch.tracing import Trace, TracedCall, trace

if TYPE_CHECKING:
    from dispatch.solvers import EigshInfo, NoConvergence

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "Attempt",
    "Backend",
    "BackendInfo",
    "BackendUnavailableError",
    "BackendWarning",
    "Call",
    "Candidate",
    "Decision",
    "Device",
    "EigshInfo",
    "Inventory",
    "NoConvergence",
    "Profile",
    "Trace",
    "TracedCall",
    "UnknownBackendError",
    "UnsupportedCallError",
    "backends",
    "eigsh",
    "explain",
    "refresh",
    "register",
    "set_default",
    "sum",
    "trace",
    "use",
]

_FROM_SOLVERS = ("EigshInfo", "NoConvergence")
"""Public names whose module needs scipy.sparse.linalg, which `import dispatch` does not pay for."""


def __getattr__(name: str) -> Any:
    if name in _FROM_SOLVERS:
        return getattr(import_module("dispatch.solvers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
