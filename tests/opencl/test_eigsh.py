"""`eigsh` on the device in each of its guises; as it is, it passes the conformance kit."""

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

from ..solvers.problems import laplacian, load, on_every_real_matrix, random_symmetric
from ..solvers.test_eigsh import assert_right, check
from .conftest import BACKENDS


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("which", ["SA", "LM"])
def test_on_a_gpu(dtype, which):
    A = random_symmetric(600, dtype=dtype)
    w, v = dispatch.eigsh(A, k=5, which=which, backend=BACKENDS["groups"])
    spectrum = np.linalg.eigvalsh(A.toarray().astype(np.result_type(dtype, float)))
    check(A, w, v, spectrum, 5, which, 64 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("name", ["streams, no fp64", "groups, no fp64"])
def test_single_precision_needs_no_double_precision(name, dtype):
    A = random_symmetric(600, dtype=dtype)
    w, v = dispatch.eigsh(A, k=5, which="LA", backend=BACKENDS[name])
    spectrum = np.linalg.eigvalsh(A.toarray().astype(np.result_type(dtype, float)))
    check(A, w, v, spectrum, 5, "LA", 64 * np.finfo(dtype).eps)


def test_double_precision_is_refused_where_there_is_none():
    with pytest.raises(
        dispatch.UnsupportedCallError,
        match="the device has no double precision, and float64 needs it; convert A to float32 or complex64",
    ):
        dispatch.eigsh(random_symmetric(300), k=3, backend=BACKENDS["streams, no fp64"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("arguments", [dict(which="SA"), dict(sigma=0.3)])
def test_the_same_seed_gives_the_same_start_as_on_the_cpu(arguments, dtype):
    A = random_symmetric(600, dtype=dtype)

    def start(seed, backend):
        seen = []
        dispatch.eigsh(A, 3, rng=seed, backend=backend, callback=seen.append, tol=1e-2, **arguments)
        return seen[0].ritz_values

    close = {"rtol": 1e4 * np.finfo(dtype).eps, "atol": 1e4 * np.finfo(dtype).eps}
    for seed in (0, 7):
        np.testing.assert_allclose(start(seed, BACKENDS["streams"]), start(seed, "cpu"), **close)
    assert not np.allclose(start(0, "cpu"), start(7, "cpu"), **close)


@pytest.mark.parametrize("name", ["A", "M", "v0", "preconditioner"])
@pytest.mark.parametrize("backend", [None, "opencl", "cpu"])
def test_device_arrays_are_refused_before_they_are_read(name, backend):
    queue = cl.CommandQueue(cl.Context([BACKENDS["streams"]._devices["opencl:0"]]))
    arguments = {"A": np.eye(30), "k": 3, name: cl.array.to_device(queue, np.eye(30))}
    with pytest.raises(
        TypeError,
        match=rf"^{name} is a pyopencl\.array\.Array, which NumPy cannot read, expected one on the host; copy it",
    ):
        dispatch.eigsh(**arguments, backend=backend)


def test_info_names_the_device():
    A, _ = laplacian(30, 31)
    info = dispatch.eigsh(A, k=4, which="SA", return_info=True, backend="opencl")[2]
    assert (info.backend, info.device, info.status) == ("opencl", "opencl:0", "converged")


@pytest.mark.parametrize("name", ["streams", "groups"])
def test_a_dense_row_in_a_sparse_matrix(name):
    n = 500
    A = sp.lil_array((n, n))
    A[0] = 1.0
    A[:, 0] = 1.0
    A.setdiag(np.arange(n) / n)
    w, v = dispatch.eigsh(sp.csr_array(A), k=3, which="LM", backend=BACKENDS[name])
    np.testing.assert_allclose(w, np.sort(sla.eigsh(sp.csr_array(A), k=3, which="LM")[0]), atol=1e-11)


def test_all_buffers_come_back():
    backend = BACKENDS["streams"]
    dispatch.eigsh(laplacian(30, 31)[0], k=4, which="SA", backend=backend)
    assert backend.runtime("opencl:0").pool.in_use == 0


@on_every_real_matrix
def test_real_matrices(name, which):
    assert_right(*load(name), which, backend="opencl")
