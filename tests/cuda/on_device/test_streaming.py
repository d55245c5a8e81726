"""Host arrays that are larger than what is on the device at a time, and devices that fail."""

from __future__ import annotations

import numpy as np
import pytest
from dispatch_cuda import CudaBackend
from dispatch_cuda.faults import DeviceError
from dispatch_cuda.host_sum import sum_host_array
from numba.cuda.cudadrv.driver import CudaAPIError

import dispatch
from dispatch.devices import Pool
from dispatch.testing.matrices import laplacian

NO_VALUE = np._NoValue
SLAB = 1 << 15


@pytest.fixture
def runtime():
    """A device in use, of a backend that nobody else has."""
    backend = CudaBackend()
    backend.probe()
    return backend.runtime("cuda:0")


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("char", "dFq")
def test_slab_by_slab(runtime, char, axis, masked):
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((100, 501)) * 100).astype(char)[::-1]
    where = rng.random(a.shape) < 0.5 if masked else NO_VALUE
    actual = sum_host_array(runtime, a, (axis, None, None, False, 2, where), SLAB)
    expected = np.sum(a, axis=axis, initial=2, where=where)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-2 if char == "F" else 1e-9)
    assert actual.dtype == expected.dtype


def test_the_rounding_errors_between_slabs_are_kept(runtime):
    a = np.full(SLAB * 4, 1e-17)
    a[0] = 1.0
    actual = sum_host_array(runtime, a, (None, None, None, False, NO_VALUE, NO_VALUE), SLAB)
    # Without the errors, each of 32 additions to one might lose half a unit in the last place, 1.1e-16.
    assert abs(actual - (1.0 + (len(a) - 1) * 1e-17)) < 5e-16


def test_out_of_memory_empties_the_pool_and_tries_again(runtime, monkeypatch):
    idle = runtime.allocate(1 << 20, np.uint8)
    del idle
    assert runtime.pool.idle_bytes
    create, attempts = runtime.new_array, []

    def scarce(shape, dtype, strides=None):
        attempts.append(shape)
        if runtime.pool.idle_bytes:
            raise MemoryError
        return create(shape, dtype, strides)

    monkeypatch.setattr(runtime, "new_array", scarce)
    runtime.allocate(5 << 20, np.uint8)
    assert len(attempts) == 2


@pytest.mark.parametrize("allocations", range(4))
def test_out_of_memory_in_each_stage_of_a_sum(runtime, monkeypatch, allocations):
    """The error says so, nothing is kept, and the next call works."""
    from numba import cuda

    a = np.ones((300, 5000))
    create, made = cuda.device_array, []

    def scarce(*args, **kwargs):
        made.append(args)
        if len(made) > allocations:
            raise CudaAPIError(2, "planted")
        return create(*args, **kwargs)

    arguments = (1, None, None, False, NO_VALUE, NO_VALUE)
    with monkeypatch.context() as patch:
        patch.setattr(cuda, "device_array", scarce)
        with pytest.raises(MemoryError, match=r"cuda:0 has not enough memory: .*use backend='cpu'"):
            for _ in range(10):  # what the pool keeps of one sum serves the next; other sizes need more
                sum_host_array(runtime, a[:, : 5000 - 500 * len(made)], arguments, SLAB)
    assert runtime.pool.in_use == 0
    assert not runtime.lost
    np.testing.assert_array_equal(sum_host_array(runtime, a, arguments, SLAB), 5000)


def test_a_launch_that_fails_loses_the_device(runtime):
    class Kernel:
        def __getitem__(self, configuration):
            def launch(*arguments):
                raise CudaAPIError(700, "an illegal memory access was encountered")

            return launch

    with pytest.raises(DeviceError, match=r"cuda:0 failed: .*illegal memory access.*start a new") as caught:
        runtime.launch(Kernel(), 1)
    assert isinstance(caught.value.__cause__, CudaAPIError)
    with pytest.raises(DeviceError, match="cuda:0 failed in an earlier call; start a new process"):
        runtime.allocate(1 << 22, np.uint8)


def test_nothing_is_kept_after_a_solution():
    backend = CudaBackend()
    backend.probe()
    with dispatch.use(backend):
        dispatch.eigsh(laplacian(20, 21)[0], 2, which="SA")
    pool = backend.runtime("cuda:0").pool
    assert isinstance(pool, Pool)
    assert pool.in_use == 0
    assert pool.idle_bytes > 0
