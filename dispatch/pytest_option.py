"""Pytest's option ``--dispatch-backend=NAME``: run the conformance kit over an installed backend.

Pytest loads this module in every run on an environment with this package, so it imports nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUITE = Path(__file__).parent / "testing" / "suite.py"


def pytest_addoption(parser: Any) -> None:
    """Add the option."""
    parser.getgroup("dispatch").addoption(
        "--dispatch-backend",
        dest="dispatch_backend",
        metavar="NAME",
        help="run the conformance kit of array-dispatch over the backend NAME, instead of the tests of this folder",
    )


def pytest_configure(config: Any) -> None:
    """Run the kit alone, unless files are named beside the option."""
    if config.getoption("dispatch_backend"):
        named = config.args_source is config.ArgsSource.ARGS
        config.args = [*(config.args if named else ()), str(SUITE)]
