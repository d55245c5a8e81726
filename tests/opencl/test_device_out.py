"""`out=` on the device: what NumPy writes, in the elements of `out` and no others, wherever these are."""

from functools import partial

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest

import dispatch

from .conftest import BACKENDS

VALUES = (-5, 3, 300, 2**31 + 9, 2**32 + 3, -(2**33) - 7, 2.0**63 + 2**12, 2.0**70, -(2.0**70), np.inf, -np.inf, np.nan)


@pytest.fixture
def put():
    """Return what copies a host array to the device."""
    device = BACKENDS["streams"]._devices["opencl:0"]
    queue = cl.CommandQueue(cl.Context([device]))
    return lambda a: cl.array.to_device(queue, np.asarray(a))


@pytest.fixture(params=["streams", "groups"])
def total(request):
    """Return `dispatch.sum` on the device, taken for what it is or for a GPU."""
    return partial(dispatch.sum, backend=BACKENDS[request.param])


def test_a_real_out_takes_the_real_parts_and_no_place_beside_it(total, put):
    z = np.arange(8).reshape(4, 2) + 100j
    for char in "?BQfd":
        for a, on_device in ((z, put(z)), (z[::-1], put(z)[::-1]), (z.T, put(z).T)):
            for axis in (None, 0, 1):
                shape = np.sum(a, axis).shape
                room = put(np.full((*shape, 2), 7, char))
                out = room[..., 0]
                expected = np.full((*shape, 2), 7, char)
                if char == "?":
                    total(on_device, axis, out=out)
                    np.sum(a, axis, out=expected[..., 0])
                else:
                    with pytest.warns(
                        np.exceptions.ComplexWarning, match="the imaginary parts of the sums are dropped"
                    ):
                        total(on_device, axis, out=out)
                    np.sum(a.real, axis, out=expected[..., 0])
                assert np.array_equal(room.get(), expected), (char, axis)


def test_a_complex_number_is_true_by_either_part(total, put):
    out = put(np.ones(3, bool))
    assert total(put([[0, 0], [1j, 0], [0, 2]]), axis=1, out=out).get().tolist() == [False, True, True]


def test_a_complex_out_of_real_sums_has_no_imaginary_parts(total, put):
    out = put(np.full(2, 5 + 7j))
    assert total(put(np.ones((2, 3))), axis=1, dtype=float, out=out).get().tolist() == [3, 3]


@pytest.mark.parametrize("operand", "efdq")
def test_what_an_out_does_not_hold_is_cast_as_numpy_casts_it(put, operand):
    for value in VALUES:
        if operand == "q" and not abs(value) < 2**62:
            continue
        with np.errstate(all="ignore"):
            a = np.array([value, 0], operand)
            for char in "?bBhHiIqQefd":
                if char == "I" and not abs(a[0]) < 2**62:
                    continue  # NumPy has two answers, for few numbers and for many
                expected = np.sum(a, out=np.zeros((), char))
                got = dispatch.sum(put(a), out=put(np.zeros((), char))).get()
                assert np.array_equal(got, expected, equal_nan=True), (value, char, got, expected)


def test_float16_is_rounded_once(total, put):
    a = np.array([2048, 1, 2.0**-24], np.float16)  # just above the middle of two numbers of float16
    for sign in (1, -1):
        assert total(put(sign * a)).get() == sign * 2050
        for dtype in (np.float64, np.int8):
            out = put(np.zeros((), dtype))
            assert total(put(sign * a), out=out, dtype=np.float16).get() == np.array(sign * 2050.0).astype(dtype)


def test_an_out_of_another_byte_order_is_refused(total, put):
    with pytest.raises(dispatch.UnsupportedCallError, match="elements of out's dtype >f8 cannot be written there"):
        total(put(np.ones(3)), out=put(np.zeros((), ">f8")))


@pytest.mark.parametrize("axis", [0, 1, ()])
def test_out_may_be_a_part_of_the_operand(total, put, axis):
    h = np.arange(4096.0).reshape(64, 64)
    insides = {0: (np.s_[0], np.s_[63], np.s_[:, 5]), 1: (np.s_[0], np.s_[63], np.s_[:, 5]), (): (np.s_[::-1],)}
    for inside in insides[axis]:
        d = put(h)
        total(d, axis, out=d[inside])
        assert np.array_equal(d.get()[inside], np.sum(h, axis))


def test_out_may_overlap_the_operand_by_a_shift(total, put):
    h = np.arange(1000.0)
    for a, out in ((np.s_[:-1], np.s_[1:]), (np.s_[1:], np.s_[:-1])):
        d = put(h)
        total(d[a], axis=(), out=d[out])
        assert np.array_equal(d.get()[out], h[a])


def test_out_may_share_memory_with_the_operand_by_parts_of_buffers(total, put):
    d = put(np.arange(4096.0))
    size = d.dtype.itemsize * 3072
    first = cl.array.Array(d.queue, (3072,), d.dtype, data=d.base_data[:size])
    last = cl.array.Array(d.queue, (3072,), d.dtype, data=d.base_data[8192 : 8192 + size])
    total(first, axis=(), out=last)
    assert np.array_equal(d.get()[1024:], np.arange(3072.0))


def test_out_may_be_in_the_memory_of_the_mask(total, put):
    a, mask = np.arange(4096.0), np.arange(4096) % 3 == 0
    memory = put(np.concatenate([mask.view("u1"), np.zeros(8 * 4096 - 4096, "u1")]))
    where, out = memory[:4096].view(bool), memory.view(float)
    total(put(a), axis=(), where=where, out=out)
    assert np.array_equal(out.get(), a * mask)


def test_a_mask_of_no_dimensions(total, put):
    for mask in (False, np.True_, np.array(True), np.array(False)):
        for a in (np.float64(2.5), np.ones(3)):
            assert total(put(a), where=mask).get() == np.sum(a, where=mask)


def test_an_initial_value_of_none_adds_nothing(total, put):
    for a in ([3, 4], [2.5, 3], [-0.0, -0.0], [1 + 2j, 3], [True, True]):
        expected = np.sum(a, initial=None)
        for out in (None, np.zeros((), np.float64)):
            if out is not None and np.asarray(a).dtype.kind == "c":
                continue
            got = total(put(a), initial=None, out=None if out is None else put(out)).get()
            assert got == expected
            assert np.signbit(got.real) == np.signbit(expected.real)


@pytest.mark.parametrize("char", "fdFD")
def test_an_empty_sum_is_the_initial_value_with_its_sign(total, put, char):
    for initial in (-0.0, 0.0, -1.5):
        got = total(put(np.zeros((0, 3), char)), 0, initial=initial).get()
        assert got.tobytes() == np.sum(np.zeros((0, 3), char), 0, initial=initial).tobytes()


def test_an_out_that_kernels_may_only_read_is_refused(total, put):
    a = put(np.ones((2, 3)))
    memory = cl.Buffer(a.context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=np.full(6, 7.0))
    for data in (memory, memory[:24]):
        out = cl.array.Array(a.queue, (3,), np.float64, data=data)
        with pytest.raises(
            ValueError, match=r"^out is in READ_ONLY memory, expected memory that kernels may write; make"
        ):
            total(a, 0, out=out)
        assert out.get().tolist() == [7, 7, 7]
    assert total(cl.array.Array(a.queue, (6,), np.float64, data=memory)).get() == 42


def test_a_list_is_a_mask_of_truth_values(total, put):
    for a, where in ((np.arange(3.0), [2, 0, 1]), (np.zeros((2, 0)), [[], []]), (np.arange(3.0), [])):
        if where:
            assert total(put(a), where=where).get() == np.sum(a, where=where)
        else:
            with pytest.raises(ValueError, match="does not broadcast"):
                total(put(a), where=where)
