"""Is what automatic choice takes the fastest? Every device that can run a call runs it, and the choice is compared.

Run ``dispatch calibrate`` first, on an otherwise idle machine. ``python benchmarks/choice.py --cases sum:float64``
times a part of the grid and appends it to a file of JSON lines; without ``--cases`` all of it; ``--table`` sums the
file up. Devices take turns, the figure is the median; what a first call compiles or loads is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import dispatch

SIZES = [1 << power for power in range(0, 27, 2)]
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int8", "bool", "complex64")

WITHIN, NEVER = 1.25, 2.0
"""The ratio to the best time that 95 % of the cases shall keep, and the one that all shall."""


def laplacian(edge: int, dimensions: int) -> Any:
    """Return the Laplacian of a grid."""
    T = sp.diags_array([[-1.0] * (edge - 1), [2.0] * edge, [-1.0] * (edge - 1)], offsets=[-1, 0, 1])
    A = T
    for _ in range(dimensions - 1):
        A = sp.kron(A, sp.eye_array(T.shape[0])) + sp.kron(sp.eye_array(A.shape[0]), T)
    return sp.csr_array(A)


def random_graph(n: int) -> Any:
    """Return a random symmetric matrix with twenty elements a row."""
    A = sp.random_array((n, n), density=10 / n, rng=np.random.default_rng(0), format="csr")
    return sp.csr_array(A + A.T)


MATRICES = {
    "plane": lambda n: laplacian(round(n ** (1 / 2)), 2),
    "cube": lambda n: laplacian(round(n ** (1 / 3)), 3),
    "random": random_graph,
}
EIGSH = [
    (matrix, n, which)
    for matrix, which in (("plane", "SA"), ("plane", "LA"), ("cube", "SA"), ("cube", "LA"), ("random", "LM"))
    for n in (10**2, 10**3, 3 * 10**3, 10**4, 10**5)
] + [("cube", 10**6, "LA")]


def cases() -> Iterator[tuple[str, str, tuple[Any, ...], dict[str, Any]]]:
    """Yield every case: its group, its name, and a function that makes the arguments."""
    for dtype in DTYPES:
        for size in SIZES:
            yield f"sum:{dtype}", f"{size}", lambda size=size, dtype=dtype: (("sum", np.ones(size, dtype)), {})
    for matrix, n, which in EIGSH:

        def make(matrix: str = matrix, n: int = n, which: str = which) -> Any:
            return ("eigsh", MATRICES[matrix](n)), {"k": 6, "which": which, "tol": 1e-4}

        yield f"eigsh:{matrix}:{which}" + (":large" if n > 10**5 else ""), f"{n}", make


def measure(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the choice, its estimates, and every device's median time."""
    operation, operand = arguments
    decision = dispatch.explain(operation, operand, **keywords)
    able = [candidate for candidate in decision.candidates if candidate.can_run]
    function = getattr(dispatch, operation)
    times: dict[str, list[float]] = {candidate.name: [] for candidate in able}
    started = time.perf_counter()
    for name in times:
        function(operand, backend=name, **keywords)
    once = time.perf_counter() - started
    for _ in range(max(1, min(31, int(0.3 / max(once, 1e-3))))):
        for name, of_device in times.items():
            calls = max(1, min(50, int(1e-3 / max(once, 2e-5))))  # a clock's tick is no small part of a microsecond
            started = time.perf_counter()
            for _ in range(calls):
                function(operand, backend=name, **keywords)
            of_device.append((time.perf_counter() - started) / calls)
    medians = {name: statistics.median(of_device) for name, of_device in times.items()}
    chosen = decision.chosen.name
    return {
        "chosen": chosen,
        "ratio": medians[chosen] / min(medians.values()),
        "seconds": medians,
        "estimates": {candidate.name: candidate.seconds for candidate in able},
        "basis": decision.chosen.basis,
    }


def warm_up() -> None:
    """Have every kernel loaded that sums of small and large arrays ask for in the background."""
    for dtype in DTYPES:
        for size in [1] * 70 + [1 << 20]:
            dispatch.sum(np.ones(size, dtype), backend="cpu")
    try:
        from dispatch_cpu import kernels

        kernels.wait()
    except ImportError:
        pass


def table(path: Path) -> None:
    """Print a row a group of cases."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        case = json.loads(line)
        found[case["group"], case["case"]] = case  # the last run of a case counts
    print("| calls | cases | chosen | within 1.25 of the best | worst ratio |\n|---|---|---|---|---|")
    groups = dict.fromkeys(group.removesuffix(":large") for group, _ in found)
    for group in (*groups, ""):
        rows = [case for (of_group, _), case in found.items() if of_group.startswith(group)]
        chosen = ", ".join(
            f"{name} {sum(case['chosen'] == name for case in rows)}" for name in sorted({c["chosen"] for c in rows})
        )
        good = sum(case["ratio"] <= WITHIN for case in rows)
        worst = max(rows, key=lambda case: case["ratio"])
        print(
            f"| {group or 'all'} | {len(rows)} | {chosen} | {good} ({good / len(rows):.0%}) "
            f"| {worst['ratio']:.2f} ({worst['case']}{'' if group else ' of ' + worst['group']}) |"
        )


def main() -> None:
    """Measure or sum up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", nargs="*", help="groups of cases, such as sum:float64 or eigsh:plane:SA")
    parser.add_argument("--file", type=Path, default=Path("choice.jsonl"))
    parser.add_argument("--table", action="store_true", help="print what the file has")
    options = parser.parse_args()
    if options.table:
        table(options.file)
        return
    warm_up()
    with options.file.open("a") as file:
        for group, name, make in cases():
            if options.cases and group not in options.cases:
                continue
            result = measure(*make())
            file.write(json.dumps({"group": group, "case": name, **result}) + "\n")
            file.flush()
            times = ", ".join(f"{device} {seconds * 1e6:.0f} µs" for device, seconds in result["seconds"].items())
            print(f"{group} {name}: {result['chosen']} ({result['ratio']:.2f}); {times}", flush=True)


if __name__ == "__main__":
    main()
