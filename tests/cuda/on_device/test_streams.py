"""Work on a stream of the caller's, whatever library it is of."""

from __future__ import annotations

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from dispatch_cuda import CudaBackend, use_stream
from dispatch_cuda.runtime import Runtime
from dispatch_cuda.streams import current_stream
from numba import cuda

import dispatch
from dispatch.testing.matrices import laplacian


@pytest.fixture
def backend():
    """A backend that nobody else has."""
    return CudaBackend()


@pytest.fixture
def streams(monkeypatch):
    """The handles of the streams that kernels are launched on."""
    used, launch = [], Runtime.launch

    def noted(runtime, *arguments):
        used.append(int(getattr(runtime.stream.handle, "value", runtime.stream.handle)))
        launch(runtime, *arguments)

    monkeypatch.setattr(Runtime, "launch", noted)
    return used


@pytest.mark.parametrize(
    "stream",
    [
        77,
        SimpleNamespace(ptr=77),
        SimpleNamespace(cuda_stream=77),
        SimpleNamespace(handle=SimpleNamespace(value=77)),
        SimpleNamespace(__cuda_stream__=lambda: (0, 77)),
    ],
    ids=["handle", "CuPy", "PyTorch", "Numba", "protocol"],
)
def test_everything_runs_on_the_stream(backend, streams, stream):
    a = np.arange(5000.0)
    with dispatch.use(backend), use_stream(stream):
        assert dispatch.sum(a) == a.sum()
        assert dispatch.sum(cuda.to_device(a), backend=backend).copy_to_host() == a.sum()
    assert set(streams) == {77}
    with dispatch.use(backend):
        dispatch.sum(a)
    assert streams[-1] != 77


def test_a_solution_runs_on_the_stream(backend, streams):
    A, spectrum = laplacian(17, 18)
    with dispatch.use(backend), use_stream(77):
        w = dispatch.eigsh(A, 1, which="SA", return_eigenvectors=False)
    np.testing.assert_allclose(w, spectrum[:1], atol=1e-12)
    assert set(streams) == {77}


def test_the_default_stream_is_the_legacy_one():
    with use_stream(0):
        assert current_stream() == 1
    assert current_stream() is None


def test_small_grids_are_launched_without_a_word(monkeypatch, backend):
    """Numba warns of them. After the first call not even the filters of warnings are touched, which threads share."""
    config = pytest.importorskip("numba.cuda.core.config")
    monkeypatch.setattr(config, "CUDA_LOW_OCCUPANCY_WARNINGS", 1)
    with dispatch.use(backend), warnings.catch_warnings():
        warnings.simplefilter("error")
        dispatch.sum(np.ones((30, 40)), axis=0)
        with monkeypatch.context() as patch:
            patch.setattr(warnings, "catch_warnings", None)
            dispatch.sum(np.ones((30, 40)), axis=0)


def test_no_two_streams_are_launched_on_at_a_time(backend):
    """Numba does not let two threads compile or load the same kernel."""
    together = threading.Barrier(2)

    class Kernel:
        def __getitem__(self, configuration):
            return lambda: together.wait(0.2)

    backend.probe()
    runtimes = [backend.runtime("cuda:0")]
    with use_stream(77):
        runtimes.append(backend.runtime("cuda:0"))
    with ThreadPoolExecutor(2) as pool:
        launches = [pool.submit(runtime.launch, Kernel(), 1) for runtime in runtimes]
    assert all(isinstance(launch.exception(), threading.BrokenBarrierError) for launch in launches)


def test_other_threads_keep_their_streams():
    with use_stream(77), ThreadPoolExecutor(1) as pool:
        assert pool.submit(current_stream).result() is None


def test_what_is_no_stream_is_refused():
    for wrong in (None, "0", True, -1):
        with (
            pytest.raises(TypeError, match="pass a stream of CuPy, PyTorch or Numba, or its handle"),
            use_stream(wrong),
        ):
            pass


@pytest.mark.parametrize(("current", "number"), [(0, 1), (99, 99)], ids=["default", "another"])
def test_the_work_on_a_tensor_is_ordered_with_pytorchs_current_stream(monkeypatch, current, number):
    """Its interface does not say on which stream the data is made."""
    ordered = []
    for name in ("wait_on_device", "let_wait"):
        method = getattr(Runtime, name)
        monkeypatch.setattr(Runtime, name, lambda *a, name=name, do=method: ordered.append((name, a[1])) or do(*a))
    torch = ModuleType("torch")
    torch.as_tensor = lambda array, device: cuda.as_cuda_array(array, sync=False)
    torch.cuda = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=current))
    monkeypatch.setitem(sys.modules, "torch", torch)
    a = np.arange(5000.0)
    held = cuda.to_device(a)
    interface = {**held.__cuda_array_interface__, "version": 2}
    interface.pop("stream", None)
    members = {"__module__": "torch", "__cuda_array_interface__": interface, "device": "cuda:0", "dtype": a.dtype}
    tensor = type("Tensor", (), {**members, "shape": a.shape, "nbytes": a.nbytes})()
    assert dispatch.sum(tensor).copy_to_host() == a.sum()
    assert ordered == [("wait_on_device", number), ("let_wait", number)]
