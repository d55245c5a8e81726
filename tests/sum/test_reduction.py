"""The front end of `sum`: a backend of a few lines on top of it has NumPy's results, layouts and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from dispatch.reduction import Group, prepare

from .strategies import FLOATS, INTEGERS, arrays, axes_of, masks_of


def walk(array, reduction, operand):
    """The elements of one operand in the order of the groups."""
    groups, offset = reduction.layout.groups, reduction.layout.offsets[operand]
    start = np.ndarray((), array.dtype, as_buffer(array), byte_offset(array) + offset)
    return as_strided(start, [group.extent for group in groups], [group.strides[operand] for group in groups])


def as_buffer(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if array.flags.forc else np.ascontiguousarray(array)


def byte_offset(array):
    return array.__array_interface__["data"][0] - as_buffer(array).__array_interface__["data"][0]


def raw_sums(a, reduction):
    """What a backend computes."""
    if a.size == 0:
        return np.zeros(reduction.sums, reduction.accumulator)
    elements = walk(a, reduction, 0).astype(reduction.dtype).astype(reduction.accumulator)
    if reduction.where is not None:
        elements = np.where(walk(reduction.where, reduction, 1), elements, 0)
    return elements.sum(axis=tuple(i for i, group in enumerate(reduction.layout.groups) if group.reduced))


@given(st.data())
def test_raw_sums_finish_as_numpys_result(data):
    a = data.draw(arrays(INTEGERS))
    arguments = {"axis": data.draw(axes_of(a)), "keepdims": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        arguments["where"] = data.draw(masks_of(a))
    if data.draw(st.booleans()):
        arguments["dtype"] = data.draw(st.sampled_from([*INTEGERS, *FLOATS]))
    if data.draw(st.booleans()):
        arguments["initial"] = data.draw(st.integers(0, 1))
    with np.errstate(all="ignore"):
        expected = np.sum(a, **arguments)
        reduction = prepare(a, **arguments)
        got = reduction.finish(raw_sums(a, reduction))
    assert type(got) is type(expected)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    if not ({np.dtype(arguments.get("dtype", "q")).char, expected.dtype.char} & set(FLOATS)):
        np.testing.assert_array_equal(got, expected)
    if expected.size and "where" not in arguments:
        longer = [axis for axis, extent in enumerate(expected.shape) if extent > 1]
        assert [got.strides[axis] for axis in longer] == [expected.strides[axis] for axis in longer]


@given(st.data())
def test_destination_is_where_finish_writes(data):
    a = data.draw(arrays(["b"]))
    reduction = prepare(a, data.draw(axes_of(a)), keepdims=data.draw(st.booleans()))
    raw = raw_sums(a, reduction) if reduction.count else np.zeros(reduction.sums, np.int64)
    expected = reduction.finish(raw)
    strides = reduction.result_strides(8)
    offset, axes = reduction.destination(strides)
    memory = np.full(reduction.sums, -1)
    if reduction.sums:
        places = np.array(offset)
        for extent, stride in axes:
            places = np.add.outer(places, stride * np.arange(extent))
        memory[np.ravel(places) // 8] = raw.ravel() * reduction.layout.factor
        np.testing.assert_array_equal(as_strided(memory, reduction.shape, strides), expected)


SHAPE = (4, 5, 6)
PATTERNS = {
    "full": (np.ones(SHAPE), None, "R"),
    "full, Fortran": (np.asfortranarray(np.ones(SHAPE)), None, "R"),
    "full, reversed": (np.ones(SHAPE)[::-1, ::-1, ::-1], None, "R"),
    "full, transposed": (np.ones(SHAPE).transpose(1, 2, 0), None, "R"),
    "inner": (np.ones(SHAPE), (1, 2), "KR"),
    "inner of Fortran": (np.asfortranarray(np.ones(SHAPE)), (0, 1), "KR"),
    "outer": (np.ones(SHAPE), (0, 1), "RK"),
    "middle": (np.ones(SHAPE), 1, "KRK"),
    "ends": (np.ones(SHAPE), (0, 2), "RKR"),
    "sliced": (np.ones(SHAPE)[:, :3], None, "RR"),
    "axes of length one": (np.ones((1, 4, 1, 5, 1)), (0, 3), "KR"),
    "one element": (np.ones((1, 1)), None, ""),
    "nothing summed": (np.ones(SHAPE), (), "K"),
}


@pytest.mark.parametrize("case", PATTERNS)
def test_canonical_pattern(case):
    a, axis, pattern = PATTERNS[case]
    assert prepare(a, axis).layout.pattern == pattern


def test_repetitions_are_a_factor_unless_they_are_masked():
    a = np.broadcast_to(np.arange(3.0)[:, None], (3, 1000))
    layout = prepare(a, 1).layout
    assert (layout.groups, layout.factor) == ((Group(3, (8,), False),), 1000)
    assert prepare(a, 1, where=np.ones((3, 1), bool)).layout.factor == 1000
    assert prepare(a, 1, where=np.ones(1000, bool)).layout.factor == 1


def test_device_arrays_need_no_strides():
    class Described:
        shape, dtype, strides = (3, 4), "<f4", None

    reduction = prepare(Described(), 0)
    assert reduction.layout.groups == (Group(3, (16,), True), Group(4, (4,), False))
    assert (reduction.dtype, reduction.accumulator) == (np.float32, np.float64)


OUT = np.zeros(3)
ERRORS = {
    "axis=2": (ValueError, "axis 2 is out of bounds"),
    "axis=(0, -2)": (ValueError, r"duplicate value in 'axis': \(0, -2\)"),
    "axis=True": (TypeError, "axis must be an integer, a tuple of integers or None, not True"),
    "axis=[0]": (TypeError, "list"),
    "dtype='>f8'": (TypeError, "dtype='>f8' has not the machine's byte order"),
    "dtype='M8[s]'": (TypeError, "dtype"),
    "keepdims=None": (TypeError, "NoneType"),
    "initial=[1]": (ValueError, r"initial must be a scalar, not an array of shape \(1,\)"),
    "initial=1j": (TypeError, "complex"),
    "initial=300, dtype='i1'": (OverflowError, "300"),
    "initial=None, where=np.ones(3, bool)": (ValueError, "initial=None leaves sums of no elements without a value"),
    "where=np.array([1, 0, 1])": (TypeError, "where must be of dtype bool, not int64"),
    "where=np.ones((2, 2, 3), bool)": (ValueError, r"where has shape \(2, 2, 3\), which does not broadcast"),
    "where=np.ones(4, bool)": (ValueError, r"where has shape \(4,\), which does not broadcast"),
    "axis=0, out=np.zeros(2)": (ValueError, r"out has shape \(2,\), but the sum of shape \(2, 3\) over axis=0"),
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments):
    error, text = ERRORS[arguments]
    given = eval(f"dict({arguments})")
    with pytest.raises(error):
        np.sum(np.ones((2, 3)), **given)
    with pytest.raises(error, match=text):
        prepare(np.ones((2, 3)), **given)


def test_elements_without_a_sum_are_refused_and_those_without_accumulator_left_to_numpy():
    with pytest.raises(TypeError):
        prepare(np.array(["2020"], "M8[D]"))
    assert prepare(np.ones(3, np.longdouble)).accumulator is None
    assert prepare(np.ones(3, object)).accumulator is None


def test_an_empty_sum_is_initial():
    reduction = prepare(np.ones((0, 2)), 0, initial=3)
    assert reduction.count == 0
    np.testing.assert_array_equal(reduction.finish(np.zeros(2)), [3.0, 3.0])
    with pytest.raises(ValueError, match="initial=None"):
        prepare(np.ones((0, 2)), 0, initial=None)


@pytest.mark.parametrize(("elements", "raw"), [("q", "d"), ("d", "D"), ("D", "d"), ("d", "q")])
def test_raw_sums_of_another_kind_are_refused(elements, raw):
    reduction = prepare(np.ones((2, 3), elements), 0, None, None, False, np._NoValue, np._NoValue)
    expected = f"raw sums of dtype {np.dtype(raw)}; return them in plan.accumulator, {reduction.accumulator}"
    with pytest.raises(TypeError, match=expected):
        reduction.finish(np.ones(3, raw))


def test_whether_booleans_are_true_is_told_by_raw_sums_that_count_them():
    reduction = prepare(np.array([[True, False]] * 3), 0, np.dtype(bool), None, False, np._NoValue, np._NoValue)
    np.testing.assert_array_equal(reduction.finish(np.array([3, 0], reduction.accumulator)), [True, False])
