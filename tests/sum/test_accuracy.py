"""The accuracy of `sum`, against exact references, over dtypes, axes and layouts; what it signals on the way."""

import math
import warnings

import numpy as np
import pytest
from dispatch_cpu import summation

import dispatch

UNIT = 2.0**-53


def pairwise_bound(n, unit=UNIT):
    """What NumPy's pairwise summation of n contiguous elements promises, as a multiple of the sum of magnitudes."""
    return (15 + max(math.ceil(math.log2(max(n, 2) / 16)), 0) + 1) * unit


def kernels_chain(n):
    """How many additions an element passes at most in our own order (docs/sum.md)."""
    return 15 + math.ceil(math.log2(n / 16))


def numpys_chain(n):
    """The same where NumPy adds."""
    return kernels_chain(n) + 6


def chain(a, first, others, take=dispatch.sum):
    """How many additions the element `first` of a sum passes, as far as the `others` show them.

    What is added between a large number and its opposite is lost, so each sum tells how many elements are in the
    smallest part of the sum that has both; there are as many such parts as additions.
    """
    lost = set()
    for other in others:
        a[...] = 1
        a[first], a[other] = 2.0**200, -(2.0**200)
        lost.add(float(take(a)))
    return len(lost)


def ugly(rng, shape):
    """Numbers of both signs over many orders of magnitude."""
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 9, shape)


LAYOUTS = {
    "contiguous": (lambda a: a.reshape(-1), None),
    "inner": (lambda a: a.reshape(40, -1), 1),
    "outer": (lambda a: a.reshape(-1, 40), 0),
    "narrow": (lambda a: a.reshape(-1, 4), 0),
    "one column": (lambda a: a.reshape(-1, 8)[:, 3], None),
    "middle": (lambda a: a.reshape(5, -1, 8), 1),
    "ends": (lambda a: a.reshape(40, 10, -1), (0, 2)),
    "sub-block": (lambda a: a.reshape(-1, 8)[:, :3], None),
    "Fortran": (lambda a: a.reshape(40, -1).copy("F"), 0),
    "reversed": (lambda a: a.reshape(-1, 4)[::-1, ::-1], 0),
    "unaligned": (lambda a: np.frombuffer(b"." + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(-1, 4), 0),
    "big-endian": (lambda a: a.astype(a.dtype.newbyteorder()).reshape(-1, 4), 0),
}


@pytest.mark.parametrize("size", [40, 1600, 120_000])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["e", "f", "d", "D"])
def test_bound_on_every_axis(dtype, layout, size):
    rng = np.random.default_rng(7)
    values = ugly(rng, size) if dtype in "dD" else rng.standard_normal(size)
    shaped, axis = LAYOUTS[layout]
    if layout != "contiguous" and size == 40:
        values = np.tile(values, 40)
    a = shaped(values.astype(dtype) * (1 + 2j) if dtype == "D" else values.astype(dtype))
    got = np.atleast_1d(dispatch.sum(a, axis=axis))
    axes = range(a.ndim) if axis is None else np.atleast_1d(axis)
    columns = np.moveaxis(a, axes, range(len(axes))).reshape(-1, *got.shape)
    for index in np.ndindex(got.shape):
        for part in (np.real, np.imag) if dtype == "D" else (np.real,):
            elements = part(columns[(slice(None), *index)]).astype(np.float64)
            exact, magnitude = math.fsum(elements), math.fsum(abs(elements))
            wide = pairwise_bound(len(elements)) * magnitude
            if dtype in "ef":  # as if accumulated in the next wider dtype, then rounded once
                narrow = np.finfo(dtype).eps / 2
                wide = (
                    narrow * abs(exact) * (1 + narrow)
                    + (16 * 2.0**-24 if dtype == "e" else pairwise_bound(len(elements))) * magnitude
                )
            assert abs(float(part(got[index])) - exact) <= wide + np.finfo(dtype).smallest_subnormal


@pytest.mark.parametrize("n", [127, 247])
def test_numpys_longest_chain_of_additions_is_the_documented_one(n):
    a = np.empty(n)
    longest = max(chain(a, i, [j for j in range(n) if j != i]) for i in range(n))
    assert longest == numpys_chain(n)


@pytest.mark.parametrize("layout", ["swapped", "unaligned", "contiguous", "strided"])
def test_no_chain_of_additions_is_longer_than_documented(layout):
    n = 1 << 19
    memory = bytearray(16 * n + 1)
    start, dtype = (1, "=f8") if layout == "unaligned" else (0, np.dtype("f8").newbyteorder("S"))
    a = np.frombuffer(memory, np.uint8)[start : 16 * n + start].view(dtype if layout != "contiguous" else "f8")
    a = a[::2] if layout == "strided" else a[:n]
    partners = [1 << k for k in range(19)] + list(range(1 << 13, n, 1 << 13))
    assert chain(a, 0, partners) <= (numpys_chain(n) if layout == "contiguous" else kernels_chain(n))


@pytest.mark.parametrize("masked", [False, True])
def test_no_chain_of_additions_is_longer_where_elements_are_copied_in_blocks(masked):
    n = 1 << 17
    a, mask = np.empty((n + 1, 4))[:, :3], np.ones((n + 1, 3), np.bool_, "F")
    partners = [1 << k for k in range(18)] + list(range(1 << 9, n, 1 << 9))
    found = chain(a, 0, partners, lambda a: dispatch.sum(a, 0, where=mask if masked else True)[0])
    assert found <= kernels_chain(n + 1)


def test_chains_of_axes_that_do_not_adjoin_add_up():
    a = np.empty((1024, 4100))[:, :4096]
    partners = [(0, 1 << k) for k in range(12)] + [(0, 256 * k) for k in range(1, 16)]
    partners += [(1 << k, 0) for k in range(10)] + [(256 * k, 0) for k in range(1, 4)]
    found = chain(a, (0, 0), partners)
    assert kernels_chain(a.size) < found <= kernels_chain(1024) + kernels_chain(4096)


def test_numpy_itself_misses_the_bound_along_the_outer_axis():
    a = np.full((2**20, 2), 0.1)
    exact = math.fsum(a[:, 0])
    assert abs(np.sum(a, axis=0)[0] - exact) > pairwise_bound(len(a)) * exact
    assert abs(dispatch.sum(a, axis=0)[0] - exact) <= pairwise_bound(len(a)) * exact


def test_narrow_floats_do_not_stall():
    assert dispatch.sum(np.ones((2**24 + 2, 2), np.float32), axis=0).tolist() == [2**24 + 2] * 2
    assert dispatch.sum(np.ones((4096, 2), np.float16), axis=0).tolist() == [4096] * 2
    assert dispatch.sum(np.array([3e38, 3e38, -3e38], np.float32)) == np.float32(3e38)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_integers_are_exact_modulo_two_to_the_64(dtype):
    rng = np.random.default_rng(3)
    bounds = np.iinfo(dtype)
    a = rng.integers(bounds.min, bounds.max, (300, 50), dtype, endpoint=True)
    result = dispatch.sum(a, axis=0)
    exact = [sum(map(int, column)) for column in a.T]
    assert [int(x) % 2**64 for x in result] == [x % 2**64 for x in exact]


def test_the_reference_order_is_the_documented_one():
    x = np.arange(1.0, 5001.0).reshape(1, -1, 1) ** 1.5
    tiles = [x[0, start : start + 4096, 0] for start in (0, 4096)]
    sums = []
    for tile in tiles:
        lanes = [0.0] * 256
        for lane in range(256):
            lane_sum = -0.0
            for value in tile[lane::256]:
                lane_sum += value
            lanes[lane] = lane_sum
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [low + high for low, high in zip(lanes[:half], lanes[half:], strict=True)]
        sums.append(lanes[0])
    assert summation.sum_rows(x, np.dtype("f8"), np.dtype("f8"))[0, 0] == sums[0] + sums[1]


@pytest.mark.parametrize("n", [3, 100, 3000])
def test_signs_of_zero_are_numpys(n):
    zeros = np.full((n, 2), -0.0)
    for arguments in ({}, {"axis": 0}, {"initial": -0.0}, {"axis": 0, "initial": -0.0}, {"initial": None}):
        expected, got = np.sum(zeros, **arguments), dispatch.sum(zeros, **arguments)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


LARGE = np.finfo(np.float64).max
SIGNALS = {
    "overflow": ([LARGE, LARGE], "overflow"),
    "infinities of both signs": ([np.inf, -np.inf], "invalid value"),
    "infinity": ([np.inf, 1.0], None),
    "NaN": ([np.nan, 1.0], None),
    "NaN and both infinities": ([np.nan, np.inf], None),
}


@pytest.mark.parametrize("n", [2, 5000, 40_000])
@pytest.mark.parametrize("case", SIGNALS)
def test_signals_are_numpys(case, n):
    values, text = SIGNALS[case]
    a = np.zeros(n)
    a[[0, -1]] = values
    if text is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = dispatch.sum(a)
    else:
        with pytest.warns(RuntimeWarning, match=text):
            result = dispatch.sum(a)
        with np.errstate(all="raise"), pytest.raises(FloatingPointError, match=text):
            dispatch.sum(a)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(result, np.sum(a))


def test_a_mask_hides_nan_and_infinity():
    a = np.ones((5000, 3))
    a[::2] = np.nan
    mask = np.ones((5000, 1), bool)
    mask[::2] = False
    assert dispatch.sum(a, axis=0, where=mask).tolist() == [2500] * 3


def test_the_callers_errstate_holds_in_all_threads():
    a = np.full((300, 40, 100), 1e300)
    mask = np.ones((300, 1, 100), bool)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        dispatch.sum(a, axis=1, dtype=np.float32, where=mask)
    with np.errstate(all="ignore"):
        assert (dispatch.sum(a, axis=1, dtype=np.float32, where=mask) == np.inf).all()


def test_what_a_mask_leaves_out_hides_no_overflow(compiled):
    a, mask = np.zeros((128, 2))[:, 0], np.ones(128, np.bool_)
    a[[0, 1, 64]], a[5], mask[5] = (1.5e308, -1.5e308, 1.5e308), np.inf, False
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert dispatch.sum(a, where=mask) == np.inf


def test_infinite_sums_of_both_signs_are_invalid_when_they_are_added(compiled):
    a, mask = np.zeros((128, 2))[:, 0], np.ones(128, np.bool_)
    a[[0, 64]], a[[32, 96]] = 1.5e308, -1.5e308
    with np.errstate(over="ignore", invalid="raise"), pytest.raises(FloatingPointError, match="invalid"):
        dispatch.sum(a, where=mask)
