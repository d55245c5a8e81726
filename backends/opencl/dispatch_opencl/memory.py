"""Memory of a device: buffers that are kept for reuse, and host arrays that serve as buffers themselves."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

STEPS = 8
"""Sizes of buffers between a power of two and the next: a request is rounded up by an eighth at most."""

SMALLEST = 256


class DeviceMemory:
    """A piece of device memory that goes back to its pool when nothing refers to it any longer."""

    __slots__ = ("_pool", "buffer", "nbytes")

    def __init__(self, pool: Pool, buffer: Any, nbytes: int) -> None:
        self._pool = pool
        self.buffer = buffer
        self.nbytes = nbytes

    def __del__(self) -> None:
        self._pool.give_back(self.buffer, self.nbytes)


class HostMemory:
    """A host array as a buffer of the device, or a copy of it on the device.

    Commands that read the array may still be waiting when nobody needs their result any longer, as after an exception.
    Its memory is given up only when they are done.
    """

    __slots__ = ("_finish", "_host", "buffer", "idle")

    def __init__(self, buffer: Any, host: Any, finish: Callable[[], None]) -> None:
        self.buffer = buffer
        self.idle = False
        """Whether every command that reads the array is known to be done."""
        self._host = host
        self._finish = finish

    def __del__(self) -> None:
        if not self.idle:
            self._finish()


class Pool:
    """Buffers of one context, by size.

    All commands that use them go through one in-order queue, so that a buffer may be given to the next user while the
    last commands of the previous one are still waiting. Taking and giving back are single operations of `deque`, which
    need no lock and may be interrupted by the garbage collector.

    Parameters
    ----------
    create : callable
        Makes a buffer of so many bytes.
    limit : int
        Most bytes to keep idle.
    """

    def __init__(self, create: Callable[[int], Any], limit: int) -> None:
        self._create = create
        self._limit = limit
        self._idle: defaultdict[int, deque[Any]] = defaultdict(deque)
        self._in_use: dict[int, int] = {}

    @property
    def in_use(self) -> int:
        """How many buffers are referred to by somebody."""
        return len(self._in_use)

    @property
    def idle_bytes(self) -> int:
        """Bytes of the buffers that are kept for reuse."""
        return sum(size * len(buffers) for size, buffers in list(self._idle.items()))

    def take(self, nbytes: int) -> DeviceMemory:
        """Return memory of at least `nbytes` bytes, with undefined contents."""
        size = rounded(nbytes)
        try:
            buffer = self._idle[size].pop()
        except IndexError:
            buffer = self._create(size)
        self._in_use[id(buffer)] = size
        return DeviceMemory(self, buffer, size)

    def give_back(self, buffer: Any, size: int) -> None:
        """Keep a buffer for reuse, or let it go where enough are kept."""
        self._in_use.pop(id(buffer), None)
        if self.idle_bytes + size <= self._limit:
            self._idle[size].append(buffer)

    def trim(self) -> None:
        """Let all idle buffers go."""
        for buffers in list(self._idle.values()):
            buffers.clear()


def rounded(nbytes: int) -> int:
    """Return the size of buffer for a request: the next of `STEPS` sizes between powers of two."""
    nbytes = max(nbytes, SMALLEST)
    step = max((1 << (nbytes.bit_length() - 1)) // STEPS, 1)
    return -(-nbytes // step) * step
