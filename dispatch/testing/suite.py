"""The kit over an installed backend, by ``pytest --dispatch-backend=NAME`` or ``dispatch check NAME``.

There is no class here that declares anything, so the backend's own `supports` is taken at its word: what it says it
can do must work, and what it says it cannot must be refused.
"""

from __future__ import annotations

from dataclasses import asdict

import pytest

from dispatch.promptness import lateness
from dispatch.registry import registry
from dispatch.testing import BackendConformance
from dispatch.testing.capabilities import capabilities_of


class TestBackend(BackendConformance):
    """The backend that the option names."""

    @pytest.fixture(autouse=True)
    def _declare(self, request: pytest.FixtureRequest) -> None:
        self.__dict__["backend"] = request.config.getoption("dispatch_backend")
        if not lateness(registry.table().entries[self.backend]):  # else every test fails for that
            self.__dict__ |= asdict(capabilities_of(self.the_backend(), self.devices()[0]))
