"""`pyopencl.array.Array` in, the same class out, on the array's own queue."""

import subprocess
import sys
import time

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest
from dispatch_opencl.backend import QUEUES_KEPT
from dispatch_opencl.programs import Programs

import dispatch

OUT_OF_ORDER = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE


@pytest.fixture(params=[0, OUT_OF_ORDER], ids=["in order", "out of order"])
def queue(request):
    device = dispatch.registry.registry.table().entries["opencl"].backend()._devices["opencl:0"]
    return cl.CommandQueue(cl.Context([device]), properties=request.param)


@pytest.fixture(autouse=True)
def _probed(_clean_process):
    assert dispatch.registry.registry.table().entries["opencl"].devices()


def host(shape, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * 20
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("char", "?bBhHiIqQefdFD")
def test_every_dtype_gives_what_the_host_array_gives(queue, char):
    a = host((30, 40, 3), char)
    on_device = cl.array.to_device(queue, a)
    for axis in (None, 0, 1, 2, (0, 2), ()):
        for arguments in ({}, {"keepdims": True}, {"initial": 2}):
            got = dispatch.sum(on_device, axis, **arguments)
            expected = dispatch.sum(a, axis, **arguments, backend="opencl")
            assert type(got) is cl.array.Array
            assert got.queue is queue
            assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
            assert np.array_equal(got.get(), expected)


def test_views_are_walked_where_they_are(queue):
    a = host((60, 70), np.float64)
    on_device = cl.array.to_device(queue, a)
    for view in (lambda x: x[::2, 5:], lambda x: x.T, lambda x: x[3], lambda x: x[:, 4]):
        np.testing.assert_allclose(dispatch.sum(view(on_device), 0).get(), view(a).sum(0), atol=1e-12)


def test_masks_of_the_host_and_of_the_device(queue):
    a = host((60, 70), np.float64)
    mask = np.random.default_rng(1).random((60, 70)) < 0.3
    on_device = cl.array.to_device(queue, a)
    for where in (mask, cl.array.to_device(queue, mask)):
        np.testing.assert_allclose(dispatch.sum(on_device, 1, where=where).get(), a.sum(1, where=mask), atol=1e-12)


def test_a_strided_out_is_written_through_its_strides(queue):
    a = host((60, 70), np.float64)
    out = cl.array.zeros(queue, (70, 2), np.float32)
    column = out[:, 1]
    assert dispatch.sum(cl.array.to_device(queue, a), 0, out=column) is column
    np.testing.assert_allclose(out.get()[:, 1], a.sum(0), rtol=1e-3)
    assert (out.get()[:, 0] == 0).all()


def test_truth_is_not_a_number_modulo_256(queue):
    ones = cl.array.to_device(queue, np.ones((2, 256), bool))
    for dtype in (bool, int):
        out = cl.array.zeros(queue, (2,), bool)
        assert dispatch.sum(ones, 1, dtype=dtype, out=out) is out
        assert out.get().tobytes() == b"\1\1"
    assert dispatch.sum(ones, dtype=bool).get().tobytes() == b"\1"
    out = cl.array.zeros(queue, (2,), np.int64)
    dispatch.sum(ones, 1, dtype=bool, out=out)
    assert list(out.get()) == [1, 1]


def test_an_axis_that_is_no_number_is_refused_behind_one_that_is(queue):
    a = cl.array.to_device(queue, np.ones((3, 4), np.float32))
    assert dispatch.sum(a, 1).shape == (3,)
    for axis in (True, (True,)):
        with pytest.raises(TypeError, match="axis must be an integer"):
            dispatch.sum(a, axis)


def test_c_types_of_one_size_stay_apart(queue):
    long, longlong = np.dtype("l"), np.dtype("q")
    for dtype in (long, longlong, long):
        got = dispatch.sum(cl.array.to_device(queue, np.ones(7, dtype)))
        assert got.dtype.char == dispatch.sum(np.ones(7, dtype), backend="opencl").dtype.char


def test_a_sum_waits_for_what_its_operand_waits_for(queue):
    a = cl.array.zeros(queue, 100, np.float64)
    queue.finish()
    gate = cl.UserEvent(queue.context)
    a.add_event(cl.enqueue_copy(queue, a.base_data, np.ones(100), is_blocking=False, wait_for=[gate]))
    got = dispatch.sum(a)
    queue.flush()
    time.sleep(0.1)  # for a sum that does not wait
    gate.set_status(cl.command_execution_status.COMPLETE)
    assert got.get() == 100


BEHIND_A_GATE = """
import sys, threading
import numpy as np, pyopencl as cl, pyopencl.array, dispatch
queue = cl.CommandQueue(cl.create_some_context(interactive=False))
a = cl.array.to_device(queue, np.ones((7, 11)))
gate = cl.UserEvent(queue.context)
cl.enqueue_barrier(queue, wait_for=[gate])
threading.Timer(0.5, gate.set_status, [cl.command_execution_status.COMPLETE]).start()
dispatch.sum(a, where=np.ones((7, 11), bool)) if sys.argv[1] == "mask" else dispatch.sum(a[3:3], axis=0)
"""


@pytest.mark.parametrize("call", ["mask", "empty"])
def test_other_threads_run_while_a_queue_is_held_up(call):
    # Who waits without letting them run waits for ever, here for the thread that opens the gate.
    subprocess.run([sys.executable, "-c", BEHIND_A_GATE, call], check=True, timeout=60)


def test_arrays_and_events_of_another_context_are_refused_before_anything_is_done(queue):
    elsewhere = cl.CommandQueue(cl.Context([queue.device]))
    a = cl.array.to_device(queue, np.ones((3, 4)))
    runtime = dispatch.registry.registry.table().entries["opencl"].backend()._runtime_on(queue, "opencl:0")
    mask, out = cl.array.zeros(elsewhere, (3, 4), bool), cl.array.zeros(elsewhere, 4, np.float64)
    for name, array in {"out": out, "where": mask}.items():
        with pytest.raises(
            ValueError,
            match=f"^{name} lives in another OpenCL context than the operand, expected one for both; make {name} on",
        ):
            dispatch.sum(a, 0, **{name: array})
    late = cl.array.to_device(queue, np.ones((3, 4)))
    late.events.append(cl.UserEvent(elsewhere.context))
    with pytest.raises(
        ValueError, match=r"an array waits for an event of another OpenCL context, .* first, with array\.finish"
    ):
        dispatch.sum(late, 0)
    assert not runtime.lost
    assert list(dispatch.sum(a, 0).get()) == [3] * 4


def test_a_queue_that_is_waited_for_is_flushed(queue, monkeypatch):
    other = cl.CommandQueue(queue.context)
    a = cl.array.zeros(queue, (3, 4), np.float64)
    out = cl.array.zeros(other, 4, np.float64)
    done = []
    flush, barrier = cl.CommandQueue.flush, cl.enqueue_barrier
    monkeypatch.setattr(cl.CommandQueue, "flush", lambda of: (done.append(of), flush(of)))
    monkeypatch.setattr(cl, "enqueue_barrier", lambda on, **waits: (done.append("barrier"), barrier(on, **waits))[1])
    dispatch.sum(a, 0, out=out)
    assert done[:2] == [other, "barrier"]


def test_the_queue_of_an_out_does_not_wait_for_a_sum_that_nobody_starts(queue, monkeypatch):
    other = cl.CommandQueue(queue.context)
    a = cl.array.zeros(queue, (3, 4), np.float64)
    outs = {on: cl.array.zeros(on, 4, np.float64) for on in (queue, other)}
    done = []
    flush, launch = cl.CommandQueue.flush, cl.enqueue_nd_range_kernel
    monkeypatch.setattr(cl.CommandQueue, "flush", lambda of: (done.append(of), flush(of)))
    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", lambda *args: (done.append("launch"), launch(*args))[1])
    dispatch.sum(a, 0, out=outs[queue])
    assert queue not in done
    dispatch.sum(a, 0, out=outs[other])
    assert done[-2:] == ["launch", queue]


def test_all_that_was_to_be_waited_for_is_waited_for(queue):
    runtime = dispatch.registry.registry.table().entries["opencl"].backend()._runtime_on(queue, "opencl:0")
    first, second = cl.UserEvent(queue.context), cl.UserEvent(queue.context)
    runtime.wait_for([first])
    runtime.wait_for([second])
    memory = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, 8)
    copied = cl.enqueue_copy(queue, memory, np.ones(1), is_blocking=False)
    queue.flush()
    second.set_status(cl.command_execution_status.COMPLETE)
    time.sleep(0.1)  # for a copy that does not wait
    assert copied.command_execution_status != cl.command_execution_status.COMPLETE
    first.set_status(cl.command_execution_status.COMPLETE)
    copied.wait()


def test_a_sum_can_be_read_whatever_the_order_of_the_operand(queue):
    a = host((3, 4, 5, 2), np.float64)
    on_device = cl.array.to_device(queue, a)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 1, 3)):
        for axis in ((), 0, 1, (0, 2)):
            got = dispatch.sum(on_device.transpose(order), axis)
            np.testing.assert_allclose(got.get(), a.transpose(order).sum(axis), atol=1e-12)
    assert dispatch.sum(on_device.T, ()).flags.f_contiguous


@pytest.mark.parametrize("backend", ["opencl", "cpu", None])
def test_a_mask_or_an_out_on_the_device_of_a_host_array_is_refused(queue, backend):
    a = np.ones((3, 4))
    for name, array in {"where": np.ones((3, 4), bool), "out": np.zeros(4)}.items():
        with pytest.raises(
            TypeError,
            match=rf"^{name} is a pyopencl\.array\.Array, which NumPy cannot read, and a is on the host; copy one to",
        ):
            dispatch.sum(a, 0, **{name: cl.array.to_device(queue, array)}, backend=backend)


def test_a_sum_that_the_device_cannot_hold(queue):
    one = cl.array.to_device(queue, np.ones(1))
    many = cl.array.Array(queue, (1 << 40,), np.float64, data=one.base_data, strides=(0,))
    with pytest.raises(MemoryError, match="opencl:0 has not enough memory"):
        dispatch.sum(many, ())
    assert dispatch.sum(many).get() == 1 << 40


def test_a_sum_is_of_the_class_of_its_operand(queue):
    class Field(cl.array.Array):
        pass

    plain = cl.array.to_device(queue, np.ones(8))
    field = Field(queue, (8,), np.float64, data=plain.base_data)
    for a in (plain, field, plain):
        assert type(dispatch.sum(a)) is type(a)
        assert type(dispatch.sum(a, initial=1)) is type(a)


def test_queues_that_take_turns_keep_their_arrays(queue):
    other = cl.CommandQueue(queue.context)
    for n in (3, 5):
        for on in (queue, other, other):
            got = dispatch.sum(cl.array.to_device(on, np.ones(n, np.float32)))
            assert got.queue is on
            assert got.get() == n


def test_queues_of_a_context_share_programs(queue, monkeypatch):
    builds = []
    build = Programs._build
    monkeypatch.setattr(Programs, "_build", lambda self, *key: builds.append(key) or build(self, *key))
    arrays = [cl.array.to_device(cl.CommandQueue(queue.context), np.ones((4, 5))) for _ in range(QUEUES_KEPT + 1)]
    for a in arrays + arrays:
        assert list(dispatch.sum(a, 0).get()) == [4] * 5
    assert len(builds) == 1


def test_empty_sums(queue):
    empty = cl.array.zeros(queue, (0, 4), np.float64)
    assert np.array_equal(dispatch.sum(empty, 0, initial=3).get(), np.full(4, 3.0))
    assert dispatch.sum(empty, 1).shape == (0,)


def test_what_would_leave_the_device_is_refused(queue):
    a = cl.array.zeros(queue, (3, 4), np.float64)
    with pytest.raises(TypeError, match=r"out is a ndarray, expected a pyopencl\.array\.Array"):
        dispatch.sum(a, 0, out=np.zeros(4))
    with pytest.raises(dispatch.UnsupportedCallError, match="never copied silently"):
        dispatch.sum(a, backend="cpu")
    with pytest.raises(dispatch.UnsupportedCallError, match=r"cannot be cast to int64 there: .*; use a\.astype"):
        dispatch.sum(a, dtype=int)
    with pytest.raises(ValueError, match="the array has no queue to run on"):
        dispatch.sum(a.with_queue(None))
