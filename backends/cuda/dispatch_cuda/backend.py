"""NVIDIA GPUs as a backend: kernels in Python, compiled by Numba for the device at hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from dispatch.backend import Backend, Device, Profile
from dispatch.devices import dlpack_device, on_cuda
from dispatch_cuda.devices import CudaDevice, device_of_pointer, find_devices
from dispatch_cuda.faults import FORK
from dispatch_cuda.streams import current_stream

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import BlockEngine, EigenProblem
    from dispatch_cuda.runtime import Runtime

TYPICAL_PROFILE = Profile(
    call_seconds=1e-4, launch_seconds=4e-5, read_bandwidth=200e9, spmm_rate=20e9, dense_rate=100e9,
    upload_bandwidth=8e9, download_bandwidth=8e9,
)  # fmt: skip
"""Cautious figures for a GPU, until they are measured: copies from memory that is not page-locked go at 8 GB/s."""

SIMULATED_PROFILE = Profile(call_seconds=1e3, launch_seconds=1e2, read_bandwidth=1e6, spmm_rate=1e5, dense_rate=1e5)
"""Of Numba's simulator: a thread of a kernel is a thread of Python."""


class CudaBackend(Backend):
    """Runs kernels on the NVIDIA GPUs of this machine, or in Numba's simulator of one."""

    name: ClassVar[str] = "cuda"
    api_version = 1
    array_types: ClassVar[tuple[str, ...]] = (
        "cupy.ndarray",
        "numba.cuda.cudadrv.devicearray.DeviceNDArray",
        "numba.cuda.simulator.cudadrv.devicearray.FakeCUDAArray",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, CudaDevice] = {}
        self._runtimes: dict[tuple[str, int | None], Runtime] = {}

    def probe(self) -> Sequence[Device]:
        """Return the usable devices in the driver's order, which ``CUDA_VISIBLE_DEVICES`` sets."""
        FORK.check()
        found = find_devices()
        FORK.started()
        self._devices = {f"cuda:{index}": device for index, device in enumerate(found)}
        return [
            Device(
                name,
                "simulator" if device.simulated else "gpu",
                str(device),
                device.memory or None,
                str(device.driver),
                SIMULATED_PROFILE if device.simulated else TYPICAL_PROFILE,
            )
            for name, device in self._devices.items()
        ]

    def supports(self, call: Call, device: Device) -> str | Literal[True]:
        """Return True for sums of numbers on the host or on this device, and for eigenproblems."""
        if forked := FORK.why_not():
            return forked
        lost = [runtime for (name, _), runtime in list(self._runtimes.items()) if name == device.name and runtime.lost]
        if lost:
            return lost[0].why_lost
        if device.kind == "simulator":
            from numba.cuda.simulator.kernelapi import FakeCUDAModule

            if not hasattr(FakeCUDAModule, "shfl_down_sync"):
                return "Numba's simulator lacks the warp shuffles that the kernels use"
        if call.operation == "eigsh":
            return why_not_eigsh(call) or True
        if on_cuda(call.operand):
            if device.kind == "simulator" and not getattr(call.operand, "__cuda_ndarray__", False):
                return "Numba's simulator takes no arrays but its own"
            return why_not_device_sum(call, self._devices[device.name], len(self._devices)) or True
        return why_not_host_sum(call) or True

    def sum(
        self,
        a: Any,
        axis: int | tuple[int, ...] | None,
        dtype: Any,
        out: Any,
        keepdims: bool,
        initial: Any,
        where: Any,
        *,
        device: Device,
    ) -> Any:
        """Run `dispatch.sum` on the device; a host array is copied there, a device array stays where it is."""
        arguments = (axis, dtype, out, keepdims, initial, where)
        runtime = self.runtime(device.name)
        with runtime.active():
            if on_cuda(a):
                from dispatch_cuda.device_sum import sum_device_array

                return sum_device_array(runtime, a, arguments)
            from dispatch_cuda.host_sum import sum_host_array

            return sum_host_array(runtime, np.asarray(a), arguments)

    def block_engine(self, problem: EigenProblem, *, device: Device) -> BlockEngine:
        """Return the kernels for `problem`."""
        from dispatch_cuda.engine import CudaEngine

        return CudaEngine(problem, self.runtime(device.name))

    def runtime(self, name: str) -> Runtime:
        """Return the device of that name in use, on the stream of `use_stream` where the caller has chosen one.

        Raises
        ------
        BackendUnavailableError
            After a fork.
        """
        from dispatch_cuda.runtime import Runtime

        FORK.check()
        with self._lock:
            key = (name, current_stream())
            runtime = self._runtimes.get(key)
            if runtime is None:
                runtime = Runtime(name, self._devices[name], key[1], lambda: self._trim(name))
                self._runtimes[key] = runtime
            return runtime

    def _trim(self, name: str) -> None:
        """Give back what the streams of a device keep of its memory without using it."""
        for (other, _), runtime in list(self._runtimes.items()):
            if other == name:
                runtime.pool.trim()


def why_not_eigsh(call: Call) -> str:
    """Return why an eigenproblem cannot be solved on a device, or the empty string."""
    rows = max(call.shape, default=0)
    return f"the matrix has {rows} columns, and kernels number 2**31 of them" if rows > 1 << 31 else ""


def why_not_host_sum(call: Call) -> str:
    """Return why a sum of a host object cannot run on a device, or the empty string."""
    from dispatch.reduction import accumulator_dtype

    if (
        call.array_type is not np.ndarray
        and hasattr(call.operand, "dtype")
        and not isinstance(call.operand, np.generic)
    ):
        return f"a {call.array_type.__qualname__} has a sum of its own, which runs on the host"
    given = np.asarray(call.operand) if call.dtype is None else call.operand
    operation = _operation(call, given.dtype)
    if operation is None:
        return ""
    if given.dtype.kind not in "biufc" or accumulator_dtype(operation) is None:
        return f"there is no arithmetic on the device for {given.dtype} summed as {operation}"
    return ""


def why_not_device_sum(call: Call, device: CudaDevice, devices: int) -> str:
    """Return why a sum of an array on a device cannot run on `device`, or the empty string."""
    from dispatch.reduction import accumulator_dtype
    from dispatch_cuda.summation import why_not

    interface = getattr(call.operand, "__cuda_array_interface__", None)
    dtype = call.dtype if interface is None else np.dtype(interface["typestr"])
    if dtype is None:
        return "the array does not say its dtype as one of NumPy's"
    arrays = {"the array": call.operand, "out": call.arguments.get("out"), "where": call.arguments.get("where")}
    for name, array in arrays.items():
        if on_cuda(array) and (reason := _why_not_array(name, array, device, devices)):
            return reason
    operation = _operation(call, dtype)
    if operation is None:
        return ""
    reason = why_not(dtype, operation, accumulator_dtype(operation))
    return f"{reason}; convert the array first" if reason else ""


def _why_not_array(name: str, array: Any, device: CudaDevice, devices: int) -> str:
    """Return why kernels on `device` cannot get at the elements of an array, or the empty string."""
    from dispatch_cuda.memory import why_misaligned

    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        ordinal = dlpack_device(array)
    else:
        ordinal = device_of_pointer(interface["data"][0]) if devices > 1 else None
        if interface.get("mask") is not None:
            return f"{name} has a mask of its own"
    if ordinal not in (None, device.ordinal):
        return f"{name} is on another device, number {ordinal} of the driver's"
    return "" if interface is None else why_misaligned(name, interface)


def _operation(call: Call, operand: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype in which elements are added; None for bad arguments, which the call itself complains about."""
    from dispatch.reduction import operation_dtype

    dtype, out = call.arguments.get("dtype"), call.arguments.get("out")
    try:
        return operation_dtype(
            operand, None if dtype is None else np.dtype(dtype), None if out is None else np.dtype(out.dtype)
        )
    except (TypeError, AttributeError):
        return None
