"""The CPU as a backend: NumPy, SciPy and Numba kernels over all cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from dispatch.backend import Backend, Device
from dispatch.devices import on_cuda
from dispatch_cpu.sum import NO_VALUE, sum_array

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import BlockEngine, EigenProblem


BYTES_PER_SECOND = 10e9
"""A cautious figure for the memory bandwidth that one process gets."""

CALL_SECONDS = 2e-6
"""What the smallest call costs."""

TYPICAL_PASSES_OF_EIGSH = 400
"""How often a typical solution multiplies by the matrix."""


class CpuBackend(Backend):
    """Runs everything that NumPy and SciPy can hold: no dtype and no layout is refused."""

    name: ClassVar[str] = "cpu"
    api_version = 1

    def probe(self) -> Sequence[Device]:
        """Return the one device: all cores that this process may use."""
        return (Device("cpu:0", "cpu", f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"),)

    def supports(self, call: Call, device: Device) -> str | Literal[True]:
        """Return True, unless the operand's data is on a device."""
        if on_cuda(call.operand):
            return "the operand is on a CUDA device and is never copied silently; copy it to the host yourself"
        return True

    def cost(self, call: Call, device: Device) -> float:
        """Return the time to read the operand from memory, as often as the operation reads it."""
        passes = 1 if call.operation == "sum" else TYPICAL_PASSES_OF_EIGSH
        return CALL_SECONDS + passes * call.nbytes / BYTES_PER_SECOND

    def sum(
        self,
        a: Any,
        axis: int | tuple[int, ...] | None,
        dtype: Any,
        out: Any,
        keepdims: bool,
        initial: Any,
        where: Any,
        *,
        device: Device,
    ) -> Any:
        """Run `dispatch.sum` on the host."""
        if type(a) is np.ndarray:
            return sum_array(a, axis, dtype, out, keepdims, initial, where)
        if isinstance(a, list | tuple | np.memmap):
            return sum_array(np.asarray(a), axis, dtype, out, keepdims, initial, where)
        # Subclasses and sparse matrices have sums of their own, not all of which know keepdims.
        return np.sum(a, axis, dtype, out, keepdims or NO_VALUE, initial, where)

    def block_engine(self, problem: EigenProblem, *, device: Device) -> BlockEngine:
        """Return the NumPy and Numba primitives for `problem`."""
        from dispatch_cpu.engine import CpuEngine

        return CpuEngine(problem)
