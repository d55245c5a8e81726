"""The command line on real files: what it prints, where it writes, and its one-line errors."""

import json
import os
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

import dispatch
from dispatch.cli import main

L = sp.diags_array([-np.ones(299), 2 * np.ones(300), -np.ones(299)], offsets=[-1, 0, 1], format="csr")
SMALLEST = 2 - 2 * np.cos(np.pi * np.arange(1, 4) / 301)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(10))
    np.savez("one.npz", a=np.arange(10))
    np.savez("two.npz", a=np.arange(10), b=np.ones(3))
    np.savetxt("a.txt", np.arange(10))
    np.save("pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    sp.save_npz("L.npz", L)
    scipy.io.mmwrite("L.mtx", L)
    subprocess.run(["gzip", "-k", "L.mtx"], check=True)
    scipy.io.savemat("L.mat", {"L": L})
    return tmp_path


@pytest.mark.parametrize("name", ["a.npy", "one.npz", "a.txt"])
def test_sum(files, capsys, name):
    assert main(["sum", name]) == 0
    total, where = capsys.readouterr().out.splitlines()
    assert float(total) == 45
    assert where == "on cpu:0 (automatic choice)"


def test_sum_of_one_of_several_arrays(files, capsys):
    assert main(["sum", "two.npz", "--key", "b", "--backend", "cpu", "--json", "--out", "s.npy"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sum": 3.0, "device": "cpu:0", "source": "backend='cpu'"}
    assert np.load("s.npy") == 3


@pytest.mark.parametrize("name", ["L.npz", "L.mtx", "L.mtx.gz", "L.mat"])
def test_eigsh(files, capsys, name):
    assert main(["eigsh", name, "-k", "3", "--which", "SA", "--out", "r.npz", "--plot", "h.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    np.testing.assert_allclose([float(line.split()[0]) for line in lines[1:4]], SMALLEST, rtol=1e-9)
    assert "on cpu:0 (automatic choice): lobpcg, converged" in lines[4]
    with np.load("r.npz") as saved:
        w, v = saved["eigenvalues"], saved["eigenvectors"]
    assert np.linalg.norm(L @ v - v * w) < 1e-12
    assert (files / "h.png").read_bytes().startswith(b"\x89PNG")


class Refusing(dispatch.Backend):
    name = "refusing"

    def probe(self):
        return [dispatch.Device("refusing:0")]

    def supports(self, call, device):
        return "not today"


def test_explain(files, capsys):
    assert main(["explain", "eigsh", "L.npz", "-k", "3"]) == 0
    assert capsys.readouterr().out.startswith("eigsh: runs on cpu:0 (automatic choice)")
    assert main(["explain", "sum", "a.npy", "--backend", "nonsense", "--json"]) == 3
    assert "UnknownBackendError" in json.loads(capsys.readouterr().out)["error"]
    with dispatch.register(Refusing()):
        for command in (["explain", "sum"], ["sum"]):  # the code is that of the call
            assert main([*command, "a.npy", "--backend", "refusing"]) == 3
            assert main([*command, "a.npy", "--backend", "refusing:1"]) == 3
    for command in (["explain", "sum"], ["sum"]):
        assert main([*command, "a.npy", "--axis", "9"]) == 2
        assert "axis 9 is out of bounds" in capsys.readouterr().err


def test_list(capsys):
    assert main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["backends"]}
    assert rows["cpu"]["available"]
    assert rows["cpu"]["devices"][0]["name"] == "cpu:0"
    assert main(["list"]) == 0
    assert "cpu:0" in capsys.readouterr().out


GARBAGE = ["x.npy", "x.npz", "x.mtx", "x.mtx.gz", "x.mat", "x.txt", "empty.txt"]


@pytest.mark.parametrize("name", GARBAGE)
def test_a_file_that_is_not_what_its_name_says(files, capsys, name):
    (files / name).write_text("" if name.startswith("empty") else "garbage")
    assert main(["sum", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dispatch: error: {name}: ")
    assert error.count("\n") == 1


CORRUPT = {
    "csr": ({"indices": [300]}, "indices must be < 300"),
    "csr below": ({"indices": [-1]}, "indices must be >= 0"),
    "csr with fractions": ({"indices": [0.5]}, "its indices have dtype float64, expected integers"),
    "csr with rows that end before they begin": ({"indptr": [9]}, "index pointer should start with 0"),
    "csc": ({"indices": [300]}, "indices must be < 300"),
    "bsr": ({"indices": [100]}, "column index values must be < 100 (now max 100)"),
    "coo": ({"row": [300]}, "axis 0 index 300 exceeds matrix dimension 300"),
    "dia": ({"offsets": [-300]}, "its diagonals [-300] are outside its shape (300, 300)"),
}
"""Format of a sparse matrix, what its first elements are replaced by, and what is said of it."""


@pytest.mark.parametrize("case", CORRUPT)
def test_indices_outside_a_sparse_matrix_are_refused(files, capsys, case):
    changes, message = CORRUPT[case]
    kind = case.split()[0]
    sp.save_npz("broken.npz", L.tobsr((3, 3)) if kind == "bsr" else L.asformat(kind))
    with np.load("broken.npz") as saved:
        arrays = dict(saved)
    for name, first in changes.items():
        arrays[name] = np.array([*first, *arrays[name][len(first) :]])
    np.savez("broken.npz", **arrays)
    assert main(["sum", "broken.npz"]) == 2
    assert capsys.readouterr().err == f"dispatch: error: broken.npz: {message}\n"


def test_a_mat_file_that_crashes_its_reader_is_bad_input(files, capsys, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *args, **kwargs: subprocess.CompletedProcess(args, -11))
    assert main(["sum", "L.mat"]) == 2
    assert capsys.readouterr().err == "dispatch: error: L.mat: its reader crashed: the file is corrupt\n"


def test_a_mat_file_that_hangs_its_reader_is_bad_input(files, capsys, monkeypatch):
    monkeypatch.setattr("dispatch.cli.files.READER_SECONDS", 0.001)
    assert main(["sum", "L.mat"]) == 2
    assert capsys.readouterr().err == (
        "dispatch: error: L.mat: its reader had not finished after 0.001 s: the file is corrupt\n"
    )


ERRORS = {
    "no file": (["sum", "none.npy"], 2, "No such file or directory: 'none.npy'"),
    "no array": (["sum", "a.mtx"], 2, "No such file or directory"),
    "several arrays": (["sum", "two.npz"], 2, "two.npz: it holds 2 arrays; choose one with --key: a, b"),
    "wrong key": (["sum", "two.npz", "--key", "c"], 2, "two.npz: it holds no array 'c'; choose one with --key: a, b"),
    "pickle": (["sum", "pickled.npy"], 2, "pickled.npy: Object arrays cannot be loaded when allow_pickle=False"),
    "vector": (["eigsh", "a.npy"], 2, "A has shape (10,), expected a square matrix"),
    "k": (["eigsh", "L.npz", "-k", "0"], 2, "k is 0, expected 1 <= k < n = 300"),
    "backend": (["sum", "a.npy", "--backend", "cpo"], 3, "backend='cpo': unknown backend 'cpo': did you mean 'cpu'?"),
    "convergence": (["eigsh", "L.npz", "--maxiter", "1", "--which", "SA"], 1, "0 of 6 eigenpairs converged"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_line(files, capsys, case):
    argv, code, message = ERRORS[case]
    assert main(argv) == code
    error = capsys.readouterr().err
    assert error.startswith("dispatch: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_ctrl_c_ends_a_command_without_a_word(files, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatch, "sum", interrupted)
    assert main(["sum", "a.npy"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [("sum none.npy", 2, "FileNotFoundError"), ("sum a.npy --backend cpo", 3, "UnknownBackendError")],
)
def test_debug_shows_the_traceback(files, capsys, words, code, error):
    assert main(["--debug", *words.split()]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):")
    assert error in printed.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        "sum a.npy --out a.npy",
        "sum a.npy --out ./a.npy",
        "eigsh L.npz -k 1 --out L.npz",
        "eigsh L.npz -k 1 --mass M.npz --out M.npz",
    ],
)
def test_an_input_is_not_written_over(files, capsys, words):
    shutil.copy("L.npz", "M.npz")
    before = [Path(name).read_bytes() for name in ("a.npy", "L.npz", "M.npz")]
    assert main(words.split()) == 2
    assert "--out is the file that is read" in capsys.readouterr().err
    assert [Path(name).read_bytes() for name in ("a.npy", "L.npz", "M.npz")] == before


def test_wrong_usage_is_argparses(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sum"])
    assert caught.value.code == 2
    assert "the following arguments are required: file" in capsys.readouterr().err


def test_as_a_module_and_into_a_closed_pipe(files):
    run = f"{sys.executable} -m dispatch explain sum a.npy | head -c 5"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {run}"], capture_output=True, text=True, check=True)
    assert result.stdout == "sum: "
    assert result.stderr == ""


def test_demo(files, capsys):
    assert main(["demo", "--out", "digits.png"]) == 0
    printed = capsys.readouterr().out
    assert "1797 handwritten digits" in printed
    assert "cpu:0" in printed
    assert "every backend" in printed
    assert (files / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_demo_on_what_the_environment_names_and_without_matplotlib(files, capsys, monkeypatch):
    monkeypatch.setenv("DISPATCH_BACKEND", "refusing,cpu")
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with dispatch.register(Refusing()):
        assert main(["demo"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[1] == "on refusing, cpu (DISPATCH_BACKEND='refusing,cpu')"
    assert [line.split()[:3] for line in lines[3:]] == [
        ["refusing", "-", "-"], ["cpu", "cpu:0", "eigsh"], ["cpu", "cpu:0", "sum"]
    ]  # fmt: skip
    assert "not available: it has no eigsh" in lines[3]
    assert printed.err == (
        "dispatch: warning: there will be no picture: drawing needs matplotlib: pip install 'array-dispatch[plot]'\n"
    )
    assert not (files / "digits.png").exists()


def test_demo_on_what_cannot_run_it(files, capsys, monkeypatch):
    monkeypatch.setenv("DISPATCH_BACKEND", "refusing")
    with dispatch.register(Refusing()):
        assert main(["demo"]) == 3
    assert capsys.readouterr().err == (
        "dispatch: error: nothing of refusing can run the demo (see the reasons above)\n"
    )
    monkeypatch.setenv("DISPATCH_BACKEND", "cpo")
    dispatch.refresh()
    assert main(["demo"]) == 3
    assert "DISPATCH_BACKEND='cpo': unknown backend 'cpo': did you mean 'cpu'?" in capsys.readouterr().err


def test_the_progress_bar_shows_on_a_terminal_and_nowhere_else(files):
    command = [sys.executable, "-m", "dispatch", "eigsh", "L.npz", "-k", "3", "--which", "SA"]
    quiet = subprocess.run(command, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, text=True, check=True)
    os.close(slave)
    bar = os.read(master, 4096).decode()
    os.close(master)
    assert "eigsh:" in bar
    assert shown.stdout.splitlines()[:4] == quiet.stdout.splitlines()[:4]


def test_list_names_the_culprit_and_the_remedy(tmp_path, monkeypatch, capsys):
    info = tmp_path / "unrelated-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unrelated\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[broken")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DISPATCH_DISABLE", "cpu")
    monkeypatch.setenv("COLUMNS", "200")
    dispatch.refresh()
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "disabled by DISPATCH_DISABLE" in printed
    assert "take cpu out of DISPATCH_DISABLE" in printed
    assert "unrelated-1.0.dist-info: its entry_points.txt cannot be read" in " ".join(printed.split())
