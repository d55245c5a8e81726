"""What a backend says it can do, asked of `Backend.supports` where nobody has declared it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.backend import Backend, Device
from dispatch.errors import PLUGIN_FAULTS
from dispatch.promptness import small_call
from dispatch.testing.sum import ALL_DTYPES


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The declarations of `Conformance` that `supports` answers for."""

    operations: frozenset[str]
    sum_dtypes: str
    eigsh_dtypes: str
    takes_cuda_arrays: bool


class Elsewhere:
    """An array on a CUDA device, of nobody's class, and empty, so that adding it up reads nothing."""

    shape, dtype, ndim, nbytes = (0,), np.dtype(np.float64), 1, 0

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        return {"shape": self.shape, "typestr": "<f8", "data": (0, True), "version": 3}

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
        raise AssertionError("the device array was copied to the host")


def capabilities_of(backend: Backend, device: Device) -> Capabilities:
    """Ask a backend about a small call of each operation in each dtype; what it fails to judge it cannot do."""
    sums = [char for char in ALL_DTYPES if _supports(backend, device, "sum", np.ones(3, char))]
    solutions = [char for char in "fdFD" if _supports(backend, device, "eigsh", np.eye(3, dtype=char))]
    operations = {name for name, able in (("sum", sums), ("eigsh", solutions)) if able}
    cuda = _supports(backend, device, "sum", Elsewhere())
    return Capabilities(frozenset(operations), "".join(sums), "".join(solutions), cuda)


def _supports(backend: Backend, device: Device, operation: str, operand: Any) -> bool:
    try:
        return backend.supports(small_call(operation, operand), device) is True
    except PLUGIN_FAULTS:
        return False  # `test_its_answers_about_calls` says so
