"""`sum` on the device in each of its guises; as it is, it passes the conformance kit."""

import math

import numpy as np
import pytest
from dispatch_opencl import host_sum
from dispatch_opencl.passes import lanes_of, next_pass

import dispatch
from dispatch.reduction import Group

from .conftest import BACKENDS

SHAPES = {
    "all": ((100_003,), None),
    "long rows": ((3, 40_001), 1),
    "rows": ((300, 500), 1),
    "short rows": ((5000, 5), 1),
    "columns": ((500, 300), 0),
    "few columns": ((30_001, 3), 0),
    "few columns, middle axis": ((4, 9001, 5), 1),
    "middle axis": ((5, 300, 40), 1),
    "two axes apart": ((20, 30, 40), (0, 2)),
    "many axes": ((3, 4, 5, 6, 7), (1, 3)),
    "no axis": ((6, 7), ()),
    "one element": ((), None),
}

VIEWS = {
    "as it is": lambda a: a,
    "strided": lambda a: a[..., ::2] if a.ndim else a,
    "reversed": lambda a: a[::-1] if a.ndim else a,
    "transposed": lambda a: a.T,
}


def exact(a, axis, where=True):
    """Return the sums in the widest arithmetic of NumPy, and those of the absolute values."""
    wide = {"f": np.longdouble, "c": np.clongdouble}.get(a.dtype.kind)
    sums = np.sum(a, axis, dtype=wide, where=where)
    return sums, np.sum(abs(a.astype(wide)), axis, where=where) if wide else np.zeros(())


def elements(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 50
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("name", ["groups", "streams, no fp64"])
def test_every_shape_of_a_reduction(name, dtype, case, view):
    backend, (shape, axis) = BACKENDS[name], SHAPES[case]
    a = VIEWS[view](elements(shape, dtype))
    for where in (True, np.random.default_rng(1).random(a.shape) < 0.5):
        expected, size = exact(a, axis, where)
        got = dispatch.sum(a, axis, where=where, backend=backend)
        assert got.shape == np.shape(expected)
        assert (abs(got - expected) <= 16 * np.finfo(np.float32).eps * size).all()


@pytest.mark.parametrize("name", ["streams", "groups"])
def test_the_accuracy_is_independent_of_the_size(name):
    rng = np.random.default_rng(0)
    for n in (10, 1000, 10**6):
        for x in (rng.random(n), rng.lognormal(0, 10, n), 1 + 1e-9 * rng.standard_normal(n)):
            error = abs(dispatch.sum(x, backend=BACKENDS[name]) - math.fsum(x))
            assert error <= 10 * 2.0**-53 * math.fsum(abs(x))
            single = x.astype(np.float32)
            total = math.fsum(single.astype(float))
            assert dispatch.sum(single, backend=BACKENDS[name]) == np.float32(total)


@pytest.mark.parametrize("name", ["streams, no fp64", "groups, no fp64"])
def test_single_precision_alone_is_as_accurate(name):
    rng = np.random.default_rng(0)
    for x in (rng.random(10**6), rng.lognormal(0, 3, 10**6)):
        x = x.astype(np.float32)
        total = math.fsum(x.astype(float))
        assert abs(dispatch.sum(x, backend=BACKENDS[name]) - total) <= 10 * 2.0**-24 * total


ROUNDINGS = 28
"""Additions that round, of those that an element passes in one pass over memory: what docs/sum.md says."""


def rounded_away(backend, a, column):
    """Return how many halves of a rounding a sum from one can lose, each placed where the sum loses it.

    Each of them meets the one in another addition, so there are as many of these on its way.
    """
    half, count = np.finfo(a.dtype).eps / 2, 0
    a[0, column] = 1
    apart = {step * k for step in (4, 8, 64, 4 * 64, 4 * 128) for k in range(1, 20)}
    for row in sorted({*range(1, 20), *apart, *(2**k for k in range(14)), *range(len(a) - 16, len(a))}):
        if 0 < row < len(a):
            a[row, column] = half
            lost = dispatch.sum(a, axis=0, backend=backend)[column] == 1
            count += lost
            a[row, column] *= lost
    return count


@pytest.mark.parametrize(("shape", "passes"), [((63, 1), 1), ((127, 1), 1), ((15363, 1), 1), ((4111, 130), 2)], ids=str)
def test_the_worst_input_loses_no_more_than_is_documented(backend, shape, passes):
    dtype = np.float64 if backend.runtime("opencl:0").traits.fp64 else np.float32
    assert 3 <= rounded_away(backend, np.zeros(shape, dtype), shape[1] - 1) <= ROUNDINGS * passes


def test_signs_of_zero_and_infinities(with_fp64):
    for n in (1, 3, 40, 5000):
        zeros = np.full(n, -0.0)
        assert not np.signbit(dispatch.sum(zeros, backend=with_fp64))
        assert np.signbit(dispatch.sum(zeros, initial=-0.0, backend=with_fp64))
        x = np.ones(n)
        x[n // 2] = np.inf
        assert dispatch.sum(x, backend=with_fp64) == np.inf
        assert np.isnan(dispatch.sum(np.r_[x, -np.inf], backend=with_fp64))
        assert dispatch.sum(x, where=np.isfinite(x), backend=with_fp64) == n - 1


def test_the_same_bits_every_time(with_fp64):
    x = elements(300_000, np.float64)
    first = dispatch.sum(x, backend=with_fp64)
    assert all(dispatch.sum(x, backend=with_fp64) == first for _ in range(5))


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble, object])
def test_what_a_device_has_no_arithmetic_for_is_refused(dtype):
    reason = "no double precision" if dtype is np.float64 else "has no arithmetic for sums in"
    with pytest.raises(dispatch.UnsupportedCallError, match=reason):
        dispatch.sum(np.ones(3, dtype), backend=BACKENDS["streams, no fp64"])


def test_double_precision_may_be_summed_in_single(backend):
    x = elements(1000, np.float64)
    got = dispatch.sum(x, dtype=np.float32, backend=backend)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.sum(x.astype(np.float32), dtype=float), rtol=1e-5)


def test_a_mask_of_one_kept_axis(backend):
    a = elements((50, 60), np.float32)
    where = np.arange(60) % 3 == 0
    np.testing.assert_allclose(
        dispatch.sum(a, 1, where=where, backend=backend), np.sum(a, 1, dtype=float, where=where), atol=1e-3
    )


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 2), (0, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("most", [7, 100, 3000])
def test_slabs_are_added_up(monkeypatch, backend, axis, most):
    monkeypatch.setattr(host_sum, "slab_bytes", lambda runtime: 4 * most)
    shape = (5, 6, 7) if most == 7 else (13, 14, 15)
    for a in (elements(shape, np.int32), elements(shape, np.int32).transpose(1, 2, 0)[::-1]):
        where = np.random.default_rng(1).random(a.shape) < 0.5
        assert np.array_equal(dispatch.sum(a, axis, backend=backend), np.sum(a, axis))
        assert np.array_equal(dispatch.sum(a, axis, where=where, backend=backend), np.sum(a, axis, where=where))
    z = elements(shape, np.complex64)
    np.testing.assert_allclose(dispatch.sum(z, axis, backend=backend), np.sum(z, axis), atol=0.02)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("extents", [(10**9,), (3, 10**6), (10**6, 3), (10**5, 300), (7, 10**5, 40)])
def test_passes_end_with_one_result_a_sum(streams, extents):
    for reduced in range(len(extents)):
        stride, groups = 1, []
        for axis in reversed(range(len(extents))):
            groups.insert(0, Group(extents[axis], (stride, 0), axis == reduced))
            stride *= extents[axis]
        passes = 0
        while any(group.reduced for group in groups):
            this = next_pass(tuple(groups), lanes_of(4, streams), streams)
            assert this.outputs == math.prod(group.extent for group in this.results)
            groups, passes = this.results, passes + 1
        assert passes <= 4
        assert math.prod(group.extent for group in groups) == math.prod(extents) // extents[reduced]


def test_all_buffers_come_back(backend):
    for a in (np.ones(100_000, np.float32), np.ones((300, 200), np.float32)):
        dispatch.sum(a, axis=0, where=a > 0, backend=backend)
    assert backend.runtime("opencl:0").pool.in_use == 0
