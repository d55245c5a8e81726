"""What Numba's CUDA simulator lacks: warp shuffles, which it has no notion of, and loads and stores of vectors.

The simulator runs each thread of a block as a thread of Python's. Lanes of a warp meet at a barrier of their own, so
that warps may go different ways; all lanes that a mask names have to come, as on a device."""

from __future__ import annotations

import threading

import numpy as np

WARP = 32
SECONDS = 60
"""After which lanes that do not come are held to never come."""

_lock = threading.Lock()


class _Meeting:
    """Where the lanes of one warp exchange numbers."""

    def __init__(self, lanes):
        self.barrier = threading.Barrier(lanes, timeout=SECONDS)
        self.values = {}


def _meeting(mask):
    thread = threading.current_thread()
    manager = thread._manager
    warp, lane = divmod(thread.thread_id, WARP)
    with _lock:
        meetings = manager.__dict__.setdefault("_meetings", {})
        if (warp, mask) not in meetings:
            living = min(WARP, int(np.prod(manager._block_dim)) - WARP * warp)
            meetings[warp, mask] = _Meeting((mask & ((1 << living) - 1)).bit_count())
    return lane, meetings[warp, mask]


def shfl_down_sync(self, mask, value, delta):
    """Return the value of the lane that is `delta` further; one's own, where there is none."""
    lane, meeting = _meeting(int(mask) & 0xFFFFFFFF)
    meeting.values[lane] = value
    meeting.barrier.wait()
    result = meeting.values.get(lane + int(delta), value)
    meeting.barrier.wait()
    return result


def load(a, i):
    """Return the elements of a vector, from a boundary of 16 bytes as on a device."""
    lanes = 16 // a.dtype.itemsize
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

    from dispatch.reduction.slabs import memory_of

    host = array._ary
    nbytes = np.dtype(dtype).itemsize * count
    memory = memory_of(host, host.ctypes.data + offset, nbytes)
    memory.flags.writeable = True
    return FakeCUDAArray(memory.view(dtype))


def install():
    """Fill the gaps, in this process and before any kernel is made."""
    from dispatch_cuda import device_sum, memory
    from dispatch_cuda.kernels import vectors
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
    from numba.cuda.simulator.kernelapi import FakeCUDAModule

    FakeCUDAArray.__cuda_array_interface__ = property(lambda self: self._ary.__array_interface__)
    FakeCUDAModule.shfl_down_sync = shfl_down_sync
    vectors.load = vectors.stream = load
    vectors.store = store
    memory.flat = device_sum.flat = flat
