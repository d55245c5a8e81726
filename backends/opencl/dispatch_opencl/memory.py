"""`HostMemory`: host arrays that serve as buffers themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
