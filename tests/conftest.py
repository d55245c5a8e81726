"""What every test needs: a process that no environment variable and no earlier test has touched."""

from __future__ import annotations

import os

import pytest

import dispatch

os.environ["DISPATCH_CALIBRATE"] = "0"  # before anything decides: no test reads or measures unless it asks


@pytest.fixture(autouse=True, scope="session")
def _cache_folder(tmp_path_factory):
    """Keep the user's own cache out of reach, for the processes that tests start as well."""
    os.environ["DISPATCH_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch):
    for name in [name for name in os.environ if name.startswith("DISPATCH_") and name not in KEPT]:
        monkeypatch.delenv(name)
    dispatch.refresh()
    yield
    dispatch.set_default(None)
    monkeypatch.undo()
    dispatch.refresh()


KEPT = {"DISPATCH_CACHE_DIR", "DISPATCH_CALIBRATE", "DISPATCH_TEST_DATA"}
"""Variables that say where things are, not what dispatch decides."""
