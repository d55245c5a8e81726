"""`sum` on the CPU takes whatever `numpy.sum` takes: lists, subclasses, sparse matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from dispatch_cpu.backend import CpuBackend

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


FORMATS = [
    sp.csr_array,
    sp.csc_array,
    sp.coo_array,
    sp.bsr_array,
    sp.dia_array,
    sp.lil_array,
    sp.dok_array,
    sp.csr_matrix,
]


@pytest.mark.parametrize("form", FORMATS)
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


def test_large_sparse_matrices_stay_sparse():
    A = sp.csr_array(([1.0, 2.0], ([0, 10**6], [10**6, 5])), shape=(10**7, 10**7))
    assert dispatch.sum(A) == 3.0


def test_backends_that_derive_from_the_cpus_have_their_own_sum():
    class Doubling(CpuBackend):
        name = "doubling"

        def probe(self):
            return [dispatch.Device("doubling:0")]

        def sum(self, a, *arguments, device):
            return 2 * super().sum(a, *arguments, device=device)

    for _ in range(2):
        assert dispatch.sum(np.ones(3), backend=Doubling()) == 6


class Overriding:
    """A type that handles NumPy's functions itself."""

    def __array_function__(self, function, types, args, kwargs):
        return function.__name__, args[1:], kwargs


def test_types_with_array_function_answer_for_themselves():
    assert dispatch.sum(Overriding(), axis=1) == np.sum(
        Overriding(), 1, None, None, np._NoValue, np._NoValue, np._NoValue
    )


def test_subclasses_are_kept_and_memory_maps_are_not(tmp_path):
    class Sub(np.ndarray):
        pass

    assert type(dispatch.sum(np.ones((2, 3)).view(Sub), axis=0)) is Sub
    mapped = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(3000, 4))
    mapped[:] = 1
    assert type(dispatch.sum(mapped)) is np.float32
    assert type(dispatch.sum(mapped, axis=0)) is np.ndarray
    assert dispatch.sum(mapped, axis=0).tolist() == [3000] * 4


def test_lists_are_summed_as_accurately_as_arrays():
    assert dispatch.sum([np.float16(1)] * 4096) == 4096
    assert dispatch.sum([[0.1] * 3] * 5000, axis=0).tolist() == dispatch.sum(np.full((5000, 3), 0.1), axis=0).tolist()


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("dtype", ["F", "D"])
@pytest.mark.parametrize("value", [complex(0, np.inf), complex(-np.inf, 1), complex(-0.0, np.inf)])
def test_repeated_complex_infinities_keep_their_parts_apart(value, dtype):
    a = np.broadcast_to(np.array(value, dtype), (3, 2))
    for arguments in ({}, {"axis": 0}):
        np.testing.assert_array_equal(dispatch.sum(a, **arguments), np.sum(a, **arguments))
        outs = [np.zeros(np.shape(np.sum(a, **arguments)), np.float32) for _ in range(2)]
        np.testing.assert_array_equal(dispatch.sum(a, out=outs[0], **arguments), np.sum(a, out=outs[1], **arguments))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("order", ["CF", "FC", "FF"])
@pytest.mark.parametrize("dtype", ["e", "f", "F", "D"])
def test_few_elements_and_a_mask_in_another_order(dtype, order):
    rng = np.random.default_rng(0)
    a = rng.integers(-9, 9, (30, 110)).astype(dtype, order=order[0])
    mask = np.asarray(rng.random(a.shape) < 0.5, order=order[1])
    for axis in (None, 0, 1):
        actual = dispatch.sum(a, axis=axis, where=mask, backend="cpu")
        np.testing.assert_array_equal(actual, np.sum(a, axis=axis, where=mask), err_msg=f"{axis=}")


@pytest.mark.parametrize("char", "bBhHiIqQ")
def test_a_float_that_an_integer_out_does_not_hold_is_cast(char):
    a = np.array([-171, 0], np.float32)
    assert dispatch.sum(a, out=np.zeros((), char), backend="cpu") == np.sum(a, out=np.zeros((), char))


@pytest.mark.parametrize("by_dtype", [False, True])
def test_what_is_prepared_for_c_long_is_not_taken_for_long_long(by_dtype):
    """They are equal as dtypes, and NumPy's results differ in type."""
    mask = np.random.default_rng(0).random((30, 110)) < 0.5
    for char in "lqlLQ":
        a = np.ones((30, 110), "i" if by_dtype else char)
        arguments = {"dtype": np.dtype(char)} if by_dtype else {}
        assert type(dispatch.sum(a, where=mask, **arguments)) is type(np.sum(a, where=mask, **arguments))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("shape", [(5,), (100,), (5000,), (3_000_000,), (40, 30), (300, 400), (20, 20, 20)], ids=str)
@pytest.mark.parametrize("dtype", "efdFDbI")
def test_where_may_be_true(dtype, shape):
    a = (np.arange(np.prod(shape)) % 70 == 0).reshape(shape).astype(dtype)
    for arguments in ({}, {"axis": 0}, {"keepdims": True}, {"initial": 2}):
        actual = dispatch.sum(a, where=True, backend="cpu", **arguments)
        np.testing.assert_array_equal(actual, dispatch.sum(a, backend="cpu", **arguments))


@pytest.mark.parametrize("n", [10, 1000, 100_000])
@pytest.mark.parametrize("dtype", "BHI")
def test_a_sum_of_unsigned_integers_in_floats_may_begin_below_zero(dtype, n):
    assert dispatch.sum(np.ones(n, dtype), dtype=np.float64, initial=-1, backend="cpu") == n - 1


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", "fdFD")
def test_windows_of_four_that_overlap(dtype):
    values = np.arange(400, dtype=dtype)
    size = values.itemsize
    pairs = np.lib.stride_tricks.as_strided(values, (90, 4, 2), (4 * size, size, size))
    np.testing.assert_array_equal(dispatch.sum(pairs, axis=1), pairs.copy().sum(axis=1))
    halves = np.lib.stride_tricks.as_strided(values, (90, 4), (2 * size, size // 2))
    np.testing.assert_array_equal(dispatch.sum(halves, axis=1), halves.copy().sum(axis=1))


@pytest.mark.usefixtures("compiled", "nothing_is_small")
@pytest.mark.parametrize("dtype", "?hifd")
def test_where_may_be_a_list(dtype):
    assert dispatch.sum(np.ones((300, 10), dtype), where=[True] * 5 + [False] * 5) == 1500
    assert dispatch.sum(np.ones(3000, dtype), where=[True] * 3000) == 3000


@pytest.mark.usefixtures("compiled")
def test_an_initial_value_and_two_elements_are_rounded_once_whatever_was_asked_before():
    a = np.array([[1] * 5, [2**-25 + 2**-40] * 5], "f")
    assert (dispatch.sum(a, axis=0, initial=0) == 1).all()
    assert (dispatch.sum(a, axis=0, initial=2**-25) == np.float32(1 + 2**-23)).all()


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("shape", "axis"), [((1_000_000,), None), ((16, 60_000), 0)])
def test_partial_sums_are_not_rounded_to_a_narrower_out(shape, axis):
    a = np.full(shape, 0.005)
    a[0] = 2**30
    exact = 2**30 + 0.005 * (a.size // np.sum(a, axis).size - 1)
    out = np.zeros(np.sum(a, axis).shape, "f")
    assert dispatch.sum(a, axis, out=out) is out
    assert (out == np.float32(exact)).all()


@pytest.mark.usefixtures("compiled")
def test_out_does_not_change_the_order_where_elements_repeat():
    rows = np.full((9, 1000), 2.0**-53)
    rows[:, 0] = 1
    a = np.lib.stride_tricks.as_strided(rows, (1000, 3, 9), (8, 0, 8000))
    for out in (None, np.empty((9, 3)).T):
        assert (abs(dispatch.sum(a, axis=0, out=out) - (1 + 999 * 2.0**-53)) <= 21 * 2.0**-53).all()


@pytest.mark.usefixtures("compiled")
def test_integers_that_float16_does_not_hold_are_cast_before_they_begin_a_sum():
    ones = np.ones(101, "e")
    for initial in (2049, 2049.0):
        assert dispatch.sum(ones, initial=initial) == np.sum(ones, initial=initial) == 2148


@pytest.mark.usefixtures("compiled")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", "fdFD")
def test_masked_elements_raise_no_warning(dtype):
    largest = np.finfo(dtype).max
    for shape, axis in (((40,), None), ((3000,), None), ((300, 20), 1), ((40, 300), 0), ((300, 4), 1)):
        for one, other in ((np.inf, -np.inf), (largest, largest)):
            a, marks = np.ones(shape, dtype), np.ones(shape, bool)
            a.reshape(-1)[0] = one
            strange = [place for place in (1, 2, 16, 256, 512, a.size // 2) if 0 < place < a.size]
            a.reshape(-1)[strange], marks.reshape(-1)[strange] = other, False
            np.testing.assert_array_equal(dispatch.sum(a, axis, where=marks), np.sum(a, axis, where=marks))
