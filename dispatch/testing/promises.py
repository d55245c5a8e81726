"""Which promises a run of the kit found kept: the first line of each test's docstring, with counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest


class Promises:
    """A pytest plugin that counts outcomes by promise."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self._promise_of: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn what each test is about."""
        for item in items:
            text = getattr(getattr(item, "function", None), "__doc__", None) or item.name
            self._promise_of[item.nodeid] = text.strip().splitlines()[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by its call, or by the set-up that kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[self._promise_of[report.nodeid]][report.outcome] += 1

    @property
    def kept(self) -> bool:
        """Whether something was tested, and nothing failed."""
        totals: Counter[str] = sum(self._outcomes.values(), Counter())
        return totals["passed"] > 0 and totals["failed"] == 0

    def rows(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield each promise with how often it held, failed and was not declared."""
        for promise, outcomes in self._outcomes.items():
            yield promise, outcomes["passed"], outcomes["failed"], outcomes["skipped"]
