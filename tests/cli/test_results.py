"""Results: never cut, never thrown away, printed before they are saved, and JSON that every reader of JSON takes."""

import json
import os
import re
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch
from dispatch.cli import main
from dispatch.cli.json_document import to_json
from dispatch.cli.tables import as_table

L = sp.diags_array([-np.ones(299), 2 * np.ones(300), -np.ones(299)], offsets=[-1, 0, 1], format="csr")
REMEDY = "pip install 'array-dispatch[cuda]' [/x] " + "a" * 100


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(10))
    np.save("small.npy", np.diag([1.0, 2.0, 3.0, 4.0]))
    sp.save_npz("L.npz", L)


class Broken(dispatch.Backend):
    name = "broken"

    def probe(self):
        raise dispatch.BackendUnavailableError("no [driver] in [/usr/lib]", REMEDY)

    def supports(self, call, device):
        return True


def test_list_elsewhere_than_on_a_terminal_is_the_inventory(capsys):
    with dispatch.register(Broken()):
        assert main(["list"]) == 0
        assert capsys.readouterr().out == f"{dispatch.backends()}\n"


def on_a_terminal(monkeypatch, columns):
    """Make stdout a terminal so wide."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))


def cells(table):
    """Return the text of each column below the header, without its spaces and line breaks."""
    plain = re.sub("\x1b\\[[0-9;]*m", "", table)
    rows = [line.split("│")[1:-1] for line in plain.splitlines() if "│" in line]
    return ["".join("".join(column).split()) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("columns", [80, 50])
def test_a_table_folds_and_cuts_nothing_on_a_terminal(monkeypatch, columns):
    on_a_terminal(monkeypatch, columns)
    table = as_table(("name", "remedy"), [("broken", REMEDY)])
    assert cells(table) == ["broken", "".join(REMEDY.split())]
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in table.splitlines()) <= columns


@pytest.mark.parametrize("columns", [80, 50])
def test_list_on_a_terminal_is_a_table(monkeypatch, capsys, columns):
    on_a_terminal(monkeypatch, columns)
    with dispatch.register(Broken()):
        assert main(["list"]) == 0
    *_, reasons, remedies = cells(capsys.readouterr().out)
    assert "no[driver]in[/usr/lib]" in reasons
    assert "".join(REMEDY.split()) in remedies


def test_a_table_elsewhere_has_a_line_a_row():
    lines = as_table(("name", "remedy"), [("broken", REMEDY)]).splitlines()
    assert len(lines) == 2
    assert REMEDY in lines[1]


def test_a_dense_solution_has_no_iterations_to_draw(tmp_path, capsys):
    assert main(["eigsh", "small.npy", "-k", "2", "--plot", "h.png"]) == 0
    printed = capsys.readouterr()
    assert [float(line.split()[0]) for line in printed.out.splitlines()[1:3]] == [3, 4]
    assert printed.err == "dispatch: warning: h.png is not drawn: the solution was dense, without iterations\n"
    assert not (tmp_path / "h.png").exists()


def some_converge(*args, **kwargs):
    """Find three pairs of which the second did not converge."""
    from dispatch.solvers import EigshInfo, EigshResult, Iteration

    w, v, norms = np.array([1.0, 2.0, 3.0]), np.eye(300, 3), np.array([1e-15, 1e-3, 2e-15])
    history = (Iteration(0, w, norms, 2, 3), Iteration(1, w, norms, 2, 6))
    info = EigshInfo("lobpcg", "maxiter", 2, 6, norms, history=history)
    raise dispatch.NoConvergence("2 of 3 converged", EigshResult(w, v, info), norms < 1e-10)


def test_the_pairs_that_converged_are_printed_and_saved(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dispatch, "eigsh", some_converge)
    assert main(["eigsh", "L.npz", "-k", "3", "--out", "r.npz", "--plot", "h.png"]) == 1
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()[1:3]] == [["1", "1.00e-15"], ["3", "2.00e-15"]]
    assert printed.out.splitlines()[3].startswith("on cpu:0 (automatic choice): lobpcg, maxiter, 2 iterations")
    assert printed.err == "dispatch: error: 2 of 3 converged\n"
    with np.load("r.npz") as saved:
        np.testing.assert_array_equal(saved["eigenvalues"], [1, 3])
        np.testing.assert_array_equal(saved["eigenvectors"], np.eye(300, 3)[:, [0, 2]])
        np.testing.assert_array_equal(saved["residual_norms"], [1e-15, 2e-15])
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_the_pairs_that_converged_as_json(capsys, monkeypatch):
    monkeypatch.setattr(dispatch, "eigsh", some_converge)
    assert main(["eigsh", "L.npz", "-k", "3", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["eigenvalues"] == [1, 3]
    assert document["residual_norms"] == [1e-15, 2e-15]
    assert document["status"] == "maxiter"


def test_a_file_has_the_name_that_was_asked_for(tmp_path):
    assert main(["sum", "a.npy", "--out", "res.txt"]) == 0
    assert main(["eigsh", "small.npy", "-k", "1", "--out", "pairs"]) == 0
    assert np.load("res.txt") == 45
    assert np.load("pairs")["eigenvalues"] == [4]
    assert not list(tmp_path.glob("res.txt.*"))
    assert not list(tmp_path.glob("pairs.*"))


@pytest.mark.parametrize("argv", [["sum", "a.npy"], ["eigsh", "small.npy", "-k", "1"]], ids=["sum", "eigsh"])
def test_what_cannot_be_saved_is_printed(argv, capsys):
    assert main([*argv, "--out", "/dev/full"]) == 1
    printed = capsys.readouterr()
    assert "on cpu:0 (automatic choice)" in printed.out
    assert printed.err.startswith("dispatch: error: ")


@pytest.mark.parametrize("argv", [["sum", "a.npy"], ["eigsh", "small.npy", "-k", "1"]], ids=["sum", "eigsh"])
def test_a_reader_that_went_away_does_not_keep_a_file_from_being_written(argv, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w", buffering=1))
    assert main([*argv, "--out", "r"]) == 0
    assert (tmp_path / "r").stat().st_size > 0
    sys.stdout.close()


NUMBERS = {
    "nan": (np.float64("nan"), "nan"),
    "inf": (float("-inf"), "-inf"),
    "float32": (np.float32(0.1), float(np.float32(0.1))),
    "complex": (np.complex128(1 + 2j), [1.0, 2.0]),
    "complex64 inf": (np.complex64(complex(1, np.inf)), [1.0, "inf"]),
    "longdouble": (np.longdouble("0.1"), str(np.longdouble("0.1"))),
    "clongdouble": (np.clongdouble(1), ["1.0", "0.0"]),
    "bool": (np.bool_(True), True),
    "uint64": (np.uint64(2**64 - 1), 2**64 - 1),
    "duration": (np.timedelta64(5, "ns"), "5 nanoseconds"),
    "date": (np.datetime64("2020-01-01"), "2020-01-01"),
    "array": (np.array([[1.5, np.nan], [np.inf, 0]]), [[1.5, "nan"], ["inf", 0.0]]),
    "array of no dimension": (np.array(np.inf), "inf"),
    "nothing": (None, None),
}


def no_constant(name):
    """Fail on what JSON does not have."""
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize("case", NUMBERS)
def test_json_of(case):
    value, expected = NUMBERS[case]
    assert json.loads(to_json({"value": value}), parse_constant=no_constant) == {"value": expected}


@pytest.mark.parametrize(("values", "expected"), [([np.nan, 1], "nan"), ([1 + 2j, -np.inf], ["-inf", 2.0])])
def test_the_json_of_a_sum(values, expected, capsys):
    np.save("v.npy", np.array(values))
    assert main(["sum", "v.npy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=no_constant)["sum"] == expected
