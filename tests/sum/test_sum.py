"""`sum` on the CPU takes whatever `numpy.sum` takes: lists, subclasses, sparse matrices."""

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch

INPUTS = {
    "list": [1, 2, 3],
    "nested list": [[1.5, 2], [3, 4]],
    "scalar": 7,
    "matrix": np.matrix([[1, 2], [3, 4]]),
    "masked": np.ma.masked_array([1, 2, 3], [0, 1, 0]),
    "object": np.array([1, 2], dtype=object),
    "big-endian": np.arange(6, dtype=">i4").reshape(2, 3),
    "timedelta": np.array([1, 2], dtype="m8[s]"),
    "strided": np.arange(12.0).reshape(3, 4)[::-1, ::2],
    "broadcast": np.broadcast_to(np.float32(2), (3, 4)),
    "NaN": np.array([np.nan, 1]),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("name", INPUTS)
def test_other_inputs(name, axis):
    a = INPUTS[name]
    expected, got = np.sum(a, axis=axis), dispatch.sum(a, axis=axis)
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.dia_array])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_sparse(form, axis):
    A = form(np.diag([1.0, 2, 3]))
    expected, got = A.sum(axis=axis), dispatch.sum(A, axis=axis)
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


def test_out_is_returned():
    out = np.empty(3, np.float32)
    assert dispatch.sum(np.ones((2, 3)), axis=0, out=out) is out
    assert (out == 2).all()


ERRORS = {
    "axis": (np.ones(3), {"axis": 1}, np.exceptions.AxisError),
    "axis twice": (np.ones((2, 2)), {"axis": (0, 0)}, ValueError),
    "axis no integer": (np.ones(3), {"axis": 1.5}, TypeError),
    "out shape": (np.ones((2, 2)), {"axis": 0, "out": np.empty(3)}, ValueError),
    "where integers": (np.ones(3), {"where": np.array([1, 0, 1])}, TypeError),
    "text": (np.array(["a", "b"]), {}, TypeError),
    "dates": (np.array(["2020"], "M8[D]"), {}, TypeError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_numpys(case):
    a, arguments, error = ERRORS[case]
    with pytest.raises(error) as expected:
        np.sum(a, **arguments)
    with pytest.raises(error) as got:
        dispatch.sum(a, **arguments)
    assert str(got.value) == str(expected.value)
