"""What goes wrong on a device, as errors that say what happened and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dispatch.devices import ForkGuard


class DeviceError(RuntimeError):
    """A device or its driver failed in the middle of a call; the next call starts the device afresh."""


class KernelBuildError(RuntimeError):
    """The device's compiler rejected a kernel; the message holds its build log."""


FORK = ForkGuard("OpenCL")
"""Whether the drivers can be used in this process."""


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
