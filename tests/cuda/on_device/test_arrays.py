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


@pytest.mark.parametrize("where", [True, np.True_, False, np.False_], ids=repr)
@pytest.mark.parametrize("axis", [None, 0])
def test_a_scalar_of_the_host_may_be_the_mask(where, axis):
    for a in (A, A[:0], A.astype(np.complex64), A.astype(np.int8)):
        for initial in (0, 3):
            actual = dispatch.sum(cuda.to_device(a), axis=axis, where=where, initial=initial)
            close(actual, np.sum(a, axis=axis, where=where, initial=initial))
    with pytest.raises(TypeError, match="where is a ndarray on the host"):
        dispatch.sum(cuda.to_device(A), axis=axis, where=np.array(where))


@pytest.mark.parametrize("backend", [None, "cpu", "cuda"])
def test_a_mask_or_an_out_on_the_device_of_a_host_array_is_refused(backend):
    with pytest.raises(TypeError, match="where is a DeviceNDArray on a CUDA device, and a is not; copy one to where"):
        dispatch.sum(A, where=cuda.to_device(MASK), backend=backend)
    with pytest.raises(TypeError, match="out is a DeviceNDArray on a CUDA device, and a is not"):
        dispatch.sum(A, axis=0, out=cuda.to_device(np.zeros(40, np.float32)), backend=backend)


def test_an_out_of_another_dtype_is_refused():
    with pytest.raises(TypeError, match="out is of dtype float64, and the sum is of dtype float32"):
        dispatch.sum(cuda.to_device(A), axis=0, dtype=np.float32, out=cuda.to_device(np.zeros(40)))


class View:
    """A part of a device array's memory, by the interface."""

    def __init__(self, memory, offset, shape, dtype, strides=None, read_only=False):
        self.memory, self.shape, self.dtype = memory, shape, np.dtype(dtype)
        address = memory.__cuda_array_interface__["data"][0] + offset
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": self.dtype.str, "strides": strides, "data": (address, read_only), "version": 3
        }  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "strides", "reason"),
    [
        (4, None, r"begins at address 0x\w*4, no multiple of its elements' size, 8 bytes; copy it"),
        (0, (12,), r"has strides \(12,\), no multiples of its elements' size, 8 bytes; copy it"),
    ],
    ids=["offset", "strides"],
)
def test_what_lies_across_the_boundaries_of_elements_is_refused(offset, strides, reason):
    memory = cuda.to_device(np.zeros(64, np.uint8))
    odd = View(memory, offset, (4,), np.float64, strides)
    with pytest.raises(dispatch.UnsupportedCallError, match=f"the array {reason}"):
        dispatch.sum(odd, backend="cuda")
    with pytest.raises(dispatch.UnsupportedCallError, match=f"out {reason}"):
        dispatch.sum(cuda.to_device(np.ones((3, 4))), axis=0, out=odd, backend="cuda")
    assert not memory.copy_to_host().any()


def test_complex_numbers_lie_on_the_boundaries_of_their_parts():
    numbers = np.arange(1, 13, dtype=np.float32)
    memory = cuda.to_device(numbers)
    strided = View(memory, 4, (3,), np.complex64, (12,))
    close(dispatch.sum(strided), np.sum(numbers[1::3][:3] + 1j * numbers[2::3][:3]).astype(np.complex64))


def test_a_read_only_out_is_refused():
    memory = cuda.to_device(np.zeros(40, np.float32))
    with pytest.raises(ValueError, match="out is read-only; pass an array that may be written to"):
        dispatch.sum(cuda.to_device(A), axis=0, out=View(memory, 0, (40,), np.float32, read_only=True))
    assert not memory.copy_to_host().any()


@pytest.mark.parametrize(
    ("axis", "operand", "out"),
    [
        (1, slice(None), np.s_[63]),
        (0, slice(None), np.s_[:, 0]),
        ((), np.s_[:-1], np.s_[1:]),
        ((), np.s_[:, 1:], np.s_[:, :-1]),
    ],
    ids=str,
)
def test_out_may_overlap_the_operand(axis, operand, out):
    a = np.arange(4096.0).reshape(64, 64)
    on_device = cuda.to_device(a)
    dispatch.sum(on_device[operand], axis=axis, out=on_device[out])
    np.testing.assert_array_equal(on_device.copy_to_host()[out], np.sum(a[operand], axis=axis))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_every_byte_but_zero_is_true(axis):
    marks = RNG.integers(0, 256, (64, 96)).astype(np.uint8) * (RNG.random((64, 96)) < 0.5)
    odd, true = marks.view(bool), marks != 0
    close(dispatch.sum(cuda.to_device(odd), axis=axis), np.sum(true, axis=axis))
    a = np.arange(64 * 96.0).reshape(64, 96)
    close(dispatch.sum(cuda.to_device(a), axis=axis, where=cuda.to_device(odd)), np.sum(a, axis=axis, where=true))
    np.testing.assert_array_equal(dispatch.sum(odd, axis=axis, backend="cuda"), np.sum(true, axis=axis))
    actual = dispatch.sum(a, axis=axis, where=odd, backend="cuda")
    np.testing.assert_allclose(actual, np.sum(a, axis=axis, where=true))


@pytest.mark.parametrize("name", ["A", "M", "v0"])
def test_eigsh_copies_nothing_to_the_host_in_silence(name):
    arguments = {"A": np.eye(9), "k": 2, name: cuda.to_device(np.eye(9))}
    with pytest.raises(TypeError, match=f"{name} is a .* on a CUDA device, expected one on the host"):
        dispatch.eigsh(**arguments)


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
