"""The command line, one file a command: see ``dispatch --help``.

Exit codes: 0 done; 1 the computation failed; 2 wrong usage or bad input; 3 no backend could run it; 130 interrupted.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import traceback
from collections.abc import Sequence

from dispatch import __version__
from dispatch.cli import bench, calibrate, check, demo, doctor, eigsh, explain, list_backends, new, sum
from dispatch.cli.exit_codes import DONE, FAILED, INTERRUPTED, exit_code
from dispatch.cli.parser import Parser
from dispatch.cli.streams import STDERR, command_streams, complain, drop_unwritten_output


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name; by default those of the process.
    """
    if not faulthandler.is_enabled():
        faulthandler.enable(STDERR)  # a crash says in which file of which plugin
    options = argparse.Namespace(debug=False)
    with command_streams():
        if sys.stdout is None:
            complain("error", "the standard output stream is closed")
            return FAILED
        try:
            _parser().parse_args(argv, options)
            code = int(options.run(options))
            sys.stdout.flush()  # a reader that went away, or a full disk, shows here
        except BrokenPipeError:
            drop_unwritten_output()
            return DONE  # the reader has all that it wanted, as `| head` does
        except KeyboardInterrupt:
            return INTERRUPTED
        except Exception as error:  # noqa: BLE001 - whatever ends a command is told in one line
            drop_unwritten_output()
            if options.debug:
                traceback.print_exc()
            else:
                complain("error", str(error) or type(error).__name__)
            return exit_code(error)
        return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="dispatch", description="One call, any hardware: sum and eigsh.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (list_backends, sum, eigsh, explain, demo, check, doctor, calibrate, bench, new):
        command.add_to(commands)
    return parser
