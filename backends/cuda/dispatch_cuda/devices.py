"""Find the CUDA devices of this machine by asking the driver alone: no context is created, and Numba is not loaded."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from ctypes import byref, c_char_p, c_int, c_size_t
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dispatch.backend import BackendUnavailableError

OLDEST_DRIVER = 12000
"""The CUDA version, 1000 times the major and 10 times the minor number, that a driver has to support."""

OLDEST_CAPABILITY = (7, 5)
"""The compute capability of Turing, the oldest that CUDA 13 compiles for."""

INSTALL_TOOLKIT = "pip install 'array-dispatch-cuda[cu12]', or [cu13] for a driver of CUDA 13"

# Results of the driver (CUresult) that have a remedy of their own.
NOT_INITIALIZED, INSUFFICIENT_DRIVER, NO_DEVICE, STUB_LIBRARY = 3, 35, 100, 34
NOT_PERMITTED, OPERATING_SYSTEM, MISMATCH, UNKNOWN = 800, 304, 803, 999


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """What the driver says of a device.

    Attributes
    ----------
    ordinal : int
        Its number among the visible devices.
    name : str
        Its model.
    capability : (int, int)
        Its compute capability; (0, 0) for Numba's simulator.
    memory : int
        Bytes of its memory.
    driver : int
        The CUDA version that the driver supports, as the driver counts: 12040 is 12.4.
    """

    ordinal: int
    name: str
    capability: tuple[int, int]
    memory: int
    driver: int

    @property
    def simulated(self) -> bool:
        """Whether it is Numba's simulator."""
        return self.capability == (0, 0)

    def __str__(self) -> str:
        if self.simulated:
            return self.name
        major, minor = self.capability
        toolkit = toolkit_version()
        compiler = f", compiler of CUDA {toolkit}" if toolkit else ""
        return f"{self.name}, compute capability {major}.{minor}, driver for CUDA {version(self.driver)}{compiler}"


def version(number: int) -> str:
    """Return a version that the driver counts as 12040 as ``"12.4"``."""
    return f"{number // 1000}.{number % 1000 // 10}"


def find_devices() -> list[CudaDevice]:
    """Return the visible devices in the driver's order; of Numba's simulator, where it is switched on, its only one.

    Raises
    ------
    BackendUnavailableError
        With the reason and the remedy of each way not to have any.
    """
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return [CudaDevice(0, "Numba's CUDA simulator", (0, 0), 0, 0)]
    driver = load_driver()
    _start(driver)
    found = c_int()
    driver.cuDriverGetVersion(byref(found))
    if found.value < OLDEST_DRIVER:
        raise BackendUnavailableError(
            f"the NVIDIA driver supports CUDA {version(found.value)}, and {version(OLDEST_DRIVER)} is the least",
            "update the NVIDIA driver",
            hardware_present=True,
        )
    count = c_int()
    code = driver.cuDeviceGetCount(byref(count))
    if code or not count.value:
        raise _no_device()
    devices = [_describe(driver, ordinal, found.value) for ordinal in range(count.value)]
    usable = [device for device in devices if device.capability >= OLDEST_CAPABILITY]
    if not usable:
        oldest = ".".join(map(str, OLDEST_CAPABILITY))
        raise BackendUnavailableError(
            f"{', '.join(map(str, devices))}: compute capability {oldest} is the least",
            "use a newer GPU, or backend='opencl' or 'cpu'",
            hardware_present=True,
        )
    toolkit = toolkit_version()
    if not toolkit:
        raise BackendUnavailableError(
            "CUDA's compiler (NVVM) is not installed, or Numba does not find it",
            f"{INSTALL_TOOLKIT}; or point CUDA_HOME to a CUDA toolkit",
            hardware_present=True,
        )
    if int(toolkit.partition(".")[0]) > found.value // 1000:
        raise BackendUnavailableError(
            f"the compiler is of CUDA {toolkit}, and the NVIDIA driver supports CUDA {version(found.value)}",
            f"update the NVIDIA driver, or take the driver's compiler: {INSTALL_TOOLKIT}",
            hardware_present=True,
        )
    return usable


def load_driver() -> Any:
    """Return the driver's library.

    Raises
    ------
    BackendUnavailableError
        When there is none.
    """
    names = {"win32": ("nvcuda.dll",), "linux": ("libcuda.so.1", "libcuda.so")}.get(sys.platform, ())
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    present = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/proc/driver/nvidia/version").exists()
    raise BackendUnavailableError(
        "there is no NVIDIA driver (libcuda) on this machine"
        if not present
        else "an NVIDIA GPU is present, but the driver's library (libcuda) is not found",
        "install the NVIDIA driver; in a container, run it with the NVIDIA container toolkit (--gpus all)",
        hardware_present=present,
    )


def _start(driver: Any) -> None:
    code = driver.cuInit(0)
    if not code:
        return
    if code == NO_DEVICE:
        raise _no_device()
    reason, remedy = {
        NOT_INITIALIZED: (
            "another library used CUDA before this process was forked, and its driver does not survive that",
            "start processes by 'spawn' or 'forkserver', or use CUDA only in the children",
        ),
        INSUFFICIENT_DRIVER: ("the NVIDIA driver is too old", "update the NVIDIA driver"),
        STUB_LIBRARY: (
            "libcuda is the toolkit's stub, not the driver's",
            "take the toolkit's folder 'stubs' out of LD_LIBRARY_PATH",
        ),
        NOT_PERMITTED: ("the driver is not permitted to use the GPU", "check the access rights to /dev/nvidia*"),
        OPERATING_SYSTEM: (
            "the operating system refuses access to the GPU",
            "check the access rights to /dev/nvidia*, and that the container may use them",
        ),
        MISMATCH: (
            "the driver's library and its kernel module have different versions",
            "restart the machine after an update of the driver",
        ),
    }.get(code, (f"the NVIDIA driver cannot be started: {_error_name(driver, code)}", "check it with `nvidia-smi`"))
    raise BackendUnavailableError(reason, remedy, hardware_present=True)


def _no_device() -> BackendUnavailableError:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return BackendUnavailableError(
            f"CUDA_VISIBLE_DEVICES={visible!r} hides every device",
            "unset CUDA_VISIBLE_DEVICES, or name a device in it that `nvidia-smi -L` lists",
        )
    return BackendUnavailableError("the NVIDIA driver finds no GPU", "check it with `nvidia-smi`")


def _error_name(driver: Any, code: int) -> str:
    name = c_char_p()
    known = driver.cuGetErrorName(code, byref(name)) == 0 and name.value is not None
    return name.value.decode() if known and name.value else f"error {code}"


def _describe(driver: Any, ordinal: int, supported: int) -> CudaDevice:
    handle, memory = c_int(), c_size_t()
    name = ctypes.create_string_buffer(256)
    capability = (c_int(), c_int())
    driver.cuDeviceGet(byref(handle), ordinal)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(byref(memory), handle)
    for attribute, value in zip((75, 76), capability, strict=True):  # COMPUTE_CAPABILITY_MAJOR, _MINOR
        driver.cuDeviceGetAttribute(byref(value), attribute, handle)
    return CudaDevice(
        ordinal,
        name.value.decode(errors="replace"),
        (capability[0].value, capability[1].value),
        memory.value,
        supported,
    )


def device_of_pointer(address: int) -> int | None:
    """Return the ordinal of the device that an address belongs to, or None where the driver does not say."""
    ordinal = c_int()
    attribute = 9  # CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    code = load_driver().cuPointerGetAttribute(byref(ordinal), attribute, ctypes.c_void_p(address))
    return None if code else ordinal.value


@cache
def toolkit_version() -> str:
    """Return the version of the CUDA compiler that Numba uses, or the empty string where it has none."""
    if importlib.util.find_spec("numba_cuda") is None:
        return ""
    from numba.cuda import runtime
    from numba.cuda.cudadrv.nvvm import NVVM

    try:
        NVVM()
        return ".".join(map(str, runtime.get_version()))
    except Exception:  # noqa: BLE001 - each library that is not found raises an error of its own kind
        return ""
