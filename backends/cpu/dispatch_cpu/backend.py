"""The CPU as a backend: NumPy, SciPy and Numba kernels over all cores."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from dispatch.backend import Backend, Device, Profile
from dispatch.devices import on_cuda
from dispatch_cpu.parallel import cores
from dispatch_cpu.sum import NO_VALUE, plan_sum, sum_array

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import BlockEngine, EigenProblem


def _typical_profile() -> Profile:
    """Return cautious figures for this many cores."""
    return Profile(
        call_seconds=2e-6,
        launch_seconds=2e-5,
        read_bandwidth=10e9,
        spmm_rate=0.5e9 * cores(),
        dense_rate=2e9 * cores(),
    )


class CpuBackend(Backend):
    """Runs everything that NumPy and SciPy can hold: no dtype and no layout is refused."""

    name: ClassVar[str] = "cpu"
    api_version = 1

    def probe(self) -> Sequence[Device]:
        """Return the one device: all cores that this process may use."""
        return (Device("cpu:0", "cpu", f"{_model()}, {cores()} cores", profile=_typical_profile()),)

    def supports(self, call: Call, device: Device) -> str | Literal[True]:
        """Return True, unless the operand's data is on a device."""
        if on_cuda(call.operand):
            return "the operand is on a CUDA device and is never copied silently; copy it to the host yourself"
        return True

    def calibrate(self, device: Device) -> Profile:
        """Measure with the compiled kernels, which are loaded in the background."""
        from dispatch.hardware.measurement import measure
        from dispatch_cpu import kernels

        return measure(self, device, kernels.wait)

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

    def prepare_sum(
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
    ) -> Callable[..., Any]:
        """Return what sums arrays like `a`: NumPy itself, or what has been planned for their layout."""
        if getattr(self.sum, "__func__", None) is not CpuBackend.sum:  # a class that is derived has its own
            return super().prepare_sum(a, axis, dtype, out, keepdims, initial, where, device=device)
        return plan_sum(a, axis, dtype, out, keepdims, initial, where)

    def block_engine(self, problem: EigenProblem, *, device: Device) -> BlockEngine:
        """Return the NumPy and Numba primitives for `problem`."""
        from dispatch_cpu.engine import CpuEngine

        return CpuEngine(problem)


def _model() -> str:
    """Return the processor's model as the system tells it; not every system knows more than the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()
