"""Start another Python, for work that no call should wait for, or that could take its process along."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command ``python -m module arguments``.

    Raises
    ------
    RuntimeError
        Where no Python can be started, as in a frozen executable or a program that has Python built in: the command
        would start that program once more.
    """
    python = sys.executable or ""
    if getattr(sys, "frozen", False) or not Path(python).name.lower().startswith(("python", "pypy")):
        raise RuntimeError(f"{python or 'this program'} cannot be started as a Python interpreter")
    return [python, "-P", "-m", module, *arguments]


def start_silently(
    command: Sequence[str], variables: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> None:
    """Start a process that says nothing, that nobody waits for, and that outlives this one if need be.

    A Python that is started imports what this process could import.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    variables : mapping of str to str, optional
        Environment variables that differ from those of this process.
    pass_fds : sequence of int
        File descriptors that it gets.

    Raises
    ------
    RuntimeError
        Where it cannot be started.
    """
    import subprocess  # for `import dispatch` not to load it

    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The shell leaves the process to the system, so that nobody has to wait for it.
    shell = ["/bin/sh", "-c", '"$@" &', "sh"] if os.name == "posix" else []
    try:
        process = subprocess.Popen(
            [*shell, *command],
            env={**os.environ, **path, **(variables or {})},
            pass_fds=pass_fds,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise RuntimeError(f"{command[0]} could not be started: {error}") from error
    if shell and process.wait() != 0:
        raise RuntimeError(f"{command[0]} could not be started by a shell")
