"""The environment variables that are read, and what is wrong with what they say."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from dispatch.discovery import DiscoveryProblem
from dispatch.errors import printable
from dispatch.hardware.calibration import setting_problem
from dispatch.timeout import read_probe_timeout

VARIABLES = (
    "DISPATCH_BACKEND",
    "DISPATCH_DISABLE",
    "DISPATCH_PROBE_TIMEOUT",
    "DISPATCH_CALIBRATE",
    "DISPATCH_CACHE_DIR",
)
"""All that are read, here and elsewhere."""

NEAR = 0.9
"""Likeness (`difflib`) from which a name is one of ours misspelt: a letter or two. Others may have a DISPATCH_FOO."""


def disabled_names() -> frozenset[str]:
    """Return the backends that ``DISPATCH_DISABLE`` names."""
    names = os.environ.get("DISPATCH_DISABLE", "").split(",")
    return frozenset(name.strip().lower() for name in names if name.strip())


def setting_problems(known: Collection[str]) -> Iterator[DiscoveryProblem]:
    """Yield what is wrong with the variables, where `known` are the backends that there are.

    ``DISPATCH_BACKEND`` is judged by whoever obeys it.
    """
    for name in os.environ:
        if name not in VARIABLES and (meant := difflib.get_close_matches(name.upper(), VARIABLES, n=1, cutoff=NEAR)):
            yield DiscoveryProblem(printable(name), "dispatch reads no such variable", f"did you mean {meant[0]}?")
    for name in sorted(disabled_names().difference(known)):
        reason = f"it names {name!r}, which no plugin provides"
        yield DiscoveryProblem("DISPATCH_DISABLE", reason, f"correct the name: there is {', '.join(sorted(known))}")
    for variable, reason in (
        ("DISPATCH_PROBE_TIMEOUT", read_probe_timeout()[1]),
        ("DISPATCH_CALIBRATE", setting_problem()),
        ("DISPATCH_CACHE_DIR", _cache_problem()),
    ):
        if reason:
            yield DiscoveryProblem(variable, reason, "correct it, or unset it")


def _cache_problem() -> str:
    """Return why no folder can be where ``DISPATCH_CACHE_DIR`` says; "" where one can, or nothing is said."""
    given = os.environ.get("DISPATCH_CACHE_DIR", "").strip()
    path = Path(given).absolute()
    there = next((place for place in (path, *path.parents) if place.exists()), path)
    if not given or (there.is_dir() and os.access(there, os.W_OK)):
        return ""
    return f"it is {printable(given)!r}, but {printable(str(there))} is no folder that can be written to"
