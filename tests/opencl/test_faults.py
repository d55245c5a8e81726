"""What fails on a device fails with a clear error, leaves nothing behind, and does not fail the next call."""

import subprocess
import sys
import threading

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest
from dispatch_opencl import programs as programs_module
from dispatch_opencl.faults import DeviceError, KernelBuildError
from dispatch_opencl.programs import Programs

import dispatch

from ..solvers.problems import laplacian
from .conftest import failure, guise

A, SPECTRUM = laplacian(40, 41)


@pytest.fixture
def buffers(monkeypatch):
    """Return the buffers of this test that live, by their class."""

    class Counted(cl.Buffer):
        live = 0

        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            Counted.live += 1

        def __del__(self):
            Counted.live -= 1

    monkeypatch.setattr(cl, "Buffer", Counted)
    return Counted


@pytest.fixture(params=["streams", "groups"])
def fresh(request, buffers):
    """A backend that nobody has used yet, so that a test may break its device."""
    backend = guise() if request.param == "streams" else guise(kind="gpu", streams=False, group=64, unified=False)
    backend.probe()
    return backend


def leaked(buffers, runtime):
    """Return how many buffers there are but those that a device keeps for the next call."""
    idle = sum(len(some) for some in runtime.pool._idle.values())
    return buffers.live - idle - len(runtime._constants)


def total(backend):
    """Add up ones in several passes, with outer axes and a mask."""
    ones = np.ones((3, 70_000), np.float32)
    assert list(dispatch.sum(ones, 1, where=ones > 0, backend=backend)) == [70_000] * 3


def solve(backend):
    np.testing.assert_allclose(dispatch.eigsh(A, 4, which="SA", backend=backend)[0], SPECTRUM[:4], rtol=1e-11)


NO_MEMORY = (cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE, cl.MemoryError)
LOST = (cl.status_code.OUT_OF_RESOURCES, cl.RuntimeError)

CALLS = {"sum": total, "eigsh": solve}


def fails_from(monkeypatch, function, number, *error):
    """Let a function of PyOpenCL fail from its call of that number on, with a `failure`."""
    real, calls = getattr(cl, function), []

    def failing(*arguments, **keywords):
        calls.append(function)
        if len(calls) >= number:
            raise failure(*error)
        return real(*arguments, **keywords)

    monkeypatch.setattr(cl, function, failing)


def test_a_failed_allocation_in_the_middle_of_a_solution(fresh, buffers, monkeypatch):
    runtime = fresh.runtime("opencl:0")
    solve(fresh)
    assert leaked(buffers, runtime) == 0

    def exhaust(state):
        if state.iteration == 3:
            runtime.pool.trim()
            fails_from(monkeypatch, "Buffer", 1, *NO_MEMORY)

    with (
        monkeypatch.context() as monkeypatch,
        pytest.raises(
            MemoryError, match=r"opencl:0 has not enough memory: .*; free arrays on the device, solve a small"
        ),
    ):
        dispatch.eigsh(A, 4, which="SA", callback=exhaust, backend=fresh)
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    solve(fresh)
    assert leaked(buffers, runtime) == 0
    assert fresh.runtime("opencl:0") is runtime


@pytest.mark.parametrize("number", [1, 2])
def test_a_failed_allocation_for_a_sum(fresh, buffers, monkeypatch, number):
    runtime = fresh.runtime("opencl:0")
    with monkeypatch.context() as broken:
        fails_from(broken, "Buffer", number, *NO_MEMORY)
        with pytest.raises(MemoryError, match="opencl:0 has not enough memory"):
            total(fresh)
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    total(fresh)
    assert leaked(buffers, runtime) == 0
    assert fresh.runtime("opencl:0") is runtime


def test_a_full_pool_is_emptied_before_an_allocation_fails(fresh, monkeypatch):
    runtime = fresh.runtime("opencl:0")
    real, refused = cl.Buffer, []
    del_me = runtime.allocate(1 << 20)
    del del_me
    assert runtime.pool.idle_bytes >= 1 << 20

    def refuse_once(*arguments, **keywords):
        if not refused:
            refused.append(runtime.pool.idle_bytes)
            raise failure(cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE, cl.MemoryError)
        return real(*arguments, **keywords)

    monkeypatch.setattr(cl, "Buffer", refuse_once)
    memory = runtime.allocate(1 << 21)
    assert refused[0] >= 1 << 20
    assert (memory.nbytes, runtime.pool.idle_bytes) == (1 << 21, 0)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("function", "number"), [("enqueue_nd_range_kernel", 1), ("enqueue_nd_range_kernel", 2), ("enqueue_copy", 1)]
)
def test_a_lost_context(fresh, buffers, monkeypatch, call, function, number):
    before = buffers.live
    with monkeypatch.context() as broken:
        fails_from(broken, function, number, *LOST)
        with pytest.raises(DeviceError, match=r"opencl:0 failed: .*; the next call starts it afresh"):
            CALLS[call](fresh)
    runtime = fresh._runtimes[fresh._devices["opencl:0"]]
    assert runtime.lost
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    del runtime
    for again in CALLS.values():
        again(fresh)
    runtime = fresh.runtime("opencl:0")
    assert not runtime.lost
    assert leaked(buffers, runtime) == before == 0


def test_a_lost_context_of_the_callers(fresh, buffers, monkeypatch):
    queue = cl.CommandQueue(cl.Context([fresh.runtime("opencl:0").device]))
    a = cl.array.to_device(queue, np.ones((3, 70_000), np.float32))
    dispatch.sum(a, 1, backend=fresh)
    before = leaked(buffers, fresh._on_queues[queue])
    with monkeypatch.context() as broken:
        fails_from(broken, "enqueue_nd_range_kernel", 1, *LOST)
        with pytest.raises(DeviceError, match=r"opencl:0 failed: .*; the next call starts it afresh"):
            dispatch.sum(a, 1, backend=fresh)
    runtime = fresh._on_queues[queue]
    assert runtime.lost
    assert runtime.pool.in_use == 0
    assert leaked(buffers, runtime) == 1  # the operand's
    del runtime
    assert list(dispatch.sum(a, 1, backend=fresh).get()) == [70_000] * 3
    assert leaked(buffers, fresh._on_queues[queue]) == before


def test_a_device_that_does_not_start(fresh, buffers, monkeypatch):
    with monkeypatch.context() as broken:
        fails_from(broken, "Context", 1, *LOST)
        with pytest.raises(DeviceError, match=r"opencl:0 failed: .*; the next call starts it afresh"):
            total(fresh)
    assert buffers.live == 0
    total(fresh)


@pytest.mark.parametrize("call", CALLS)
def test_a_compiler_that_rejects_a_kernel(fresh, buffers, monkeypatch, call):
    with monkeypatch.context() as broken:
        broken.setattr(programs_module, "source", lambda file: "__kernel void rows() { this is no C; }")
        with pytest.raises(
            KernelBuildError,
            match=r"(?s)opencl:0: the compiler of .*, driver .*, rejected \w+\.cl with the options "
            r".*undeclared identifier.*use backend='cpu'",
        ):
            CALLS[call](fresh)
    runtime = fresh.runtime("opencl:0")
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    CALLS[call](fresh)
    assert leaked(buffers, runtime) == 0


def test_a_device_without_double_precision(buffers):
    backend = guise(fp64=False)
    backend.probe()
    runtime = backend.runtime("opencl:0")
    single = A.astype(np.float32)
    for _ in range(2):
        with pytest.raises(dispatch.UnsupportedCallError, match="no double precision, and a sum in float64 needs it"):
            dispatch.sum(np.ones(1000), backend=backend)
        with pytest.raises(dispatch.UnsupportedCallError, match="no double precision, and float64 needs it; convert A"):
            dispatch.eigsh(A, 4, which="SA", backend=backend)
        total(backend)
        w = dispatch.eigsh(single, 4, which="LA", backend=backend)[0]
        np.testing.assert_allclose(w, SPECTRUM[-4:], rtol=1e-5)
        assert runtime.pool.in_use == leaked(buffers, runtime) == 0


def test_64_threads_at_once(fresh, buffers, monkeypatch):
    builds = []
    build = Programs._build
    monkeypatch.setattr(Programs, "_build", lambda self, *key: builds.append(key) or build(self, *key))
    start, done = threading.Barrier(64), []

    def run(call):
        start.wait()
        call(fresh)
        done.append(call)

    threads = [threading.Thread(target=run, args=(solve if n % 16 == 0 else total,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 64
    assert len(builds) == len(set(builds))
    runtime = fresh.runtime("opencl:0")
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    total(fresh)


def test_an_exception_in_a_callback_leaves_no_buffers(fresh, buffers):
    def stop(state):
        if state.iteration == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dispatch.eigsh(A, 4, which="SA", callback=stop, backend=fresh)
    runtime = fresh.runtime("opencl:0")
    assert runtime.pool.in_use == leaked(buffers, runtime) == 0
    solve(fresh)
    assert leaked(buffers, runtime) == 0


FORKED = """
import os, sys
import numpy as np, dispatch
assert dispatch.sum(np.ones(1000), backend="opencl") == 1000
child = os.fork()
if child == 0:
    assert dispatch.sum(np.ones(1000)) == 1000
    try:
        dispatch.sum(np.ones(1000), backend="opencl")
    except RuntimeError as error:
        print(error)
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert dispatch.sum(np.ones(1000), backend="opencl") == 1000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_says_why_and_ends_as_usual():
    result = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "OpenCL was in use before this process was forked, and its driver does not survive that" in result.stdout
    assert "start processes by 'spawn' or 'forkserver', or use OpenCL only in the children" in result.stdout


LARGER_THAN_THE_DEVICE = """
import dataclasses
import numpy as np, dispatch, pyopencl as cl
from dispatch_opencl import OpenCLBackend
from dispatch_opencl.traits import Traits

a = np.ones(1_300_000_000, np.uint8)
a[::1000] = 3
expected = a.size + 2 * (a.size // 1000)
for unified in (True, False):
    backend = OpenCLBackend(lambda device: dataclasses.replace(Traits.of(device), unified=unified))
    backend.probe()
    traits = backend.runtime("opencl:0").traits
    assert traits.largest < traits.memory < a.nbytes, traits
    assert dispatch.sum(a, backend=backend) == expected
    assert dispatch.sum(a.reshape(1000, -1), axis=1, backend=backend).sum() == expected
    assert backend.runtime("opencl:0").pool.in_use == 0
"""


def test_an_array_larger_than_the_device(monkeypatch):
    monkeypatch.setenv("POCL_MEMORY_LIMIT", "1")
    platforms = [platform.version for platform in cl.get_platforms()]
    if not any("PoCL" in version for version in platforms):
        pytest.skip("only PoCL can be told how much memory it has")
    monkeypatch.setenv("PYOPENCL_CTX", "portable")
    result = subprocess.run(
        [sys.executable, "-c", LARGER_THAN_THE_DEVICE], capture_output=True, text=True, timeout=250, check=False
    )
    assert result.returncode == 0, result.stderr
