"""`dispatch.sum` on the CPU: as ratios to `numpy.sum` and to the memory bandwidth, both measured in the same run.

Run as ``python benchmarks/sum.py``; ``--full`` takes every dtype, layout and size, ``--only PATTERN`` those of the
cases whose "dtype, layout, bytes" a regular expression matches, ``--plot FILE`` draws size against GB/s, a line a
library. Each figure is the median of rounds in which everybody takes a turn. Bytes are those of the memory that has to
be touched: of every second element, all; of a mask, its own as well.

A long run goes in pieces: with ``--results FILE`` and ``--seconds N`` it ends after about N seconds, and the same
command again takes what is not in the file yet. What it prints at its end, and draws, is of all the pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from dispatch_cpu import kernels
from dispatch_cpu.parallel import cores

import dispatch

DTYPES = [
    "float64",
    "float32",
    "int64",
    "complex128",
    "complex64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "float16",
]
SIZES = [1, 64, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28]
LARGE = 1 << 26
LINE = 64
"""Bytes that memory delivers at once."""

Case = tuple[np.ndarray, dict[str, Any], int]


def elements(dtype: str, nbytes: int) -> np.ndarray:
    """Return a vector of about `nbytes` bytes."""
    count = max(nbytes // np.dtype(dtype).itemsize, 1)
    pattern = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, 4099)
    if dtype == "float16":
        pattern = pattern / 1024  # what does not fit is reported, which takes longer than the sum
    return np.resize(pattern.astype(dtype), count)


def side(a: np.ndarray, columns: int) -> np.ndarray:
    """Return the vector as a matrix of that many columns."""
    return a[: a.size // columns * columns].reshape(-1, columns)


def square(a: np.ndarray) -> np.ndarray:
    """Return the vector as a square matrix."""
    return side(a[: max(int(a.size**0.5), 1) ** 2], max(int(a.size**0.5), 1))


def marks(a: np.ndarray) -> np.ndarray:
    """Return a mask for the array, two thirds of it True."""
    return np.resize(np.arange(4099) % 3 != 0, a.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], Case]] = {
    "contiguous": lambda a: (a, {}, a.nbytes),
    "square, axis 0": lambda a: (square(a), {"axis": 0}, square(a).nbytes),
    "square, axis 1": lambda a: (square(a), {"axis": 1}, square(a).nbytes),
    "(n, 4), axis 0": lambda a: (side(a, 4), {"axis": 0}, a.nbytes),
    "(n, 4), axis 1": lambda a: (side(a, 4), {"axis": 1}, a.nbytes),
    "(n, 100), axis 1": lambda a: (side(a, 100), {"axis": 1}, a.nbytes),
    "(n, 16, 64), axis 1": lambda a: (side(a, 1024).reshape(-1, 16, 64), {"axis": 1}, a.nbytes),
    "where": lambda a: (a, {"where": marks(a)}, a.nbytes + a.size),
    "[::2]": lambda a: (a[::2], {}, a.nbytes),
    "[::3]": lambda a: (a[::3], {}, a.nbytes),
    "[::100]": lambda a: (a[::100], {}, min(a.nbytes, a[::100].size * LINE)),
    "[:, ::3], axis 0": lambda a: (square(a)[:, ::3], {"axis": 0}, square(a).nbytes),
    "[::-1]": lambda a: (a[::-1], {}, a.nbytes),
    "sub-block": lambda a: (side(a, 2048)[:, :1024], {}, side(a, 2048).nbytes // 2),
    "Fortran, axis 0": lambda a: (square(a).T, {"axis": 0}, square(a).nbytes),
    "byteswapped": lambda a: (a.astype(a.dtype.newbyteorder()), {}, a.nbytes),
    "axes (0, 2)": lambda a: (side(a, 16).reshape(-1, 4, 4), {"axis": (0, 2)}, a.nbytes),
    "where, axis 0": lambda a: (square(a), {"axis": 0, "where": marks(square(a))}, square(a).nbytes + square(a).size),
    "dtype": lambda a: (a, {"dtype": np.result_type(a, np.float64)}, a.nbytes),
    "initial": lambda a: (a, {"initial": 1}, a.nbytes),
    "keepdims, axis -1": lambda a: (square(a), {"axis": -1, "keepdims": True}, square(a).nbytes),
    "out, axis 0": lambda a: (square(a), {"axis": 0, "out": np.sum(square(a), 0)}, square(a).nbytes),
}
MAIN_LAYOUTS = ["where", "(n, 4), axis 0", "(n, 4), axis 1", "square, axis 0", "square, axis 1", "[::2]"]


@numba.njit(nogil=True)
def read(x: np.ndarray) -> int:
    """Touch every word of `x`; the compiler vectorizes and unrolls it."""
    bits = np.int64(0)
    for i in range(x.size):
        bits ^= x[i]
    return bits


def reader(a: np.ndarray, pool: ThreadPoolExecutor) -> Callable[[], object]:
    """Return a function that reads the memory of the vector `a` on all cores: the limit."""
    words = a[: a.nbytes // 8 * 8 // a.itemsize].view(np.int64)
    if a.nbytes < 1 << 22:
        return lambda: read(words)
    parts = np.array_split(words, cores())
    return lambda: list(pool.map(read, parts))


def peers(a: np.ndarray, arguments: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return what else is installed and can take this sum: numexpr, bottleneck, torch."""
    found: dict[str, Callable[[], object]] = {}
    axis = arguments.get("axis")
    if set(arguments) - {"axis"} or not a.dtype.isnative:
        return found
    try:
        import torch

        tensor = torch.from_numpy(a)
        found["torch"] = (lambda: torch.sum(tensor)) if axis is None else (lambda: torch.sum(tensor, dim=axis))
    except (ImportError, TypeError, ValueError):
        pass
    try:
        import bottleneck

        if a.dtype.kind in "if":
            found["bottleneck"] = lambda: bottleneck.nansum(a, axis=axis)
    except ImportError:
        pass
    try:
        import numexpr

        if a.dtype.name in ("int32", "int64", "float32", "float64", "complex128"):
            found["numexpr"] = lambda: numexpr.evaluate(f"sum(a, axis={axis})", {"a": a})
    except ImportError:
        pass
    try:
        import pyopencl
        import pyopencl.array

        queue = _queue(pyopencl)
        if queue is not None and axis is None and a.dtype.kind in "if" and a.itemsize > 2 and a.flags.c_contiguous:
            device = pyopencl.array.to_device(queue, a)
            found["pyopencl"] = lambda: pyopencl.array.sum(device).get()
    except ImportError:
        pass
    return {name: function for name, function in found.items() if _works(function)}


def _works(function: Callable[[], object]) -> bool:
    """Whether a peer takes the sum: each has dtypes and layouts that it refuses, by errors of its own."""
    try:
        function()
    except Exception:  # noqa: BLE001
        return False
    return True


def _queue(pyopencl: Any, kept: dict[str, Any] = {}) -> Any:  # noqa: B006 - one queue for the run
    if "queue" not in kept:
        try:
            kept["queue"] = pyopencl.CommandQueue(pyopencl.Context(pyopencl.get_platforms()[0].get_devices()[:1]))
        except (pyopencl.Error, IndexError):
            kept["queue"] = None
    return kept["queue"]


def medians(timed: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return seconds a call by name: medians over rounds in which each takes a turn, in an order of its own.

    Who comes next finds in the cache what the one before has left there.
    """
    calls = {}
    for name, function in timed.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(int(2e-4 / max(time.perf_counter() - start, 1e-7)), 1)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    turns, order = list(timed.items()), random.Random(0)
    for _ in range(rounds):
        order.shuffle(turns)
        for name, function in turns:
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(times) for name, times in seconds.items()}


def get_ready(call: Callable[[], object], nbytes: int) -> None:
    """Call until the kernels are there; small sums ask for them late."""
    for _ in range(kernels.SMALL_SUMS + 1 if nbytes < 1 << 16 else 1):
        call()
    kernels.wait()


def cases(full: bool) -> Iterator[tuple[str, str, int]]:
    """Return (dtype, layout, bytes) of what is measured, the large ones first."""
    if full:
        yield from ((dtype, layout, size) for size in reversed(SIZES) for dtype in DTYPES for layout in LAYOUTS)
        return
    for dtype in DTYPES:
        yield dtype, "contiguous", LARGE
    for layout in MAIN_LAYOUTS:
        yield "float32", layout, LARGE
        yield "float64", layout, LARGE
    for layout in set(LAYOUTS) - set(MAIN_LAYOUTS) - {"contiguous"}:
        yield "float32", layout, LARGE
    for size in reversed(SIZES):
        if size != LARGE:
            for dtype in ("float32", "float64", "int32", "uint8"):
                yield dtype, "contiguous", size
            yield "float32", "square, axis 0", size
            yield "float32", "(n, 100), axis 1", size


FIXED = ("limit", "numpy", "dispatch")
"""What is always measured."""

TOLERATED = 1.05
"""Times NumPy's time above which a case is listed at the end."""


def measure(
    dtype: str, layout: str, size: int, pool: ThreadPoolExecutor, rounds: int, *, with_peers: bool
) -> dict[str, Any] | None:
    """Return a record of a case: the bytes touched and everybody's seconds; None where there is no such array."""
    vector = elements(dtype, size)
    try:
        a, arguments, nbytes = LAYOUTS[layout](vector)
    except (ValueError, ZeroDivisionError):
        return None
    if a.size == 0:
        return None
    timed = {
        "limit": reader(vector, pool),
        "numpy": lambda: np.sum(a, **arguments),
        "dispatch": lambda: dispatch.sum(a, **arguments),
    }
    get_ready(timed["dispatch"], a.nbytes)
    timed |= peers(a, arguments) if with_peers else {}
    return {"dtype": dtype, "layout": layout, "size": size, "bytes": nbytes, "seconds": medians(timed, rounds)}


def speeds(record: dict[str, Any]) -> dict[str, float]:
    """Return GB/s by name; the limit reads the whole vector."""
    return {
        name: record["size" if name == "limit" else "bytes"] / seconds / 1e9
        for name, seconds in record["seconds"].items()
    }


def slowness(record: dict[str, Any]) -> float:
    """Return our time in NumPy's."""
    return record["seconds"]["dispatch"] / record["seconds"]["numpy"]


def line(record: dict[str, Any]) -> str:
    """Return the line of a case: GB/s, the ratio to NumPy's speed and to the bandwidth, and the same of the peers."""
    speed = speeds(record)
    others = "  ".join(f"{name} {speed[name] / speed['limit']:.2f}" for name in speed if name not in FIXED)
    return (
        f"{record['dtype']:10} {record['layout']:20} {record['size']:10d} {speed['dispatch']:8.3f}"
        f" {1 / slowness(record):7.2f} {speed['dispatch'] / speed['limit']:7.2f}   {others}"
    )


def main() -> None:
    """Print a line a case, and then those that are slower than NumPy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every dtype, layout and size")
    parser.add_argument("--only", metavar="PATTERN", default="", help='regular expression for "dtype, layout, bytes"')
    parser.add_argument("--plot", metavar="FILE", help="write a picture: size against GB/s")
    parser.add_argument("--peers", action="store_true", help="measure numexpr, bottleneck, torch and pyopencl too")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: add to them, skip what they have")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so long")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    dispatch.set_default("cpu")
    print(f"{platform.processor() or platform.machine()}, {cores()} of {os.cpu_count()} cores, NumPy {np.__version__}")
    print(f"{'dtype':10} {'layout':20} {'bytes':>10} {'GB/s':>8} {'/numpy':>7} {'/limit':>7}")
    kept = options.results.read_text().splitlines() if options.results and options.results.exists() else []
    records = {(r["dtype"], r["layout"], r["size"]): r for r in map(json.loads, kept)}
    left = 0
    with ThreadPoolExecutor(cores()) as pool:
        for case in cases(options.full):
            if case in records or not re.search(options.only, ", ".join(map(str, case))):
                continue
            if time.monotonic() > end:
                left += 1
                continue
            record = measure(*case, pool, options.rounds, with_peers=options.peers)
            if record is None:
                continue
            records[case] = record
            print(line(record), flush=True)
            if options.results:
                with options.results.open("a") as file:
                    print(json.dumps(record), file=file)
    slower = sorted((r for r in records.values() if slowness(r) > TOLERATED), key=slowness, reverse=True)
    print(f"slower than {TOLERATED} times NumPy: {len(slower)} of {len(records)}; not measured yet: {left}")
    for record in slower:
        print(f"  {slowness(record):5.2f}  {record['dtype']:10} {record['layout']:20} {record['size']:10d}")
    if options.plot:
        draw(records.values(), options.plot)


def draw(records: Iterable[dict[str, Any]], path: str) -> None:
    """Draw bytes against GB/s of a contiguous float32 sum."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines: dict[str, dict[int, float]] = {}
    for record in records:
        if (record["dtype"], record["layout"]) == ("float32", "contiguous"):
            for name, speed in speeds(record).items():
                lines.setdefault(name, {})[record["size"]] = speed
    axes = (figure := Figure(layout="constrained")).subplots()
    for name, points in lines.items():
        sizes = sorted(points)
        axes.loglog(sizes, [points[size] for size in sizes], "k--" if name == "limit" else "o-", label=name)
    axes.set(xlabel="bytes", ylabel="GB/s", title="sum of contiguous float32")
    axes.legend()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sum"}):  # small, and the same file for the same numbers
        figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else {})


if __name__ == "__main__":
    main()
