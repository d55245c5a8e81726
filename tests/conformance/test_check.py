"""The kit over an installed backend, from the command line and from pytest: it finds what is wrong."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import dispatch
from dispatch.cli import main

FEW = "test_its_metadata or test_bad_arguments or test_from_an_initial or test_an_operation"


class Summing(dispatch.Backend):
    """Declares by `supports` that it adds real numbers in double precision, and nothing else."""

    name = "summing"

    def probe(self):
        return [dispatch.Device("summing:0", "cpu", "adds with NumPy")]

    def supports(self, call, device):
        return True if call.operation == "sum" and call.dtype == np.float64 else "it only adds float64"

    def cost(self, call, device):
        return 1.0 + call.nbytes

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        if keepdims is None:
            raise TypeError("keepdims must be an integer")
        return np.sum(a, axis, dtype, out, keepdims, initial, where)


class Wrong(Summing):
    """Forgets the initial value."""

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        return super().sum(a, axis, dtype, out, keepdims, np._NoValue, where, device=device)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_a_backend_can_do_and_what_held(capsys, tmp_path):
    with dispatch.register(Summing()):
        assert main(["check", "summing", "-k", FEW, "--out", "report.md"]) == 0
    report = (tmp_path / "report.md").read_text()
    assert report in capsys.readouterr().out
    assert "On summing:0, adds with NumPy." in report
    assert "| `sum` | float64 |" in report
    assert "| `eigsh` | - |" in report
    assert "| `initial` is added last, in the dtype of the sum, also to nothing. | 1 | 0 | 15 |" in report


def test_a_promise_that_is_not_kept(capsys):
    with dispatch.register(Wrong()):
        assert main(["check", "summing", "-k", FEW]) == 1
    assert (
        "| `initial` is added last, in the dtype of the sum, also to nothing. | 0 | 1 | 15 |" in capsys.readouterr().out
    )


def test_a_backend_that_never_answers_is_told_of_before_anything_runs(capsys, monkeypatch):
    class Hanging(Summing):
        def supports(self, call, device):
            threading.Event().wait()

    monkeypatch.setattr("dispatch.promptness.PROMPT", 0.2)
    monkeypatch.setattr("dispatch.promptness.GIVEN_UP", 0.2)
    with dispatch.register(Hanging()):
        assert main(["check", "summing"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        "dispatch: error: summing: its supports() has taken 0.2 s to answer about a small sum, "
    )


def test_an_expression_that_selects_nothing_is_refused(capsys):
    with dispatch.register(Summing()):
        assert main(["check", "summing", "-k", "no_such_test"]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        "dispatch: error: -k 'no_such_test' selects no test of the kit; without -k all of them run\n"
    )
    assert "| promise |" not in printed.out


def test_a_backend_that_is_not_there(capsys):
    assert main(["check", "nobody"]) == 3
    assert "unknown backend 'nobody'" in capsys.readouterr().err


def test_as_an_option_of_pytest(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "--dispatch-backend=cpu", "-k", "test_its_metadata or test_own"]
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed" in alone.stdout
    beside = subprocess.run([*command, "test_own.py"], capture_output=True, text=True, check=False)
    assert "2 passed" in beside.stdout
