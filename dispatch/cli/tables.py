"""Tables on a terminal and elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

UNBOUNDED = 100_000
"""Columns of a stream that is no terminal."""


def as_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table for stdout. On a terminal long cells are folded, elsewhere a row is a line; nothing is cut."""
    from rich.box import HEAVY_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(*header, box=HEAVY_HEAD if terminal else None)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))  # a Text, since brackets are no markup here
    console = Console(width=None if terminal else UNBOUNDED)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
