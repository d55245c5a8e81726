"""``dispatch check NAME``: hold an installed backend to everything that a backend promises."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import dispatch
from dispatch.cli.argument_types import output_file
from dispatch.cli.entries import named_entries
from dispatch.cli.exit_codes import DONE, FAILED
from dispatch.entry import Entry, Unavailable
from dispatch.promptness import lateness

QUIETLY = (
    "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", os.curdir,
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
)  # fmt: skip
"""No settings of the folder that the command happens to run in, and no files left behind in it."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("check", help="run the conformance kit over a backend")
    parser.add_argument("name", help="the backend")
    parser.add_argument(
        "--out", metavar="FILE", type=output_file, help="save what it can do, and what held, as Markdown"
    )
    parser.add_argument("-k", dest="only", metavar="EXPRESSION", help="run only the tests that pytest's -k selects")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the kit, print a table of capabilities and promises, and return 1 where a promise is not kept."""
    (entry,) = named_entries(options.name)
    backend, device = _backend(entry)
    try:
        import pytest

        from dispatch.testing.capabilities import capabilities_of
        from dispatch.testing.promises import Promises
    except ImportError as error:
        raise ValueError(f"the kit needs {error.name}: pip install 'array-dispatch[testing]'") from None
    if late := lateness(entry):
        raise RuntimeError(f"{entry.name}: {late}")
    from dispatch.pytest_option import SUITE

    promises = Promises()
    arguments = [str(SUITE), f"--dispatch-backend={options.name}", *QUIETLY]
    if options.only:
        arguments += ["-k", options.only]
    if pytest.main(arguments, plugins=[promises]) == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise ValueError(f"-k {options.only!r} selects no test of the kit; without -k all of them run")
    capabilities = capabilities_of(backend, device)
    rows = [
        ("sum", _names(capabilities.sum_dtypes)),
        ("eigsh", _names(capabilities.eigsh_dtypes)),
    ]
    report = _markdown(options.name, device, rows, promises)
    sys.stdout.write(report)
    if options.out:
        Path(options.out).write_text(report, "utf-8")
    return DONE if promises.kept else FAILED


def _backend(entry: Entry) -> tuple[dispatch.Backend, dispatch.Device]:
    backend, devices = entry.backend(), entry.devices()
    for found in (backend, devices):
        if isinstance(found, Unavailable):
            raise dispatch.BackendUnavailableError(found.reason, found.remedy)
    return backend, devices[0]  # type: ignore[return-value, index]


def _names(chars: str) -> str:
    return ", ".join(dict.fromkeys(np.dtype(char).name for char in chars)) or "-"


def _markdown(name: str, device: dispatch.Device, rows: list[tuple[str, str]], promises: Any) -> str:
    lines = [f"# {name}", "", f"On {device.name}, {device.description}.", "", "| operation | dtypes |", "|---|---|"]
    lines += [f"| `{operation}` | {dtypes} |" for operation, dtypes in rows]
    lines += ["", "| promise | held | failed | not declared |", "|---|---|---|---|"]
    lines += [f"| {promise} | {held} | {failed} | {skipped} |" for promise, held, failed, skipped in promises.rows()]
    return "\n".join(lines) + "\n"
