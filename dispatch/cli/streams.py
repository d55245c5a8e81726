"""The standard streams while a command runs."""

from __future__ import annotations

import contextlib
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
