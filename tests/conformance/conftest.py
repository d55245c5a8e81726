"""The kit starts from a registry that knows nothing once for a module, as it does where others run it over theirs."""

import os

import pytest

import dispatch

from ..conftest import KEPT


@pytest.fixture(autouse=True, scope="module")
def _clean_process():
    """In place of what each other test starts with: a backend keeps what it has imported, probed and compiled."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DISPATCH_") and name not in KEPT]:
            patch.delenv(name)
        dispatch.refresh()
        yield
    dispatch.refresh()
