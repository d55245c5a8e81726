"""The OpenCL backend of array-dispatch. Importing it is cheap: PyOpenCL is loaded when devices are asked for."""

from dispatch_opencl.backend import OpenCLBackend

backend = OpenCLBackend()

__all__ = ["OpenCLBackend", "backend"]
