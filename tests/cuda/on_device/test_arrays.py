"""Arrays on the device: summed where they are, whatever their strides, and never mixed with the host in silence."""

from __future__ import annotations

import numpy as np
import pytest
from dispatch_cuda.kernels import sums
from numba import cuda

import dispatch

RNG = np.random.default_rng(0)
A = RNG.standard_normal((30, 40)).astype(np.float32)
MASK = RNG.random(A.shape) < 0.5


def close(actual, expected):
    host = actual.copy_to_host()
    assert (host.dtype, host.shape) == (expected.dtype, np.shape(expected))
    np.testing.assert_allclose(host, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize(
    "view",
    [lambda a: a, lambda a: a[::2, ::3], lambda a: a[5:, 3:-1].T, lambda a: a[:, 1:]],
    ids=["whole", "every other", "transposed", "off alignment"],
)
def test_strided_views(view, axis):
    close(dispatch.sum(view(cuda.to_device(A)), axis=axis), np.sum(view(A), axis=axis))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_where_initial_and_keepdims(axis):
    actual = dispatch.sum(cuda.to_device(A), axis=axis, where=cuda.to_device(MASK), initial=3, keepdims=True)
    close(actual, np.sum(A, axis=axis, where=MASK, initial=3, keepdims=True))


def test_out_may_be_strided_and_is_returned():
    room = cuda.to_device(np.zeros((30, 2), np.float32))
    out = room[:, 1]
    assert dispatch.sum(cuda.to_device(A), axis=1, out=out) is out
    np.testing.assert_allclose(room.copy_to_host(), np.stack([np.zeros(30), A.sum(1)], axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("initial", [-0.0, 0.0, 2.5])
def test_sums_of_nothing(initial):
    actual = dispatch.sum(cuda.to_device(np.zeros((0, 4))), axis=0, initial=initial).copy_to_host()
    np.testing.assert_array_equal(actual, np.full(4, initial))
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(initial))


@pytest.mark.parametrize("char", "?bBhHiIlLefdFD")
def test_the_result_is_of_numpys_dtype(char):
    a = (np.arange(60).reshape(6, 10) % 5).astype(char)
    for axis in (None, 0, 1):
        close(dispatch.sum(cuda.to_device(a), axis=axis), np.sum(a, axis=axis))


class Foreign:
    """An array of another library's, which walks its rows backwards."""

    def __init__(self, a, stream=None):
        self.array = cuda.to_device(a)
        self.shape, self.dtype = a.shape, a.dtype
        self.__cuda_array_interface__ = {
            "shape": a.shape,
            "typestr": a.dtype.str,
            "strides": (-a.strides[0], a.strides[1]),
            "data": (self.array.__cuda_array_interface__["data"][0] + (a.shape[0] - 1) * a.strides[0], False),
            "version": 3,
            "stream": stream,
        }


@pytest.mark.parametrize("stream", [None, 1, 12345])
def test_the_interface_of_other_libraries(stream):
    for axis in (None, 0, 1):
        close(dispatch.sum(Foreign(A, stream), axis=axis), np.sum(A[::-1], axis=axis))


def test_a_mask_or_an_out_on_the_host_is_refused():
    with pytest.raises(TypeError, match="where is a ndarray on the host, and a is on cuda:0; copy it there first"):
        dispatch.sum(cuda.to_device(A), where=MASK)
    with pytest.raises(TypeError, match="out is a ndarray on the host"):
        dispatch.sum(cuda.to_device(A), axis=0, out=np.zeros(40, np.float32))


def test_an_out_of_another_dtype_is_refused():
    with pytest.raises(TypeError, match="out is of dtype float64, and the sum is of dtype float32"):
        dispatch.sum(cuda.to_device(A), axis=0, dtype=np.float32, out=cuda.to_device(np.zeros(40)))


def test_what_the_host_alone_converts_is_refused():
    with pytest.raises(dispatch.UnsupportedCallError, match="drops imaginary parts; convert the array first"):
        dispatch.sum(cuda.to_device(A.astype(np.complex64)), dtype=np.float32, backend="cuda")
    with pytest.raises(dispatch.UnsupportedCallError, match=r"without the imaginary parts .*; convert the array first"):
        dispatch.sum(cuda.to_device(A), dtype=np.complex64, backend="cuda")


def test_the_bits_depend_on_neither_strides_nor_alignment():
    a = RNG.standard_normal(100_003).astype(np.float32)
    wide = np.zeros((len(a), 2), np.float32)
    wide[:, 1] = a
    ways = [cuda.to_device(a), cuda.to_device(np.r_[np.float32(0), a])[1:], cuda.to_device(wide)[:, 1]]
    assert len({dispatch.sum(way).copy_to_host().tobytes() for way in ways}) == 1


@pytest.mark.parametrize("char", "befd")
@pytest.mark.parametrize(("shape", "axis"), [((50_007,), None), ((300, 96), 0), ((300, 96), 1)], ids=str)
def test_marks_are_read_in_words_where_they_can_be(monkeypatch, char, shape, axis):
    """As many as a vector has elements, and the sum has the same bits as with those that are read one by one."""
    a, mask = (RNG.standard_normal(shape) * 50).astype(char), RNG.random(shape) < 0.5
    wide = np.zeros((*shape, 3), bool)
    wide[..., 2] = mask
    shifted = cuda.to_device(np.r_[False, mask.ravel()])[1:].reshape(shape)
    masks = [cuda.to_device(mask), shifted, cuda.to_device(wide)[(slice(None),) * a.ndim + (2,)]]
    made = []
    for name in ("rows", "columns"):
        make = getattr(sums, name)
        monkeypatch.setattr(sums, name, lambda *ways, make=make: made.append(ways) or make(*ways))
    results = []
    for where in masks:
        made.clear()
        results.append(dispatch.sum(cuda.to_device(a), axis, where=where).copy_to_host().tobytes())
        _, vectorised, mask_vectorised, *_ = made[0]
        assert (vectorised, mask_vectorised) == (True, where is masks[0])
    assert len(set(results)) == 1
