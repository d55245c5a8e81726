"""What fails on a device fails with a clear error, leaves nothing behind, and does not fail the next call."""

import subprocess
import sys
import threading

import numpy as np
import pyopencl as cl
import pytest
from dispatch_opencl import runtime as runtime_module
from dispatch_opencl.faults import DeviceError, KernelBuildError

import dispatch

from ..solvers.problems import laplacian
from .conftest import failure, guise

A, SPECTRUM = laplacian(40, 41)


@pytest.fixture(params=["streams", "groups"])
def fresh(request):
    """A backend that nobody has used yet, so that a test may break its device."""
    backend = guise() if request.param == "streams" else guise(kind="gpu", streams=False, group=64, unified=False)
    backend.probe()
    return backend


def solves(backend):
    np.testing.assert_allclose(dispatch.eigsh(A, 4, which="SA", backend=backend)[0], SPECTRUM[:4], rtol=1e-11)


def test_a_failed_allocation_in_the_middle_of_a_solution(fresh, monkeypatch):
    runtime = fresh.runtime("opencl:0")

    def exhaust(state):
        if state.iteration == 3:
            runtime.pool.trim()
            monkeypatch.setattr(cl, "Buffer", refuse)

    def refuse(*arguments, **keywords):
        raise failure(cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE, cl.MemoryError)

    with pytest.raises(
        MemoryError, match=r"opencl:0 has not enough memory: .*; free arrays on the device, solve a small"
    ):
        dispatch.eigsh(A, 4, which="SA", callback=exhaust, backend=fresh)
    assert runtime.pool.in_use == 0
    monkeypatch.undo()
    solves(fresh)
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


@pytest.mark.parametrize("operation", ["sum", "eigsh"])
def test_a_lost_context(fresh, monkeypatch, operation):
    runtime = fresh.runtime("opencl:0")

    def lost(*arguments):
        raise failure(cl.status_code.OUT_OF_RESOURCES, cl.RuntimeError)

    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", lost)
    with pytest.raises(DeviceError, match=r"opencl:0 failed: .*; the next call starts it afresh"):
        if operation == "sum":
            dispatch.sum(np.ones(1000), backend=fresh)
        else:
            dispatch.eigsh(A, 4, which="SA", backend=fresh)
    assert runtime.pool.in_use == 0
    monkeypatch.undo()
    assert dispatch.sum(np.ones(1000), backend=fresh) == 1000
    solves(fresh)
    assert fresh.runtime("opencl:0") is not runtime


def test_a_compiler_that_rejects_a_kernel(fresh, monkeypatch):
    monkeypatch.setattr(runtime_module, "source", lambda file: "__kernel void rows() { this is no C; }")
    with pytest.raises(
        KernelBuildError, match=r"(?s)opencl:0: the compiler of .*, rejected sum\.cl with .*undeclared identifier"
    ):
        dispatch.sum(np.ones(1000), backend=fresh)
    assert fresh.runtime("opencl:0").pool.in_use == 0
    monkeypatch.undo()
    assert dispatch.sum(np.ones(1000), backend=fresh) == 1000


def test_a_build_is_shared_by_threads(fresh, monkeypatch):
    builds = []
    build = runtime_module.Runtime._build
    monkeypatch.setattr(runtime_module.Runtime, "_build", lambda self, *key: builds.append(key) or build(self, *key))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(dispatch.sum(np.arange(5000), backend=fresh))) for _ in range(64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5000 * 4999 // 2] * 64
    assert len(builds) == len(set(builds))
    assert fresh.runtime("opencl:0").pool.in_use == 0


def test_an_exception_in_a_callback_leaves_no_buffers(fresh):
    def stop(state):
        if state.iteration == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dispatch.eigsh(A, 4, which="SA", callback=stop, backend=fresh)
    assert fresh.runtime("opencl:0").pool.in_use == 0
    solves(fresh)


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
