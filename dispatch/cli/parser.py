"""The parser of every command: its errors are one line, and ``--debug`` stands before or after the command."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from dispatch.cli.exit_codes import USAGE


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that all its subparsers are made in the image of."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Suppressed, so that a subparser does not undo what stood before its command.
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )

    def error(self, message: str) -> NoReturn:
        """End the process with one line."""
        self.exit(USAGE, f"dispatch: error: {message} (see {self.prog} --help)\n")
