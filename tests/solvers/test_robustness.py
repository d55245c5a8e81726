"""What `eigsh` promises whatever the matrix: clusters, scales, precision floors, repeatability, memory."""

import contextlib
import gc
import os
import random
import signal
import sys
import tracemalloc
import warnings
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from dispatch_cpu import kernels
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch
from dispatch.solvers import multigrid

from .problems import components, laplacian, random_symmetric
from .test_eigsh import wanted

GRAPH = components(6, 100)
BLOCK, BLOCK_SPECTRUM = laplacian(12, 13)
CLUSTERS = {
    "pairs": laplacian(40, 40),
    "triples and six-fold": laplacian(12, 12, 12),
    "six components": (GRAPH, np.linalg.eigvalsh(GRAPH.toarray())),
    "three equal blocks": (sp.csr_array(sp.block_diag([BLOCK] * 3)), np.repeat(BLOCK_SPECTRUM, 3)),
}


@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("name", CLUSTERS)
def test_no_member_of_a_cluster_is_missed(name, accuracy, which):
    # The accuracy is relative to the norm; that of ARPACK at the same tolerances is in benchmarks/RESULTS.md.
    A, spectrum = CLUSTERS[name]
    right = wanted(spectrum, 10, which)
    tol = accuracy * spectrum[-1] / abs(right).max()
    for seed in range(6):
        w = dispatch.eigsh(A, k=10, which=which, tol=tol, rng=seed)[0]
        # Two per cent of the largest wanted value tell a missing member from an inaccurate one.
        np.testing.assert_allclose(w, right, rtol=0, atol=0.02 * abs(right).max())


@pytest.mark.parametrize("preconditioner", ["auto", None])
@pytest.mark.parametrize("arguments", [{"which": "SA"}, {"which": "LA"}, {"which": "LM", "sigma": 0.0}])
@pytest.mark.parametrize("start", [slice(20, 21), slice(20, 24), slice(100, 114)], ids=str)
def test_eigenvectors_to_start_from_need_not_be_the_wanted_ones(start, arguments, preconditioner):
    # Their residuals are zero from the beginning.
    A, spectrum = laplacian(20, 21)
    v0 = np.linalg.eigh(A.toarray())[1][:, start]
    right = spectrum[-4:] if arguments["which"] == "LA" else spectrum[:4]
    for tol in (0, 1e-3):
        w = dispatch.eigsh(A, 4, v0=v0, tol=tol, preconditioner=preconditioner, **arguments)[0]
        np.testing.assert_allclose(w, right, rtol=max(tol, 1e-11))


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e308])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_size_of_the_start_does_not_matter(size, dtype):
    A, spectrum = laplacian(20, 21)
    v0 = size * np.random.default_rng(0).uniform(-1, 1, (420, 4))
    w = dispatch.eigsh(A.astype(dtype), 4, v0=v0, which="SA")[0]
    np.testing.assert_allclose(w, spectrum[:4], rtol=0, atol=32 * np.finfo(dtype).eps * spectrum[-1])


def ill_conditioned(n=500, condition=1e12):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    w = np.logspace(0, -np.log10(condition), n)
    A = (Q * w) @ Q.T
    return (A + A.T) / 2


EXACT = {
    "2-D Laplacian": laplacian(25, 26)[0],
    "3-D Laplacian": laplacian(8, 9, 10)[0],
    "graph": GRAPH,
    "random": random_symmetric(700),
    "ill-conditioned": ill_conditioned(),
}


@cache
def with_its_spectrum(name, dtype):
    """Return a matrix in a dtype, the same as a dense one in double precision, and its eigenvalues."""
    A = EXACT[name].astype(dtype)
    if np.dtype(dtype).kind == "c":
        # The same spectrum, by a unitary diagonal: a Hermitian matrix that is not symmetric.
        phase = np.exp(1j * np.random.default_rng(0).uniform(0, 6, A.shape[0]))
        A = (
            (A * phase.conj()).T.conj() * phase
            if isinstance(A, np.ndarray)
            else A.multiply(np.outer(phase, phase.conj()))
        )
        A = (A + A.conj().T) / 2
        A = A.astype(dtype) if isinstance(A, np.ndarray) else sp.csr_array(A).astype(dtype)
    dense = A if isinstance(A, np.ndarray) else A.toarray()
    wide = dense.astype(np.result_type(dtype, np.float64))
    return A, wide, np.linalg.eigvalsh(wide)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("which", ["SA", "LA", "LM", "BE"])
@pytest.mark.parametrize("name", EXACT)
def test_tol_0_is_as_accurate_as_the_arithmetic(name, which, dtype):
    A, wide, spectrum = with_its_spectrum(name, dtype)
    A = A.copy()
    norm, eps = abs(spectrum).max(), np.finfo(dtype).eps
    w, v, info = dispatch.eigsh(A, k=6, which=which, return_info=True)
    np.testing.assert_allclose(w, wanted(spectrum, 6, which), rtol=0, atol=32 * eps * norm)
    # In extended precision the residual is the one that the returned numbers have, with no rounding of its own.
    exact = np.result_type(dtype, np.longdouble)
    residual = wide.astype(exact) @ v.astype(exact) - v.astype(exact) * w.astype(np.longdouble)
    assert info.status == "converged"
    assert np.linalg.norm(residual.astype(wide.dtype), axis=0).max() <= 32 * eps * norm
    assert abs(v.conj().T @ v - np.eye(6)).max() < 100 * eps


MULTIPLES = {
    # Powers of two multiply without rounding.
    np.float64: ([-332, -20, 20, 332], [1e-100, 1e-50, 1e-6, 1 / 3, 3.0, 7.0, 1e6, 1e50, 1e100]),
    np.float32: ([-100, -20, 20, 100], [1e-20, 3.0, 1e20]),
}


@pytest.mark.parametrize("dtype", MULTIPLES)
@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
@pytest.mark.parametrize("name", ["square", "2-D Laplacian", "cube", "graph", "random"])
def test_a_multiple_of_the_matrix_takes_the_same_iterations(name, which, dtype):
    # k = 5 cuts a pair of the square, a triple of the cube, and the six zeros of the graph.
    A = {"square": laplacian(30, 30)[0], "cube": laplacian(9, 9, 9)[0], **EXACT}[name].astype(dtype)
    eps = np.finfo(dtype).eps
    w, v, info = dispatch.eigsh(A, k=5, which=which, return_info=True)
    exponents, others = MULTIPLES[dtype]
    for c in (2.0**exponent for exponent in exponents):
        scaled, vectors, scaled_info = dispatch.eigsh(A * dtype(c), k=5, which=which, return_info=True)
        assert np.array_equal(scaled, w * dtype(c))
        assert np.array_equal(vectors, v)
        assert scaled_info.iterations == info.iterations
    for c in others:
        scaled, _, scaled_info = dispatch.eigsh(A * dtype(c), k=5, which=which, return_info=True)
        # Not a power of two: it rounds the elements of the matrix.
        np.testing.assert_allclose(scaled / dtype(c), w, rtol=0, atol=64 * eps * abs(A).sum(axis=1).max())
        # In single precision the limit is nearer to the rounding errors of a residual.
        assert abs(scaled_info.iterations - info.iterations) <= (2 if dtype == np.float32 else 0)


KINDS = {
    "standard": {"which": "LM"},
    "both ends": {"which": "BE", "tol": 1e-4},
    "smallest magnitudes": {"which": "SM"},
    "generalized": {"which": "SA", "M": True},
    "no preconditioner": {"which": "LA", "preconditioner": None},
    "at a shift": {"sigma": 1.3},
    "at a shift, generalized": {"sigma": 1.3, "M": True, "mode": "cayley"},
    "far from a shift": {"sigma": 1.3, "which": "SM"},
    "buckling": {"sigma": -0.7, "M": True, "mode": "buckling"},
}
FORMS = {"sparse": sp.csr_array, "dense": sp.csr_array.toarray, "operator": sla.aslinearoperator}


@settings(max_examples=6, deadline=None)
@given(
    exponent=st.integers(-300, 300),
    which=st.integers(0, 1),
    form=st.sampled_from(sorted(FORMS)),
    dtype=st.sampled_from([np.float64, np.complex128]),
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_of_two_changes_no_bit(kind, exponent, which, form, dtype):
    A = [laplacian(18, 19), (random_symmetric(342, density=0.02), None)][which][0].astype(dtype)
    arguments = dict(KINDS[kind], backend="cpu", return_info=True)
    if "mode" in arguments:
        A = A + 10 * sp.eye_array(342)  # definite, for buckling
    if "M" in arguments:
        arguments["M"] = sp.diags_array(np.linspace(1, 2, 342)).tocsr()
    c = 2.0**exponent
    w, v, info = dispatch.eigsh(FORMS[form](sp.csr_array(A)), 4, **arguments)
    if "sigma" in arguments:
        arguments["sigma"] *= c
    scaled, vectors, scaled_info = dispatch.eigsh(FORMS[form](sp.csr_array(c * A)), 4, **arguments)
    assert np.array_equal(scaled, c * w)
    # In buckling mode vectors have unit length in the inner product of A.
    assert kind == "buckling" or np.array_equal(vectors, v)
    assert (scaled_info.method, scaled_info.iterations) == (info.method, info.iterations)
    assert scaled_info.operator_applications == info.operator_applications


@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
def test_elements_of_every_size(which):
    w = np.r_[-np.logspace(-150, 150, 300), np.logspace(-149, 149, 300)]
    rng = np.random.default_rng(0)
    values = dispatch.eigsh(sp.diags_array(rng.permutation(w)).tocsr(), k=5, which=which)[0]
    np.testing.assert_allclose(values, wanted(w, 5, which), rtol=1e-12)


@pytest.mark.parametrize("preconditioner", ["auto", "chebyshev-jacobi"])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_cores(preconditioner, monkeypatch):
    A, _ = laplacian(120, 121)  # large enough for compiled products and several threads
    first = dispatch.eigsh(A, k=8, which="SA", tol=1e-6, rng=3, preconditioner=preconditioner)
    monkeypatch.setattr("dispatch_cpu.parallel.cores", lambda: 1)
    second = dispatch.eigsh(A, k=8, which="SA", tol=1e-6, rng=3, preconditioner=preconditioner)
    assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


def test_the_floor_of_an_inaccurate_operator_is_reported():
    A, spectrum = laplacian(25, 26)
    noise = 90 * np.finfo(float).eps * spectrum[-1]

    def matmat(X):
        # The same error for the same block, unlike any matrix's.
        return A @ X + noise * np.linalg.norm(X, axis=0) * np.sin(1e9 * X) / np.sqrt(len(X))

    operator = sla.LinearOperator(A.shape, matvec=lambda x: matmat(x.reshape(-1, 1)), matmat=matmat, dtype=float)
    w, _, info = dispatch.eigsh(operator, k=4, which="SA", return_info=True)
    assert info.status == "floor"
    assert info.residual_norms.max() < 1e3 * noise
    np.testing.assert_allclose(w, spectrum[:4], atol=100 * noise)


CALLS = {
    "iterated": {},
    "at a shift": dict(sigma=1.3),
    "generalized": dict(M=sp.diags_array(np.linspace(1, 2, 420)), which="SA"),
    "multigrid, where it is installed": dict(which="SA", preconditioner="amg" if multigrid.available() else "auto"),
    "dense": dict(k=200),
    "out of range": dict(A=laplacian(20, 21)[0] * 1e-310),
    "not symmetric": dict(A=sp.triu(laplacian(20, 21)[0])),
    "unconverged": dict(maxiter=1, preconditioner=None),
    "stopped": dict(callback=lambda state: True),
    "failed": dict(preconditioner=lambda R: R * np.nan, which="SA"),
}


@pytest.mark.parametrize("case", CALLS)
def test_no_global_state_is_changed(case):
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def state():
        return (
            np.geterr(),
            np.geterrcall(),
            list(warnings.filters),
            [str(part) for part in np.random.get_state()],
            random.getstate(),
            np.get_printoptions(),
            threadpoolctl.threadpool_info(),
            signal.getsignal(signal.SIGINT),
            sys.getrecursionlimit(),
            dict(os.environ),
            os.getcwd(),
        )

    A, _ = laplacian(20, 21)
    dispatch.eigsh(A, 4, sigma=1.3, backend="cpu")  # what is imported for the first time is no change of state
    with np.errstate(over="ignore", under="raise", divide="print"):  # others than the defaults
        before = state()
        with contextlib.suppress(ValueError, dispatch.NoConvergence):
            dispatch.eigsh(**{"A": A, "k": 4, "backend": "cpu", **CALLS[case]})
        after = state()
    assert after == before


def peak(A, k, **arguments):
    """Return the largest size that memory grows to in a call, in bytes."""
    dispatch.eigsh(A, k, backend="cpu", **arguments)
    kernels.wait()  # compilers need memory of their own, also those that other tests have left in the background
    gc.collect()
    tracemalloc.start()
    try:
        dispatch.eigsh(A, k, backend="cpu", **arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("generalized", "which", "blocks", "dtype"),
    [
        (False, "SA", 13, np.float64),
        (False, "SA", 13, np.float32),
        (False, "LM", 14, np.float64),
        (True, "SA", 19, np.float64),
    ],
)
def test_memory_is_a_fixed_number_of_blocks(generalized, which, blocks, dtype):
    A = laplacian(120, 121)[0].astype(dtype)
    n, m = A.shape[0], 10 + 5
    M = sp.diags_array(np.linspace(1, 2, n)).tocsr() if generalized else None
    assert peak(A, 10, M=M, which=which, tol=1e-3) <= blocks * n * m * A.dtype.itemsize + A.data.nbytes


@pytest.mark.parametrize("k", [4, 10])
@pytest.mark.parametrize("arguments", [{}, {"M": True}, {"M": True, "mode": "buckling"}, {"ncv": 60}], ids=str)
def test_memory_with_a_shift_is_the_basis_and_some_blocks(arguments, k):
    # The factors are SuperLU's, which tracemalloc does not see.
    A = laplacian(120, 121)[0]
    n, m = A.shape[0], k + max(2, (k + 1) // 2)
    if "M" in arguments:
        arguments = {**arguments, "M": sp.diags_array(np.linspace(1, 2, n)).tocsr()}
    basis = arguments.get("ncv", 3 * k + 20)
    vectors = 3 * basis + 8 * m if "M" in arguments else 2 * basis + 7 * m
    assert peak(A, k, sigma=0.5, **arguments) <= vectors * n * 8 + A.data.nbytes


@pytest.mark.skipif(not multigrid.available(), reason="pyamg is not installed")
@pytest.mark.parametrize("k", [4, 10])
@pytest.mark.parametrize("generalized", [False, True])
def test_memory_of_multigrid_is_ten_times_that_of_the_matrix(generalized, k):
    A = laplacian(120, 121)[0]
    n, m = A.shape[0], k + max(2, (k + 1) // 2)
    M = sp.diags_array(np.linspace(1, 2, n)).tocsr() if generalized else None
    blocks = 19 if generalized else 13
    matrix = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
    assert peak(A, k, M=M, which="SA", preconditioner="amg") <= blocks * n * m * 8 + 10 * matrix
