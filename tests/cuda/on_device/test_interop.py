"""Arrays of other libraries, by stand-ins that keep to the letter of their protocols: in, and out as the same type."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from cuda.core import utils as cuda_core
from numba import cuda

import dispatch

A = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)


class DlpackOnly:
    """An array as JAX has them where it has no ``__cuda_array_interface__``: DLPack, and nothing else."""

    asked: ClassVar[list] = []

    def __init__(self, host, kind=2, ordinal=0):
        self.host, self.device = host, (kind, ordinal)
        self.shape, self.dtype, self.ndim, self.nbytes = host.shape, host.dtype, host.ndim, host.nbytes

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        self.asked.append(stream)
        capsule = self.host.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        # The device stands behind the pointer to the data, at the head of a DLManagedTensor.
        device = (ctypes.c_int32 * 2).from_address(pointer(capsule, b"dltensor") + 8)
        device[:] = self.device
        return capsule

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("the array was copied to the host")

    def __array_namespace__(self, api_version=None):
        return SimpleNamespace(from_dlpack=lambda array: DlpackOnly(np.from_dlpack(array)))


@pytest.fixture
def on_host_memory(monkeypatch):
    """Device memory is the host's here, so that the host's own DLPack stands for the device's."""
    if cuda.current_context().device.name != "host-ptx":
        pytest.skip("device memory is not the host's")
    import hostcuda

    address, nbytes = A.ctypes.data, A.nbytes
    monkeypatch.setitem(hostcuda._alloc, address, (address + nbytes, A))
    view = cuda_core.StridedMemoryView

    def of_result(array, stream_ptr):
        """Return the result in host memory; what is replaced asks the driver for the device of the pointer."""
        assert stream_ptr == -1
        return array.copy_to_host()

    stand_in = SimpleNamespace(from_dlpack=view.from_dlpack, from_cuda_array_interface=of_result)
    monkeypatch.setattr(cuda_core, "StridedMemoryView", stand_in)


@pytest.mark.usefixtures("on_host_memory")
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("view", [A, A[::2, ::3], A.T], ids=["whole", "every other", "transposed"])
def test_dlpack_alone(view, axis):
    DlpackOnly.asked.clear()
    result = dispatch.sum(DlpackOnly(view), axis=axis)
    assert type(result) is DlpackOnly
    np.testing.assert_allclose(result.host, np.sum(view, axis=axis), rtol=1e-5, atol=1e-4)
    (stream,) = DlpackOnly.asked
    assert stream > 2, "the producer was not told on which stream the data is read"


@pytest.mark.usefixtures("on_host_memory")
def test_an_interface_without_streams_is_passed_over_for_dlpack():
    """JAX has its version 2, and works on streams of its own, with which nothing else puts the sum in order."""

    class Array(DlpackOnly):
        __cuda_array_interface__: ClassVar = {
            "version": 2, "shape": A.shape, "typestr": A.dtype.str, "strides": None, "data": (0, True)
        }  # fmt: skip

    DlpackOnly.asked.clear()
    result = dispatch.sum(Array(A), axis=0)
    assert type(result) is DlpackOnly
    np.testing.assert_allclose(result.host, A.sum(0), rtol=1e-5, atol=1e-4)
    assert len(DlpackOnly.asked) == 1


def test_dlpack_of_another_device():
    with pytest.raises(dispatch.UnsupportedCallError, match="on another device, number 1 of the driver's"):
        dispatch.sum(DlpackOnly(A, ordinal=1), backend="cuda")


@pytest.mark.parametrize(
    ("name", "array"),
    [("out", np.zeros(40, np.float32)), ("where", np.ones((30, 40), np.uint8).view(bool))],
    ids=["out", "where"],
)
def test_other_arrays_on_another_device(name, array):
    with pytest.raises(dispatch.UnsupportedCallError, match=f"{name} is on another device, number 1 of the driver's"):
        dispatch.sum(cuda.to_device(A), axis=0, backend="cuda", **{name: DlpackOnly(array, ordinal=1)})


@pytest.mark.usefixtures("on_host_memory")
def test_dlpack_across_the_boundaries_of_elements():
    odd = np.frombuffer(np.zeros(49, np.uint8), np.float64, 6, offset=1)
    with pytest.raises(
        ValueError, match=r"the array begins at address \w+, no multiple of its elements' size, 8 bytes"
    ):
        dispatch.sum(DlpackOnly(odd))


def test_other_backends_leave_it_where_it_is():
    with pytest.raises(dispatch.UnsupportedCallError, match="on a CUDA device and is never copied silently"):
        dispatch.sum(DlpackOnly(A), backend="cpu")


class Tensor:
    """An array with the interface of version 3, as CuPy and PyTorch have it."""

    device = "cuda:0"

    def __init__(self, array):
        self.array = array
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes

    @property
    def __cuda_array_interface__(self):
        return {**self.array.__cuda_array_interface__, "stream": 1}


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_cupy_and_torch_get_their_own_type(monkeypatch, library):
    module = ModuleType(library)

    def taken(array, device="cuda:0"):
        assert device == "cuda:0"
        assert array.__cuda_array_interface__["stream"] is None, "the library would wait for the device"
        return Tensor(cuda.as_cuda_array(array, sync=False))

    module.asarray = module.as_tensor = taken
    module.cuda = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setitem(sys.modules, library, module)
    kind = type("ndarray", (Tensor,), {"__module__": f"{library}._core"})
    result = dispatch.sum(kind(cuda.to_device(A)), axis=0)
    assert type(result) is Tensor
    np.testing.assert_allclose(result.array.copy_to_host(), A.sum(0), rtol=1e-5, atol=1e-4)
