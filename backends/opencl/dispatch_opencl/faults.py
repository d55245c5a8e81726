"""What goes wrong on a device, as errors that say what happened and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class DeviceError(RuntimeError):
    """A device or its driver failed in the middle of a call; the next call starts the device afresh."""


class KernelBuildError(RuntimeError):
    """The device's compiler rejected a kernel; the message holds its build log."""


_started_in: int | None = None
"""The process that first looked at OpenCL devices."""


def note_start() -> None:
    """Remember that the drivers have been started in this process."""
    global _started_in
    if _started_in is None:
        _started_in = os.getpid()


def lost_by_fork() -> str:
    """Return why OpenCL cannot be used after a fork, or the empty string.

    Drivers start threads and map device memory, and neither lives on in a forked child: the first wait for a kernel
    would never return.
    """
    if _started_in is None or _started_in == os.getpid():
        return ""
    return "OpenCL was in use before this process was forked, and no driver survives that"


FORK_REMEDY = "start processes by 'spawn' or 'forkserver', or use OpenCL only in the children"


@contextmanager
def translated(device: str, abandon: Callable[[], None]) -> Iterator[None]:
    """Turn PyOpenCL's errors into `MemoryError` and `DeviceError`; `abandon` is called when the device is lost."""
    import pyopencl as cl

    out_of_memory = (
        cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
        cl.status_code.OUT_OF_HOST_MEMORY,
        cl.status_code.INVALID_BUFFER_SIZE,
    )
    try:
        yield
    except cl.Error as error:
        if error.code in out_of_memory:
            raise MemoryError(
                f"{device} has not enough memory: {error}; free arrays on the device, solve a smaller problem, "
                "or use backend='cpu'"
            ) from error
        abandon()
        raise DeviceError(
            f"{device} failed: {error}; the next call starts it afresh. If that fails as well, look at the system's "
            "log, or use backend='cpu'"
        ) from error
