"""Options: `explain` takes those of the call, and a word that an option cannot mean is refused by the option's name."""

import os
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch
from dispatch.cli import main


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(24.0).reshape(2, 3, 4))
    sp.save_npz("L.npz", sp.diags_array([2.0] * 50 + [7.0] * 50, format="csr"))


@pytest.mark.parametrize("axis", ["1", "0,2", "-3,1"])
def test_sum_over_axes(axis, capsys):
    assert main(["sum", "a.npy", f"--axis={axis}", "--out", "s.npy"]) == 0
    expected = np.load("a.npy").sum(tuple(int(word) for word in axis.split(",")))
    np.testing.assert_array_equal(np.load("s.npy"), expected, strict=True)


class Recorder(dispatch.Backend):
    """Remembers the calls that it is asked about."""

    name = "recorder"

    def __init__(self):
        self.calls = []

    def probe(self):
        return [dispatch.Device("recorder:0")]

    def supports(self, call, device):
        self.calls.append(call)
        return True

    def sum(self, *arguments, device):
        raise AssertionError("it was asked, not run")

    def block_engine(self, problem, *, device):
        raise AssertionError("it was asked, not run")


def test_explain_explains_the_sum_that_would_run():
    backend = Recorder()
    with dispatch.register(backend):
        assert main(["explain", "sum", "a.npy", "--axis", "0,2", "--dtype", "f4", "--backend", "recorder"]) == 0
    assert backend.calls[0].arguments == {"axis": (0, 2), "dtype": np.dtype("f4"), "keepdims": False}


def test_explain_explains_the_eigsh_that_would_run():
    backend = Recorder()
    words = ["--preconditioner", "jacobi", "--seed", "5", "-k", "3", "--which", "SA", "--backend", "recorder"]
    with dispatch.register(backend):
        assert main(["explain", "eigsh", "L.npz", *words]) == 0
    problem = backend.calls[0].arguments["problem"]
    assert problem.preconditioner == "jacobi"
    assert (problem.k, problem.which) == (3, "SA")
    assert problem.rng.random() == np.random.default_rng(5).random()


def test_explain_refuses_what_the_call_refuses(capsys):
    for command in (["explain", "eigsh"], ["eigsh"]):
        assert main([*command, "L.npz", "--preconditioner", "nonsense"]) == 2
        assert "nonsense" in capsys.readouterr().err


WRONG = {
    "no command": ([], "the following arguments are required: COMMAND (see dispatch --help)"),
    "no file": (["sum"], "the following arguments are required: file (see dispatch sum --help)"),
    "negative seed": (["eigsh", "L.npz", "--seed", "-1"], "argument --seed: expected an integer >= 0, not '-1'"),
    "huge axis": (
        ["sum", "a.npy", "--axis", "99999999999999999999"],
        "argument --axis: expected one axis, such as 0, or several, such as 0,2, not '99999999999999999999'",
    ),
    "axis in words": (["explain", "sum", "a.npy", "--axis", "rows"], "argument --axis: expected one axis"),
    "dtype": (
        ["sum", "a.npy", "--dtype", "real"],
        "argument --dtype: expected the name of a NumPy dtype, such as float64, not 'real'",
    ),
    "out is empty": (["sum", "a.npy", "--out", ""], "argument --out: expected the name of a file, not ''"),
    "out is a folder": (["sum", "a.npy", "--out", "."], "argument --out: expected the name of a file, not the folder"),
    "out is a new folder": (["sum", "a.npy", "--out", "new/"], "argument --out: expected the name of a file, not the"),
    "out is nowhere": (
        ["eigsh", "L.npz", "--out", "/nonexistent/x.npz"],
        "argument --out: there is no folder '/nonexistent' to write '/nonexistent/x.npz' into",
    ),
    "format": (["eigsh", "L.npz", "--plot", "x.xyz"], "argument --plot: expected a name that ends in one of "),
    "no format": (["eigsh", "L.npz", "--plot", "x"], "argument --plot: expected a name that ends in one of "),
    "picture is nowhere": (["demo", "--out", "none/x.png"], "argument --out: there is no folder 'none' to write"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line_that_names_the_option(case, capsys):
    argv, message = WRONG[case]
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("dispatch: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_may_not_be_written(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    for out in ("new.npy", "a.npy"):
        with pytest.raises(SystemExit):
            main(["sum", "a.npy", "--out", out])
        assert f"argument --out: there is no permission to write {out!r}" in capsys.readouterr().err


def test_a_picture_without_matplotlib(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with pytest.raises(SystemExit):
        main(["eigsh", "L.npz", "--plot", "x.png"])
    assert "argument --plot: drawing needs matplotlib: pip install 'array-dispatch[plot]'" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dispatch {dispatch.__version__}\n"


@pytest.mark.parametrize(
    "argv", [["--debug", "sum", "no"], ["sum", "no", "--debug"], ["explain", "sum", "--debug", "no"]]
)
def test_debug_stands_anywhere(argv, capsys):
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith("Traceback")
