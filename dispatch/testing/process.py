"""What a backend leaves as it is: the state of the process, which is the program's."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest


@contextmanager
def process_left_alone(what: str, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Assert that `what` is run inside prints nothing and changes nothing that the parts of a program share."""
    before = process_state()
    capfd.readouterr()
    with process_restored():
        yield
        after = process_state()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", ""), f"{what} prints {(printed.out + printed.err)!r}"
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"{what} changes {', '.join(changed)}"


def process_state() -> dict[str, Any]:
    """Return what the parts of a program share, and a library must not change behind its back."""
    return {
        "np.geterr()": np.geterr(),
        "np.random": [str(part) for part in np.random.get_state()],
        "random": random.getstate(),
        "os.environ": dict(os.environ),
        "warnings.filters": list(warnings.filters),
    }


@contextmanager
def process_restored() -> Iterator[None]:
    """Set all of that right in the end, for the tests that follow in the same process."""
    environment, numpys, pythons = dict(os.environ), np.random.get_state(), random.getstate()
    try:
        with np.errstate(), warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        np.random.set_state(numpys)
        random.setstate(pythons)
