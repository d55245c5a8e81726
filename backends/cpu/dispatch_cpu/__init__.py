"""The CPU backend of array-dispatch. Importing it is cheap: kernels are loaded by the first call that needs them."""

from dispatch_cpu.backend import CpuBackend

backend = CpuBackend()

__all__ = ["CpuBackend", "backend"]
