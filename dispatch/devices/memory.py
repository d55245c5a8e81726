"""`Pool`: device buffers that are kept for reuse, by size."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

STEPS = 8
"""Sizes of buffers between a power of two and the next: a request is rounded up by an eighth at most."""

SMALLEST = 256
"""Bytes of the smallest buffer."""


class PooledBuffer:
    """A buffer that goes back to its pool when nothing refers to this object any longer.

    Attributes
    ----------
    buffer : object
        What the pool's `create` returned.
    nbytes : int
        Its size.
    """

    __slots__ = ("_pool", "buffer", "nbytes")

    def __init__(self, pool: Pool, buffer: Any, nbytes: int) -> None:
        self._pool = pool
        self.buffer = buffer
        self.nbytes = nbytes

    def __del__(self) -> None:
        self._pool.give_back(self.buffer, self.nbytes)


class Pool:
    """Buffers of one device, by size.

    All work on them must go through one queue or stream, in order, so that a buffer may be given to the next user while
    the last commands of the previous one are still waiting. Taking and giving back are single operations of `deque`,
    which need no lock and may be interrupted by the garbage collector.

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
        # A buffer may become garbage as part of a cycle. By the time that `PooledBuffer.__del__` runs, the collector
        # has told the buffer's library that it is gone, unless somebody outside the cycle refers to it.
        self._in_use: dict[int, Any] = {}

    @property
    def in_use(self) -> int:
        """How many buffers are referred to by somebody."""
        return len(self._in_use)

    @property
    def idle_bytes(self) -> int:
        """Bytes of the buffers that are kept for reuse."""
        return sum(size * len(buffers) for size, buffers in list(self._idle.items()))

    def take(self, nbytes: int) -> PooledBuffer:
        """Return a buffer of at least `nbytes` bytes, with undefined contents."""
        size = rounded(nbytes)
        try:
            buffer = self._idle[size].pop()
        except IndexError:
            buffer = self._create(size)
        self._in_use[id(buffer)] = buffer
        return PooledBuffer(self, buffer, size)

    def give_back(self, buffer: Any, nbytes: int) -> None:
        """Keep a buffer for reuse, or let it go where enough are kept."""
        self._in_use.pop(id(buffer), None)
        if self.idle_bytes + nbytes <= self._limit:
            self._idle[nbytes].append(buffer)

    def trim(self) -> None:
        """Let all idle buffers go."""
        for buffers in list(self._idle.values()):
            buffers.clear()

    def close(self) -> None:
        """Let all idle buffers go, and keep none from now on."""
        self._limit = 0
        self.trim()


def rounded(nbytes: int) -> int:
    """Return the size of buffer for a request: the next of `STEPS` sizes between powers of two."""
    nbytes = max(nbytes, SMALLEST)
    step = (1 << (nbytes.bit_length() - 1)) // STEPS
    return -(-nbytes // step) * step
