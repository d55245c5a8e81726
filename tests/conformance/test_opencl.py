"""The OpenCL backend is held to what every backend promises, on the device that is there: PoCL's in most places."""

import pytest

import dispatch
from dispatch.testing import BackendConformance

OPENCL = {row.name: row for row in dispatch.backends()}["opencl"]

pytestmark = pytest.mark.skipif(not OPENCL.available, reason=f"no OpenCL device: {OPENCL.reason}")


class TestOpenCL(BackendConformance):
    backend = "opencl"
