"""The CUDA backend is held to what every backend promises."""

import os

import numpy as np
import pytest

from dispatch.testing import BackendConformance

DEVICE = os.environ.get("DISPATCH_CUDA_TESTS", "")
"""Read before a fixture clears the environment of tests."""


class TestCuda(BackendConformance):
    backend = "cuda"
    takes_cuda_arrays = True
    # On the CPU, grids just above the order from which LAPACK does not solve them whole.
    grid = {"simulator": 7, "ptx": 17}.get(DEVICE, BackendConformance.grid)

    def test_a_spawned_child_gets_the_same_bits(self):
        """Only a real device is there in a new process, too."""
        if DEVICE != "gpu":
            pytest.skip("a new process has no stand-in for the device")
        super().test_a_spawned_child_gets_the_same_bits()

    def to_device(self, host):
        from numba import cuda

        return cuda.to_device(np.ascontiguousarray(host))

    def to_host(self, array):
        return array.copy_to_host()
