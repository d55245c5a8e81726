"""OpenCL against the memory's bandwidth, NumPy, PyOpenCL's own sum, and the CPU backend.

Run as ``python benchmarks/opencl.py [PART ...]``, the parts being those of `PARTS`; without any, all of them run.
Candidates take turns in one process; a figure is the best of its repeats. First calls are made in processes of their
own. PyOpenCL's sum needs ``mako``.
"""

from __future__ import annotations

import compileall
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import dispatch

NBYTES = 256 << 20
REPEATS = 6

FIRST_REPEATS = 2
"""Processes of which a first call's time is the best."""

DTYPES = ("float32", "float64", "int32", "int64", "complex64")

SIZES = (1, 100, 10_000, 1_000_000, 1 << 24, 1 << 26)
"""Elements of the arrays that are summed again and again ..."""

FIRST_SIZES = (100, 1_000_000)
"""... and of those that a process sums first of all."""


def turns(candidates: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each candidate, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def best(candidates: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Return the least seconds of each candidate, which take turns."""
    return {name: min(some) for name, some in turns(candidates, repeats).items()}


def bandwidth() -> None:
    """Compare sums of 256 MiB with NumPy and with reading the same memory, by the medians of the turns."""
    from sum import cores, reader

    # Not numba's own threads: some wait for work by spinning, on the cores that the others need in their turns.
    pool = ThreadPoolExecutor(cores())
    warnings.simplefilter("ignore")  # sums beyond what half precision can hold
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
            seconds = turns(
                {
                    "read": reader(a, pool),
                    "opencl": lambda view=view, axis=axis: dispatch.sum(view, axis, backend="opencl"),
                    "numpy": lambda view=view, axis=axis: np.sum(view, axis),
                },
                2 * REPEATS if np.dtype(dtype).itemsize >= 4 else 4,
            )
            median = {name: float(np.median(some[1:])) for name, some in seconds.items()}
            share, ratio = median["read"] / median["opencl"], median["numpy"] / median["opencl"]
            rate = NBYTES / median["opencl"] / 1e9
            print(f"{np.dtype(dtype).name:10} {title:8} {rate:6.1f} GB/s {share:8.0%} {ratio:12.1f} x", flush=True)


def pocl_queue() -> Any:
    """Return a queue of PyOpenCL's on the device that the backend takes too."""
    import pyopencl as cl

    device = next(d for p in cl.get_platforms() for d in p.get_devices() if "pocl" in p.version.lower())
    return cl.CommandQueue(cl.Context([device]))


def later_calls(on_device: bool) -> None:
    """Compare with `pyopencl.array.sum` on arrays on the device or the host, from call to value."""
    import pyopencl.array

    queue, where = pocl_queue(), "device" if on_device else "host"
    print(f"\npyopencl.array.sum / dispatch.sum, arrays on the {where}, later calls")
    ratios = []
    for dtype in DTYPES:
        for n in SIZES:
            host = np.ones(n, dtype)
            if host.nbytes > NBYTES:
                continue
            if on_device:
                a = pyopencl.array.to_device(queue, host)
                theirs, ours = lambda a=a: pyopencl.array.sum(a).get(), lambda a=a: dispatch.sum(a).get()
            else:
                theirs = lambda a=host: pyopencl.array.sum(pyopencl.array.to_device(queue, a)).get()  # noqa: E731
                ours = lambda a=host: dispatch.sum(a, backend="opencl")  # noqa: E731
            calls: dict[str, Callable[[], Any]] = {"theirs": theirs, "ours": ours}
            best(calls, 1)
            seconds = best(calls, 300 if n <= 10_000 else 20 if n <= 1_000_000 else 3)
            ratios.append(seconds["theirs"] / seconds["ours"])
            print(f"{dtype:10} {n:10} {seconds['ours'] * 1e6:12.0f} µs {ratios[-1]:8.2f}", flush=True)
    conclude(ratios)


def first_calls() -> None:
    """Compare the first call of a process, with an empty cache on the disk and with that of an earlier process."""
    for package in ("dispatch", "dispatch_cpu", "dispatch_cuda", "dispatch_opencl"):
        # To bytecode, as pip does with what it installs.
        for folder in import_module(package).__path__:
            compileall.compile_dir(folder, quiet=1)
    print("\npyopencl.array.sum / dispatch.sum, first call of a process: nothing on the disk, compiled programs there")
    ratios: list[list[float]] = []
    for dtype in DTYPES:
        for n in FIRST_SIZES:
            seconds: dict[str, list[list[float]]] = {"theirs": [], "ours": []}
            for _ in range(FIRST_REPEATS):
                for who, some in seconds.items():
                    with tempfile.TemporaryDirectory() as folder:
                        caches = {"XDG_CACHE_HOME": folder, "POCL_CACHE_DIR": f"{folder}/pocl"}
                        command = [sys.executable, __file__, "first-call", who, dtype, str(n)]
                        run = partial(subprocess.check_output, command, env=os.environ | caches, text=True)
                        some.append([float(run()) for _ in range(2)])
            least = {who: np.min(some, axis=0) for who, some in seconds.items()}
            ratios.append(list(least["theirs"] / least["ours"]))
            taken = " ".join(f"{s:8.3f} s" for s in least["ours"])
            print(f"{dtype:10} {n:10} {taken} {ratios[-1][0]:8.2f} {ratios[-1][1]:8.2f}", flush=True)
    for case in zip(*ratios, strict=True):
        conclude(list(case))


def first_call(who: str, dtype: str, n: str) -> None:
    """Print the seconds that the first sum of this process takes, from call to value, the array being on the device."""
    import pyopencl.array

    warnings.simplefilter("ignore")  # compilers' logs
    queue = pocl_queue()
    a = pyopencl.array.to_device(queue, np.ones(int(n), dtype))
    queue.finish()
    started = time.perf_counter()
    (pyopencl.array.sum(a) if who == "theirs" else dispatch.sum(a)).get()
    print(time.perf_counter() - started)


def conclude(ratios: list[float]) -> None:
    """Print the geometric mean and the least of some ratios."""
    print(f"geometric mean {np.exp(np.mean(np.log(ratios))):.2f}, least {min(ratios):.2f}", flush=True)


def eigsh() -> None:
    """Compare with the CPU backend on the problems of `benchmarks/eigsh.py` but the two largest."""
    from eigenproblems import PROBLEMS
    from eigsh import relative

    print("\neigsh                             opencl / cpu")
    for title, make in list(PROBLEMS.items())[:-2]:
        p = make()
        tol = relative(p, p.accuracy * float(abs(p.A).sum(axis=0).max()))
        calls = {
            name: partial(dispatch.eigsh, p.A, p.k, p.M, which=p.which, tol=tol, backend=name)
            for name in ("cpu", "opencl")
        }
        seconds = best(calls, 3)
        print(f"{title:32} {seconds['opencl'] / seconds['cpu']:8.2f}   ({seconds['opencl']:.2f} s)", flush=True)


PARTS: dict[str, Callable[[], None]] = {
    "bandwidth": bandwidth,
    "device": partial(later_calls, True),
    "host": partial(later_calls, False),
    "first": first_calls,
    "eigsh": eigsh,
}


def main() -> None:
    """Print the comparisons that were asked for."""
    if sys.argv[1:2] == ["first-call"]:
        first_call(*sys.argv[2:])
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}")
    print("\n".join(f"{d.name}: {d.description}" for d in {r.name: r for r in dispatch.backends()}["opencl"].devices))
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
