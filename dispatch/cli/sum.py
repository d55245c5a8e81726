"""``dispatch sum FILE``: the sum of an array in a file."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

import dispatch
from dispatch.cli.arguments import add_backend, add_file, add_json
from dispatch.cli.files import read


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("sum", help="sum an array in a file")
    add_file(parser)
    parser.add_argument("--axis", type=int, help="the axis to sum over (default: all)")
    parser.add_argument("--dtype", help="the type to add in")
    parser.add_argument("--out", metavar="FILE", help="save the sum as .npy")
    add_backend(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the sum, who computed it, and why."""
    a = read(options.file, options.key)
    arguments = {"axis": options.axis, "dtype": options.dtype, "backend": options.backend}
    decision = dispatch.explain("sum", a, **arguments)
    total = dispatch.sum(a, **arguments)
    if options.out:
        np.save(options.out, total)
    where = decision.chosen.name if decision.chosen is not None else "?"
    if options.json:
        result = {"sum": np.asarray(total).tolist(), "device": where, "source": decision.source}
        sys.stdout.write(json.dumps(result, default=str) + "\n")
    else:
        sys.stdout.write(f"{total}\non {where} ({decision.source})\n")
    return 0
