"""Time `sum` over sizes and `eigsh` over problems on every device of this machine: what ``dispatch bench`` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import dispatch
from dispatch.backend import Device
from dispatch.hardware.measurement import best_time, laplacian

SIZES = tuple(1 << power for power in range(0, 25, 3))
"""Elements of the arrays that are summed."""

DTYPES = ("float64", "float32")

EDGES = (7, 10, 16, 22, 32, 46)
"""Edges of the cubes whose Laplacians are solved; the smallest are LAPACK's."""

TOLERANCE, PAIRS = 1e-6, 6

SUM_SECONDS, EIGSH_SECONDS = 0.1, 0.5
"""How long a figure is repeated for."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The best time of one call on one device.

    Attributes
    ----------
    operation : str
        ``"sum"`` or ``"eigsh"``.
    case : str
        What was computed: the dtype, or the kind of the matrix.
    size : int
        Elements of the array, or order of the matrix.
    nbytes : int
        Bytes of the operand.
    device : str
        The device's name.
    seconds : float
        The shortest time of several.
    """

    operation: str
    case: str
    size: int
    nbytes: int
    device: str
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes of the operand a second."""
        return self.nbytes / self.seconds


def devices() -> list[Device]:
    """Return every device that can be used, without simulators."""
    return [device for backend in dispatch.backends() for device in backend.devices if device.kind != "simulator"]


def time_sums(names: Sequence[str], sizes: Sequence[int] = SIZES) -> Iterator[Timing]:
    """Yield the times of sums of whole arrays; devices take turns at each size."""
    for dtype in DTYPES:
        for size in sizes:
            a = np.ones(size, dtype)
            for name in names:
                seconds = _time(partial(dispatch.sum, a, backend=name), SUM_SECONDS)
                if seconds is not None:
                    yield Timing("sum", dtype, size, a.nbytes, name, seconds)


def time_eigenproblems(names: Sequence[str], edges: Sequence[int] = EDGES) -> Iterator[Timing]:
    """Yield the times of the smallest eigenpairs of Laplacians; devices take turns at each order."""
    for edge in edges:
        A = laplacian(edge)
        nbytes = A.nnz * (A.dtype.itemsize + 4) + 4 * A.shape[0]
        for name in names:
            seconds = _time(partial(dispatch.eigsh, A, PAIRS, which="SA", tol=TOLERANCE, backend=name), EIGSH_SECONDS)
            if seconds is not None:
                yield Timing("eigsh", "Laplacian of a cube", A.shape[0], nbytes, name, seconds)


def _time(run: Callable[[], Any], seconds: float) -> float | None:
    try:
        return best_time(run, seconds=seconds)
    except dispatch.UnsupportedCallError:
        return None


def crossovers(timings: Sequence[Timing], reference: str) -> list[dict[str, Any]]:
    """Return, for each case and device, the size from which on it is faster than `reference`, or None."""
    found = []
    for operation, case, device in dict.fromkeys((t.operation, t.case, t.device) for t in timings):
        if device == reference:
            continue
        of_case = [t for t in timings if (t.operation, t.case) == (operation, case)]
        theirs = {t.size: t.seconds for t in of_case if t.device == reference}
        ours = {t.size: t.seconds for t in of_case if t.device == device}
        size = None
        for candidate in sorted(theirs.keys() & ours.keys(), reverse=True):
            if ours[candidate] >= theirs[candidate]:
                break
            size = candidate
        found.append({"operation": operation, "case": case, "device": device, "against": reference, "size": size})
    return found
