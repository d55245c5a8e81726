"""``dispatch doctor``: run every installed backend in a process of its own, and say what is wrong and what to do.

Without a name it tells what is wrong around them as well: variables that are not obeyed, metadata that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from dispatch.cli.argument_types import positive_seconds
from dispatch.cli.arguments import add_json
from dispatch.cli.entries import named_entries
from dispatch.cli.exit_codes import DONE, FAILED
from dispatch.cli.json_document import to_json
from dispatch.cli.tables import as_table
from dispatch.context import environment_problem
from dispatch.decision import format_seconds
from dispatch.devices import python_command
from dispatch.entry import Entry, UnusableEntry
from dispatch.errors import shortened
from dispatch.registry import registry

HEADER = ("device", "verdict", "reason", "remedy")

SECONDS = 120.0
"""What a backend may take: a first run compiles its kernels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a device, or a setting: ``verdict`` is well, unavailable, broken, crashed or hung."""

    device: str
    verdict: str
    reason: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether there is nothing to mend: hardware that is not there is no fault."""
        return self.verdict in ("well", "unavailable")


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="try every backend in a process of its own")
    parser.add_argument("name", nargs="*", help="which backends (default: all)")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=positive_seconds, default=SECONDS,
        help=f"what a backend may take (default {SECONDS:g})",
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a row a device; return 1 where one is broken, crashes, hangs or computes wrongly."""
    findings = [finding for entry in named_entries(*options.name) for finding in _examined(entry, options.timeout)]
    if not options.name:
        problems = (*registry.table().problems, *environment_problem())
        findings += [Finding(problem.source, "broken", problem.reason, problem.remedy) for problem in problems]
    well = all(finding.well for finding in findings)
    if options.json:
        sys.stdout.write(to_json({"well": well, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        sys.stdout.write(as_table(HEADER, ((f.device, f.verdict, f.reason, f.remedy) for f in findings)))
    return DONE if well else FAILED


def _examined(entry: Entry, seconds: float) -> Iterator[Finding]:
    if isinstance(entry, UnusableEntry):
        why = entry.backend()
        yield Finding(
            entry.name, "broken" if why.hardware_present or why.broken else "unavailable", why.reason, why.remedy
        )
        return
    command = python_command("dispatch.examination", entry.name)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    hung = False
    try:
        report, complaints = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        hung = True
        process.kill()
        report, complaints = process.communicate()
    step = "start"
    for line in report.splitlines():
        told = json.loads(line)
        step = told.get("step", step)
        if "verdict" in told:
            yield _finding(told)
    if step == "end":
        return
    way_out = f"do without it: DISPATCH_DISABLE={entry.name}"
    if hung:
        yield Finding(entry.name, "hung", f"{step}: no end after {seconds:g} s", f"{way_out}; or allow more: --timeout")
        return
    how, remedy = _end(process.returncode)
    last = complaints.strip().splitlines()[-1:]
    words = "".join(f": {shortened(line, 200)}" for line in last)
    yield Finding(entry.name, "crashed", f"{step}: {how}{words}", f"{remedy}; until then {way_out}")


def _finding(told: dict[str, Any]) -> Finding:
    if told["verdict"] != "well":
        return Finding(told["device"], told["verdict"], told["reason"], told["remedy"])
    times = ", ".join(f"{operation} {format_seconds(seconds)}" for operation, seconds in told["seconds"].items())
    return Finding(told["device"], "well", f"{times or 'it has neither sum nor eigsh'}; {told['description']}")


REMEDIES = {
    signal.SIGILL: "it uses instructions that this processor lacks: install a build that is made for it",
    signal.SIGKILL: "it was ended from outside, most likely for want of memory",
}


def _end(code: int) -> tuple[str, str]:
    """Return how a process ended, and what to do about it."""
    update = "update or reinstall the driver and the packages of this backend"
    if code >= 0:
        return f"the process ended with code {code}", update
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"the process was ended by signal {-code}", update
    return f"the process was ended by {number.name}", REMEDIES.get(number, update)
