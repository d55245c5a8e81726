"""The CPU backend is held to what every backend promises."""

from dispatch.testing import BackendConformance


class TestCpu(BackendConformance):
    backend = "cpu"
