"""What every test needs: a process that no environment variable and no earlier test has touched."""

from __future__ import annotations

import os
import sys

import entrypoints
import pytest

import dispatch

os.environ["DISPATCH_CALIBRATE"] = "0"  # before anything decides: no test reads or measures unless it asks


@pytest.fixture(autouse=True, scope="session")
def _cache_folder(tmp_path_factory):
    """Keep the user's own cache out of reach, for the processes that tests start as well."""
    os.environ["DISPATCH_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _installed_packages_are_read_once():
    """Read the metadata of what is installed once, not for each test: one that installs something has it elsewhere."""
    read, path, found = entrypoints.iter_files_distros, list(sys.path), []

    def read_once():
        if sys.path != path:
            return read()
        if not found:
            found.append(list(read()))
        return iter(found[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entrypoints, "iter_files_distros", read_once)
        yield


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch):
    forget_settings(monkeypatch)
    dispatch.refresh()
    yield
    dispatch.set_default(None)
    monkeypatch.undo()
    dispatch.refresh()


def forget_settings(monkeypatch):
    """Unset what decides anything."""
    for name in [name for name in os.environ if name.startswith("DISPATCH_") and name not in KEPT]:
        monkeypatch.delenv(name)


KEPT = {"DISPATCH_CACHE_DIR", "DISPATCH_CALIBRATE", "DISPATCH_TEST_DATA"}
"""Variables that say where things are, not what dispatch decides."""
