"""The standard streams while a command runs."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Literal


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """Show each warning as one line, print what the encoding lacks as escapes, and bear a closed stderr."""
    with contextlib.ExitStack() as stack:
        if sys.stderr is None:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        stack.callback(setattr, warnings, "showwarning", warnings.showwarning)
        warnings.showwarning = _show_warning
        yield


@contextlib.contextmanager
def plugins_print_to_stderr() -> Iterator[None]:
    """Send to stderr what is printed by Python, by C libraries and by programs that are started meanwhile."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError):  # a descriptor that is closed has nowhere to go to
            os.fstat(STDERR)
            ours = os.dup(STDOUT)
            stack.callback(os.close, ours)
            stack.callback(os.dup2, ours, STDOUT)
            stack.callback(_flush_c)  # what C still holds would follow our own output
            os.dup2(STDERR, STDOUT)
        yield


STDOUT, STDERR = 1, 2
"""Descriptors of the process's standard streams, which C libraries and other programs write to."""


def _flush_c() -> None:
    with contextlib.suppress(OSError, TypeError, AttributeError):  # where C's library cannot be got like this
        ctypes.CDLL(None).fflush(None)


def complain(kind: Literal["error", "warning"], message: object) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"dispatch: {kind}: {' '.join(str(message).split())}\n")


def drop_unwritten_output() -> None:
    """Write what stdout still holds, or drop what it cannot: the interpreter would fail on it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    complain("warning", message)
