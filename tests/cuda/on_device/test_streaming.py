"""Host arrays that are larger than what is on the device at a time."""

from __future__ import annotations

import numpy as np
import pytest
from dispatch_cuda import CudaBackend
from dispatch_cuda.host_sum import sum_host_array

NO_VALUE = np._NoValue
SLAB = 1 << 15


@pytest.fixture
def runtime():
    """A device in use, of a backend that nobody else has."""
    backend = CudaBackend()
    backend.probe()
    return backend.runtime("cuda:0")


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("char", "dFq")
def test_slab_by_slab(runtime, char, axis, masked):
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((100, 501)) * 100).astype(char)[::-1]
    where = rng.random(a.shape) < 0.5 if masked else NO_VALUE
    actual = sum_host_array(runtime, a, (axis, None, None, False, 2, where), SLAB)
    expected = np.sum(a, axis=axis, initial=2, where=where)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-2 if char == "F" else 1e-9)
    assert actual.dtype == expected.dtype


def test_the_rounding_errors_between_slabs_are_kept(runtime):
    a = np.full(SLAB * 4, 1e-17)
    a[0] = 1.0
    actual = sum_host_array(runtime, a, (None, None, None, False, NO_VALUE, NO_VALUE), SLAB)
    # Without the errors, each of 32 additions to one might lose half a unit in the last place, 1.1e-16.
    assert abs(actual - (1.0 + (len(a) - 1) * 1e-17)) < 5e-16
