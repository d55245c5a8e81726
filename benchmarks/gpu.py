"""Measure the CUDA kernels on a GPU: bandwidth reached, beside the device's peak, CuPy and PyTorch where installed.

Run as ``python benchmarks/gpu.py``. Times are those of the device, the best of several, by events; every peer sums the
same memory in the same process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import dispatch

REPEATS = 20
CASES = [
    ("full", (1 << 28,), None, "f"),
    ("full", (1 << 27,), None, "d"),
    ("full", (1 << 30,), None, "b"),
    ("full", (1 << 26,), None, "D"),
    ("rows", (1 << 18, 1024), 1, "f"),
    ("short rows", (1 << 24, 16), 1, "f"),
    ("columns", (1 << 18, 1024), 0, "f"),
    ("few columns", (1 << 27, 2), 0, "f"),
]


def best_seconds(call: Callable[[], Any], stream: Any) -> float:
    """Return the least time of `call` on the device."""
    from numba import cuda

    call()
    times = []
    for _ in range(REPEATS):
        start, stop = cuda.event(), cuda.event()
        start.record(stream)
        call()
        stop.record(stream)
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    return min(times)


def peak_bandwidth() -> float:
    """Return the device's peak in bytes a second: twice the memory clock (double data rate) times the bus width."""
    from numba import cuda

    device = cuda.get_current_device()
    return 2.0 * device.MEMORY_CLOCK_RATE * 1e3 * device.GLOBAL_MEMORY_BUS_WIDTH / 8


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


def main() -> int:
    """Print a line for each case."""
    (info,) = [backend for backend in dispatch.backends() if backend.name == "cuda"] or [None]
    if info is None or not info.available or info.devices[0].kind != "gpu":
        print(f"no GPU: {info.reason if info else 'array-dispatch-cuda is not installed'}")
        return 1
    from numba import cuda

    peak = peak_bandwidth()
    print(f"{info.devices[0].description}; peak {peak / 1e9:.0f} GB/s; ratios to the peak, 0.8 to 0.9 expected")
    rng = np.random.default_rng(0)
    for kind, shape, axis, char in CASES:
        a = cuda.to_device((rng.random(shape, np.float32) * 100).astype(char))
        stream = cuda.legacy_default_stream()  # ours waits for it, and it for ours
        ways = {"dispatch": lambda a=a, axis=axis: dispatch.sum(a, axis=axis), **peers(a, axis)}
        ratios = {name: a.nbytes / best_seconds(call, stream) / peak for name, call in ways.items()}
        print(f"{kind:12} {shape!s:16} {char}  ", "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
