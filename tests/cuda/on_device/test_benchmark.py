"""The benchmark for GPUs runs to its end, so that it is ready where there is one."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

SHRINK = 1 << 14


def test_the_benchmark_runs_to_its_end(capsys):
    """At sizes that say nothing of speed."""
    script = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "gpu.py"))
    script["main"].__globals__["peak_bandwidth"] = lambda timer: 1e12  # no stand-in for a device has one
    script["main"].__globals__["REPEATS"] = 1
    assert script["main"](SHRINK) == 0
    lines = capsys.readouterr().out.splitlines()
    sums, primitives, grids = script["CASES"], script["EXPECTED"], script["GRIDS"]
    assert len(lines) == 1 + len(sums) + 2 * len(primitives) + len(grids)
    for line, (*_, (low, high)) in zip(lines[1:], sums, strict=False):
        ratio = float(re.search(r"dispatch (\d\.\d\d)", line)[1])
        assert f"(expected {low:.2f} to {high:.2f}: {'less' if ratio < low else 'more'})" in line
    for line, name in zip(lines[1 + len(sums) :], [*primitives] * 2, strict=False):
        assert line.startswith(f"{name} ")
        assert "(expected" in line
    assert all(re.search(r"products expected: \d+\.\d{3} s\)", line) for line in lines[-len(grids) :])
