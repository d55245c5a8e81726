"""What `probe` says on every kind of machine, with stubs for the driver: no GPU is needed for any of it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

cuda = pytest.importorskip("dispatch_cuda", reason="the CUDA plugin is not installed")

from dispatch_cuda import devices, faults  # noqa: E402 - after the skip

from dispatch.backend import BackendUnavailableError  # noqa: E402

NO_DEVICE = 100


class Driver:
    """A driver's library that answers as it is told."""

    def __init__(self, *, init=0, supported=12040, models=(("NVIDIA H100 PCIe", (9, 0), 80 << 30),)):
        self.init, self.supported, self.models = init, supported, models

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, version):
        version._obj.value = self.supported
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.models)
        return 0

    def cuDeviceGet(self, handle, ordinal):
        handle._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name, length, handle):
        name.value = self.models[handle.value][0].encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory, handle):
        memory._obj.value = self.models[handle.value][2]
        return 0

    def cuDeviceGetAttribute(self, value, attribute, handle):
        value._obj.value = self.models[handle.value][1][attribute - 75]
        return 0

    def cuGetErrorName(self, code, name):
        name._obj.value = b"CUDA_ERROR_UNKNOWN"
        return 0 if code == 999 else 1


@pytest.fixture
def machine(monkeypatch):
    """A function that puts a driver in this machine."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(devices, "toolkit_version", lambda: "12.9")
    monkeypatch.setattr(faults.FORK, "_started_in", None)

    def put(driver):
        monkeypatch.setattr(devices, "load_driver", lambda: driver)

    return put


def test_devices_in_the_drivers_order(machine):
    machine(Driver(models=[("NVIDIA H100 PCIe", (9, 0), 80 << 30), ("Tesla T4", (7, 5), 16 << 30)]))
    first, second = cuda.CudaBackend().probe()
    assert (first.name, first.kind, first.memory) == ("cuda:0", "gpu", 80 << 30)
    assert first.description == (
        "NVIDIA H100 PCIe, compute capability 9.0, driver for CUDA 12.4, compiler of CUDA 12.9"
    )
    assert second.name == "cuda:1"
    assert second.description.startswith("Tesla T4, compute capability 7.5")


def test_a_device_that_is_too_old_is_left_out_and_the_others_keep_their_ordinals(machine):
    machine(Driver(models=[("Tesla K80", (3, 7), 12 << 30), ("Tesla T4", (7, 5), 16 << 30)]))
    backend = cuda.CudaBackend()
    assert [device.name for device in backend.probe()] == ["cuda:0"]
    assert backend._devices["cuda:0"].ordinal == 1


@pytest.mark.parametrize(
    ("driver", "reason", "remedy", "present"),
    [
        ({"init": 3}, "used CUDA before this process was forked", "'spawn' or 'forkserver'", True),
        ({"init": 35}, "the NVIDIA driver is too old", "update the NVIDIA driver", True),
        ({"init": 34}, "libcuda is the toolkit's stub", "'stubs'", True),
        ({"init": 800}, "not permitted to use the GPU", "access rights to /dev/nvidia", True),
        ({"init": 304}, "the operating system refuses access", "access rights to /dev/nvidia", True),
        ({"init": 803}, "have different versions", "restart the machine", True),
        ({"init": 999}, "cannot be started: CUDA_ERROR_UNKNOWN", "nvidia-smi", True),
        ({"init": 998}, "cannot be started: error 998", "nvidia-smi", True),
        ({"init": NO_DEVICE}, "the NVIDIA driver finds no GPU", "nvidia-smi", False),
        ({"models": ()}, "the NVIDIA driver finds no GPU", "nvidia-smi", False),
        ({"supported": 11080}, "supports CUDA 11.8, and 12.0 is the least", "update the NVIDIA driver", True),
        ({"models": [("Tesla K80", (3, 7), 12 << 30)]}, "compute capability 7.5 is the least", "newer GPU", True),
    ],
)
def test_each_way_not_to_have_a_device(machine, driver, reason, remedy, present):
    machine(Driver(**driver))
    with pytest.raises(BackendUnavailableError) as caught:
        cuda.CudaBackend().probe()
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy
    assert caught.value.hardware_present is present


def test_devices_that_are_hidden(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    machine(Driver(init=NO_DEVICE))
    with pytest.raises(BackendUnavailableError, match=r"CUDA_VISIBLE_DEVICES='-1' hides every device") as caught:
        cuda.CudaBackend().probe()
    assert "unset CUDA_VISIBLE_DEVICES" in caught.value.remedy


def test_no_compiler(machine, monkeypatch):
    machine(Driver())
    monkeypatch.setattr(devices, "toolkit_version", lambda: "")
    with pytest.raises(BackendUnavailableError, match=r"CUDA's compiler \(NVVM\) is not installed") as caught:
        cuda.CudaBackend().probe()
    assert "array-dispatch-cuda[cu12]" in caught.value.remedy
    assert caught.value.hardware_present


def test_a_compiler_that_is_too_new_for_the_driver(machine, monkeypatch):
    """What it makes cannot be loaded."""
    machine(Driver(supported=12080))
    monkeypatch.setattr(devices, "toolkit_version", lambda: "13.0")
    with pytest.raises(
        BackendUnavailableError, match=r"compiler is of CUDA 13.0, and the NVIDIA driver supports CUDA 12.8"
    ) as caught:
        cuda.CudaBackend().probe()
    assert "update the NVIDIA driver" in caught.value.remedy
    assert "array-dispatch-cuda[cu12]" in caught.value.remedy
    assert caught.value.hardware_present


def test_no_driver(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BackendUnavailableError, match="libcuda") as caught:
        devices.load_driver()
    assert "install the NVIDIA driver" in caught.value.remedy


def test_the_simulator(monkeypatch):
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    (device,) = devices.find_devices()
    assert device.simulated
    assert str(device) == "Numba's CUDA simulator"


def test_a_machine_without_a_driver_does_not_load_numba():
    """So that `dispatch list` is fast there."""
    code = (
        "import ctypes, sys\n"
        "def missing(name, *rest): raise OSError(name)\n"
        "ctypes.CDLL = missing\n"
        "import dispatch\n"
        "(cuda,) = [backend for backend in dispatch.backends() if backend.name == 'cuda']\n"
        "assert not cuda.available and 'libcuda' in cuda.reason, cuda\n"
        "sys.exit('numba.cuda' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_after_a_fork_it_says_so(machine, monkeypatch):
    machine(Driver())
    backend = cuda.CudaBackend()
    (device,) = backend.probe()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert "before this process was forked" in faults.FORK.reason()
    with pytest.raises(BackendUnavailableError, match="before this process was forked"):
        backend.runtime(device.name)
    with pytest.raises(BackendUnavailableError, match="'spawn' or 'forkserver'"):
        backend.probe()
