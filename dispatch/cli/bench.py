"""``dispatch bench``: this machine's speed at `sum` and `eigsh` on every device, as a table, JSON and a picture."""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dispatch import __version__
from dispatch.benchmark import EDGES, SIZES, Timing, crossovers, devices, time_eigenproblems, time_sums
from dispatch.cli.argument_types import output_file, plot_file
from dispatch.cli.exit_codes import DONE
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import plugins_print_to_stderr
from dispatch.cli.tables import as_table
from dispatch.decision import format_seconds
from dispatch.errors import UnknownBackendError

QUICK = 3
"""How many of the sizes ``--quick`` takes, the smallest ones."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("bench", help="time sum and eigsh on every device of this machine")
    parser.add_argument(
        "--backend", metavar="NAME", action="append", help="only this device or backend; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="only the smallest sizes")
    parser.add_argument("--out", metavar="FILE", type=output_file, help="save the figures as JSON")
    parser.add_argument("--plot", metavar="FILE", type=plot_file, help="draw them")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a table of times, and from which size on each device is worth it."""
    sizes, edges = (SIZES[:QUICK], EDGES[:QUICK]) if options.quick else (SIZES, EDGES)
    with plugins_print_to_stderr():
        there = devices()
        wanted = options.backend or [device.name for device in there]
        names = [d.name for d in there if d.name in wanted or d.name.partition(":")[0] in wanted]
        if not names:
            known = ", ".join(device.name for device in there)
            raise UnknownBackendError(f"--backend: {', '.join(wanted)} is no device of this machine; there is {known}")
        timings = [*time_sums(names, sizes), *time_eigenproblems(names, edges)]
    # What the device reads at most, as far as sums of the largest arrays tell.
    sums = [t for t in timings if t.operation == "sum" and t.size == max(sizes)]
    peaks = {name: max((t.rate for t in sums if t.device == name), default=None) for name in names}
    sys.stdout.write(as_table(("operation", "case", "size", *names), _rows(timings, names, peaks)))
    crossing = crossovers(timings, names[0])
    for found in crossing:
        where = f"from {found['size']} on" if found["size"] is not None else "at no size here"
        sys.stdout.write(f"{found['operation']}, {found['case']}: {found['device']} beats {names[0]} {where}\n")
    if options.out:
        document = {
            "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
            "versions": {"array-dispatch": __version__, "numpy": np.__version__},
            "devices": [asdict(d) | {"profile": d.profile and d.profile.to_dict()} for d in there if d.name in names],
            "bandwidths": peaks,
            "timings": [asdict(timing) for timing in timings],
            "crossovers": crossing,
        }
        Path(options.out).write_text(to_json(document, indent=1), "utf-8")
    if options.plot:
        _draw(timings, names, options.plot)
    return DONE


def _rows(timings: list[Timing], names: list[str], peaks: dict[str, float | None]) -> list[tuple[str, ...]]:
    """Return a row for each case and size: the times, and of sums the share of the device's bandwidth."""
    by_row: dict[tuple[str, str, int], dict[str, str]] = {}
    for t in timings:
        peak = peaks[t.device]
        share = f" ({t.rate / peak:.0%})" if t.operation == "sum" and peak is not None else ""
        by_row.setdefault((t.operation, t.case, t.size), {})[t.device] = format_seconds(t.seconds) + share
    return [
        (operation, case, str(size), *(cells.get(name, "-") for name in names))
        for (operation, case, size), cells in by_row.items()
    ]


def _draw(timings: list[Timing], names: list[str], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, operation, label in zip(
        figure.subplots(1, 2), ("sum", "eigsh"), ("elements", "order of the matrix"), strict=True
    ):
        for case in dict.fromkeys(t.case for t in timings if t.operation == operation):
            for name in names:
                points = [t for t in timings if (t.operation, t.case, t.device) == (operation, case, name)]
                axes.loglog([t.size for t in points], [t.seconds for t in points], "o-", label=f"{name}, {case}")
        axes.set(title=operation, xlabel=label, ylabel="seconds")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
