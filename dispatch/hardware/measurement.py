"""Measure a device through the public operations of its backend: sums, and the primitives of its `BlockEngine`.

What is measured is what calls pay: with the transfers, the launches and the Python around them. Each figure is the
best of several repeats, since everything that disturbs a measurement makes it longer. First calls, which compile, are
not counted. All of it takes a second or two once the kernels are compiled.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dispatch.backend import lacks
from dispatch.hardware.cost import FILTER_VECTORS
from dispatch.hardware.profile import Profile
from dispatch.operations.call import describe

if TYPE_CHECKING:
    from dispatch.backend import Backend, Device

SUM_BYTES = 1 << 25
"""Of the arrays whose sums give the bandwidth: more than most caches hold."""

DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "complex128", "complex64")
"""What sums are measured of; unsigned integers and booleans count as integers of their width."""

BYTE = 0x3C
"""What the arrays are filled with: in every dtype an ordinary number."""

SMALL_CALLS = 70
"""Calls after which nothing is held back any more that a process does not load for a few small sums."""

GRID, PAIRS, DEGREE = 28, 6, 16
"""Edge of the grid whose Laplacian is multiplied, eigenpairs wanted, and steps of the filter."""

TINY = 4
"""Edge of the grid on which nothing but the launches takes time."""

SECONDS = 0.06
"""How long a figure is repeated for, after the call that warms up."""


def measure(backend: Backend, device: Device, settle: Callable[[], None] = lambda: None) -> Profile:
    """Return the measured profile of a device.

    Parameters
    ----------
    backend, device : Backend, Device
        What to measure.
    settle : callable
        Waits until whatever the backend loads in the background is there.

    Raises
    ------
    ValueError
        When it can do neither operation: there is nothing to measure.
    Exception
        Whatever the backend raises.
    """
    figures = {**_sum_figures(backend, device, settle), **_engine_figures(backend, device, settle)}
    if not figures:
        raise ValueError(f"{device.name} supports neither sum nor eigsh of float64: there is nothing to measure")
    # What it cannot do is never chosen for it.
    unable = {"call_seconds": math.inf, "launch_seconds": math.inf}
    rates = dict.fromkeys(("read_bandwidth", "spmm_rate", "dense_rate"), 1.0)
    return Profile(**{**unable, **rates, **figures}, measured=True)


def best_time(action: Callable[[], Any], prepare: Callable[[], Any] = lambda: None, seconds: float = SECONDS) -> float:
    """Return the shortest time that `action` takes in `seconds` of repeats, at least three; `prepare` is not timed."""
    prepare()
    action()
    best, end, count = math.inf, time.perf_counter() + seconds, 0
    while count < 3 or time.perf_counter() < end:
        prepare()
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
        count += 1
    return best


def _sum_figures(backend: Backend, device: Device, settle: Callable[[], None]) -> dict[str, Any]:
    """Return the figures that sums of host arrays give, transfers included, as far as the device has sums."""
    memory = np.full(SUM_BYTES, BYTE, np.uint8)
    arrays = {dtype: memory.view(dtype) for dtype in DTYPES}
    able = {name: a for name, a in arrays.items() if backend.supports(describe("sum", a, {}), device) is True}
    if not able or lacks(backend, "sum"):
        return {}
    smallest = next(iter(able.values()))[:1]

    def run(a: Any) -> Any:
        with np.errstate(over="ignore"):
            return backend.sum(a, None, None, None, False, np._NoValue, np._NoValue, device=device)

    for a in (*able.values(), *[smallest] * SMALL_CALLS):
        run(a)
    settle()
    call = best_time(lambda: run(smallest))
    bandwidths = {name: a.nbytes / best_time(lambda a=a: run(a)) for name, a in able.items()}  # type: ignore[misc]
    return {"call_seconds": call, "read_bandwidth": max(bandwidths.values()), "bandwidths": bandwidths}


def _engine_figures(backend: Backend, device: Device, settle: Callable[[], None]) -> dict[str, Any]:
    """Return the figures that the primitives of eigensolvers give, if the device has them."""
    if lacks(backend, "eigsh"):
        return {}
    tiny, large = (_Bench(backend, device, edge) for edge in (TINY, GRID))
    if not large.supported:
        return {}
    large.run()
    settle()
    launch = tiny.filter_seconds() / DEGREE
    filtering = max(large.filter_seconds() / DEGREE - launch, 1e-9)
    dense = max(large.dense_seconds() - 2 * launch, 1e-9)
    figures = {
        "launch_seconds": launch,
        "spmm_rate": large.elements * large.vectors / filtering,
        "dense_rate": 6 * large.n * large.vectors**2 / dense,
    }
    shares = device.kind == "cpu" if device.profile is None else device.profile.on_host_memory
    return figures if shares else {**figures, **large.transfer_figures()}


class _Bench:
    """The Laplacian of a grid on a device, and blocks of vectors to run primitives on."""

    def __init__(self, backend: Backend, device: Device, edge: int) -> None:
        from dispatch.operations.eigsh import problem_of
        from dispatch.solvers.start import guards

        A = laplacian(edge)
        problem = problem_of(A, PAIRS, which="SA")
        self.supported = backend.supports(describe("eigsh", A, {"problem": problem}), device) is True
        if not self.supported:
            return
        self.n, self.vectors = problem.n, PAIRS + guards(PAIRS)
        self.elements = problem.stored + FILTER_VECTORS * problem.n
        self.engine = backend.block_engine(problem, device=device)
        self._A = self.engine.operator(problem.A)
        self._host = np.ones((self.n, self.vectors))
        self._X = self.engine.upload(self._host)
        self._basis = self.engine.upload(np.ones((self.n, 3 * self.vectors)))

    def run(self) -> None:
        """Run every primitive once, so that all is compiled."""
        self.filter_seconds(0.0)
        self.dense_seconds(0.0)

    def filter_seconds(self, seconds: float = SECONDS) -> float:
        """Return what a Chebyshev filter of `DEGREE` steps takes."""
        ones = np.ones(self.vectors)
        steps = [(0.25 * ones, ones / 12.0)] * DEGREE
        given: list[Any] = []

        def upload() -> None:  # a filter may overwrite what it is given
            given[:] = [self.engine.upload(self._host) for _ in range(2)]

        def run(steps: list[Any]) -> None:
            self._wait(self.engine.chebyshev_iteration(self._A, 6.0 * ones, steps, given[0], given[1]))

        return max(best_time(lambda: run(steps), upload, seconds) - self._wait_seconds(seconds), 1e-9)

    def dense_seconds(self, seconds: float = SECONDS) -> float:
        """Return what a Gram matrix of a block and a basis, and a combination of the basis, take."""
        C = np.full((3 * self.vectors, self.vectors), 1.0 / self.n)

        def run() -> None:
            self.engine.gram(self._basis, self._X)
            self._wait(self.engine.combine([self._basis], [C]))

        return max(best_time(run, seconds=seconds) - self._wait_seconds(seconds), 1e-9)

    def transfer_figures(self) -> dict[str, float]:
        """Return the bandwidths of copies to the device's own memory and back, and of a Gram matrix that reads it."""
        host = self.engine.download(self._basis)
        upload = best_time(lambda: self._wait(self.engine.upload(host))) - self._wait_seconds(SECONDS)
        times = {
            "upload_bandwidth": upload,
            "download_bandwidth": best_time(lambda: self.engine.download(self._basis)),
            "read_bandwidth": best_time(lambda: self.engine.gram(self._basis, self._X)),
        }
        return {name: host.nbytes / max(seconds, 1e-9) for name, seconds in times.items()}

    def _wait(self, X: Any) -> None:
        """Wait until a block is computed: a device may return before that."""
        self.engine.download(self.engine.columns(X, [0]))

    def _wait_seconds(self, seconds: float) -> float:
        return best_time(lambda: self._wait(self._X), seconds=seconds / 4)


def laplacian(edge: int) -> Any:
    """Return the seven-point Laplacian of a cube with ``edge**3`` points."""
    from scipy.sparse import diags_array, eye_array, kron

    T = diags_array([[-1.0] * (edge - 1), [2.0] * edge, [-1.0] * (edge - 1)], offsets=[-1, 0, 1])
    eye = eye_array(edge)
    return (kron(kron(T, eye), eye) + kron(kron(eye, T), eye) + kron(kron(eye, eye), T)).tocsr()
