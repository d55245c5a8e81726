"""The kit's classes over a faulty backend, for `test_every_fault_is_found.py` to run; no tests of this suite itself."""

import pytest

from dispatch import testing
from tests.kit import fault


class Declared:
    backend = fault.Copy.name

    @pytest.fixture(autouse=True)
    def _declare(self):
        self.__dict__ |= fault.DECLARED


class TestPluginConformance(Declared, testing.PluginConformance):
    pass


class TestSumConformance(Declared, testing.SumConformance):
    pass


class TestBlockEngineConformance(Declared, testing.BlockEngineConformance):
    pass


class TestEigshConformance(Declared, testing.EigshConformance):
    pass


class TestConcurrencyConformance(Declared, testing.ConcurrencyConformance):
    pass
