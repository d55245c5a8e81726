"""OpenCL devices as a backend: GPUs by their drivers, CPUs through PoCL."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np

from dispatch.backend import Backend, Device, Profile
from dispatch.devices import on_cuda
from dispatch_opencl.devices import describe, find_devices
from dispatch_opencl.faults import FORK
from dispatch_opencl.traits import Traits, kind_of

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import BlockEngine, EigenProblem
    from dispatch_opencl.programs import Programs
    from dispatch_opencl.runtime import Runtime

TYPICAL_PROFILES = {
    "cpu": Profile(
        call_seconds=2e-4, launch_seconds=1.5e-4, read_bandwidth=5e9, spmm_rate=0.5e9, dense_rate=1e9
    ),
    "gpu": Profile(
        call_seconds=1e-4, launch_seconds=2e-5, read_bandwidth=200e9, spmm_rate=20e9, dense_rate=100e9,
        upload_bandwidth=8e9, download_bandwidth=8e9,
    ),
    "accelerator": Profile(
        call_seconds=2e-4, launch_seconds=1e-4, read_bandwidth=10e9, spmm_rate=1e9, dense_rate=4e9,
        upload_bandwidth=8e9, download_bandwidth=8e9,
    ),
    "simulator": Profile(call_seconds=1.0, launch_seconds=1.0, read_bandwidth=1e6, spmm_rate=1e5, dense_rate=1e5),
}  # fmt: skip
"""Cautious figures for each kind of device, until they are measured; a CPU's are below those of the CPU backend."""

QUEUES_KEPT = 8
"""Queues of callers that are kept, with what is known of calls on them, and the programs of their contexts."""


class OpenCLBackend(Backend):
    """Runs kernels on the OpenCL devices of this machine.

    Parameters
    ----------
    traits : callable
        Returns the `Traits` of a `pyopencl.Device`; another one than the default lets a device be taken for what it is
        not, as tests do.
    """

    name: ClassVar[str] = "opencl"
    api_version = 1
    array_types: ClassVar[tuple[str, ...]] = ("pyopencl.array.Array",)

    def __init__(self, traits: Callable[[Any], Traits] = Traits.of) -> None:
        self._traits = traits
        self._lock = threading.Lock()
        self._devices: dict[str, Any] = {}
        self._traits_of: dict[str, Traits] = {}
        self._runtimes: dict[Any, Runtime] = {}
        self._on_queues: dict[Any, Runtime] = {}
        self._latest: Runtime | None = None

    def probe(self) -> Sequence[Device]:
        """Return the usable devices, GPUs first."""
        FORK.check()
        FORK.started()
        found = find_devices()
        self._devices = {f"opencl:{index}": device for index, device in enumerate(found)}
        self._traits_of.clear()
        return [
            Device(
                name,
                kind_of(device),
                describe(device),
                device.global_mem_size,
                f"{device.platform.version.strip()}, {device.driver_version.strip()}",
                TYPICAL_PROFILES[kind_of(device)],
            )
            for name, device in self._devices.items()
        ]

    def supports(self, call: Call, device: Device) -> str | Literal[True]:
        """Return True for problems whose arithmetic the device has."""
        lost = FORK.why_not()
        if lost:
            return lost
        if on_cuda(call.operand):
            return "the operand is on a CUDA device and is never copied silently; copy it to the host yourself"
        own = self._devices[device.name]
        fp64 = self._known_traits(device.name).fp64
        if call.operation == "sum":
            return why_not_sum(call, own, fp64) or True
        dtype = call.arguments["problem"].dtype
        if dtype.char in "dD" and not fp64:
            return f"the device has no double precision, and {dtype} needs it; convert A to float32 or complex64"
        return True

    def residence(self, array: Any) -> Hashable:
        """Return the device of an array's queue; an array without one is refused by `sum`, whatever was decided."""
        queue = array.queue
        return None if queue is None else queue.device

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
        """Run `dispatch.sum` on the device."""
        on_device, on_host = _sums()
        arguments = (axis, dtype, out, keepdims, initial, where)
        if is_device_array(a):
            return on_device(self._runtime_on(queue_of(a), device.name), a, arguments)
        return on_host(self.runtime(device.name), np.asarray(a), arguments)

    def block_engine(self, problem: EigenProblem, *, device: Device) -> BlockEngine:
        """Return the kernels for `problem`."""
        from dispatch_opencl.engine import OpenCLEngine

        return OpenCLEngine(problem.n, problem.dtype, self.runtime(device.name))

    def runtime(self, name: str) -> Runtime:
        """Return the device of that name in use; afresh, where it failed before.

        Raises
        ------
        BackendUnavailableError
            After a fork.
        """
        FORK.check()
        device = self._devices[name]
        with self._lock:
            runtime = self._runtimes.get(device)
            if runtime is None or runtime.lost:
                from dispatch_opencl.runtime import Runtime

                runtime = self._runtimes[device] = Runtime(name, device, self._known_traits(name))
            return runtime

    def _known_traits(self, name: str) -> Traits:
        """Return the traits of a device, which are asked of it once."""
        traits = self._traits_of.get(name)
        if traits is None:
            traits = self._traits_of[name] = self._traits(self._devices[name])
        return traits

    def _runtime_on(self, queue: Any, name: str) -> Runtime:
        """Return the device in use through a queue of the caller's; the last few are kept."""
        FORK.check()
        latest = self._latest  # mostly it is the same one again
        if latest is not None and latest.queue == queue and not latest.lost:
            return latest
        with self._lock:
            runtime = self._on_queues.pop(queue, None)
            if runtime is None or runtime.lost:
                from dispatch_opencl.runtime import Runtime

                runtime = Runtime(name, queue.device, self._known_traits(name), queue, self._programs_for(queue))
            self._on_queues[queue] = runtime
            if len(self._on_queues) > QUEUES_KEPT:
                del self._on_queues[next(iter(self._on_queues))]
            self._latest = runtime
            return runtime

    def _programs_for(self, queue: Any) -> Programs | None:
        """Return what another queue of the same context has built for the same device."""
        for other in self._on_queues.values():
            if not other.lost and (other.programs.context, other.programs.device) == (queue.context, queue.device):
                return other.programs
        return None


def queue_of(a: Any) -> Any:
    """Return the queue that an array's work goes to.

    Raises
    ------
    ValueError
        When the array has none.
    """
    queue = a.queue
    if queue is None:
        raise ValueError("the array has no queue to run on; give it one with a.with_queue(queue)")
    return queue


@functools.cache
def _sums() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what sums arrays on the device, and on the host; imported by the first call, as PyOpenCL is with them."""
    from dispatch_opencl.device_sum import sum_device_array
    from dispatch_opencl.host_sum import sum_host_array

    return sum_device_array, sum_host_array


def is_device_array(a: Any) -> bool:
    """Return whether `a` is a `pyopencl.array.Array`, without importing PyOpenCL to ask."""
    names = _NAMES.get(type(a))
    if names is None:
        names = _NAMES[type(a)] = frozenset(f"{base.__module__}.{base.__qualname__}" for base in type(a).__mro__)
    return not names.isdisjoint(OpenCLBackend.array_types)


_NAMES: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
"""Qualified names of classes and of those that they derive from."""


def why_not_sum(call: Call, own: Any, fp64: bool) -> str:
    """Return why a sum cannot run on the device `own`, with or without double precision, or the empty string."""
    from dispatch.reduction import accumulator_dtype, operation_dtype
    from dispatch_opencl.summation import why_no_cast, why_no_type, why_not

    on_device = is_device_array(call.operand)
    if on_device and call.operand.queue is not None and call.operand.queue.device != own:
        return f"the array lives on {call.operand.queue.device.name.strip()}"
    plain = call.array_type is np.ndarray or isinstance(call.operand, np.generic) or not hasattr(call.operand, "dtype")
    if not on_device and not plain:
        return f"a {call.array_type.__qualname__} has a sum of its own, which runs on the host"
    given = np.asarray(call.operand) if call.dtype is None else call.operand
    dtype, out = call.arguments.get("dtype"), call.arguments.get("out")
    try:
        operation = operation_dtype(
            given.dtype, None if dtype is None else np.dtype(dtype), None if out is None else out.dtype
        )
    except (TypeError, AttributeError):
        return ""  # an error in the arguments is raised by the call itself
    reason = why_not(operation, accumulator_dtype(operation), fp64)
    if reason or not on_device:
        return reason
    if out is not None and (reason := why_no_type(np.dtype(out.dtype), fp64)):
        return f"elements of out's dtype {out.dtype} cannot be written there: {reason}"
    # The host casts elements of its own arrays itself, where kernels do not.
    reason = why_no_cast(given.dtype, operation, fp64)
    if not reason and operation.kind in "bc" and operation.kind != given.dtype.kind:
        reason = "the kernel that writes the result does not change their kind"
    return f"elements of {given.dtype} cannot be cast to {operation} there: {reason}; use a.astype" if reason else ""
