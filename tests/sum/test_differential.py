"""`dispatch.sum` against `numpy.sum`: all arguments, dtypes and layouts, served by NumPy and by compiled kernels."""

import numpy as np
import pytest
from dispatch_cpu import kernels, summation
from dispatch_cpu.recipes import VECTOR
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dispatch

from .strategies import FLOATS, INTEGERS, arrays, axes_of, masks_of

NUMBERS = [*INTEGERS, *FLOATS, ">i4", ">f4", ">c16", "g"]
FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@st.composite
def arguments_for(draw, a, dtypes, *, masked):
    arguments = {"axis": draw(axes_of(a)), "keepdims": draw(st.booleans())}
    if masked and draw(st.booleans()):
        arguments["where"] = draw(masks_of(a))
    if draw(st.booleans()):
        # What C makes of a float outside of an integer's range is not defined.
        fitting = dtypes if a.dtype.kind in "biu" else sorted(set(dtypes) & set(FLOATS))
        arguments["dtype"] = draw(st.sampled_from(fitting))
    if draw(st.booleans()):
        arguments["initial"] = draw(st.sampled_from([0, 1, 3]))
    return arguments


def check(a, arguments, data):
    """The same type, dtype, shape and value; for floats, within the bound of pairwise summation of the exact sum."""
    with np.errstate(all="ignore"):
        expected = np.sum(a, **arguments)
        before = a.copy()
        if data.draw(st.booleans()):
            kinds = "ifdD" if expected.dtype.kind in "biu" else "fdD"
            out = np.zeros(np.shape(expected), data.draw(st.sampled_from(kinds)))
            expected = np.sum(a, out=out.copy(), **arguments)
            got = dispatch.sum(a, out=out, **arguments)
            assert got is out
            operation = np.dtype(arguments.get("dtype", out.dtype))
        else:
            got = dispatch.sum(a, **arguments)
            operation = expected.dtype
        np.testing.assert_array_equal(a, before)
        assert type(got) is type(expected)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        if operation.kind not in "fc":
            np.testing.assert_array_equal(got, expected)
            return
        elements = a.astype(operation)
        exact = {**arguments, "dtype": np.clongdouble if operation.kind == "c" else np.longdouble}
        reference = np.sum(elements, **exact)
        magnitude = np.sum(abs(elements), **{**arguments, "dtype": np.longdouble})
        types = [np.finfo(dtype) for dtype in (operation, got.dtype) if dtype.kind in "fc"]
        smallest = 1 if got.dtype.kind in "iu" else max(float(info.smallest_subnormal) for info in types)
        largest = min([2.0**31 if got.dtype.kind in "iu" else np.inf, *(float(info.max) for info in types)])
        distance = got - (reference if got.dtype.kind == "c" else reference.real)
        held = np.abs(distance) <= 25 * max(float(info.eps) for info in types) * magnitude + smallest
        assert np.all(held | ~(magnitude < largest))


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("large", [False, True])
@settings(FIXTURES, max_examples=150)
@given(data=st.data())
def test_served_by_numpy(large, data):
    a = data.draw(arrays(NUMBERS))
    arguments = data.draw(arguments_for(a, NUMBERS[:-4], masked=True))
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr("dispatch_cpu.sum._routes", {})
            patch.setattr("dispatch_cpu.few_elements.SMALL", 0)
            patch.setattr("dispatch_cpu.few_elements.UNHURRIED", {})
            patch.setattr("dispatch_cpu.any_layout.PACKED", 16)
        check(a, arguments, data)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@settings(FIXTURES, max_examples=150)
@given(data=st.data())
def test_served_by_kernels(compiled, nothing_is_small, data):
    a = data.draw(arrays(["b", "i", "e", "f", "d", "D", ">f4"], max_side=9))
    check(a, data.draw(arguments_for(a, ["q", "d"], masked=a.dtype.char in "bf")), data)


VECTORS = [(3,), (17,), (255,), (256,), (257,), (4095,), (4097,), (70_000,)]
MATRICES = [(5, 7), (300, 3), (3, 300), (40, 260), (2000, 4), (9, 130), (1100, 1030), (100_000, 2)]
CUBES = [(7, 33, 5), (3, 20, 300), (30, 4, 2), (4, 5, 6, 7)]
SHAPES = st.sampled_from([*VECTORS, *MATRICES, *CUBES])


@pytest.mark.parametrize("dtype", ["e", "f", "d", "D"])
@settings(FIXTURES, max_examples=40)
@given(data=st.data())
def test_kernels_and_numpy_add_in_the_same_order(compiled, nothing_is_small, dtype, data):
    shape = data.draw(SHAPES)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    a = rng.standard_normal((*shape, 2)).astype("f8").view("D").reshape(shape) if dtype == "D" else None
    a = rng.standard_normal(shape).astype(dtype) if a is None else a
    a = a.transpose(data.draw(st.permutations(range(a.ndim))))
    a = a[tuple(slice(None, None, data.draw(st.sampled_from([1, 1, 2, -1]))) for _ in shape)]
    arguments = {"axis": data.draw(axes_of(a))}
    if dtype == "f" and data.draw(st.booleans()):
        arguments["where"] = rng.random(a.shape) < 0.5
    by_kernels = dispatch.sum(a, **arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "find", lambda name, recipe, result, masked: None)
        patch.setattr("dispatch_cpu.sum._routes", {})
        by_numpy = dispatch.sum(a, **arguments)
    np.testing.assert_array_equal(by_kernels, by_numpy)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 100, 255, 256, 257, 2047, 2048, 4097, 20_000])
@pytest.mark.parametrize("form", ["vector", "matrix", "read-only", "unaligned", "big-endian"])
def test_the_kernel_for_float32_vectors_adds_in_the_same_order(compiled, n, form):
    a = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    a.flags.writeable = form != "read-only"
    shaped = a.reshape(1, n, 1) if form == "matrix" else a.astype(">f4") if form == "big-endian" else a
    if form == "unaligned":
        shaped = np.frombuffer(b"." + a.tobytes(), np.uint8)[1:].view(np.float32)
    kernel = kernels.find(*VECTOR)
    double = np.dtype(np.float64)
    expected = summation.sum_rows(a.reshape(1, n, 1), double, double)[0, 0]
    assert kernel(a.copy(), summation.LANES, summation.LANES * summation.SERIAL) == expected
    for found in ({}, {"vector": kernel}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dispatch_cpu.sum._routes", found)
            assert dispatch.sum(shaped) == np.float32(expected)


def test_float32_vectors_of_zeros_and_of_nothing(compiled):
    for values in ([], [-0.0], [-0.0, -0.0], [-0.0] * 3000):
        assert not np.signbit(dispatch.sum(np.array(values, np.float32)))


@pytest.mark.parametrize("axis", [0, 1, -2, (0, 1), None])
@pytest.mark.parametrize("dtype", ["f", "d", "D"])
def test_out_and_keepdims_change_no_bit(dtype, axis):
    a = np.random.default_rng(5).standard_normal((40, 11)).astype(dtype)
    expected = dispatch.sum(a, axis=axis)
    kept = dispatch.sum(a, axis=axis, keepdims=True)
    np.testing.assert_array_equal(kept.reshape(np.shape(expected)), expected)
    assert kept.shape == np.sum(a, axis=axis, keepdims=True).shape
    out = np.empty_like(expected)
    assert dispatch.sum(a, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, expected)


ONES = np.ones((2, 3))
READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False
ERRORS = [
    {"axis": 2},
    {"axis": (0, 0)},
    {"axis": (0, -2)},
    {"axis": [0]},
    {"axis": 0.0},
    {"axis": True},
    {"keepdims": None},
    {"keepdims": "a"},
    {"initial": 1j},
    {"initial": "a"},
    {"initial": [1]},
    {"initial": 300, "dtype": "i1"},
    {"initial": None, "where": np.ones(3, bool)},
    {"where": np.array([1, 0, 1])},
    {"where": np.ones((2, 2, 3), bool)},
    {"where": np.ones(4, bool)},
    {"out": [0]},
    {"out": (np.zeros(()),)},
    {"out": np.zeros(1)},
    {"axis": 0, "out": np.zeros((2, 3))},
    {"axis": 0, "out": READ_ONLY},
    {"axis": 1, "keepdims": True, "out": np.zeros(2)},
    {"dtype": "xx"},
    {"dtype": ">f8"},
    {"dtype": "M8[s]"},
    {"dtype": str},
]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_are_numpys(large, number, monkeypatch):
    if large:
        monkeypatch.setattr("dispatch_cpu.few_elements.SMALL", 0)
        monkeypatch.setattr("dispatch_cpu.few_elements.UNHURRIED", {})
    arguments = ERRORS[number]
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever NumPy raises
        np.sum(ONES, **arguments)
    with pytest.raises(type(expected.value)) as got:
        dispatch.sum(ONES, **arguments)
    assert str(got.value) == str(expected.value)


def test_elements_are_cast_before_they_are_added(nothing_is_small):
    a = np.full((40, 3), 1.7)
    assert dispatch.sum(a, axis=0, dtype=int).tolist() == [40] * 3
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert dispatch.sum(np.full(40, 1e300), dtype=np.float32) == np.inf
