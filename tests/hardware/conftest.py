"""A cache folder of a test's own, with profiles in use."""

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPATCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("DISPATCH_CALIBRATE", "1")
    return tmp_path / "profiles"
