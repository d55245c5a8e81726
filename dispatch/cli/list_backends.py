"""``dispatch list``: every known backend, its devices, or why it cannot be used and what to do."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import dispatch
from dispatch.cli.arguments import add_json
from dispatch.cli.exit_codes import DONE
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import plugins_print_to_stderr
from dispatch.cli.tables import as_table


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("list", help="show every known backend")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the inventory: as JSON, as a table on a terminal, as lines elsewhere."""
    with plugins_print_to_stderr():
        inventory = dispatch.backends()
    if options.json:
        sys.stdout.write(to_json(inventory.to_dict(), indent=2))
    elif sys.stdout.isatty():
        sys.stdout.write(as_table(("backend", "distribution", "devices", "status", "remedy"), map(_row, inventory)))
        for problem in inventory.problems:
            sys.stdout.write(f"{problem}\n")
    else:
        sys.stdout.write(f"{inventory}\n")
    return DONE


def _row(row: dispatch.BackendInfo) -> tuple[str, ...]:
    origin = f"{row.distribution} {row.version}" if row.distribution else "-"
    devices = "\n".join(f"{device.name}  {device.description}" for device in row.devices)
    return row.name, origin, devices or "-", "available" if row.available else row.reason, row.remedy
