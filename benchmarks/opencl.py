"""OpenCL against the memory's bandwidth, NumPy, PyOpenCL's own sum, and the CPU backend; all in one process.

Run as ``python benchmarks/opencl.py``. Candidates take turns; a figure is the best of its repeats. PyOpenCL's sum needs
``mako``; without it that part is left out.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

import dispatch

NBYTES = 256 << 20
REPEATS = 6

CALLS = 11
"""Calls of a sum of device arrays that are counted together, the first one included."""


def best(candidates: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Return the least seconds of each candidate, which take turns."""
    seconds = dict.fromkeys(candidates, math.inf)
    for _ in range(repeats):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def reader() -> Callable[[np.ndarray], None]:
    """Return a function that reads an array with all cores as fast as the memory delivers, adding 8-byte integers."""
    import numba

    @numba.njit(parallel=True, fastmath=True, boundscheck=False)
    def read(words: np.ndarray) -> int:
        total = 0
        for chunk in numba.prange(64):
            part = words[chunk * len(words) // 64 : (chunk + 1) * len(words) // 64]
            partial = 0
            for i in range(len(part)):
                partial += part[i]
            total += partial
        return total

    return lambda a: read(a.reshape(-1).view(np.int64))


def bandwidth() -> None:
    """Compare sums of 256 MiB with NumPy and with reading the same memory."""
    read = reader()
    read(np.ones(64))
    rng = np.random.default_rng(0)
    base = rng.random(NBYTES // 8)
    print(f"\nsum of {NBYTES >> 20} MiB      of bandwidth   against numpy.sum")
    for dtype in (np.float32, np.float64, np.int32, np.int8, np.float16, np.complex64):
        a = np.resize((100 * base).astype(np.dtype(dtype)), NBYTES // np.dtype(dtype).itemsize)
        for title, view, axis in (
            ("all", a, None),
            ("axis 0", a.reshape(8192, -1), 0),
            ("axis 1", a.reshape(8192, -1), 1),
        ):
            if axis is not None and dtype not in (np.float32, np.float64):
                continue
            seconds = best(
                {
                    "read": lambda a=a: read(a),
                    "opencl": lambda view=view, axis=axis: dispatch.sum(view, axis, backend="opencl"),
                    "numpy": lambda view=view, axis=axis: np.sum(view, axis),
                },
                REPEATS if np.dtype(dtype).itemsize >= 4 else 3,
            )
            share, ratio = seconds["read"] / seconds["opencl"], seconds["numpy"] / seconds["opencl"]
            rate = NBYTES / seconds["opencl"] / 1e9
            print(f"{np.dtype(dtype).name:10} {title:8} {rate:6.1f} GB/s {share:8.0%} {ratio:12.1f} x", flush=True)


def against_pyopencl() -> None:
    """Compare with `pyopencl.array.sum` on arrays that are on the device already, the first call of each included."""
    try:
        import mako  # noqa: F401 - what pyopencl.array.sum needs
    except ImportError:
        print("\npyopencl.array.sum is left out: pip install mako")
        return
    import pyopencl as cl
    import pyopencl.array

    dispatch.backends()
    device = next(d for p in cl.get_platforms() for d in p.get_devices() if "pocl" in p.version.lower())
    queue = cl.CommandQueue(cl.Context([device]))
    print(f"\npyopencl.array.sum / dispatch.sum   first call   later calls   {CALLS} calls together")
    ratios = []
    for dtype in (np.float32, np.float64, np.int32, np.int64, np.complex64):
        for n in (100, 10_000, 1_000_000, 16_000_000):
            a = pyopencl.array.to_device(queue, np.ones(n, dtype))
            calls = {"theirs": lambda a=a: pyopencl.array.sum(a).get(), "ours": lambda a=a: dispatch.sum(a).get()}
            first, later = best(calls, 1), best(calls, 10)
            together = {name: first[name] + (CALLS - 1) * later[name] for name in calls}
            row = [seconds["theirs"] / seconds["ours"] for seconds in (first, later, together)]
            ratios.append(row)
            print(f"{np.dtype(dtype).name:10} {n:10} {row[0]:18.1f} {row[1]:13.1f} {row[2]:13.1f}", flush=True)
    means, least = np.exp(np.mean(np.log(ratios), axis=0)), np.min(ratios, axis=0)
    print("geometric mean" + "".join(f"{mean:13.1f}" for mean in means))
    print("least         " + "".join(f"{ratio:13.1f}" for ratio in least))


def problems() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return matrices with the arguments of `eigsh`."""
    line = {
        n: sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]) for n in (28, 150)
    }
    plane = sp.csr_array(sp.kronsum(line[150], line[150]))
    space = sp.csr_array(sp.kronsum(sp.kronsum(line[28], line[28]), line[28]))
    random = sp.random_array((20_000, 20_000), density=1e-3, rng=np.random.default_rng(0), format="csr")
    return {
        "Laplacian 150 x 150, 10 SA": (plane, {"k": 10, "which": "SA"}),
        "Laplacian 28 x 28 x 28, 10 SA": (space, {"k": 10, "which": "SA"}),
        "the same, single precision": (space.astype(np.float32), {"k": 10, "which": "SA"}),
        "random, n = 20000, 10 LM": (random + random.T, {"k": 10, "which": "LM"}),
    }


def eigsh() -> None:
    """Compare with the CPU backend."""
    print("\neigsh                             opencl / cpu")
    for title, (A, arguments) in problems().items():
        calls = {name: partial(dispatch.eigsh, A, **arguments, backend=name) for name in ("cpu", "opencl")}
        seconds = best(calls, 3)
        print(f"{title:32} {seconds['opencl'] / seconds['cpu']:8.2f}   ({seconds['opencl']:.2f} s)", flush=True)


def main() -> None:
    """Print every comparison."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}")
    print("\n".join(f"{d.name}: {d.description}" for d in {r.name: r for r in dispatch.backends()}["opencl"].devices))
    bandwidth()
    against_pyopencl()
    eigsh()


if __name__ == "__main__":
    main()
