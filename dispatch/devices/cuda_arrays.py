"""Which arrays are on a CUDA device, by the two protocols that say so."""

from __future__ import annotations

from typing import Any

import numpy as np

DLPACK_CUDA, DLPACK_CUDA_MANAGED = 2, 13
"""DLPack's numbers for memory of a CUDA device, and for memory that it shares with the host."""


def on_cuda(array: Any) -> bool:
    """Whether an object is an array on a CUDA device, by ``__cuda_array_interface__`` or ``__dlpack_device__``."""
    if isinstance(array, np.ndarray):
        return False
    return hasattr(array, "__cuda_array_interface__") or dlpack_device(array) is not None


def dlpack_device(array: Any) -> int | None:
    """Return the ordinal of the CUDA device that an array says by DLPack it is on; None where it says no such thing."""
    if not hasattr(array, "__dlpack_device__"):
        return None
    kind, ordinal = array.__dlpack_device__()
    return int(ordinal) if kind in (DLPACK_CUDA, DLPACK_CUDA_MANAGED) else None
