"""The kit starts from a registry that knows nothing once for a module, as it does where others run it over theirs."""

import pytest

import dispatch

from ..conftest import forget_settings


@pytest.fixture(autouse=True, scope="module")
def _clean_process():
    """In place of what each other test starts with: a backend keeps what it has imported, probed and compiled."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        dispatch.refresh()
        yield
    dispatch.refresh()
