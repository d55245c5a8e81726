"""Input files: text keeps every digit, pipes are read once, and a key that names nothing is refused."""

import gzip
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from dispatch.cli import main
from dispatch.cli.files import read


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


TEXTS = {
    "integers": (b"9007199254740993 -1\n# 1.5\n3 4 # 2.5\n", np.array([[9007199254740993, -1], [3, 4]])),
    "the least integer": (b"-9223372036854775808", np.array(-(2**63))),
    "floats": (b"1 2.5\n-inf 1e3", np.array([[1, 2.5], [-np.inf, 1e3]])),
    "large numbers among floats": (b"9223372036854775808\n0.5", np.array([2.0**63, 0.5])),
    "complex": (b"1+2j\n(3.5-1j)", np.array([1 + 2j, 3.5 - 1j])),
    "a byte-order mark": (b"\xef\xbb\xbf1 2\r\n3 4\r\n", np.array([[1, 2], [3, 4]])),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_is_read_in_the_narrowest_type_that_holds_it(tmp_path, case):
    content, expected = TEXTS[case]
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    for name in ("a.txt", "a.txt.gz"):
        array = read(name)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected, strict=True)


@pytest.mark.parametrize(
    "write", [np.arange(6).reshape(2, 3) / 7, np.array([1 + 2j, -3.5 - 1j])], ids=["real", "complex"]
)
def test_what_savetxt_writes_comes_back(write):
    np.savetxt("a.txt", write)
    np.testing.assert_array_equal(read("a.txt"), write, strict=True)


def test_the_sum_of_integers_in_text_has_every_digit(tmp_path, capsys):
    (tmp_path / "ints.txt").write_text("9007199254740993")
    assert main(["sum", "ints.txt"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "9007199254740993"


REFUSED = {
    "too large": (
        "9223372036854775808\n1",
        "it holds integers that do not fit int64; write them as 1e19 if they may be",
    ),
    "words": ("1 2\n3 x\n", "could not convert string 'x'"),
    "decimal commas": ("1,5", "could not convert string '1,5'"),
    "rows of different lengths": ("1 2\n3\n", "the number of columns changed from 2 to 1 at row 2"),
    "too large for a float": ("1 2\n3 -1e400\n", "it holds numbers that do not fit float64, such as 1e400"),
    "nothing": ("# only a comment\n", "it holds no numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_text_that_is_refused(tmp_path, case):
    content, message = REFUSED[case]
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=f"^a.txt: {message}"):
        read("a.txt")


@pytest.mark.parametrize("name", ["pipe", "pipe.mtx", "pipe.mtx.gz"])
def test_a_named_pipe_is_opened_once(tmp_path, name):
    content = b"1 2\n3 4\n" if name == "pipe" else b"%%MatrixMarket matrix array integer general\n2 2\n1\n3\n2\n4\n"
    os.mkfifo(name)
    written = gzip.compress(content) if name.endswith(".gz") else content
    writer = threading.Thread(target=(tmp_path / name).write_bytes, args=(written,), daemon=True)
    writer.start()
    np.testing.assert_array_equal(read(name), [[1, 2], [3, 4]])
    writer.join()


@pytest.mark.parametrize("name", ["pipe.npy", "pipe.npz", "pipe.mat"])
def test_a_format_that_a_pipe_cannot_give_is_refused_without_waiting(name):
    os.mkfifo(name)
    with pytest.raises(
        ValueError, match=f"^{name}: it is a pipe, and its format cannot be read from one; write a file"
    ):
        read(name)


def test_standard_input_is_a_file():
    command = [sys.executable, "-m", "dispatch", "sum", "/dev/stdin"]
    result = subprocess.run(command, input="1 2\n", capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[0] == "3"


@pytest.mark.parametrize("name", ["a.npy", "a.txt", "a.mtx", "sparse.npz"])
def test_a_key_into_a_file_of_one_array_is_refused(name):
    A = sp.eye_array(3, format="csr")
    np.save("a.npy", np.eye(3))
    np.savetxt("a.txt", np.eye(3))
    scipy.io.mmwrite("a.mtx", A)
    sp.save_npz("sparse.npz", A)
    assert read(name).shape == (3, 3)
    with pytest.raises(ValueError, match=f"^{name}: it holds one array and no names; leave --key out$"):
        read(name, "data")


def test_a_file_that_memory_does_not_hold_is_named(monkeypatch, capsys):
    np.save("a.npy", np.ones(3))

    def load(*_, **__):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(np, "load", load)
    assert main(["sum", "a.npy"]) == 1
    assert "a.npy: not enough memory to read it (Unable to allocate 1 TiB)" in capsys.readouterr().err


def test_the_mass_matrix_may_be_one_of_several_arrays(capsys):
    np.savez("pencil.npz", A=np.diag(np.arange(1.0, 9)), M=2 * np.eye(8))
    assert main(["eigsh", "pencil.npz", "--key", "A", "--mass", "pencil.npz", "--mass-key", "M", "-k", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "4"
    assert main(["eigsh", "pencil.npz", "--key", "A", "--mass", "pencil.npz", "-k", "1"]) == 2
    assert "it holds 2 arrays; choose one with --mass-key: A, M" in capsys.readouterr().err
    assert main(["eigsh", "pencil.npz", "--key", "A", "--mass-key", "M"]) == 2
    assert "--mass-key names an array of the file of M; give that file with --mass" in capsys.readouterr().err
