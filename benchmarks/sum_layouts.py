"""`dispatch.sum` against `numpy.sum` on the CPU, over random layouts: shapes, slices, orders of axes and arguments.

Run as ``python benchmarks/sum_layouts.py``; ``--seconds N`` and ``--seed N`` say for how long and which. `sum.py` has
layouts that people name; this finds those that nobody thought of. A sum that seems slower than 1.05 times NumPy's is
measured again, twice, with more rounds each time, and counts if it is slower in all three: a single median of few
rounds is above 1.05 in one of 30 cases for NumPy against itself.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from sum import TOLERATED, elements, get_ready, marks, medians

import dispatch

DTYPES = [
    "float32",
    "float64",
    "complex64",
    "complex128",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint64",
    "bool",
]
STEPS = {(0, 1): 0.55, (1, 1): 0.15, (0, 2): 0.1, (0, 3): 0.08, (None, -1): 0.07, (0, 10): 0.05}
"""Where slices begin, and their steps, by how often they are drawn."""

ARGUMENTS = {"none": 0.66, "keepdims": 0.08, "initial": 0.08, "where": 0.08, "out": 0.06, "dtype": 0.04}
ROUNDS = (5, 15, 31)


class Case(NamedTuple):
    """A sum: of which array, over which axes, with which further argument."""

    dtype: str
    shape: tuple[int, ...]
    slices: tuple[slice, ...]
    order: tuple[int, ...]
    axis: int | tuple[int, ...] | None
    argument: str

    def array(self) -> np.ndarray:
        """Return what is summed."""
        vector = elements(self.dtype, int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize)
        return vector.reshape(self.shape)[self.slices].transpose(self.order)

    def arguments(self, a: np.ndarray) -> dict[str, Any]:
        """Return the arguments behind the axis."""
        given = {
            "keepdims": lambda: True,
            "initial": lambda: 1,
            "where": lambda: marks(a),
            "out": lambda: np.asarray(np.sum(a, self.axis)),
            "dtype": lambda: np.result_type(a, np.float64),
        }
        return {name: make() for name, make in given.items() if name == self.argument}

    def size(self, a: np.ndarray) -> str:
        """Return how many elements there are, in words."""
        return next(word for word, most in (("tiny", 1 << 11), ("small", 1 << 16), ("large", 1 << 62)) if a.size < most)

    def text(self) -> str:
        """Return the case in NumPy's notation."""
        parts = (f"{part.start or ''}:{'' if part.step in (1, None) else f':{part.step}'}" for part in self.slices)
        order = "" if self.order == tuple(sorted(self.order)) else f".transpose{self.order}"
        argument = "" if self.argument == "none" else f", {self.argument}"
        return f"{self.dtype} {self.shape}[{', '.join(parts)}]{order}, axis={self.axis}{argument}"


def draw(rng: random.Random, largest: int) -> Case:
    """Return a random case of at most about 2**largest bytes before it is sliced."""
    dtype, ndim = rng.choice(DTYPES), rng.choice((1, 2, 2, 2, 3, 3, 4))
    left = max(int(2 ** rng.uniform(5, largest) / np.dtype(dtype).itemsize), 1)
    shape = []
    for _ in range(ndim - 1):
        shape.append(int(2 ** rng.uniform(0, np.log2(left))))
        left //= shape[-1]
    shape.append(left)
    rng.shuffle(shape)
    slices = tuple(_slice(rng) if n > 1 else slice(None) for n in shape)
    order = list(range(ndim))
    if rng.random() < 0.3:
        rng.shuffle(order)
    axes = tuple(sorted(rng.sample(range(ndim), rng.choice((1, 1, 1, min(2, ndim), ndim)))))
    axis = None if rng.random() < 0.25 else axes[0] if len(axes) == 1 else axes
    return Case(dtype, tuple(shape), slices, tuple(order), axis, rng.choices([*ARGUMENTS], [*ARGUMENTS.values()])[0])


def _slice(rng: random.Random) -> slice:
    start, step = rng.choices([*STEPS], [*STEPS.values()])[0]
    return slice(start, None, step)


def slowness(case: Case, a: np.ndarray) -> float:
    """Return our time in NumPy's: the least of the ratios that were measured."""
    arguments = case.arguments(a)
    timed = {
        "numpy": lambda: np.sum(a, case.axis, **arguments),
        "dispatch": lambda: dispatch.sum(a, case.axis, **arguments),
    }
    get_ready(timed["dispatch"], a.nbytes)
    least = float("inf")
    for rounds in ROUNDS:
        seconds = medians(timed, rounds)
        least = min(least, seconds["dispatch"] / seconds["numpy"])
        if least <= TOLERATED:
            break
    return least


def main() -> None:
    """Print how many are slower, by size, and the worst of each layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--largest", type=int, default=24, metavar="N", help="arrays of at most 2**N bytes")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    dispatch.set_default("cpu")
    rng, end = random.Random(options.seed), time.monotonic() + options.seconds
    ratios: dict[str, list[tuple[float, str]]] = defaultdict(list)
    while time.monotonic() < end:
        case = draw(rng, options.largest)
        a = case.array()
        if a.size:
            ratios[case.size(a)].append((slowness(case, a), case.text()))
    for size, measured in ratios.items():
        slower = sorted((one for one in measured if one[0] > TOLERATED), reverse=True)
        beyond = {bound: len([ratio for ratio, _ in slower if ratio > bound]) for bound in (TOLERATED, 1.25, 1.5, 2, 3)}
        print(f"{size}: {len(measured)} sums; slower than", ", ".join(f"{b} times: {n}" for b, n in beyond.items()))
        for ratio, text in slower[:10]:
            print(f"  {ratio:5.2f}  {text}")


if __name__ == "__main__":
    main()
