"""`Runtime`: a device in use, with its context, its queue, its compiled programs and its pool of buffers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from dispatch.devices import Pool, PooledBuffer
from dispatch_opencl.faults import FORK, DeviceError, translated
from dispatch_opencl.memory import HostMemory
from dispatch_opencl.programs import Programs
from dispatch_opencl.traits import Traits

CONSTANTS_KEPT = 64
"""Tables of integers that stay on the device."""

MEMORY = (PooledBuffer, HostMemory)
"""What kernels are given by its buffer."""

IDLE_SHARE = 4
"""The pool keeps at most one of so many parts of the device's memory idle."""


class Runtime:
    """A device, ready to run kernels. Every method may be called from any thread.

    Parameters
    ----------
    name : str
        The device's name in messages, such as ``"opencl:0"``.
    device : pyopencl.Device
        The device.
    traits : Traits
        Its properties.
    queue : pyopencl.CommandQueue, optional
        A queue of the caller's, to run on; by default a new in-order queue of a new context.
    programs : Programs, optional
        Programs of the device in the queue's context; by default none are built yet.
    """

    def __init__(
        self, name: str, device: Any, traits: Traits, queue: Any = None, programs: Programs | None = None
    ) -> None:
        self.name = name
        self.device = device
        self.traits = traits
        self.lost = False
        self._lock = threading.RLock()
        self.guard = translated(name, self._abandon)
        """The context in which PyOpenCL's errors are turned into ours."""
        self.launches: dict[Any, tuple[Any, ...]] = {}
        """Launches of sums, by the kind of sum and the walk."""
        self.plans: dict[Any, Any] = {}
        """Plans of sums, by the arguments of the call."""
        self._kernels: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
        """Kernels of its own: a kernel object holds the arguments of its next launch."""
        self._typed: set[Any] = set()
        """Kernels whose arguments' types PyOpenCL knows, which makes passing them cheaper."""
        self._constants: dict[tuple[tuple[int, ...], ...], Any] = {}
        self.pool = Pool(self._create, traits.memory // IDLE_SHARE)
        with self.guard:
            self.context = cl.Context([device]) if queue is None else queue.context
            self.queue = cl.CommandQueue(self.context, device) if queue is None else queue
        self.programs = programs or Programs(name, device, traits, self.context)
        self._out_of_order = bool(self.queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)
        if self._out_of_order:
            self.pool.close()

    def _abandon(self) -> None:
        """Let go what was kept for later calls, which start the device afresh."""
        self.lost = True
        for kept in (self.plans, self.launches, self._constants):
            kept.clear()
        self.pool.close()

    def kernel(self, file: str, name: str, options: Sequence[str] = ()) -> Any:
        """Return a kernel of a source file, built with `options` on the first request.

        Raises
        ------
        KernelBuildError
            With the compiler's log.
        """
        key = (file, tuple(options))
        kernels = self._kernels.get(key)
        if kernels is None:
            with self._lock:
                kernels = self._kernels.get(key)
                if kernels is None:
                    kernels = self._kernels[key] = self.programs.kernels(*key)
        return kernels[name]

    def launch(self, kernel: Any, items: Sequence[int], group: Sequence[int], *arguments: Any) -> Any:
        """Enqueue a kernel and return its event. Integers are passed as `long`, memory by its buffer."""
        converted = [a.buffer if type(a) in MEMORY else a for a in arguments]
        return self.enqueue(kernel, tuple(items), tuple(group), converted)

    def enqueue(self, kernel: Any, items: tuple[int, ...], group: tuple[int, ...], arguments: Sequence[Any]) -> Any:
        """Do what `launch` does, with arguments that are buffers and numbers already."""
        # A kernel object holds the arguments between the two calls, so nobody may come in between.
        with self._lock, self.guard:
            self._check()
            if kernel not in self._typed:
                kernel.set_scalar_arg_dtypes([_scalar_type(argument) for argument in arguments])
                self._typed.add(kernel)
            kernel.set_args(*arguments)
            return self._in_order(cl.enqueue_nd_range_kernel(self.queue, kernel, items, group))

    def allocate(self, nbytes: int) -> PooledBuffer:
        """Return device memory of at least `nbytes` bytes, with undefined contents.

        Raises
        ------
        MemoryError
            When the device has not so much, even after the pool has been emptied.
        """
        with self.guard:
            self._check()
            return self.pool.take(nbytes)

    def _create(self, nbytes: int) -> Any:
        try:
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)
        except cl.MemoryError:
            self.pool.trim()
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)

    def wrap(self, host: NDArray[Any]) -> HostMemory:
        """Return a read-only buffer with the elements of a contiguous host array.

        Where the device computes on the host's memory and the array is aligned for it, the buffer is the array itself;
        otherwise it is a copy on the device.
        """
        if not self.traits.unified or host.ctypes.data % self.traits.alignment:
            return self.copy(host)
        return HostMemory(self._filled(cl.mem_flags.USE_HOST_PTR, host), host, self._finish)

    def copy(self, host: NDArray[Any]) -> HostMemory:
        """Return a read-only buffer with a copy of a contiguous host array; does not wait for what is enqueued."""
        return HostMemory(self._filled(cl.mem_flags.COPY_HOST_PTR, host), host, _nothing)

    def _filled(self, flags: Any, host: NDArray[Any]) -> Any:
        with self.guard:
            self._check()
            return cl.Buffer(self.context, cl.mem_flags.READ_ONLY | flags, hostbuf=host)

    def write(self, memory: PooledBuffer, host: NDArray[Any]) -> Any:
        """Enqueue a copy to the device and return its event, which keeps the host array alive.

        Who lets the event go waits for the copy, without letting other threads run.
        """
        with self._lock, self.guard:
            self._check()
            return self._in_order(cl.enqueue_copy(self.queue, memory.buffer, host, is_blocking=False))

    def keeps_order_after(self, event: Any) -> bool:
        """Whether what is enqueued next starts after an event without being told to."""
        return not self._out_of_order and event.command_queue == self.queue

    def wait_for(self, events: Sequence[Any]) -> None:
        """Let what is enqueued next start after events of other queues, or of the caller's.

        Raises
        ------
        ValueError
            For an event of another context.
        """
        if any(event.context != self.context for event in events):
            raise ValueError(
                "an array waits for an event of another OpenCL context, expected events of its own; "
                "wait for the array first, with array.finish()"
            )
        queues = {event.command_queue for event in events} - {None, self.queue}
        with self._lock, self.guard:
            # Commands may stay with the host until their queue is flushed, and an event that is waited for with them.
            for queue in queues:
                queue.flush()
            # Of barriers that wait for events PoCL heeds the last one alone, so what comes next waits for them all.
            self._in_order(cl.enqueue_barrier(self.queue, wait_for=events))

    def _in_order(self, event: Any) -> Any:
        """Return the event; on a caller's out-of-order queue, let what comes next wait for it."""
        if self._out_of_order:
            cl.enqueue_barrier(self.queue)
        return event

    def constant(self, rows: Sequence[tuple[int, ...]]) -> Any:
        """Return a buffer with a table of integers; the tables of the last calls are kept there."""
        key = tuple(rows)
        with self._lock, self.guard:
            self._check()
            buffer = self._constants.pop(key, None)
            if buffer is None:
                flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
                buffer = cl.Buffer(self.context, flags, hostbuf=np.array(key, np.int64))
            self._constants[key] = buffer
            if len(self._constants) > CONSTANTS_KEPT:
                del self._constants[next(iter(self._constants))]
            return buffer

    def read(self, host: NDArray[Any], memory: PooledBuffer) -> None:
        """Fill a contiguous host array from the device; returns when everything enqueued before is done as well."""
        with self.guard:
            with self._lock:
                self._check()
                event = cl.enqueue_copy(self.queue, host, memory.buffer, is_blocking=False)
            event.wait()

    def flush(self) -> None:
        """Let the device begin with what is enqueued."""
        with self.guard:
            self.queue.flush()

    def _finish(self) -> None:
        """Wait until everything enqueued is done, if the device still answers."""
        if not self.lost and not FORK.reason():
            with contextlib.suppress(Exception):
                self.queue.finish()

    def _check(self) -> None:
        if self.lost:
            raise DeviceError(f"{self.name} failed in an earlier step of this call; call again")


def _nothing() -> None:
    pass


def _scalar_type(argument: Any) -> Any:
    """Return the dtype of a scalar argument of a kernel, None for a buffer. Every integer is a `long`."""
    if isinstance(argument, int):
        return np.int64
    return argument.dtype if isinstance(argument, np.generic) else None
