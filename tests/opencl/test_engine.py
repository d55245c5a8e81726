"""Every primitive of the engine against the same in double precision on the host."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from dispatch_opencl.engine import OpenCLEngine

from .conftest import BACKENDS, guise

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SIZES = [1, 3, 64, 513, 5000]
COLUMNS = [1, 2, 4, 5, 9, 17, 21]


def engine_for(backend, dtype, n):
    if np.dtype(dtype).char in "dD" and not backend.runtime("opencl:0").traits.fp64:
        pytest.skip("the device has no double precision")
    return OpenCLEngine(n, np.dtype(dtype), backend.runtime("opencl:0"))


def random(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape)
    return (X + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else X).astype(dtype)


def wide(x):
    return np.asarray(x, np.result_type(x, np.float64))


def close(got, expected, size, eps):
    """Assert that the error is rounding: `size` bounds the terms that each element was added up from."""
    assert got.shape == expected.shape
    assert (abs(got - expected) <= 4 * eps * np.maximum(size, 1e-300)).all()


@pytest.fixture(params=["groups", "streams, no fp64", "groups, no fp64"])
def backend(request):
    """The guises that the conformance kit does not see."""
    return BACKENDS[request.param]


@pytest.fixture(params=DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def dtype(request):
    return np.dtype(request.param)


@pytest.mark.parametrize("p", COLUMNS)
def test_upload_and_download(backend, dtype, p):
    engine = engine_for(backend, dtype, 100)
    X = random((100, p), dtype)
    got = engine.download(engine.upload(X))
    assert got.dtype == dtype
    assert np.array_equal(got, X)


@pytest.mark.parametrize("n", SIZES)
def test_gram(backend, dtype, n):
    engine = engine_for(backend, dtype, n)
    for p, q in [(1, 1), (3, 5), (17, 4), (21, 9)]:
        X, Y = random((n, p), dtype), random((n, q), dtype, seed=1)
        got = engine.gram(engine.upload(X), engine.upload(Y))
        assert got.dtype == engine.small_dtype
        # Accumulated in double precision, or in pairs of singles, whatever the arithmetic.
        close(
            got, wide(X).conj().T @ wide(Y), abs(wide(X)).T @ abs(wide(Y)), max(n, 8) * 2.0**-47 if n > 1 else 2.0**-45
        )
        again = engine.gram(engine.upload(X), engine.upload(Y))
        assert np.array_equal(got, again)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("shapes", [([4], 4), ([9], 17), ([5, 3], 1), ([3, 4, 5], 6), ([2, 9, 1, 17, 4], 10)], ids=str)
def test_combine(backend, dtype, n, shapes):
    engine = engine_for(backend, dtype, n)
    widths, q = shapes
    X = [random((n, p), dtype, seed=p) for p in widths]
    C = [random((p, q), engine.small_dtype, seed=p) for p in widths]
    got = engine.download(engine.combine([engine.upload(x) for x in X], C))
    expected = sum(wide(x) @ wide(c) for x, c in zip(X, C, strict=True))
    size = sum(abs(wide(x)) @ abs(wide(c)) for x, c in zip(X, C, strict=True))
    close(got, expected, size, sum(widths) * np.finfo(dtype).eps)


@pytest.mark.parametrize("group", [1, 2, 8, 32])
def test_gram_by_groups_of_few_items(group):
    small = guise(kind="gpu", streams=False, group=group, unified=False)
    small.probe()
    engine = engine_for(small, np.float64, 513)
    X, Y = random((513, 21), np.float64), random((513, 17), np.float64, seed=1)
    close(engine.gram(engine.upload(X), engine.upload(Y)), X.T @ Y, abs(X).T @ abs(Y), 513 * 2.0**-52)


def test_columns(backend, dtype):
    engine = engine_for(backend, dtype, 700)
    X = random((700, 19), dtype)
    for indices in ([0], [3, 3, 1], range(17), [18]):
        assert np.array_equal(engine.download(engine.columns(engine.upload(X), indices)), X[:, list(indices)])


@pytest.mark.parametrize("n", SIZES)
def test_residual(backend, dtype, n):
    engine = engine_for(backend, dtype, n)
    AX, BX, theta = random((n, 11), dtype), random((n, 11), dtype, seed=1), random(11, np.float64)
    R, norms = engine.residual(engine.upload(AX), engine.upload(BX), theta)
    R = engine.download(R)
    close(R, wide(AX) - wide(BX) * theta, abs(wide(AX)) + abs(wide(BX) * theta), np.finfo(dtype).eps)
    np.testing.assert_allclose(norms, np.linalg.norm(wide(R), axis=0), rtol=1e-13)


def matrix(kind, n, dtype):
    if kind == "empty":
        return sp.csr_array((n, n), dtype=dtype)
    A = sp.random_array((n, n), density=min(1, 6 / n), rng=np.random.default_rng(0)).tolil()
    if kind == "one long row":
        A[n // 2] = 1.0
    if kind == "long rows":
        A[:, : min(n, 150)] = 0.5
    A = sp.csr_array(A)
    A.data = random(A.nnz, dtype, seed=2)
    if kind == "long indices":
        A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


@pytest.mark.parametrize("kind", ["empty", "short rows", "one long row", "long rows", "long indices"])
@pytest.mark.parametrize("n", [1, 70, 1200])
def test_sparse_product_and_chebyshev_step(backend, dtype, kind, n):
    engine = engine_for(backend, dtype, n)
    A = matrix(kind, n, dtype)
    on_device = engine.operator(A)
    eps = (np.diff(A.indptr).max() + 4) * np.finfo(dtype).eps
    for p in (1, 4, 9, 14, 23):
        R, D, Y = (random((n, p), dtype, seed=seed) for seed in range(3))
        close(engine.download(engine.apply(on_device, engine.upload(D))), A @ wide(D), abs(A) @ abs(wide(D)), eps)
        theta, a, b = (random(p, np.float64, seed=seed) for seed in range(3))
        blocks = [engine.upload(X) for X in (R, D, Y)]
        for first in (False, True):  # at the first step the iterate and the direction are one block
            if first:
                blocks = [engine.upload(R), *[engine.upload(D)] * 2]
            r, d, y = (engine.download(X) for X in engine.chebyshev_step(on_device, theta, a, b, *blocks))
            expected = wide(R) - A @ wide(D) + theta * wide(D)
            size = abs(wide(R)) + abs(A) @ abs(wide(D)) + abs(theta * wide(D))
            close(r, expected, size, eps)
            expected, size = a * wide(D) + b * expected, abs(a * wide(D)) + abs(b) * size
            close(d, expected, size, eps)
            start = wide(D if first else Y)
            close(y, start + expected, abs(start) + size, eps)


@pytest.mark.parametrize("shape", [(130, 37), (37, 130), (64, 64)])
def test_rectangular_and_dense_operators(backend, dtype, shape):
    engine = engine_for(backend, dtype, shape[0])
    A = random(shape, dtype)
    X = random((shape[1], 6), dtype, seed=1)
    for form in (A, sp.csr_array(A), sla.aslinearoperator(A)):
        got = engine.download(engine.apply(engine.operator(form), engine.upload(X)))
        close(got, wide(A) @ wide(X), abs(wide(A)) @ abs(wide(X)), shape[1] * np.finfo(dtype).eps)


@pytest.mark.parametrize("steps", [1, 5])
def test_chebyshev_iteration(backend, dtype, steps):
    n, p = 600, 9
    engine = engine_for(backend, dtype, n)
    A = matrix("one long row", n, dtype)
    R, D = random((n, p), dtype), random((n, p), dtype, seed=1)
    theta, *scalars = (random(p, np.float64, seed=seed) for seed in range(1 + 2 * steps))
    pairs = list(zip(scalars[::2], scalars[1::2], strict=True))
    got = engine.download(
        engine.chebyshev_iteration(engine.operator(A), theta, pairs, engine.upload(R), engine.upload(D))
    )
    r, d, y = wide(R), wide(D), wide(D)
    for a, b in pairs:
        r = r - A @ d + theta * d
        d = a * d + b * r
        y = y + d
    # A direction to search in: single precision will do.
    np.testing.assert_allclose(got, y, rtol=0, atol=1e-3 * abs(y).max())
