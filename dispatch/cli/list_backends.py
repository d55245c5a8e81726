"""``dispatch list``: every known backend, its devices, or why it cannot be used and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import dispatch
from dispatch.cli.arguments import add_json


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("list", help="show every known backend")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the inventory as a table, or as JSON."""
    inventory = dispatch.backends()
    if options.json:
        sys.stdout.write(json.dumps(inventory.to_dict(), indent=2) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("backend", "distribution", "devices", "status", "remedy")
    for row in inventory:
        origin = f"{row.distribution} {row.version}" if row.distribution else "-"
        devices = "\n".join(f"{device.name}  {device.description}" for device in row.devices)
        table.add_row(row.name, origin, devices or "-", "available" if row.available else row.reason, row.remedy)
    console = Console()
    console.print(table)
    for problem in inventory.problems:
        console.print(f"{problem.source}: {problem.reason} -> {problem.remedy}", markup=False)
    return 0
