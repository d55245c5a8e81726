"""The CPU backend is held to what every backend promises."""

from dispatch.testing import BlockEngineConformance, ConcurrencyConformance, EigshConformance, PluginConformance


class TestCpu(PluginConformance, BlockEngineConformance, EigshConformance, ConcurrencyConformance):
    backend = "cpu"
