"""What goes wrong on a device, as errors that say what happened and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dispatch.devices import ForkGuard

OUT_OF_MEMORY = 2
"""The driver's CUDA_ERROR_OUT_OF_MEMORY."""


DRIVERS_ERRORS = frozenset({"CudaDriverError", "CUDAError"})
"""Numba's class of the driver's errors, and that of cuda-core, by which Numba loads and launches kernels: it is nowhere
public, so both are known by their names."""


class DeviceError(RuntimeError):
    """A device or its driver failed in the middle of a call."""


FORK = ForkGuard("CUDA")
"""Whether the driver can be used in this process."""


@contextmanager
def translated(device: str, abandon: Callable[[], None]) -> Iterator[None]:
    """Turn the driver's errors into `MemoryError` and `DeviceError`; `abandon` is called when the device is lost."""
    try:
        yield
    except Exception as error:
        if DRIVERS_ERRORS.isdisjoint(base.__name__ for base in type(error).__mro__):
            raise
        if getattr(error, "code", None) == OUT_OF_MEMORY or "OUT_OF_MEMORY" in str(error):
            raise MemoryError(
                f"{device} has not enough memory: {error}; free arrays on the device, solve a smaller problem, "
                "or use backend='cpu'"
            ) from error
        abandon()
        raise DeviceError(
            f"{device} failed: {error}. CUDA cannot be used again in this process after most failures: start a new "
            "one, look at the system's log (`dmesg`), or use backend='cpu'"
        ) from error
