"""What Numba's CUDA simulator lacks: warp shuffles, which it has no notion of, and loads and stores of vectors.

The simulator makes a thread of Python's of each thread of a block, and asks all of them in turn whether they have come
to a barrier: minutes for a small eigenproblem. Here they are coroutines of one thread, which run from one barrier or
shuffle to the next, each time in another random order. So a kernel that depends on the order fails, and as what it is.
"""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace

import greenlet
import numpy as np

WARP = 32


class DivergenceError(Exception):
    """Threads wait for others that never come."""


class Thread(greenlet.greenlet):
    """A thread of a block."""

    def __init__(self, function, block, position, number):
        super().__init__(function)
        self.blockIdx, self.threadIdx, self.thread_id = block, position, number
        self.waiting_for, self.given, self.got = None, None, None

    def wait(self, what, given=None):
        """Let the others run until all that must be at `what` are there."""
        self.waiting_for, self.given = what, given
        self.parent.switch()
        return self.got

    def syncthreads(self):
        self.wait("a barrier")


def current_thread():
    """Return the thread of the block that runs now; outside of kernels, Python's."""
    running = greenlet.getcurrent()
    return running if isinstance(running, Thread) else threading.current_thread()


def run(self, grid_point, *arguments):
    """Run a block: what the simulator's `BlockManager.run` does."""
    from numba.cuda.simulator.kernelapi import Dim3

    order, block = random.Random(str(grid_point)), Dim3(*grid_point)
    points = (Dim3(*point[::-1]) for point in np.ndindex(*self._block_dim[::-1]))
    threads = [Thread(lambda: self._f(*arguments), block, point, number) for number, point in enumerate(points)]
    while threads:
        ready = [thread for thread in threads if thread.waiting_for is None]
        order.shuffle(ready)
        for thread in ready:
            thread.switch()
        threads = [thread for thread in threads if not thread.dead]
        released = _exchanged(threads)
        if threads and all(thread.waiting_for == "a barrier" for thread in threads):
            released = threads
        if threads and not released:
            raise DivergenceError(sorted({str(thread.waiting_for) for thread in threads}))
        for thread in released:
            thread.waiting_for = None


def _exchanged(threads):
    """Return the threads of the warps whose shuffles have everybody there, with what they get."""
    warps: dict[tuple[int, int], dict[int, Thread]] = {}
    for thread in threads:
        if thread.waiting_for != "a barrier":
            warps.setdefault((thread.thread_id // WARP, thread.waiting_for), {})[thread.thread_id % WARP] = thread
    released = []
    for (warp, mask), lanes in warps.items():
        present = {t.thread_id % WARP for t in threads if t.thread_id // WARP == warp}
        if lanes.keys() != {lane for lane in present if mask >> lane & 1}:
            continue
        for lane, thread in lanes.items():
            value, delta = thread.given
            thread.got = lanes[lane + delta].given[0] if lane + delta in lanes else value
        released += lanes.values()
    return released


def shfl_down_sync(self, mask, value, delta):
    """Return the value of the lane that is `delta` further; one's own, where there is none."""
    return current_thread().wait(int(mask) & 0xFFFFFFFF, (value, int(delta)))


def load(a, i, nbytes=16):
    """Return the elements of a vector, from a boundary of its size as on a device."""
    lanes = nbytes // a.dtype.itemsize
    assert i % lanes == 0, f"a vector of {a.dtype} is loaded from element {i}"
    return tuple(a[int(i) + k] for k in range(lanes))


def store(a, i, x):
    """Write the elements of a vector to a boundary of 16 bytes, as on a device."""
    assert len(x) * a.dtype.itemsize == 16
    assert i % len(x) == 0, f"a vector of {a.dtype} is stored to element {i}"
    for k, value in enumerate(x):
        a[int(i) + k] = value


def flat(array, offset, dtype, count):
    """Return what `dispatch_cuda.memory.flat` does, of the simulator's arrays."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    host, kind = array._ary, np.dtype(dtype)
    interface = {"data": (host.ctypes.data + offset, False), "shape": (count,), "typestr": kind.str, "version": 3}
    return FakeCUDAArray(np.asarray(SimpleNamespace(__array_interface__=interface, array=host)))


class Cuda:
    """The module `numba.cuda`; in a kernel, what the simulator puts in its place."""

    def __getattr__(self, name):
        from numba import cuda
        from numba.cuda.simulator import kernel

        return getattr(kernel._get_kernel_context() or cuda, name)


def install():
    """Fill the gaps, in this process and before any kernel is made."""
    from dispatch_cuda.kernels import vectors

    # What kernels call is called as it is. The simulator would look for names to replace at each call.
    vectors.device = lambda function: function
    vectors.load = vectors.fetch = load
    vectors.stream = lambda nbytes: lambda a, i: load(a, i, nbytes)
    vectors.fetch_one = lambda a, i: a[int(i)]
    vectors.store = store
    from dispatch_cuda import device_sum, memory
    from dispatch_cuda.kernels import blocks, dense, finish, gram, numbers, spmm, sums, warps
    from numba.cuda.simulator import kernelapi
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
    from numba.cuda.simulator.kernel import BlockManager

    for module in (blocks, dense, finish, gram, numbers, spmm, sums, warps):
        module.cuda = Cuda()
    BlockManager.run = run
    kernelapi.threading = SimpleNamespace(current_thread=current_thread)
    kernelapi.FakeCUDAModule.shfl_down_sync = shfl_down_sync
    FakeCUDAArray.__cuda_array_interface__ = property(lambda self: self._ary.__array_interface__)
    memory.flat = device_sum.flat = flat
