"""The conformance kit: what every backend promises, as tests that a plugin's author runs.

A plugin's test module derives one class, and pytest collects the kit's tests with it::

    from dispatch.testing import BackendConformance


    class TestMine(BackendConformance):
        backend = "mine"

The same classes run over our own backends. They need the extra ``testing``.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"dispatch.testing.{name}" for name in ("base", "concurrency", "eigsh", "engine", "plugin", "sum"))
)

from dispatch.testing.base import Conformance  # noqa: E402 - after the registration above
from dispatch.testing.concurrency import ConcurrencyConformance  # noqa: E402
from dispatch.testing.eigsh import EigshConformance  # noqa: E402
from dispatch.testing.engine import BlockEngineConformance  # noqa: E402
from dispatch.testing.plugin import PluginConformance  # noqa: E402
from dispatch.testing.sum import SumConformance  # noqa: E402

__all__ = [
    "BackendConformance",
    "BlockEngineConformance",
    "ConcurrencyConformance",
    "Conformance",
    "EigshConformance",
    "PluginConformance",
    "SumConformance",
]


class BackendConformance(
    PluginConformance, SumConformance, BlockEngineConformance, EigshConformance, ConcurrencyConformance
):
    """Everything that a backend promises. The class attributes of `Conformance` say what it declares."""
