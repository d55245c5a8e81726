"""The CUDA backend is held to what every backend promises."""

import numpy as np

from dispatch.testing import BackendConformance


class TestCuda(BackendConformance):
    backend = "cuda"
    takes_cuda_arrays = True

    def to_device(self, host):
        from numba import cuda

        return cuda.to_device(np.ascontiguousarray(host))

    def to_host(self, array):
        return array.copy_to_host()
