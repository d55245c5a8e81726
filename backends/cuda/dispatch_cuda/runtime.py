"""`Runtime`: a device in use, with its stream and its pool of memory."""

from __future__ import annotations

import atexit
import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.devices import Pool
from dispatch_cuda.devices import CudaDevice
from dispatch_cuda.faults import FORK, DeviceError, translated
from dispatch_cuda.memory import DeviceMemory, hold
from dispatch_cuda.streams import handle_of

IDLE_SHARE = 4
"""The pool keeps at most one of so many parts of the device's memory idle."""

THREADS = 256
"""Threads of a block, of every kernel."""

SIMULATED_THREADS = 64
"""The same in Numba's simulator, where each is a thread of the operating system."""

MOST_SENT = 1000
"""Host arrays whose copies may be under way at a time. Sums of device arrays, which never wait, send small ones."""

LAUNCHING = threading.RLock()
"""Held during each launch, on whatever stream and device: Numba does not let two threads compile or load a kernel."""

MOST_GRIDS = 4096
"""Kernels with their grids that are kept."""

MOST_BLOCKS = 1 << 20
"""Blocks of a launch; each goes on with every so many pieces of work."""


class Runtime:
    """A device, ready to run kernels. Every method may be called from any thread.

    Parameters
    ----------
    name : str
        The device's name in messages, such as ``"cuda:0"``.
    device : CudaDevice
        The device.
    stream : int, optional
        The driver's handle of a stream of the caller's to run on; by default a new one.
    trim : callable, optional
        Gives back what other streams keep of the device's memory.
    """

    def __init__(
        self, name: str, device: CudaDevice, stream: int | None = None, trim: Callable[[], None] = lambda: None
    ) -> None:
        from numba import cuda

        self.name = name
        self.device = device
        self.lost = False
        self.why_lost = f"{name} failed in an earlier call; start a new process"
        self.threads = SIMULATED_THREADS if device.simulated else THREADS
        self._lock = threading.RLock()
        self._trim = trim
        self._sent: list[NDArray[Any]] = []
        self._grids: dict[tuple[Any, int | tuple[int, ...]], Any] = {}
        self._context = cuda.gpus[device.ordinal]
        with self.active():
            self.stream = cuda.stream() if stream is None else cuda.external_stream(stream)
        self.pool = Pool(lambda nbytes: self.new_array((nbytes,), np.uint8), device.memory // IDLE_SHARE)
        self.no_axes = self.new_array((1,), np.int64)
        """What kernels are given for a table of axes that they do not read."""
        atexit.register(_stay_in, self._context)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Give a context in which the device is the current one, and the driver's errors are turned into ours.

        Also what only looks at an array of Numba's, or takes a part of one, belongs in here: in a thread without a
        current device Numba would make the first one current, and leave it so.
        """
        if self.lost:
            raise DeviceError(self.why_lost)
        if FORK.reason():
            raise DeviceError(f"{self.name} was in use before this process was forked")
        with translated(self.name, self._abandon), self._context:
            yield

    @property
    def stream_handle(self) -> int:
        """The driver's handle of the stream."""
        return handle_of(self.stream)

    def _abandon(self) -> None:
        self.lost = True

    def launch(self, kernel: Any, blocks: int | tuple[int, ...], *arguments: Any) -> None:
        """Enqueue a kernel with blocks of `threads` threads. Memory is passed as the array that it holds."""
        if not prod(blocks if isinstance(blocks, tuple) else (blocks,)):
            return
        converted = [x.array if isinstance(x, DeviceMemory) else x for x in arguments]
        with self.active(), LAUNCHING:
            self._on_grid(kernel, blocks)(*converted)

    def _on_grid(self, kernel: Any, blocks: int | tuple[int, ...]) -> Any:
        """Return a kernel with so many blocks to run on.

        Numba warns of few, which small problems have. To silence it changes the filters of the whole process for a
        moment, which other threads see, so it is done once.
        """
        on_grid = self._grids.get((kernel, blocks))
        if on_grid is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Grid size .* low occupancy")
                on_grid = kernel[blocks, self.threads, self.stream]
            if on_grid is not kernel:  # one of the simulator's has a single grid at a time
                if len(self._grids) >= MOST_GRIDS:
                    self._grids.clear()
                self._grids[kernel, blocks] = on_grid
        return on_grid

    def blocks(self, threads: int) -> int:
        """Return how many blocks have so many threads."""
        return min(-(-threads // self.threads), MOST_BLOCKS)

    def allocate(self, count: int, dtype: Any) -> DeviceMemory:
        """Return device memory for so many elements, with undefined contents.

        Raises
        ------
        MemoryError
            When the device has not so much, even after the pools of all its streams have been emptied.
        """
        dtype = np.dtype(dtype)
        with self.active():
            return DeviceMemory(self.pool.take(count * dtype.itemsize), dtype, count)

    def new_array(self, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None = None) -> Any:
        """Return a device array of its own, outside the pool.

        Raises
        ------
        MemoryError
            As `allocate` does.
        """
        try:
            return self._new_array(shape, dtype, strides)
        except MemoryError:
            self.pool.trim()
            self._trim()
            return self._new_array(shape, dtype, strides)

    def _new_array(self, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None) -> Any:
        from numba import cuda

        with self.active():
            array = cuda.device_array(shape, dtype, strides=strides, stream=self.stream)
            if not self.device.simulated:
                hold(array, self._context)
            return array

    def write(self, memory: DeviceMemory, host: NDArray[Any]) -> None:
        """Enqueue a copy of a contiguous host array; from page-locked memory it may not be finished on return.

        The array is kept until the host has waited for the device, since the driver does not promise to have read it
        before. Of one that cannot be written to, Numba would make a copy of its own and not keep that.
        """
        if not host.size:
            return
        host = np.require(host.reshape(-1), requirements="W")
        with self.active():
            memory.array.copy_to_device(host, stream=self.stream)
        with self._lock:
            self._sent.append(host)
        if len(self._sent) > MOST_SENT:
            self.synchronize()

    def constant(self, host: NDArray[Any]) -> DeviceMemory:
        """Return device memory with a copy of a host array of ours, which is not page-locked."""
        memory = self.allocate(host.size, host.dtype)
        self.write(memory, np.ascontiguousarray(host))
        return memory

    def read(self, memory: DeviceMemory) -> NDArray[Any]:
        """Return a host copy of device memory when everything enqueued before is done."""
        host = np.empty(memory.array.shape, memory.array.dtype)
        with self.active():
            memory.array.copy_to_host(host, stream=self.stream)
        self._wait()
        return host

    def page_locked(self, nbytes: int) -> NDArray[np.uint8]:
        """Return host memory that the device copies from while the host goes on."""
        from numba import cuda

        with self.active():
            return np.asarray(cuda.pinned_array(nbytes, np.uint8))

    def mark(self) -> Any:
        """Return an event that happens when everything enqueued so far is done."""
        from numba import cuda

        with self.active():
            event = cuda.event(timing=False)
            event.record(self.stream)
        return event

    def wait_for(self, event: Any) -> None:
        """Wait until an event has happened."""
        with self.active():
            event.synchronize()

    def wait_on_device(self, stream: int) -> None:
        """Let everything that is enqueued from now on wait for what is enqueued on a stream of somebody else's."""
        from numba import cuda

        with self.active():
            event = cuda.event(timing=False)
            event.record(cuda.external_stream(stream))
            event.wait(self.stream)

    def let_wait(self, stream: int) -> None:
        """Let what is enqueued from now on on a stream of somebody else's wait for everything enqueued here."""
        from numba import cuda

        with self.active():
            self.mark().wait(cuda.external_stream(stream))

    def synchronize(self) -> None:
        """Wait until everything enqueued is done."""
        self._wait()

    def _wait(self) -> None:
        with self._lock:
            sent, self._sent = self._sent, []
        with self.active():
            self.stream.synchronize()
        del sent  # by now all of it has been copied


def _stay_in(context: Any) -> None:
    """Have a context at the end of the process, when Numba gives back what is left: it asks for none, and needs one."""
    if not FORK.reason():
        with contextlib.suppress(Exception):
            context.__enter__()
