"""The CUDA backend of array-dispatch. Importing it is cheap: Numba is loaded when a device is used."""

from dispatch_cuda.backend import CudaBackend
from dispatch_cuda.streams import use_stream

backend = CudaBackend()

__all__ = ["CudaBackend", "backend", "use_stream"]
