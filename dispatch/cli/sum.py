"""``dispatch sum FILE``: the sum of an array in a file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

import dispatch
from dispatch.cli.argument_types import output_file
from dispatch.cli.arguments import add_file, add_json, add_sum, refuse_overwriting, sum_arguments
from dispatch.cli.exit_codes import DONE
from dispatch.cli.files import read
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import plugins_print_to_stderr


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("sum", help="sum an array in a file")
    add_file(parser)
    add_sum(parser)
    parser.add_argument("--out", metavar="FILE", type=output_file, help="save the sum as .npy")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the sum, who computed it, and why."""
    refuse_overwriting(options)
    with plugins_print_to_stderr():
        a = read(options.file, options.key)
        arguments = sum_arguments(options)
        decision = dispatch.explain("sum", a, **arguments)
        total = dispatch.sum(a, **arguments)
    where = decision.chosen.name if decision.chosen is not None else "?"
    try:
        if options.json:
            sys.stdout.write(to_json({"sum": total, "device": where, "source": decision.source}))
        else:
            sys.stdout.write(f"{total}\non {where} ({decision.source})\n")
    finally:  # a reader that went away does not keep the file from being written
        if options.out is not None:
            with open(options.out, "wb") as file:
                np.save(file, total, allow_pickle=False)
    return DONE
