"""What the words of options stand for; argparse puts the name of the option before each error."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import numpy as np

_AXES = re.compile(r"-?[0-9]{1,2}(?:,-?[0-9]{1,2})*")


def axes(text: str) -> int | tuple[int, ...]:
    """Return one axis, or several that commas separate."""
    if not _AXES.fullmatch(text):
        raise ArgumentTypeError(
            f"expected one axis, such as 0, or several, such as 0,2, not {text!r}; arrays have at most 64"
        )
    found = tuple(map(int, text.split(",")))
    return found if len(found) > 1 else found[0]


def dtype(text: str) -> np.dtype[Any]:
    """Return a NumPy dtype."""
    try:
        return np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        raise ArgumentTypeError(f"expected the name of a NumPy dtype, such as float64, not {text!r}") from None


def seed(text: str) -> int:
    """Return a seed of a random generator."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected an integer >= 0, not {text!r}")
    return int(text)


def positive_seconds(text: str) -> float:
    """Return a finite number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ArgumentTypeError(f"expected a finite number of seconds above 0, not {text!r}")
    return seconds


def output_file(text: str) -> str:
    """Return the name of a file that can be written, so that nothing is computed in vain."""
    if not text:
        raise ArgumentTypeError("expected the name of a file, not ''")
    path = Path(text)
    if path.is_dir() or text.endswith(os.sep):
        raise ArgumentTypeError(f"expected the name of a file, not the folder {text!r}")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"there is no folder {str(path.parent)!r} to write {text!r} into")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError(f"there is no permission to write {text!r}")
    return text


def plot_file(text: str) -> str:
    """Return the name of a file that can be written, in a format that matplotlib draws in."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise ArgumentTypeError("drawing needs matplotlib: pip install 'array-dispatch[plot]'") from None
    formats = FigureCanvasBase.get_supported_filetypes()
    if Path(text).suffix[1:].lower() not in formats:
        raise ArgumentTypeError(f"expected a name that ends in one of {', '.join(sorted(formats))}, not {text!r}")
    return output_file(text)
