"""The conformance kit itself is tested: it must fail for each faulty backend, and pass for the unmodified copy."""

import contextlib
import importlib
import os
import random
import re
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dispatch
from dispatch import testing
from dispatch.testing.process import process_restored, process_state
from tests.kit import fault

for _catalogue in ("sum", "engine", "eigsh", "plugins"):
    importlib.import_module(f"tests.kit.faults_of_{_catalogue}")

SUBJECT = Path(__file__).with_name("subject.py")
PAGE = Path(__file__).parents[2] / "docs" / "conformance-kit.md"
CHILD_SECONDS = 2
PROMPT, GIVEN_UP = 0.3, 1.0
"""Limits of the kit in seconds, lowered so that what exceeds them takes less of this suite's time."""

OPTIONS = (
    "-x", "-q", "--no-header", "--no-summary", "--noconftest", "--import-mode=importlib", "-c", os.devnull,
    "--tb=native",  # what pytest shows of a failure by itself it has to parse the tests for
    "--rootdir", str(SUBJECT.parent), "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:xdist",
    "-p", "no:unraisableexception",  # which collects garbage at length after every run
    "--assert=plain",  # the kit is imported, with its assertions rewritten: there is nothing left to look for
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
)  # fmt: skip


class Outcomes:
    """A pytest plugin that notes which tests passed and which failed, and spares it the collection of others."""

    def __init__(self, tests):
        self.names = {test.partition("[")[0].rpartition("::")[2] for test in tests}
        self.passed, self.failed, self.messages = [], [], []

    def pytest_pycollect_makeitem(self, name):
        return [] if name.startswith("test_") and name not in self.names else None

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)
            self.messages.append(report.longreprtext)
        elif report.when == "call" and report.passed:
            self.passed.append(report.nodeid)


def run_kit(tests, among=""):
    """Run tests of the kit over what is known as the backend "copy", up to the first that fails."""
    outcomes = Outcomes(tests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # none that is installed has a part in this
        pytest.main([*(f"{SUBJECT}::{test}" for test in tests), "-k", among, *OPTIONS], plugins=[outcomes])
    return outcomes


def place_of(test):
    """Return the class in `subject.py` that has a test, and the test."""
    kind = next(kind for kind in testing.BackendConformance.__mro__ if test in vars(kind))
    return f"Test{kind.__name__}::{test}"


@cache
def passes_unmodified(place):
    """Whether a test passes for the copy that has no fault."""
    with dispatch.register(fault.Copy()):
        outcomes = run_kit([place])
    return len(outcomes.passed) == 1 and not outcomes.failed


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a plugin's source as the backend "copy", here and for other processes."""

    def install(source):
        (tmp_path / "plugin_copy.py").write_text(source)
        metadata = tmp_path / "plugin_copy-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-copy\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[dispatch.backends]\ncopy = plugin_copy:backend\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        dispatch.refresh()

    yield install
    sys.modules.pop("plugin_copy", None)


@pytest.mark.parametrize("name", fault.FAULTS)
def test_the_kit_finds(name, monkeypatch, installed):
    found = fault.FAULTS[name]
    monkeypatch.setattr(fault, "DECLARED", fault.DECLARED | found.declared)
    source = getattr(found.backend, "source", None)
    if source is not None:
        installed(source)
    with (
        process_restored(),
        contextlib.nullcontext() if source is not None else dispatch.register(found.backend()),
        monkeypatch.context() as patch,  # the copy without a fault has all the time that a busy machine takes
    ):
        patch.setattr("dispatch.testing.concurrency.CHILD_SECONDS", CHILD_SECONDS)
        patch.setattr("dispatch.promptness.PROMPT", PROMPT)
        patch.setattr("dispatch.promptness.GIVEN_UP", GIVEN_UP)
        outcomes = run_kit([place_of(test) for test in found.tests], found.among)
    assert outcomes.failed, f"the kit does not find it: {found.what}"
    # The same test passes for the copy that has no fault: what failed is the fault. What is declared narrower than it
    # is, and what only an installed plugin is asked, has no such copy here; `test_cpu.py` asks it of the original.
    if not found.declared and source is None:
        assert passes_unmodified(outcomes.failed[0].partition("::")[2])


def test_no_fault_changes_the_process_for_other_tests():
    before = process_state()
    with process_restored():
        np.seterr(invalid="ignore")
        np.random.seed(0)
        random.seed(0)
        os.environ["DISPATCH_COPY"] = "1"
        warnings.simplefilter("ignore")
        assert all(now != before[name] for name, now in process_state().items())
    assert process_state() == before


def test_what_is_accepted_without_a_declaration_is_named(monkeypatch):
    monkeypatch.setattr(fault, "DECLARED", {"eigsh_dtypes": "d", "sum_dtypes": "d"})
    with dispatch.register(fault.Copy()):
        messages = run_kit([place_of("test_every_arithmetic_and_end")], "f-SA").messages
        messages += run_kit([place_of("test_every_axis")], "float32").messages
    advice = "is not declared, but accepted: declare it, or let `supports` refuse it with a reason"
    assert f"eigsh of float32 {advice}" in messages[0]
    assert f"sum of float32 {advice}" in messages[1]


def test_what_hangs_fails_every_test_with_the_reason(monkeypatch):
    monkeypatch.setattr("dispatch.promptness.GIVEN_UP", GIVEN_UP)
    with dispatch.register(fault.FAULTS["SupportsHangs"].backend()):
        first, second = (run_kit([place_of(test)]).messages[0] for test in ("test_its_devices", "test_tiny"))
    assert first == second
    assert re.fullmatch(
        r"copy: its supports\(\) has taken 1 s to answer about a small sum, expected far less than 1 s: every "
        r"automatic choice waits for it; decide on what the call says, and look up the rest in probe\(\)",
        first,
    )


def test_a_solver_that_goes_on_for_ever_is_stopped():
    with dispatch.register(fault.FAULTS["Endless"].backend()):
        messages = run_kit([place_of("test_tiny")]).messages
    assert "eigsh has not converged in 250 iterations, expected far fewer" in messages[0]


def test_the_page_lists_every_fault():
    rows = [f"| {found.what} | {', '.join(f'`{test}`' for test in found.tests)} |" for found in fault.FAULTS.values()]
    table = "\n".join(["| fault | found by |", "|---|---|", *rows]) + "\n"
    assert table in PAGE.read_text("utf-8"), f"the table of docs/conformance-kit.md should be:\n{table}"
    assert f"{len(rows)} faults" in PAGE.read_text("utf-8")
