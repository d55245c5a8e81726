"""`sum` on the CPU has NumPy's meaning, whatever is passed."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dispatch

DTYPES = [bool, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64, np.complex64]


@given(st.data())
def test_equals_numpy(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    a = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)))
    axes = st.none() if a.ndim == 0 else st.none() | st.integers(-a.ndim, a.ndim - 1) | st.just(())
    arguments = {"axis": data.draw(axes), "keepdims": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        arguments["where"] = data.draw(hnp.arrays(bool, a.shape))
    if data.draw(st.booleans()):
        arguments["initial"] = 1
    with np.errstate(all="ignore"):
        expected, got = np.sum(a, **arguments), dispatch.sum(a, **arguments)
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


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
