"""The OpenCL backend is held to what every backend promises, on the device that is there: PoCL's in most places."""

import pytest

import dispatch
from dispatch.testing import BackendConformance

OPENCL = {row.name: row for row in dispatch.backends()}["opencl"]

pytestmark = pytest.mark.skipif(not OPENCL.available, reason=f"no OpenCL device: {OPENCL.reason}")


class TestOpenCL(BackendConformance):
    backend = "opencl"

    def to_device(self, host):
        import pyopencl as cl
        import pyopencl.array

        device = self.the_backend().runtime("opencl:0").device
        return pyopencl.array.to_device(cl.CommandQueue(cl.Context([device])), host)

    def to_host(self, array):
        return array.get()
