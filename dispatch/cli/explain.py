"""``dispatch explain sum|eigsh FILE``: who would run it, and why, without running it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import dispatch
from dispatch.cli.arguments import add_eigsh, add_file, add_json, add_sum, eigsh_arguments, sum_arguments
from dispatch.cli.exit_codes import DONE, exit_code
from dispatch.cli.files import read
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import plugins_print_to_stderr

OPERATIONS = {"sum": (add_sum, sum_arguments), "eigsh": (add_eigsh, eigsh_arguments)}


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("explain", help="show who would run a call, and why")
    operations = parser.add_subparsers(title="operations", dest="operation", metavar="sum|eigsh", required=True)
    for name, (add_arguments, _) in OPERATIONS.items():
        operation = operations.add_parser(name)
        add_file(operation)
        add_arguments(operation)
        add_json(operation)
        operation.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the decision, candidate by candidate; the code is that with which the call itself would end."""
    _, arguments = OPERATIONS[options.operation]
    with plugins_print_to_stderr():
        a = read(options.file, options.key)
        decision = dispatch.explain(options.operation, a, **arguments(options))
    sys.stdout.write(to_json(decision.to_dict(), indent=2) if options.json else f"{decision}\n")
    return DONE if decision.error is None else exit_code(decision.error)
