"""``dispatch explain sum|eigsh FILE``: who would run it, and why, without running it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import dispatch
from dispatch.cli.arguments import add_backend, add_eigsh, add_file, add_json
from dispatch.cli.exit_codes import DONE, exit_code
from dispatch.cli.files import read


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("explain", help="show who would run a call, and why")
    operations = parser.add_subparsers(title="operations", dest="operation", metavar="sum|eigsh", required=True)
    for name in ("sum", "eigsh"):
        operation = operations.add_parser(name)
        add_file(operation)
        if name == "eigsh":
            add_eigsh(operation)
        add_backend(operation)
        add_json(operation)
        operation.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the decision, candidate by candidate; the code is that with which the call itself would end."""
    a = read(options.file, options.key)
    arguments: dict[str, Any] = {"backend": options.backend}
    if options.operation == "eigsh":
        M = read(options.mass) if options.mass else None
        arguments |= {"k": options.k, "which": options.which, "M": M, "tol": options.tol, "maxiter": options.maxiter}
    decision = dispatch.explain(options.operation, a, **arguments)
    sys.stdout.write(f"{json.dumps(decision.to_dict(), indent=2) if options.json else decision}\n")
    return DONE if decision.error is None else exit_code(decision.error)
