"""`dispatch.sum` against `numpy.sum`: all arguments, dtypes and layouts, served by NumPy and by compiled kernels."""

import ctypes
import itertools
import mmap
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from dispatch_cpu import kernels, row_sums
from dispatch_cpu.copies import blocks_of
from dispatch_cpu.one_call import OneCall
from dispatch_cpu.routes import plan_route
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dispatch
from dispatch.reduction import prepare

from .conftest import forget_plans, take_as_large
from .strategies import FLOATS, INTEGERS, arrays, axes_of, layouts, masks_of

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
            take_as_large(patch)
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


SLICES = [slice(None), slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1)]


CAST = [("e", "f"), ("e", "d"), ("l", "d")]
SWAPPED = [(np.dtype(char).newbyteorder("S").str, None) for char in "fdFD"]


@pytest.mark.parametrize(("dtype", "operation"), [*((char, None) for char in "efdD"), *CAST, *SWAPPED])
@settings(FIXTURES, max_examples=30)
@given(data=st.data())
def test_kernels_and_numpy_add_in_the_same_order(compiled, nothing_is_small, dtype, operation, data):
    shape = data.draw(SHAPES)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    if np.dtype(dtype).kind == "c":
        a = rng.standard_normal((*shape, 2)).view("D").reshape(shape).astype(dtype)
    else:
        a = (rng.standard_normal(shape) * (2.0**60 if dtype == "l" else 1)).astype(dtype)
    a = a.transpose(data.draw(st.permutations(range(a.ndim))))
    a = a[tuple(data.draw(st.sampled_from(SLICES)) for _ in shape)]
    arguments = {"axis": data.draw(axes_of(a)), "dtype": operation}
    if a.dtype.kind == "f" and data.draw(st.booleans()):
        arguments["where"] = rng.random(a.shape) < 0.5
    check_order(a, arguments)


def check_order(a, arguments):
    """Kernels and what takes their place give the same bits."""
    by_kernels = dispatch.sum(a, **arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "find", lambda name, recipe, result, masked: None)
        forget_plans()
        by_numpy = dispatch.sum(a, **arguments)
    np.testing.assert_array_equal(by_kernels, by_numpy)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
def test_wide_rows_are_added_in_that_order_too_in_stripes_and_chunks(compiled, dtype, monkeypatch):
    monkeypatch.setattr(row_sums, "THREADED", 1 << 22)
    a = np.random.default_rng(6).standard_normal((350, 24_602)).astype(dtype.lower())
    a = a.view(dtype) if dtype in "FD" else a[:, :12_301]
    assert a[:, 1:].nbytes > row_sums.THREADED
    for part in (a, a[:, 1:], a[:, ::2], a[:, ::3]):
        check_order(part, {"axis": 0})


@pytest.mark.parametrize("step", [2, 3, 50])
@pytest.mark.parametrize("dtype", ["f", "d", "F", "D", ">f4", "i", "l"])
def test_columns_that_are_apart_are_read_where_they_are(compiled, nothing_is_small, dtype, step):
    a = (np.random.default_rng(7).standard_normal((3, 40, 600)) * 1e6).astype(dtype)
    a = a[..., ::step]
    for x, axis in ((a, 1), (a[0], 0), (a[0, 0], 0), (a, 2), (a, None)):
        check_order(x, {"axis": axis})


UNEVEN = np.random.default_rng(8).standard_normal(60_000) * 10.0 ** np.random.default_rng(9).integers(-6, 6, 60_000)
MARKS = UNEVEN[:4000].reshape(20, 200) > 0
SHIFTED = np.frombuffer(b"." + UNEVEN.astype("f").tobytes(), np.uint8)[1:].view("f")
RNG = np.random.default_rng(0)
SLAB = (RNG.standard_normal((17, 1156, 40)) * 10.0 ** RNG.integers(-3, 3, (17, 1156, 40))).astype("e")


@pytest.mark.parametrize(
    ("a", "arguments"),
    [
        (UNEVEN[:864].view("D").reshape(3, 72, 2).transpose(1, 2, 0), {"axis": 0, "where": np.ones((2, 3), bool)}),
        (
            np.resize(UNEVEN, (200, 144, 20)).transpose(1, 2, 0),
            {"axis": 0, "where": MARKS},
        ),
        (UNEVEN.astype(">f8").reshape(60, 1000)[:, ::-1], {"axis": 1}),
        (SHIFTED.reshape(60, 1000)[:, ::-1], {"axis": 1, "dtype": "d"}),
        (SHIFTED.view("F")[::-1], {"dtype": "D"}),
        (SLAB, {"axis": (0, 2)}),
    ],
    ids=["masked-complex", "masked-rows", "swapped", "unaligned", "unaligned-complex", "float16"],
)
def test_arrays_that_are_copied_are_added_in_the_same_order(compiled, a, arguments):
    check_order(a, arguments)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@settings(FIXTURES, max_examples=300)
@given(data=st.data())
def test_few_elements_served_by_kernels(compiled, data):
    a = data.draw(arrays([*FLOATS, ">f4", ">c16"]))
    check(a, data.draw(arguments_for(a, FLOATS, masked=True)), data)


LONG = [(2,), (3,), (16,), (17,), (129,), (181,), (255,), (257,), (509,), (512,), (2049,), (4097,), (20_000,)]
FEW_SHAPES = {
    "R": LONG,
    "RKK": [(2, 33, 5), (40, 5, 4), (17, 30, 40), (3, 1, 7), (300, 5, 1), (20, 3, 300)],
    "KKR": [(2, 33, 5), (40, 5, 4), (3, 7, 181), (3, 1, 600), (1, 20, 17), (20, 18, 100)],
    "KRR": [(2, 33, 5), (40, 5, 4), (3, 1, 7), (3, 7, 181), (5, 300, 1)],
    "RRK": [(2, 33, 5), (40, 5, 4), (3, 1, 7), (5, 300, 1), (4, 20, 300)],
    "KR": [(70, 4), (5, 17), (4, 181), (3, 300), (2, 512), (1, 40), (300, 260)],
    "RK": [(40, 3), (33, 5), (20, 1100), (1, 7), (300, 1)],
    "KRK": [(2, 33, 5), (4, 5, 40), (3, 1, 7), (5, 300, 1), (31, 60, 40)],
    "RKR": [(2, 33, 5), (70, 5, 40), (3, 1, 7), (5, 4, 300), (40, 1, 257)],
    "RR": [(2, 3), (300, 17), (3, 4500), (1, 40), (40, 1)],
    "RRR": [(2, 33, 5), (4, 3, 300)],
    "RKRK": [(2, 3, 5, 4), (5, 2, 20, 17)],
    "KRKR": [(2, 3, 5, 4), (5, 20, 3, 17)],
    "KKRK": [(2, 3, 5, 4), (3, 2, 20, 17)],
}


def copy_all(monkeypatch, block):
    """Have elements copied before they are added, whatever the layout, in blocks of about so many bytes."""
    monkeypatch.setattr("dispatch_cpu.routes.gains_by_copy", lambda passes, parts: True)
    monkeypatch.setattr("dispatch_cpu.copies.BLOCK", block)
    monkeypatch.setattr("dispatch_cpu.copies.NEIGHBOURS", 1)


@pytest.mark.parametrize("copied", [None, 200, 1 << 20])
@pytest.mark.parametrize(
    "chars", ["ee", "ef", "ed", "ff", "fd", "dd", "FF", "FD", "DD", "ld", "Ld", "bl", "hl", "il", "ll"]
)
@pytest.mark.parametrize("layout", FEW_SHAPES)
def test_one_call_adds_in_the_same_order_before_its_kernels_are_ready(compiled, layout, chars, copied, monkeypatch):
    rng, axes = np.random.default_rng(7), tuple(i for i, kind in enumerate(layout) if kind == "R")
    if copied is not None:
        copy_all(monkeypatch, copied)
    tried = 0
    for shape in FEW_SHAPES[layout]:
        a = rng.standard_normal((*shape, 2)) @ [100, 100j if chars[0] in "FD" else 0]
        a = (abs(a) if chars[0] == "L" else a).astype(chars[0], copy=False)
        views = [a]
        views += [a[..., ::-1], a[::-1, ...], a[..., ::2], a[..., ::3], np.broadcast_to(a[..., :1], a.shape), a.T]
        if a.ndim > 1:
            views += [a[:, 1:], a[:, ::-1], a[1:, ..., 1:], np.swapaxes(a, 0, 1)[::2]]
        mask = rng.random(shape) < 0.5
        for x, where in [*((x, np._NoValue) for x in views if x.size), (a, mask), (a[..., ::2], mask[..., 1::-1])]:
            marks = None if where is np._NoValue else where
            if marks is not None and marks.shape != x.shape:
                continue
            one = plan_route(x, prepare(x, axes, chars[1], where=where))
            if type(one) is OneCall:
                np.testing.assert_array_equal(one.take(x, marks), one._by_numpy(x, marks))
                tried += 1
    assert tried > 5


@pytest.mark.parametrize("chars", ["bl", "hl", "ee", "il", "ff", "ll", "dd", "FF", "DD", "Ld"])
@pytest.mark.parametrize("block", [60, 200, 1 << 16])
def test_every_element_is_copied_once(compiled, block, chars, monkeypatch):
    copy_all(monkeypatch, block)
    rng, tried = np.random.default_rng(7), 0
    for n, step, masked, width in itertools.product(range(2, 71), (1, 2, 3), (False, True), (1, 3)):
        numbers = rng.integers(0, 20, (n, step * width)).astype(chars[0])
        if chars[0] in "FD":
            numbers *= 1 + 2j
        a, mask = numbers[:, ::step], rng.random((n, width)) < 0.5 if masked else None
        one = plan_route(a, prepare(a, 0, chars[1], where=mask if masked else np._NoValue))
        if type(one) is OneCall:
            expected = np.where(mask, a, 0).sum(0) if masked else a.sum(0)
            np.testing.assert_array_equal(one.take(a, mask), expected)
            tried += 1
    assert tried > 400


@pytest.mark.parametrize("chars", ["bl", "hl", "ff", "ll", "DD", "Ld"])
@pytest.mark.parametrize("layout", ["KRKK", "KKRK", "KRKR", "KKR"])
@pytest.mark.parametrize("masked", [False, True])
def test_units_that_are_too_large_are_copied_in_blocks_of_their_own(compiled, layout, chars, masked, monkeypatch):
    copy_all(monkeypatch, 600)
    monkeypatch.setattr("dispatch_cpu.copies.PACKED", 2000)
    monkeypatch.setattr("dispatch_cpu.routes.PACKED", 2000)
    axes = tuple(i for i, kind in enumerate(layout) if kind == "R")
    shape = {"KRKK": (3, 5, 151, 3), "KKRK": (3, 151, 5, 3), "KRKR": (3, 5, 151, 3), "KKR": (4, 151, 21)}[layout]
    rng = np.random.default_rng(7)
    numbers = rng.integers(0, 20, [extent + 1 for extent in shape]).astype(chars[0])
    a = numbers[tuple(slice(1, None) for _ in shape)]
    mask = rng.random(shape) < 0.5 if masked else None
    reduction = prepare(a, axes, chars[1], where=mask if masked else np._NoValue)
    one = plan_route(a, reduction)
    assert type(one) is OneCall
    assert one._packed is not None
    assert blocks_of(one._reduction).outer == shape[0]
    expected = a.sum(axes, where=mask if masked else True)
    np.testing.assert_array_equal(one.take(a, mask), one._by_numpy(a, mask))
    np.testing.assert_array_equal(one.take(a, mask), expected)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("block", [60, 1 << 16])
@settings(FIXTURES, max_examples=200)
@given(data=st.data())
def test_served_by_kernels_after_copies(compiled, block, data):
    a = data.draw(arrays(["?", "b", "H", "i", "q", *FLOATS, ">f4", ">c16"], max_side=9))
    arguments = data.draw(arguments_for(a, ["q", *FLOATS], masked=True))
    with pytest.MonkeyPatch.context() as patch:
        copy_all(patch, block)
        patch.setattr("dispatch_cpu.numpy_sums.BELOW", {})
        patch.setattr("dispatch_cpu.numpy_sums.MASKED", 0)
        patch.setattr("dispatch_cpu.sum.PACKED", 0)
        forget_plans()
        check(a, arguments, data)


@pytest.mark.parametrize("dtype", "efdFD")
@pytest.mark.parametrize("value", ["largest", "infinite", "NaN"])
def test_no_warning_is_given_but_numpys(compiled, dtype, value):
    number = {"largest": np.finfo(dtype).max, "infinite": np.inf, "NaN": np.nan}[value]
    for shape, axis in (((100,), None), ((4, 100), 1), ((40, 3), 0), ((20, 300), 0), ((3, 20, 300), 1), ((9000, 4), 1)):
        for a in (np.full(shape, number, dtype), np.full((*shape[:-1], 2 * shape[-1]), number, dtype)[..., ::2]):
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                np.sum(a, axis)
                texts = {str(warning.message) for warning in given}
                given.clear()
                dispatch.sum(a, axis)
                assert {str(warning.message) for warning in given} == texts


@pytest.fixture
def poisoned():
    """Memory that is allocated holds large numbers until it is written."""
    mallopt, perturb = getattr(ctypes.CDLL(None), "mallopt", None), -6
    if mallopt is None:
        pytest.skip("needs glibc")
    mallopt(perturb, 128)  # what is allocated are bytes of 127
    yield
    mallopt(perturb, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", "efdFD")
def test_no_memory_is_read_before_it_is_written(compiled, poisoned, dtype):
    for shape in [
        (30,),
        (5000,),
        (5, 40),
        (40, 5),
        (3, 40),
        (300, 20),
        (3, 4, 5),
        (7, 33, 5),
        (300, 5, 3),
        (3, 7, 181),
    ]:
        ones = np.ones(shape, dtype)
        for slices in itertools.product([slice(None), slice(1, None), slice(None, None, 3)], repeat=len(shape)):
            a = ones[slices]
            for axes in itertools.chain.from_iterable(itertools.combinations(range(a.ndim), n) for n in (1, 2, 3)):
                for where in (True, np.ones(a.shape, bool)):
                    np.testing.assert_array_equal(dispatch.sum(a, axes, where=where), np.sum(a, axes, dtype))


@pytest.mark.parametrize("threaded", [1 << 16, 1 << 30])
@pytest.mark.parametrize("dtype", ["b", "h", "f", "d", "F"])
def test_masks_of_another_layout_and_many_columns(compiled, dtype, threaded, monkeypatch):
    monkeypatch.setattr("dispatch_cpu.row_sums.THREADED", threaded)
    for shape in ((700, 1300), (2, 2, 8500), (3, 2, 700), (2, 5, 2600), (3, 33, 129)):
        a = np.random.default_rng(3).integers(-9, 9, shape).astype(dtype)
        for axes in itertools.chain.from_iterable(itertools.combinations(range(a.ndim), n) for n in (1, 2)):
            for kept in itertools.combinations(range(a.ndim), 1):
                mask = np.arange(a.shape[kept[0]]) % 3 != 0
                mask = np.expand_dims(mask, tuple(axis for axis in range(a.ndim) if axis not in kept))
                np.testing.assert_array_equal(dispatch.sum(a, axes, where=mask), np.sum(a, axes, where=mask))


@pytest.mark.parametrize("dtype", ["b", "B", "h", "i", "l", "Q"])
@pytest.mark.parametrize("initial", [-1, 1, 127, 128, -129, 300, 40_000, -40_000])
def test_what_a_narrow_integer_does_not_hold_is_refused_also_later(compiled, dtype, initial):
    a = np.ones((200, 200), "b")
    dispatch.sum(a, axis=0, dtype=dtype, initial=1)
    arguments = {"axis": 0, "dtype": dtype, "initial": initial}
    if np.iinfo(dtype).min <= initial <= np.iinfo(dtype).max:
        np.testing.assert_array_equal(dispatch.sum(a, **arguments), np.sum(a, **arguments))
    else:
        for sum_ in (np.sum, dispatch.sum):
            with pytest.raises(OverflowError, match="out of bounds for"):
                sum_(a, **arguments)


@pytest.mark.parametrize("dtype", ["e", "f", "d", "F"])
@pytest.mark.parametrize("shape", [(300, 20), (300, 200), (3, 20)])
def test_each_sum_is_warned_of_whatever_others_have(compiled, dtype, shape):
    large = np.finfo(dtype).max / 2
    for value in (np.inf, np.nan):
        a = np.ones(shape, dtype)
        a[:, 0], a[0, 1] = large, value
        for where in (True, np.isfinite(a), a == 1):
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                np.sum(a, axis=0, where=where)
                texts = {str(warning.message) for warning in given}
                given.clear()
                dispatch.sum(a, axis=0, where=where)
                assert {str(warning.message) for warning in given} == texts
            with np.errstate(over="raise"):
                if texts:
                    with pytest.raises(FloatingPointError):
                        dispatch.sum(a, axis=0, where=where)
                else:
                    dispatch.sum(a, axis=0, where=where)


@pytest.mark.parametrize("dtype", ["e", "f", "D", "b"])
def test_large_sums_over_three_axes_go_along_the_longest_one_last(compiled, dtype, monkeypatch):
    rng = np.random.default_rng(5)
    a = (rng.standard_normal((2000, 6, 9, 2)) @ [9, 9j if dtype == "D" else 0]).astype(dtype)[:, 1:, 2:]
    monkeypatch.setattr("dispatch_cpu.routes.PACKED", 1 << 10)
    forget_plans()
    exact = a.sum(dtype=np.clongdouble if dtype == "D" else np.longdouble)
    for arguments in ({}, {"keepdims": True}, {"initial": 2}, {"out": np.zeros((), "D")}, {"axis": (2, 0, 1)}):
        expected = exact + arguments.get("initial", 0)
        got = dispatch.sum(a, **arguments)
        np.testing.assert_allclose(got, expected, rtol=1e-3 if dtype == "e" else 1e-6)
        assert np.shape(got) == ((1, 1, 1) if "keepdims" in arguments else ())
        if "out" not in arguments:
            assert got.dtype == a.sum().dtype
    mask = rng.random(a.shape) < 0.5
    np.testing.assert_allclose(dispatch.sum(a, where=mask), np.sum(a, where=mask, dtype="D"), rtol=1e-3)


@pytest.mark.parametrize("dtype", ["e", "f", "d", "D"])
def test_out_may_share_memory_with_few_elements(compiled, dtype):
    memory = np.arange(100).astype(dtype)
    for first, last in ((0, 15), (3, 18), (59, 74), (60, 75)):
        a, expected = memory[:60].reshape(4, 15), memory[:60].reshape(4, 15).sum(axis=0)
        out = memory[first:last]
        assert dispatch.sum(a, axis=0, out=out) is out
        np.testing.assert_array_equal(out, expected)
        memory = np.arange(100).astype(dtype)
    unaligned = np.zeros(16 * memory.itemsize, np.uint8)[1 : 1 + 15 * memory.itemsize].view(dtype)
    for out in (unaligned, unaligned.astype(memory.dtype.newbyteorder())):
        np.testing.assert_array_equal(dispatch.sum(a, axis=0, out=out), expected)


def test_sums_of_float16_are_rounded_once(compiled):
    halfway = np.zeros((4, 60), "e")
    halfway[:, :3] = [1, 2**-11, 2**-24], [1, 3 * 2**-11, -(2**-24)], [2**-24, 2**-24, 0], [65504, 15, 0]
    assert dispatch.sum(halfway, axis=1).tolist() == [1 + 2**-10, 1 + 2**-10, 2**-23, 65504]
    assert np.isnan(dispatch.sum(np.array([np.nan, 1], "e")[[0, 1] * 30]))
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert dispatch.sum(np.full(100, 60000, "e")) == np.inf


@pytest.mark.parametrize("form", ["vector", "matrix", "read-only", "unaligned", "big-endian", "with initial", "masked"])
def test_few_floats_have_the_same_bits_before_a_kernel_is_ready(compiled, form, monkeypatch):
    a = np.random.default_rng(3).standard_normal(1300).astype(np.float32)
    a.flags.writeable = form != "read-only"
    shaped = a.reshape(13, 100) if form == "matrix" else a.astype(">f4") if form == "big-endian" else a
    if form == "unaligned":
        shaped = np.frombuffer(b"." + a.tobytes(), np.uint8)[1:].view(np.float32)
    arguments = {"initial": 0.1} if form == "with initial" else {"where": a > 0} if form == "masked" else {}
    arguments |= {"axis": 0} if form == "matrix" else {}
    by_kernel = dispatch.sum(shaped, **arguments)
    forget_plans()
    monkeypatch.setattr(kernels, "find", lambda name, recipe, result, masked: None)
    np.testing.assert_array_equal(dispatch.sum(shaped, **arguments), by_kernel)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("dtype", ["f", "d", "e", "F", "D", ">f4", ">c16", "b", "B", "h", "H", "i", "I", "l", "Q", "?"])
def test_nothing_is_read_beyond_the_last_element(compiled, dtype, columns, monkeypatch):
    if dtype not in "fdeFD":
        take_as_large(monkeypatch)
    kind, tile = np.dtype(dtype).kind, 4096 // columns
    poison = np.nan if kind in "fc" else True if kind == "b" else np.iinfo(dtype).max
    memory = np.full((tile + 600, columns), poison, dtype)
    rows, marks = np.full((2, 2 * tile), poison, dtype), np.ones(memory.shape, bool)
    for length in range(tile - 3, tile + 2 * 256 // columns + 3, 3):
        memory[:length] = rows[:, :length] = 1
        a = memory[:length]
        expected = np.array([length * columns, length, length], dtype if kind in "fc" else np.int64)
        sums = [dispatch.sum(a), dispatch.sum(a, axis=0)[-1], dispatch.sum(rows[:, :length], axis=1)[0]]
        np.testing.assert_array_equal(sums, expected)
        assert dispatch.sum(a, where=marks[:length]) == expected[0]


@pytest.fixture(scope="module")
def edge():
    """Memory between two pages that nobody may touch: a program that reads there is killed."""
    memory = mmap.mmap(-1, 66 * mmap.PAGESIZE)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for page in (0, 65):
        assert protect(first + page * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    return np.frombuffer(memory, np.uint8)[mmap.PAGESIZE : -mmap.PAGESIZE]


LENGTHS = [257, 4095, *range(4097, 4106), 4113, 4129, 4160, 4352, 4355, 8193]
"""Sums that end in a part of a tile, of a group of rows and of a vector."""


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect")
@pytest.mark.parametrize("dtype", ["f", "d", "e", "F", "D", ">f4", ">c16", "b", "H", "i", "l", "?"])
@pytest.mark.parametrize("way", ["large", "in one call", "copied"])
def test_no_page_behind_or_before_an_array_is_touched(compiled, edge, dtype, way, monkeypatch):
    take_as_large(monkeypatch)
    if way != "large":
        monkeypatch.setattr("dispatch_cpu.row_sums.Jobs.is_for_one_thread", True)
    if way == "copied":
        copy_all(monkeypatch, 1 << 12)
        monkeypatch.setattr("dispatch_cpu.routes.suits_numpy", lambda jobs: False)
    size = np.dtype(dtype).itemsize
    for (step, gap), columns, n in itertools.product([(1, 0), (2, 0), (3, 0), (1, 3), (3, 1)], [1, 2, 5, 300], LENGTHS):
        rows, pitch = n // columns + 1, (columns + gap) * step
        extent = ((rows - 1) * pitch + (columns - 1) * step + 1) * size
        if extent > edge.size - size:
            continue
        for start in (edge.size - extent, 0):
            memory = edge[start : start + extent]
            a = np.ndarray((rows, columns), dtype, memory, strides=(pitch * size, step * size))
            a[...] = 1
            wide = {"dtype": "d"} if dtype == "e" else {}
            for axis, expected in ((0, rows), (1, columns), (None, a.size)):
                assert (dispatch.sum(a, axis=axis, **wide) == expected).all()
            if start == 0 and extent + a.size < edge.size:
                marks = edge[edge.size - a.size :].view(bool).reshape(a.shape)
                marks[...] = True
                assert dispatch.sum(a, where=marks, **wide) == a.size


@pytest.mark.parametrize("dtype", ["f", "d", "e", "i"])
def test_no_page_behind_a_mask_is_touched(compiled, edge, dtype):
    for outer, rows, columns in itertools.product((1, 17, 40), (17, 28, 32, 33), (1, 2)):
        extent = (outer * rows - 1) * 3 + columns
        mask = np.ndarray((outer, rows, columns), bool, edge[edge.size - extent :], strides=(rows * 3, 3, 1))
        mask[...] = True
        a = np.ones((outer, rows, 3), dtype)[:, :, :columns]
        for axis, expected in ((1, rows), (None, a.size)):
            assert (dispatch.sum(a, axis=axis, where=mask) == expected).all()


@pytest.mark.parametrize("shape", [(4096, 8), (8, 4096), (300, 300)])
@pytest.mark.parametrize("dtype", ["f", "F"])
def test_a_sum_of_threads_is_rounded_once_although_something_is_added_to_it(compiled, dtype, shape, monkeypatch):
    take_as_large(monkeypatch)
    for axis in (0, 1):
        a = np.zeros(shape, dtype)
        a.swapaxes(0, axis)[:2] = np.reshape([2**24, 1], (2, 1))
        assert (dispatch.sum(a, axis, initial=1) == 2**24 + 2).all()


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_sums_of_four_neighbours_are_written_past_the_cache_too(compiled, dtype):
    a = np.random.default_rng(4).standard_normal((2**20 + 5, 4)).astype(dtype)
    a[-9:] = np.nan
    x = a.astype("d")
    expected = ((x[:, 0] + x[:, 2]) + (x[:, 1] + x[:, 3])).astype(dtype)
    np.testing.assert_array_equal(dispatch.sum(a, axis=1), expected)
    np.testing.assert_array_equal(dispatch.sum(a[1:], axis=1), expected[1:])
    a[:] = np.finfo(dtype).max
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.isinf(dispatch.sum(a, axis=1)).all()


@pytest.mark.parametrize("step", [-1, 2, -2, 3, 7])
@pytest.mark.parametrize("dtype", ["F", "D"])
def test_complex_vectors_of_any_stride_are_read_where_they_are(compiled, nothing_is_small, dtype, step):
    values = np.random.default_rng(4).standard_normal((2, 300_000)).astype(dtype.lower())
    a = np.empty(values.shape[1], dtype)
    a.real, a.imag = values
    x = a[::step]
    for part in (x, x[:1000]):
        expected = dispatch.sum(part.copy() if step > 0 else part[::-1].copy())
        np.testing.assert_array_equal(dispatch.sum(part), expected)


@pytest.mark.parametrize("dtype", ["l", "Q", "i", "?", "f", "d", "D"])
def test_large_arrays_that_repeat_their_elements(dtype):
    rows = np.arange(300).astype(dtype)
    for elements, shape in ((rows[3], (9000, 3)), (rows, (50, 300)), (rows[:, None], (300, 50)), (rows[3], (20_000,))):
        a = np.broadcast_to(elements, shape)
        for axis in (None, *range(a.ndim)):
            expected = np.sum(a, axis=axis, dtype=None if dtype in "lQi?" else np.complex128)
            np.testing.assert_allclose(dispatch.sum(a, axis=axis), expected, rtol=0 if dtype in "lQi?" else 1e-3)


def test_a_sum_that_was_prepared_takes_no_argument_that_is_merely_equal():
    a = np.ones((2, 3))
    for right, wrong in ((1, True), ((0, 1), (0, True)), (1, 1.0)):
        dispatch.sum(a, axis=right)
        with pytest.raises(TypeError):
            dispatch.sum(a, axis=wrong)
    dispatch.sum(a, axis=1, keepdims=True)
    with pytest.raises(TypeError):
        dispatch.sum(a, axis=1, keepdims=1.0)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "l"])
def test_a_sum_that_was_prepared_heeds_each_out_and_initial(compiled, dtype):
    a = np.arange(60).reshape(20, 3).astype(dtype)
    wide = np.zeros((3, 2), dtype)
    for out in (np.empty(3, dtype), wide[:, 0], np.empty(3, dtype)[::-1]):
        assert dispatch.sum(a, axis=0, out=out) is out
        np.testing.assert_array_equal(out, a.sum(axis=0))
    assert not wide[:, 1].any()
    for initial in (1, 2.0, -3, True, np.float32(4)):
        for start in (initial, initial):
            np.testing.assert_array_equal(dispatch.sum(a, axis=0, initial=start), np.sum(a, axis=0, initial=start))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="output array is read-only"):
        dispatch.sum(a, axis=0, out=out)


@pytest.mark.parametrize(("element", "result"), [("?", "d"), ("b", "f"), ("H", "f"), ("i", "d"), ("I", "d")])
def test_integers_that_floats_hold_are_summed_exactly(compiled, element, result):
    top = np.iinfo(element).max if element != "?" else 1
    a = np.full(70_000, top, element)
    assert dispatch.sum(a, dtype=result) == np.dtype(result).type(70_000 * int(top))
    assert dispatch.sum(a, dtype=result).dtype == result


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
        take_as_large(monkeypatch)
    arguments = ERRORS[number]
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever NumPy raises
        np.sum(ONES, **arguments)
    with pytest.raises(type(expected.value)) as got:
        dispatch.sum(ONES, **arguments)
    assert str(got.value) == str(expected.value)


def test_few_elements_are_cast_before_they_are_added():
    assert dispatch.sum(np.full((1, 2), 1, np.uint16), dtype=np.float16, initial=0) == 2
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert dispatch.sum(np.array([1e300, 1]), dtype=np.float32, initial=1) == np.inf


def test_elements_are_cast_before_they_are_added(nothing_is_small):
    a = np.full((40, 3), 1.7)
    assert dispatch.sum(a, axis=0, dtype=int).tolist() == [40] * 3
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert dispatch.sum(np.full(40, 1e300), dtype=np.float32) == np.inf


def outcome(function, *arguments, **named):
    """What a call returns, or the error that it raises."""
    try:
        return function(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - whatever NumPy or SciPy raises
        return error


def assert_same_outcome(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, Exception):
        assert str(got) == str(expected)
        return
    if sp.issparse(expected):
        got, expected = got.toarray(), expected.toarray()
    assert (getattr(got, "dtype", None), np.shape(got)) == (getattr(expected, "dtype", None), np.shape(expected))
    if isinstance(expected, np.ma.MaskedArray):
        np.testing.assert_array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(expected))
        got, expected = got.filled(0), expected.filled(0)
    np.testing.assert_array_equal(got, expected)


@st.composite
def time_spans(draw):
    counts = draw(arrays(["q"]))
    spans = counts.astype(draw(st.sampled_from(["m8[s]", "m8[ns]", ">m8[D]", "m8"])))
    if spans.size and draw(st.booleans()):
        spans.flat[0] = np.timedelta64("NaT")
    return spans


@st.composite
def objects(draw):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    kinds = [st.integers(), st.fractions(), st.text(max_size=2), st.just(None), st.lists(st.integers(), max_size=1)]
    return draw(layouts(draw(hnp.arrays(object, shape, elements=draw(st.sampled_from(kinds))))))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", [time_spans(), objects()], ids=["timedelta", "object"])
@settings(FIXTURES, max_examples=100)
@given(data=st.data())
def test_elements_that_numpy_adds(large, kind, data):
    a = data.draw(kind)
    arguments = {"axis": data.draw(axes_of(a)), "keepdims": data.draw(st.booleans())}
    for name, values in {
        "where": masks_of(a),
        "initial": st.sampled_from([0, np.timedelta64(3, "s"), "a", None]),
        "dtype": st.sampled_from([a.dtype, object, "m8[s]", "f8"]),
    }.items():
        if data.draw(st.integers(0, 3)) == 0:
            arguments[name] = data.draw(values)
    with pytest.MonkeyPatch.context() as patch:
        if large:
            take_as_large(patch)
        assert_same_outcome(outcome(dispatch.sum, a, **arguments), outcome(np.sum, a, **arguments))
        expected = outcome(np.sum, a, **arguments)
        if isinstance(expected, np.ndarray):
            # An array may also be what elements add up to: a list and a span of time, say. Then out= does not fit.
            out = np.zeros_like(expected)
            got = outcome(dispatch.sum, a, out=out, **arguments)
            assert_same_outcome(got, outcome(np.sum, a, out=out.copy(), **arguments))
            assert got is out or isinstance(got, Exception)


@settings(FIXTURES, max_examples=200)
@given(data=st.data())
def test_masked_arrays_add_what_is_not_masked(data):
    a = data.draw(arrays(["b", "i", "f", "d", "D", ">f4", "?"]))
    masked = np.ma.masked_array(a, data.draw(st.just(False) | hnp.arrays(bool, a.shape)))
    arguments = {"axis": data.draw(axes_of(a))}
    if data.draw(st.booleans()):
        arguments["keepdims"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        arguments["dtype"] = "D" if a.dtype.kind == "c" else "d"
    with np.errstate(all="ignore"):
        assert_same_outcome(outcome(dispatch.sum, masked, **arguments), outcome(np.sum, masked, **arguments))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@settings(FIXTURES, max_examples=60)
@given(data=st.data())
def test_sparse_matrices_are_summed_by_scipy(form, data):
    dtype = data.draw(st.sampled_from(["b", "i", "f", "d", "D"]))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    dense = data.draw(hnp.arrays(dtype, shape, elements=st.integers(-9, 9), fill=st.just(0)))
    kind = data.draw(st.sampled_from(["array", "matrix"]))
    A = getattr(sp, f"{form}_{kind}")(dense)
    arguments = {"axis": data.draw(st.sampled_from([None, 0, 1, -1, -2, 2, (0, 1), 0.5]))}
    if data.draw(st.booleans()):
        arguments["dtype"] = data.draw(st.sampled_from(["d", "D"]))
    assert_same_outcome(outcome(dispatch.sum, A, **arguments), outcome(A.sum, **arguments))
