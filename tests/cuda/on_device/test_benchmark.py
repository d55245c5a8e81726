"""The benchmark for GPUs runs to its end, so that it is ready where there is one."""

from __future__ import annotations

import runpy
from pathlib import Path

SHRINK = 1 << 14


def test_the_benchmark_runs_to_its_end(capsys):
    """At sizes that say nothing of speed."""
    script = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "gpu.py"))
    script["main"].__globals__["peak_bandwidth"] = lambda: 1e12  # no stand-in for a device has one
    script["main"].__globals__["REPEATS"] = 1
    assert script["main"](SHRINK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(script["CASES"]) + len(script["GRIDS"])
    assert all("dispatch" in line or "cuda" in line for line in lines[1:])
