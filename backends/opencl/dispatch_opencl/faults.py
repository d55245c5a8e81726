"""What goes wrong on a device, as errors that say what happened and what to do."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from dispatch.devices import ForkGuard


class DeviceError(RuntimeError):
    """A device or its driver failed in the middle of a call; the next call starts the device afresh."""


class KernelBuildError(RuntimeError):
    """The device's compiler rejected a kernel; the message holds its build log."""


FORK = ForkGuard("OpenCL")
"""Whether the drivers can be used in this process."""


class translated:  # noqa: N801 - reads as what holds in its block
    """Turn PyOpenCL's errors into `MemoryError` and `DeviceError`. One object serves any number of blocks and threads.

    Parameters
    ----------
    device : str
        The device's name.
    abandon : callable
        Called when the device is lost.
    """

    def __init__(self, device: str, abandon: Callable[[], None]) -> None:
        import pyopencl as cl

        self._device = device
        self._abandon = abandon
        self._errors = cl.Error
        self._out_of_memory = (
            cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
            cl.status_code.OUT_OF_HOST_MEMORY,
            cl.status_code.INVALID_BUFFER_SIZE,
        )

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, self._errors):
            return
        if error.code in self._out_of_memory:
            raise MemoryError(
                f"{self._device} has not enough memory: {error}; free arrays on the device, solve a smaller problem, "
                "or use backend='cpu'"
            ) from error
        self._abandon()
        raise DeviceError(
            f"{self._device} failed: {error}; the next call starts it afresh. If that fails as well, look at the "
            "system's log, or use backend='cpu'"
        ) from error
