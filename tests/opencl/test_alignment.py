"""Device arrays whose elements are off their type's alignment, as in records: neither read nor written wrongly."""

from functools import partial

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest

import dispatch

from .conftest import BACKENDS

OUT_OF_ORDER = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE


@pytest.fixture(params=[0, OUT_OF_ORDER], ids=["in order", "out of order"])
def queue(request):
    device = BACKENDS["streams"]._devices["opencl:0"]
    return cl.CommandQueue(cl.Context([device]), properties=request.param)


@pytest.fixture(params=["streams", "groups"])
def total(request):
    """Return `dispatch.sum` on the device, taken for what it is or for a GPU."""
    return partial(dispatch.sum, backend=BACKENDS[request.param])


def apart(a, offset, gap=0):
    """Return bytes that have the elements of an array from an offset on, each followed by a gap, and their strides."""
    item = a.dtype.itemsize
    room = np.full((*a.shape, item + gap), 85, np.uint8)
    room[..., :item] = a.reshape(-1, 1).view(np.uint8).reshape(*a.shape, item)
    return np.concatenate([np.full(offset, 85, np.uint8), room.ravel()]), room.strides[:-1]


def placed(queue, a, offset, gap=0):
    """Return the memory of an array on the device, and the array, its elements at an offset and with gaps."""
    memory, strides = apart(a, offset, gap)
    memory = cl.array.to_device(queue, memory)
    return memory, cl.array.Array(
        queue, a.shape, a.dtype, data=memory.base_data, offset=offset, strides=strides, events=memory.events
    )


@pytest.mark.parametrize("char", "eqF")
@pytest.mark.parametrize(("offset", "gap"), [(1, 0), (0, 2), (4, 5)])
def test_the_operand(queue, total, char, offset, gap):
    a = (np.random.default_rng(0).standard_normal((30, 7)) * 20).astype(char)
    if char in "FD":
        a *= 1 + 2j
    mask = np.arange(7) % 2 == 0
    memory, off = placed(queue, a, offset, gap)
    before, on = memory.get(), cl.array.to_device(queue, a)
    for axis in (None, 0, 1, ()):
        for arguments in ({}, {"keepdims": True}, {"where": mask}):
            got, expected = total(off, axis, **arguments), total(on, axis, **arguments)
            assert (got.dtype, got.shape, got.strides) == (expected.dtype, expected.shape, expected.strides)
            assert np.array_equal(got.get(), expected.get())
    assert np.array_equal(memory.get(), before)


def test_a_single_element_and_few_of_them(queue, total):
    for a in (np.float64(2.5), np.arange(3.0), np.arange(6.0).reshape(2, 3)):
        assert total(placed(queue, np.asarray(a), 4)[1]).get() == np.sum(a)
        assert total(cl.array.to_device(queue, a)).get() == np.sum(a)
        assert total(placed(queue, np.asarray(a), 3)[1]).get() == np.sum(a)


def test_the_operand_backwards_and_in_columns(queue, total):
    a = np.arange(30.0 * 7).reshape(30, 7)
    for view in (lambda x: x[::-1], lambda x: x.T, lambda x: x[::2, 1:], lambda x: x[3]):
        for axis in (None, 0):
            assert np.array_equal(total(view(placed(queue, a, 4)[1]), axis).get(), np.sum(view(a), axis))


@pytest.mark.parametrize("char", "fD")
@pytest.mark.parametrize(("offset", "gap"), [(1, 0), (0, 1), (3, 5)])
def test_the_out(queue, total, char, offset, gap):
    a = np.arange(30 * 7).reshape(30, 7).astype(char)
    for axis in (None, 0, 1):
        sums = np.sum(a, axis, dtype=char)
        memory, out = placed(queue, np.zeros_like(sums), offset, gap)
        assert total(cl.array.to_device(queue, a), axis, out=out) is out
        assert np.array_equal(memory.get(), apart(np.asarray(sums), offset, gap)[0])


def test_an_empty_operand_and_an_empty_out(queue, total):
    memory = cl.array.to_device(queue, np.zeros(64, np.uint8))
    empty = cl.array.Array(queue, (0, 3), np.float64, data=memory.base_data, offset=3)
    out = cl.array.Array(queue, (3,), np.float64, data=memory.base_data, offset=3)
    total(empty, 0, initial=1.5, out=out)
    assert memory.get()[3:27].view(np.float64).tolist() == [1.5] * 3
    assert total(empty, 1).shape == (0,)
    nothing = cl.array.Array(queue, (0,), np.float64, data=memory.base_data, offset=3)
    assert total(empty, 1, out=nothing) is nothing


def test_what_is_repeated_is_copied_once(queue, total):
    memory = cl.array.to_device(queue, apart(np.arange(3.0), 3)[0])
    for shape, strides in (((1 << 40, 3), (0, 8)), ((3, 1 << 40), (8, 0))):
        a = cl.array.Array(queue, shape, np.float64, data=memory.base_data, offset=3, strides=strides)
        assert total(a).get() == 3 * 2**40
        assert total(a, strides.index(0)).get().tolist() == [0, 2**40, 2**41]


def test_copies_are_not_in_memory_that_may_be_gone_before_they_are_read(queue, total):
    asked = []

    def allocator(nbytes):
        asked.append(nbytes)
        return cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, nbytes)

    _, a = placed(queue, np.ones((3, 7)), 1)
    _, out = placed(queue, np.zeros(7), 1)
    for array in (a, out):
        array.allocator = allocator
    total(a, 0, out=out)
    assert not asked
    assert total(a, 0).get().tolist() == [3] * 7
    assert asked == [56]
