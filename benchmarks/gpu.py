"""Measure the CUDA kernels on a GPU: bandwidth reached and expected, beside CuPy and PyTorch where installed.

Run as ``python benchmarks/gpu.py [SHRINK]``; SHRINK divides the sizes, to try the script out. Sums and the solver's
primitives are timed on the device, the best of several, by events, and their bandwidth is that of the bytes that have
to move; what is expected of each is that of `docs/cuda-kernels.md`. The device is kept busy while the host enqueues
them, so that the time of the host is not measured; only Gram matrices and residuals wait for the host, to which they
bring sums. Every peer sums the same memory in the same process. Solutions are timed as a whole, from the matrix on the
host to the eigenpairs there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

import dispatch
from dispatch.solvers.start import guards
from dispatch.testing.engine import problem_of
from dispatch.testing.matrices import laplacian

REPEATS = 20
CASES = [
    ("full", (1 << 28,), None, "f", (0.85, 0.92)),
    ("full", (1 << 27,), None, "d", (0.85, 0.92)),
    ("full", (1 << 30,), None, "b", (0.8, 0.9)),
    ("full", (1 << 26,), None, "D", (0.85, 0.92)),
    ("rows", (1 << 18, 1024), 1, "f", (0.8, 0.9)),
    ("short rows", (1 << 24, 16), 1, "f", (0.5, 0.8)),
    ("columns", (1 << 18, 1024), 0, "f", (0.8, 0.9)),
    ("few columns", (1 << 27, 2), 0, "f", (0.8, 0.9)),
]
"""Kind, shape, axis and dtype of sums, and the shares of the peak bandwidth between which they are expected."""

EXPECTED = {
    "apply": (0.5, 0.8), "chebyshev_step": (0.6, 0.8), "gram": (0.3, 0.5), "combine": (0.6, 0.9),
    "residual": (0.8, 0.9), "columns": (0.6, 0.8), "apply dense": (0.6, 0.85),
}  # fmt: skip
"""The same of the solver's primitives."""

POINTS, VECTORS, DENSE = 1 << 23, 16, 1 << 14
"""Points of the grid and vectors of the blocks that the primitives work on, and order of the dense matrix."""

GRIDS = [((1000, 1000), 10), ((100, 100, 100), 10), ((2000, 2000), 4)]
"""Grids whose Laplacians are solved, and how many of the smallest eigenvalues are wanted."""

LEAST_ORDER = 300
"""Order from which a matrix is not left to LAPACK."""

PRODUCTS_OF_PEAK = 0.6
"""What products with a sparse matrix are expected to reach of the peak bandwidth."""

STEPS_OF_LANCZOS = 20_000
"""After which CuPy's method ends: without a limit it goes on for days where eigenvalues are close to one another."""


class Timer:
    """Measures what calls take on the device.

    Parameters
    ----------
    shrink : int
        Divides the bytes of the copies that keep the device busy, some milliseconds long.
    """

    COPIES, BYTES = 4, 1 << 30

    def __init__(self, shrink: int) -> None:
        from numba import cuda

        self._from, self._to = (cuda.device_array(max(self.BYTES // shrink, 1), np.uint8) for _ in range(2))

    def best_seconds(self, call: Callable[[], Any], stream: Any) -> float:
        """Return the least time of `call`, which works on a stream."""
        from numba import cuda

        call()
        events = [(cuda.event(), cuda.event()) for _ in range(REPEATS)]
        for _ in range(self.COPIES):
            self._copy(stream)
        for start, stop in events:
            start.record(stream)
            call()
            stop.record(stream)
        events[-1][1].synchronize()
        return min(start.elapsed_time(stop) / 1e3 for start, stop in events)

    def copied(self) -> float:
        """Return the bytes a second that a copy on the device reads and writes."""
        from numba import cuda

        stream = cuda.stream()
        return 2 * self._from.nbytes / self.best_seconds(lambda: self._copy(stream), stream)

    def _copy(self, stream: Any) -> None:
        self._to.copy_to_device(self._from, stream=stream)


def peak_bandwidth(timer: Timer) -> float:
    """Return the device's peak in bytes a second: twice the memory clock (double data rate) times the bus width.

    Where the driver does not tell these, what a copy on the device reaches stands for it.
    """
    from numba import cuda

    device = cuda.get_current_device()
    peak = 2.0 * device.MEMORY_CLOCK_RATE * 1e3 * device.GLOBAL_MEMORY_BUS_WIDTH / 8
    if not peak:
        print("the driver does not tell the memory's clock: the peak is that of a copy")
    return peak or timer.copied()


def peers(a: Any, axis: int | None) -> dict[str, Callable[[], Any]]:
    """Return the sums of other libraries over the same memory."""
    found: dict[str, Callable[[], Any]] = {}
    try:
        import cupy

        view = cupy.asarray(a)
        found["cupy"] = lambda: view.sum(axis=axis)
    except ImportError:
        pass
    try:
        import torch

        tensor = torch.as_tensor(a, device="cuda")
        found["torch"] = lambda: tensor.sum() if axis is None else tensor.sum(dim=axis)
    except ImportError:
        pass
    return found


def sums(timer: Timer, peak: float, shrink: int) -> None:
    """Print the share of the peak bandwidth that each sum reaches, ours and those of the peers."""
    from numba import cuda

    rng = np.random.default_rng(0)
    for kind, (rows, *columns), axis, char, expected in CASES:
        shape = (max(rows // shrink, 1), *columns)
        a = cuda.to_device((rng.random(shape, np.float32) * 100).astype(char))
        stream = cuda.legacy_default_stream()  # ours waits for it, and it for ours
        ways = {"dispatch": lambda a=a, axis=axis: dispatch.sum(a, axis=axis), **peers(a, axis)}
        ratios = {name: a.nbytes / timer.best_seconds(call, stream) / peak for name, call in ways.items()}
        line = "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        print(f"{kind:16} {shape!s:16} {char}  {line}  {_judged(ratios['dispatch'], expected)}")


def _judged(ratio: float, expected: tuple[float, float]) -> str:
    """Return what was expected, and whether it was reached."""
    low, high = expected
    verdict = "less" if ratio < low else "more" if ratio > high else "as expected"
    return f"(expected {low:.2f} to {high:.2f}: {verdict})"


def products(dtype: Any, device: Any, shrink: int) -> dict[str, tuple[int, int, Callable[[], Any]]]:
    """Return the solver's primitives: rows, bytes that have to move, and the call."""
    from dispatch_cuda import backend

    side, order, p = max(int((POINTS / shrink) ** 0.5), 2), max(DENSE // shrink, 2), VECTORS
    rng = np.random.default_rng(0)
    A = sp.csr_array(laplacian(side, side)[0].astype(dtype))
    n, w = A.shape[0], A.dtype.itemsize
    engine = backend.block_engine(problem_of(A), device=device)
    X, Y, Z = (engine.upload(rng.standard_normal((n, p)).astype(dtype)) for _ in range(3))
    V = engine.upload(rng.standard_normal((order, p)).astype(dtype))
    matrix, dense = engine.operator(A), engine.operator(rng.random((order, order), np.float32).astype(dtype))
    C, ones = np.eye(p), np.ones(p)
    stored, block = A.nnz * (w + 4) + 4 * n, n * p * w
    return {
        "apply": (n, stored + 2 * block, lambda: engine.apply(matrix, X)),
        "chebyshev_step": (n, stored + 6 * block, lambda: engine.chebyshev_step(matrix, ones, ones, ones, Z, X, Y)),
        "gram": (n, 2 * block, lambda: engine.gram(X, Y)),
        "combine": (n, 4 * block, lambda: engine.combine([X, Y, Z], [C, C, C])),
        "residual": (n, 3 * block, lambda: engine.residual(X, Y, ones)),
        "columns": (n, 2 * block, lambda: engine.columns(X, range(p))),
        "apply dense": (order, order * (order + 2 * p) * w, lambda: engine.apply(dense, V)),
    }


def primitives(timer: Timer, peak: float, shrink: int) -> None:
    """Print the share of the peak bandwidth that each of the solver's primitives reaches."""
    from dispatch_cuda import backend

    (device, *_) = backend.probe()
    stream = backend.runtime(device.name).stream
    for char in "fd":
        for name, (rows, nbytes, call) in products(char, device, shrink).items():
            ratio = nbytes / timer.best_seconds(call, stream) / peak
            print(f"{name:16} n={rows:<14} {char}  cuda {ratio:.2f}  {_judged(ratio, EXPECTED[name])}")


def solvers(A: sp.csr_array, k: int) -> dict[str, Callable[[], Any]]:
    """Return the ways to find the k smallest eigenvalues: ours on the GPU and on the CPU, and CuPy's Lanczos method.

    Each returns the eigenvalues, and what is known of how they were found.
    """

    def ours(backend: str) -> Any:
        w, _, info = dispatch.eigsh(A, k, which="SA", backend=backend, return_info=True)
        return w, info

    found: dict[str, Callable[[], Any]] = {"cuda": lambda: ours("cuda"), "cpu": lambda: ours("cpu")}
    try:
        import cupy
        from cupyx.scipy.sparse import csr_matrix
        from cupyx.scipy.sparse.linalg import eigsh

        matrix = csr_matrix(sp.csr_matrix(A))
        options = {"which": "SA", "maxiter": STEPS_OF_LANCZOS}
        found["cupy"] = lambda: (cupy.asnumpy(eigsh(matrix, k, **options)[0]), None)
    except ImportError:
        pass
    return found


def solutions(peak: float, shrink: int) -> None:
    """Print the seconds of each solution, its largest error relative to ‖A‖, and what its products should take."""
    for sizes, k in GRIDS:
        d = len(sizes)
        least = int(LEAST_ORDER ** (1 / d)) + 1
        A, spectrum = laplacian(*(max(int(size / shrink ** (1 / d)), least) for size in sizes))
        line = []
        for name, call in solvers(A, k).items():
            call()  # compiles
            start = time.perf_counter()
            w, info = call()
            seconds = time.perf_counter() - start
            error = abs(np.sort(w) - spectrum[:k]).max() / spectrum[-1]
            line.append(f"{name} {seconds:.3f} s, error {error:.0e}")
            if name == "cuda":
                n, p, w = A.shape[0], k + guards(k), A.dtype.itemsize
                nbytes = A.nnz * (w + 4) + 4 * n + 6 * n * p * w
                expected = info.operator_applications * nbytes / (PRODUCTS_OF_PEAK * peak)
                line[-1] += f" (its {info.operator_applications} products expected: {expected:.3f} s)"
        print(f"eigsh k={k:<3} n={A.shape[0]:<9}", "  ".join(line))


def main(shrink: int = 1) -> int:
    """Print a line for each sum and each solution."""
    (info,) = [backend for backend in dispatch.backends() if backend.name == "cuda"] or [None]
    if info is None or not info.available or info.devices[0].kind != "gpu":
        print(f"no GPU: {info.reason if info else 'array-dispatch-cuda is not installed'}")
        return 1
    timer = Timer(shrink)
    peak = peak_bandwidth(timer)
    print(f"{info.devices[0].description}; peak {peak / 1e9:.0f} GB/s; shares of the peak")
    sums(timer, peak, shrink)
    primitives(timer, peak, shrink)
    solutions(peak, shrink)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
