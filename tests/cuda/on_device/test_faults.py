"""Devices that fail in the middle of a call: an error that says so, nothing kept, and a next call that works."""

from __future__ import annotations

import contextlib
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.sparse as sp
from cuda.core._utils.cuda_utils import CUDAError
from dispatch_cuda import CudaBackend, use_stream
from dispatch_cuda.faults import DeviceError
from dispatch_cuda.host_sum import sum_host_array
from numba import cuda
from numba.cuda.cudadrv import devices
from numba.cuda.cudadrv.driver import CudaAPIError

import dispatch
from dispatch.devices import Pool
from dispatch.operations.call import describe
from dispatch.solvers import dense
from dispatch.testing.matrices import laplacian

NO_VALUE = np._NoValue
SLAB = 1 << 15
NOT_ENOUGH = r"cuda:0 has not enough memory: .*use backend='cpu'"
OUT_OF_MEMORY, ILLEGAL_ADDRESS = 2, 700


def started():
    """Return a backend that nobody else has."""
    backend = CudaBackend()
    backend.probe()
    return backend


@pytest.fixture
def backend():
    return started()


@pytest.fixture
def runtime(backend):
    """Its device, in use."""
    return backend.runtime("cuda:0")


@pytest.mark.parametrize("allocate", ["allocate", "new_array"])
def test_out_of_memory_empties_the_pools_and_tries_again(backend, runtime, monkeypatch, allocate):
    """That of the stream itself, and those of others."""
    with use_stream(77):
        other = backend.runtime("cuda:0")
    for one in (runtime, other):
        one.allocate(1 << 20, np.uint8)
        assert one.pool.idle_bytes
    create, attempts = runtime._new_array, []

    def scarce(shape, dtype, strides):
        attempts.append(shape)
        if runtime.pool.idle_bytes or other.pool.idle_bytes:
            raise MemoryError
        return create(shape, dtype, strides)

    monkeypatch.setattr(runtime, "_new_array", scarce)
    getattr(runtime, allocate)(5 << 20, np.uint8)
    assert len(attempts) == 2


def solve(backend):
    """Solve for eigenpairs of a pencil with one long row."""
    A = sp.lil_array(laplacian(6, 7)[0])
    A[0] = A[:, [0]] = 1e-3
    M = sp.diags_array(np.linspace(1, 2, A.shape[0])).tocsr()
    return dispatch.eigsh(A.tocsr(), 2, M=M, which="SA", rng=0, backend=backend)[0]


def solve_dense(backend):
    """Solve for eigenpairs of a dense matrix."""
    return dispatch.eigsh(laplacian(6, 7)[0].toarray(), 1, which="LA", rng=0, backend=backend)[0]


def add_slabs(backend):
    """Add up a host array with a mask, slab by slab by way of page-locked memory."""
    a, where = np.ones((30, 5000))[:, ::-1], np.arange(5000) % 2 == 0
    return sum_host_array(backend.runtime("cuda:0"), a, (1, None, None, False, 2, where), SLAB)


def add_on_device(backend):
    """Add up an array on the device with a mask, over axes that need a table."""
    a, where = DEVICE_ARRAY(np.ones((3, 4, 50, 7))), DEVICE_ARRAY(np.ones(7, bool))
    return dispatch.sum(a[:, ::2], axis=(0, 2), where=where, backend=backend).copy_to_host()


DEVICE_ARRAY = cuda.to_device
ALLOCATORS = ("device_array", "pinned_array")


@pytest.fixture
def scarce(monkeypatch):
    """Give a context in which `left` allocations succeed, and a list of the places in our code that made them."""

    @contextmanager
    def context(left):
        places = []

        def limited(allocate):
            def made(*arguments, **options):
                frame, place = sys._getframe(1), []
                while frame:
                    code, frame = frame.f_code, frame.f_back
                    place += [(code.co_name, code.co_firstlineno)] * ("dispatch_cuda" in code.co_filename)
                places.append(tuple(place))
                if len(places) > left:
                    raise CudaAPIError(OUT_OF_MEMORY, "planted")
                return allocate(*arguments, **options)

            return made

        with monkeypatch.context() as patch:
            for name in ALLOCATORS:
                patch.setattr(cuda, name, limited(getattr(cuda, name)))
            yield places

    return context


@pytest.mark.parametrize("work", [solve, solve_dense, add_slabs, add_on_device])
def test_out_of_memory_in_each_stage(monkeypatch, scarce, work):
    """Wherever memory is first missing, the error says so, nothing is kept, and the next call works."""
    monkeypatch.setattr(dense, "ALWAYS_BELOW", 0)
    with scarce(left=sys.maxsize) as places:
        expected = work(started())
    stages = {place: number for number, place in reversed(list(enumerate(places)))}
    assert len(stages) >= 4, stages
    for number in stages.values():
        backend = started()
        with scarce(left=number), pytest.raises(MemoryError, match=NOT_ENOUGH):
            work(backend)
        runtime = backend.runtime("cuda:0")
        assert runtime.pool.in_use == 0
        assert not runtime.lost
        assert dispatch.sum(np.ones(5), backend=backend) == 5
    np.testing.assert_array_equal(work(backend), expected)
    assert runtime.pool.in_use == 0


@pytest.mark.parametrize("work", [solve, solve_dense, add_slabs, add_on_device])
def test_everything_is_done_in_the_context_of_the_device(monkeypatch, backend, runtime, work):
    """In a thread that has none, Numba would make the first device current, and leave it so."""
    monkeypatch.setattr(dense, "ALWAYS_BELOW", 0)
    entered, places = [], []

    class Context:
        def __enter__(self):
            entered.append(self)

        def __exit__(self, *error):
            entered.pop()

    def looked_at():
        frame, ours = sys._getframe(1), False
        while frame:
            ours |= "dispatch_cuda" in frame.f_code.co_filename
            frame = frame.f_back
        if ours:  # the tests copy arrays to the host
            places.append(bool(entered))
        return contextlib.nullcontext()

    monkeypatch.setattr(runtime, "_context", Context())
    monkeypatch.setattr(devices._runtime, "ensure_context", looked_at)
    work(backend)
    assert len(places) > 4
    assert all(places)


def test_a_device_that_is_lost_is_left_to_nobody(backend, runtime, monkeypatch):
    """Neither by name nor by cost: what runs on it would fail."""
    device = backend.probe()[0]
    call = describe("sum", np.ones(3), {})
    assert backend.supports(call, device) is True
    runtime._abandon()
    assert backend.supports(call, device) == "cuda:0 failed in an earlier call; start a new process"


class Kernel:
    """A kernel whose launch fails."""

    def __init__(self, error):
        self.error = error

    def __getitem__(self, configuration):
        def launch(*arguments):
            raise self.error

        return launch


@pytest.mark.parametrize(
    "error",
    [
        CudaAPIError(ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
        CUDAError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access"),
    ],
    ids=["Numba", "cuda-core"],
)
def test_a_launch_that_fails_loses_the_device(runtime, error):
    with pytest.raises(DeviceError, match=r"cuda:0 failed: .*illegal memory access.*start a new") as caught:
        runtime.launch(Kernel(error), 1)
    assert caught.value.__cause__ is error
    with pytest.raises(DeviceError, match="cuda:0 failed in an earlier call; start a new process"):
        runtime.allocate(1 << 22, np.uint8)


def test_a_launch_without_memory_does_not_lose_the_device(runtime):
    """A kernel is put on the device by its first launch."""
    with pytest.raises(MemoryError, match=NOT_ENOUGH):
        runtime.launch(Kernel(CUDAError("CUDA_ERROR_OUT_OF_MEMORY: planted")), 1)
    assert not runtime.lost


def test_errors_of_our_own_are_not_taken_for_the_drivers(runtime):
    with pytest.raises(KeyError):
        runtime.launch(Kernel(KeyError("ours")), 1)
    assert not runtime.lost


def test_nothing_is_kept_after_a_solution():
    backend = CudaBackend()
    backend.probe()
    with dispatch.use(backend):
        dispatch.eigsh(laplacian(20, 21)[0], 2, which="SA")
    pool = backend.runtime("cuda:0").pool
    assert isinstance(pool, Pool)
    assert pool.in_use == 0
    assert pool.idle_bytes > 0
