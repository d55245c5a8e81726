"""Matrix Market files: what Fortran writes is read, and a line that is not of the format is never read in part."""

import gzip

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from dispatch.cli.matrix_market import read_matrix_market


@pytest.fixture
def read(tmp_path):
    """Write a file with the given banner and body, and read it."""

    def read(kind, body):
        path = tmp_path / "a.mtx"
        path.write_text(f"%%MatrixMarket matrix {kind}\n% a comment with 1.5D+3 in it\n{body}")
        return read_matrix_market(str(path))

    return read


A = np.arange(1.0, 7.0).reshape(2, 3)


@pytest.mark.parametrize("field", ["real", "complex", "integer", "pattern"])
def test_a_sparse_matrix_that_scipy_writes_comes_back(tmp_path, field):
    path = str(tmp_path / "a.mtx")
    scipy.io.mmwrite(path, sp.coo_array(A), field=field)
    expected = np.ones_like(A) if field == "pattern" else A
    np.testing.assert_array_equal(read_matrix_market(path).toarray(), expected)


@pytest.mark.parametrize("field", ["real", "complex", "integer"])
def test_a_dense_array_that_scipy_writes_comes_back(tmp_path, field):
    path = str(tmp_path / "a.mtx")
    scipy.io.mmwrite(path, A, field=field)
    np.testing.assert_array_equal(read_matrix_market(path), A)


NUMBERS = {
    "1.5D+3": 1500.0,
    "1.5d-3": 0.0015,
    "+2.5": 2.5,
    "+.5E+1": 5.0,
    "-4.": -4.0,
    "1e-400": 0.0,
    "-Infinity": -np.inf,
    "nan": np.nan,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_as_programs_write_them(read, text):
    A = read("coordinate real general", f"2 2 1\n1 2 {text}\n")
    np.testing.assert_array_equal(A.toarray()[0, 1], NUMBERS[text])


def test_blank_lines_windows_line_ends_and_a_missing_last_one(read):
    A = read("coordinate real symmetric", "2 2 2\r\n\r\n 1 1  2.0 \r\n2 1\t3.0")
    np.testing.assert_array_equal(A.toarray(), [[2, 3], [3, 0]])


def test_compressed(tmp_path):
    path = tmp_path / "a.mtx.gz"
    path.write_bytes(gzip.compress(b"%%MatrixMarket matrix coordinate real general\n2 2 1\n2 2 1.D0\n"))
    np.testing.assert_array_equal(read_matrix_market(str(path)).toarray(), [[0, 0], [0, 1]])


BAD_VALUES = ["1.5 7", "1.5.5", "1-5", "1e", "0x10", "1.5abc", "1,5", "--3", "1 % c", "1.5D", "1.5D+3D", "", "one"]


@pytest.mark.parametrize("text", BAD_VALUES)
def test_a_line_that_is_no_entry_is_named(read, text):
    with pytest.raises(ValueError, match=r"line 5 is '2 1 ?.*', expected 3 numbers: row, column, real"):
        read("coordinate real general", f"2 2 2\n1 1 1.0\n2 1 {text}\n")


@pytest.mark.parametrize("text", ["1.5", "1e3", "2.0"])
def test_an_integer_is_not_cut_off(read, text):
    with pytest.raises(ValueError, match=f"line 4 is '1 1 {text}', expected 3 numbers: row, column, integer"):
        read("coordinate integer general", f"2 2 1\n1 1 {text}\n")


def test_an_array_has_one_number_a_line(read):
    with pytest.raises(ValueError, match="line 4 is '1 2', expected 1 numbers: real"):
        read("array real general", "2 1\n1 2\n")


@pytest.mark.parametrize("symmetry", ["symmetric", "skew-symmetric"])
def test_both_triangles_of_a_symmetric_matrix_are_refused(read, symmetry):
    with pytest.raises(ValueError, match=f"^its banner says {symmetry}, .*, but it holds both: write general there$"):
        read(f"coordinate real {symmetry}", "2 2 2\n1 2 5.0\n2 1 5.0\n")
    for entry in ("1 2 5.0", "2 1 5.0"):
        assert abs(read(f"coordinate real {symmetry}", f"2 2 1\n{entry}\n").toarray()).tolist() == [[0, 5], [5, 0]]


def test_an_element_that_is_given_twice_is_added_up(read):
    for symmetry in ("general", "symmetric"):
        assert read(f"coordinate real {symmetry}", "2 2 2\n1 1 5.0\n1 1 2.0\n").toarray()[0, 0] == 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("2 2 2\n1 1 1.0\n", "Truncated file. Expected another 1 lines"),
        ("2 2 1\n1 1 1.0\n2 2 1.0\n", "Too many lines in file"),
        ("2 2 1\n3 1 1.0\n", "Row index out of bounds"),
        ("2 2 1\n0 1 1.0\n", "Row index out of bounds"),
    ],
)
def test_what_the_sizes_do_not_fit_is_refused(read, body, message):
    with pytest.raises(ValueError, match=message):
        read("coordinate real general", body)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            "coordinate real skew-symmetric",
            "2 2 2\n1 1 1\n2 1 3\n",
            "skew-symmetric, but an element of its diagonal is",
        ),
        (
            "coordinate complex hermitian",
            "2 2 2\n1 1 1 5\n2 1 3 1\n",
            "hermitian, but an element of its diagonal is not",
        ),
        ("coordinate real general", "2 2 1\n1 1 1e400\n", "numbers that do not fit float64, such as 1e400"),
        ("array real general", "1 1\n-1e400\n", "numbers that do not fit float64"),
    ],
)
def test_what_the_format_does_not_allow_is_refused(read, kind, body, message):
    with pytest.raises(ValueError, match=message):
        read(kind, body)


def test_infinity_is_a_number(read):
    assert read("coordinate real general", "1 1 1\n1 1 -Inf\n").sum() == -np.inf
