"""Examine one backend: ``python -m dispatch.examination NAME``, the process that ``dispatch doctor`` starts.

A driver may crash or hang whatever loads it. Each step is announced before it begins, one JSON document a line, so that
the last one tells where the process ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import dispatch
from dispatch.entry import Unavailable
from dispatch.errors import one_line
from dispatch.promptness import lateness
from dispatch.registry import registry

SIZE, ORDER, PAIRS = 1001, 300, 3
"""Elements that are summed; order of the matrix, which is above what LAPACK is given, and eigenpairs wanted of it."""

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
"""Largest error of an eigenvalue, relative to the norm of the matrix."""


def main() -> int:
    """Examine the backend that the command line names."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what plugins and compilers print is no report
    warnings.simplefilter("ignore", dispatch.BackendWarning)  # whoever started this process has been told

    def tell(**fields: Any) -> None:
        report.write(json.dumps(fields) + "\n")
        report.flush()

    examine(sys.argv[1], tell)
    tell(step="end")
    return 0


def examine(name: str, tell: Callable[..., None]) -> None:
    """Tell each step, and each finding: ``verdict`` with ``device``, and ``reason`` and ``remedy`` or the times."""
    entry = registry.table().entries[name]
    tell(step="import of its plugin")
    if not isinstance(entry.backend(), Unavailable):
        tell(step="search for devices")
    devices = entry.devices()
    if isinstance(devices, Unavailable):
        verdict = "broken" if devices.hardware_present or devices.broken else "unavailable"
        tell(verdict=verdict, device=name, reason=devices.reason, remedy=devices.remedy)
        return
    tell(step="questions about small calls")
    if late := lateness(entry):
        tell(verdict="broken", device=name, reason=late, remedy=entry.way_out)
        return
    for device in devices:
        _examine_device(device.name, device.description, tell)


def _examine_device(name: str, description: str, tell: Callable[..., None]) -> None:
    times = {}
    for operation, check in {"sum": _check_sum, "eigsh": _check_eigsh}.items():
        for dtype in ("float64", "float32"):
            tell(step=f"{operation} of {dtype} on {name}")
            try:
                check(name, np.dtype(dtype))
                started = time.perf_counter()
                check(name, np.dtype(dtype))
                times[operation] = time.perf_counter() - started
                break
            except dispatch.UnsupportedCallError as refusal:
                # What only lacks an operation or a dtype says so without a remedy.
                for attempt in refusal.attempts:
                    if attempt.remedy:
                        reason = f"{operation} of {dtype}: {attempt.reason}"
                        tell(verdict="broken", device=name, reason=reason, remedy=attempt.remedy)
                        return
            except Exception as error:  # noqa: BLE001 - reported, whatever it is
                tell(verdict="broken", device=name, reason=f"{operation} of {dtype}: {one_line(error)}", remedy="")
                return
    tell(verdict="well", device=name, description=description, seconds=times)


class WrongResultError(Exception):
    """A number that is not right."""


def _check_sum(device: str, dtype: np.dtype[Any]) -> None:
    total = dispatch.sum(np.arange(SIZE, dtype=dtype), backend=device)
    expected = SIZE * (SIZE - 1) // 2
    if total != expected:
        raise WrongResultError(f"the sum of 0 to {SIZE - 1} is {total}, expected {expected}")


def _check_eigsh(device: str, dtype: np.dtype[Any]) -> None:
    from scipy.sparse import diags_array

    off = -np.ones(ORDER - 1)
    A = diags_array([off, np.full(ORDER, 2.0), off], offsets=[-1, 0, 1], format="csr").astype(dtype)
    w, v = dispatch.eigsh(A, PAIRS, which="LA", backend=device)
    expected = 2 - 2 * np.cos(np.pi * np.arange(ORDER - PAIRS + 1, ORDER + 1) / (ORDER + 1))
    wrong = max(abs(w - expected).max(), np.linalg.norm(A @ v - v * w, axis=0).max())
    if not wrong <= TOLERANCE[dtype.name] * 4:
        raise WrongResultError(f"the largest eigenvalues of a path are {w}, expected {expected}")


if __name__ == "__main__":
    sys.exit(main())
