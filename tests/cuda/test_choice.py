"""Where calls go by cost, and on which device an array is: answers that need no GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

cuda = pytest.importorskip("dispatch_cuda", reason="the CUDA plugin is not installed")

from dispatch_cpu import CpuBackend  # noqa: E402 - after the skip
from dispatch_cuda import devices, faults  # noqa: E402
from dispatch_cuda.devices import CudaDevice  # noqa: E402

from dispatch.operations.call import describe  # noqa: E402
from dispatch.operations.eigsh import problem_of  # noqa: E402


@pytest.fixture
def backend(monkeypatch):
    """The backend on a machine with two GPUs."""
    gpus = [CudaDevice(ordinal, "NVIDIA A100", (8, 0), 80 << 30, 12040) for ordinal in (0, 1)]
    monkeypatch.setitem(cuda.CudaBackend.probe.__globals__, "find_devices", lambda: gpus)
    monkeypatch.setattr(faults.FORK, "_started_in", None)
    return cuda.CudaBackend()


def ratio(backend, call):
    """Return how many times as long as the CPU the GPU takes, by the backends' estimates."""
    cpu = CpuBackend()
    return backend.cost(call, backend.probe()[0]) / cpu.cost(call, cpu.probe()[0])


@pytest.mark.parametrize("size", [1, 10**4, 10**7])
def test_a_host_array_is_summed_where_it_is(backend, size):
    assert ratio(backend, describe("sum", np.ones(size), {})) > 1


def test_large_eigenproblems_go_to_the_gpu_and_small_ones_do_not(backend):
    small, large = (sp.eye_array(n, format="csr") for n in (1000, 10**6))
    assert (
        ratio(backend, describe("eigsh", small, {"problem": problem_of(small, 1, which="SA", preconditioner=None)})) > 1
    )
    assert (
        ratio(backend, describe("eigsh", large, {"problem": problem_of(large, 1, which="SA", preconditioner=None)}))
        < 0.2
    )


def test_a_matrix_whose_columns_kernels_cannot_number_is_refused(backend):
    (device, *_) = backend.probe()
    for n, answer in (
        (2**31, True),
        (2**31 + 1, "the matrix has 2147483649 columns, and kernels number 2**31 of them"),
    ):
        call = describe("eigsh", SimpleNamespace(shape=(n, n)), {})
        assert backend.supports(call, device) == answer


class OnDevice:
    """An array of which only the description is looked at."""

    shape, dtype, nbytes = (8,), np.dtype(np.float32), 32

    def __init__(self, **changed):
        self.__cuda_array_interface__ = {
            "shape": (8,), "typestr": "<f4", "data": (1 << 20, False), "version": 3, **changed
        }  # fmt: skip


class DlpackOnFirst:
    shape, dtype, nbytes = (8,), np.dtype(np.float32), 32

    def __dlpack_device__(self):
        return 2, 0


def test_an_array_is_summed_on_its_own_device(backend, monkeypatch):
    class Driver:
        def cuPointerGetAttribute(self, ordinal, attribute, pointer):
            assert (attribute, pointer.value) == (9, 1 << 20)
            ordinal._obj.value = 1
            return 0

    monkeypatch.setattr(devices, "load_driver", Driver)
    first, second = backend.probe()
    call = describe("sum", OnDevice(), {})
    assert backend.supports(call, first) == "the array is on another device, number 1 of the driver's"
    assert backend.supports(call, second) is True
    for name in ("out", "where"):
        call = describe("sum", DlpackOnFirst(), {name: OnDevice()})
        assert backend.supports(call, first) == f"{name} is on another device, number 1 of the driver's"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"strides": (6,)}, "has strides (6,), no multiples of its elements' size, 4 bytes; copy it"),
        ({"data": (4098, False)}, "begins at address 0x1002, no multiple of its elements' size, 4 bytes; copy it"),
        ({"mask": object()}, "has a mask of its own"),
        ({"typestr": ">f4"}, "have not the machine's byte order; convert the array first"),
    ],
)
def test_arrays_that_no_kernel_reads(backend, monkeypatch, changed, reason):
    monkeypatch.setitem(cuda.CudaBackend.probe.__globals__, "device_of_pointer", lambda address: None)
    assert reason in backend.supports(describe("sum", OnDevice(**changed), {}), backend.probe()[0])
