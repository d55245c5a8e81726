"""The command line: ``dispatch list | sum | eigsh | explain | demo | check | new``, one file a command.

Exit codes: 0 done; 1 the computation failed; 2 wrong usage or bad input; 3 no backend could run it; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from dispatch.cli import check, demo, eigsh, explain, list_backends, new, sum
from dispatch.cli.exit_codes import DONE, INTERRUPTED, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name; by default those of the process.
    """
    options = _parser().parse_args(argv)
    try:
        code = int(options.run(options))
        sys.stdout.flush()  # a reader that went away shows here
    except BrokenPipeError:
        # The reader went away, as `| head` does; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if options.debug:
            raise
        sys.stderr.write(f"dispatch: error: {' '.join(str(error).split()) or type(error).__name__}\n")
        return exit_code(error)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dispatch", description="One call, any hardware: sum and eigsh.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (list_backends, sum, eigsh, explain, demo, check, new):
        command.add_to(commands)
    return parser
