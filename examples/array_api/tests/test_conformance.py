"""What every backend promises, held against those of the libraries that are installed."""

from importlib.util import find_spec

import numpy as np
import pytest

import dispatch
from dispatch.testing import BackendConformance


class ArrayApiConformance(BackendConformance):
    def to_device(self, host):
        xp = self.the_backend().xp
        if not hasattr(xp, host.dtype.name):
            pytest.skip(f"{self.backend} has no {host.dtype}")
        return xp.asarray(host.astype(host.dtype.name))  # C's long long as int64, too

    def to_host(self, array):
        return np.from_dlpack(array, device="cpu")

    def test_eigenpairs_of_its_own_matrix_are_its_own(self):
        xp = self.the_backend().xp
        A = xp.asarray(np.diag(np.arange(300.0)))
        w, v = dispatch.eigsh(A, 3, which="SA")
        assert type(w) is type(v) is type(A)
        np.testing.assert_allclose(self.to_host(w), [0, 1, 2], atol=1e-11)

    def test_out_and_a_mask_of_its_own(self):
        xp = self.the_backend().xp
        a = xp.asarray(np.arange(6.0).reshape(2, 3))
        total = dispatch.sum(a, axis=0, where=a > 1, initial=10, keepdims=True)
        np.testing.assert_array_equal(self.to_host(total), [[13, 14, 17]])
        with pytest.raises(dispatch.UnsupportedCallError, match="have no out"):
            dispatch.sum(a, axis=0, out=xp.asarray(np.zeros(3)))


def needs(library):
    """Skip a class whose library is not installed; one that is there and cannot be used fails."""
    return pytest.mark.skipif(find_spec(library) is None, reason=f"{library} is not installed")


@needs("torch")
class TestTorch(ArrayApiConformance):
    backend = "torch"


@needs("cupy")
class TestCuPy(ArrayApiConformance):
    backend = "cupy"


@needs("jax")
class TestJax(ArrayApiConformance):
    backend = "jax"
    keeps_subnormals = False  # what its compiler makes for CPUs takes them for zero


@needs("array_api_strict")
class TestStrict(ArrayApiConformance):
    backend = "array-api-strict"
