"""What a warm call costs beside the work: `dispatch.sum` of one element against `numpy.sum`, and other dispatchers.

Run as ``python benchmarks/overhead.py``; the figures are interleaved minima over many repeats, in one process.
"""

from __future__ import annotations

import os
import platform
import timeit

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import scipy.fft

import dispatch

CALLS, REPEATS = 20_000, 25


def plain() -> None:
    """Do nothing: the cost of a plain Python call."""


def candidates() -> dict[str, tuple[object, tuple[object, ...]]]:
    """Return what is timed: a function and its arguments by name."""
    x = np.ones(1)
    timed = {
        "plain Python call": (plain, ()),
        "numpy.sum(x)": (np.sum, (x,)),
        "dispatch.sum(x)": (dispatch.sum, (x,)),
        "numpy.sum(x, 0)": (np.sum, (x, 0)),
        "dispatch.sum(x, 0)": (dispatch.sum, (x, 0)),
        "numpy.sum(x, dtype=float)": (lambda: np.sum(x, dtype=float), ()),
        "dispatch.sum(x, dtype=float)": (lambda: dispatch.sum(x, dtype=float), ()),
        "dispatch.sum(x, backend='cpu')": (lambda: dispatch.sum(x, backend="cpu"), ()),
        "numpy.sum([1.0])": (np.sum, ([1.0],)),
        "dispatch.sum([1.0])": (dispatch.sum, ([1.0],)),
        "scipy.fft.fft(x), uarray": (scipy.fft.fft, (x,)),
    }
    try:
        import networkx as nx

        graph = nx.path_graph(2)
        timed["networkx.number_of_selfloops"] = (nx.number_of_selfloops, (graph,))
        timed["  the same, undispatched"] = (nx.number_of_selfloops.orig_func, (graph,))
    except ImportError:
        pass
    return timed


def main() -> None:
    """Print a line a candidate: its time, and its distance from `numpy.sum` in plain calls."""
    timers = {name: timeit.Timer(lambda f=f, a=a: f(*a)) for name, (f, a) in candidates().items()}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(REPEATS):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(CALLS) / CALLS)
    empty = best["plain Python call"] / 2  # the timer's own lambda is a plain call as well
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    for name, seconds in best.items():
        distance = (seconds - best["numpy.sum(x)"]) / empty
        print(f"{name:32} {(seconds - empty) * 1e9:8.0f} ns   {distance:+7.1f} plain calls from numpy.sum")


if __name__ == "__main__":
    main()
