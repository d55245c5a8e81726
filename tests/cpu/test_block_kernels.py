"""The CPU backend's compiled products with sparse matrices, against SciPy's in double precision."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
from dispatch_cpu import block_kernels, parallel
from dispatch_cpu.engine import CpuEngine
from dispatch_cpu.sparse import SparseOperator

from dispatch.operations.eigsh import problem_of

COLUMNS = (1, 3, 4, 7, 8, 9, 16, 17, 32, 33, 41)


def random_array(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return (X + 1j * rng.standard_normal(shape) if dtype in "FD" else X).astype(dtype)


def hermitian(n, dtype, rng):
    A = sp.random_array((n, n), density=0.004, rng=rng, format="csr")
    A.data = random_array(rng, A.nnz, dtype)
    return sp.csr_array(A + A.conj().T, dtype=dtype)


def engine_of(A, k=300):
    """Return an engine that compiles, as it does for larger problems."""
    return CpuEngine(problem_of(A, k, which="SA"))


@pytest.mark.parametrize(
    ("dtype", "offsets"), [("f", np.int32), ("d", np.int32), ("F", np.int32), ("D", np.int32), ("d", np.int64)]
)
def test_products(dtype, offsets):
    rng = np.random.default_rng(0)
    A = sp.random_array((701, 300), density=0.02, rng=rng, format="csr")
    A.data = random_array(rng, A.nnz, dtype)
    assert (np.diff(A.indptr) == 0).any(), "some rows are empty"
    A.indptr, A.indices = A.indptr.astype(offsets), A.indices.astype(offsets)
    for columns in COLUMNS:
        X = random_array(rng, (300, columns), dtype)
        Y = SparseOperator(A).product(X)
        bound = 40 * np.finfo(dtype).eps * (abs(A.astype("D")) @ abs(X.astype("D")))
        assert (abs(Y - A.astype("D") @ X.astype("D")) <= bound).all(), columns


@pytest.mark.parametrize("dtype", "fdFD")
def test_a_filter_takes_the_steps_of_the_recurrence(dtype):
    rng = np.random.default_rng(1)
    n, k = 3000, 300
    A = hermitian(n, dtype, rng)
    engine = engine_of(A, k)
    assert engine._compiled
    operator = engine.operator(A)
    for columns in COLUMNS:
        R, D = (random_array(rng, (n, columns), dtype) * 10.0 ** rng.integers(-30, 30, columns) for _ in range(2))
        R, D = R.astype(dtype), (D / abs(D).max(axis=0) * abs(R).max(axis=0)).astype(dtype)
        given = R.copy(), D.copy()
        theta = rng.standard_normal(columns)
        steps = [tuple(rng.uniform(-0.3, 0.3, (2, columns))) for _ in range(5)]
        found = engine.chebyshev_iteration(operator, theta, steps, R, D)
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        assert np.array_equal(R, given[0])
        assert np.array_equal(D, given[1])
        r, d = R.astype("D"), D.astype("D")
        total = d.copy()
        for a, b in steps:
            r = r - (A @ d - d * theta)
            d = a * d + b * r
            total = total + d
        assert (abs(found - total).max(axis=0) <= 1e-5 * abs(total).max(axis=0)).all(), columns


def filtered(threads, rng):
    """Return the blocks after a filter that so many threads take part in, each of five parts of the rows its own."""
    A = hermitian(3000, "f", rng)
    theta, a, b = (rng.uniform(-0.3, 0.3, shape).astype("f") for shape in (8, (7, 8), (7, 8)))
    blocks = [random_array(rng, 3000 * 8, "f") for _ in range(4)]
    taken, done = np.zeros((7, 5), np.int64), np.zeros(7, np.int64)
    arguments = (A.indptr, A.indices, A.data, theta, a, b, *blocks, taken, done)
    runners = [threading.Thread(target=block_kernels.chebyshev, args=(*arguments, own)) for own in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert (done == -(-3000 // block_kernels.RANGE)).all()
    return blocks


def test_the_number_of_threads_changes_no_bit():
    alone = filtered(1, np.random.default_rng(2))
    for threads in (2, 5, 9):
        for _ in range(5):
            together = filtered(threads, np.random.default_rng(2))
            assert all(np.array_equal(x, y) for x, y in zip(alone, together, strict=True))


def test_a_filter_gets_done_while_all_helpers_are_busy():
    rng = np.random.default_rng(3)
    A = hermitian(3000, "d", rng)
    engine = engine_of(A)
    R = random_array(rng, (3000, 8), "d")
    steps = [(np.full(8, 0.1), np.full(8, 0.1))] * 3
    expected = engine.chebyshev_iteration(engine.operator(A), np.zeros(8), steps, R, R)
    released = threading.Event()
    busy = [parallel._threads().submit(released.wait) for _ in range(parallel.cores())]
    try:
        found = engine.chebyshev_iteration(engine.operator(A), np.zeros(8), steps, R, R)
    finally:
        released.set()
    assert np.array_equal(found, expected)
    for helper in busy:
        helper.result()


@pytest.mark.parametrize("dtype", "fdFD")
def test_combinations(dtype):
    rng = np.random.default_rng(4)
    n = 2100
    engine = engine_of(hermitian(n, dtype, rng), 900)
    assert engine._compiled
    wide = engine.small_dtype.char

    def check(blocks, C):
        found = engine.combine(blocks, C)
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        expected = sum(X.astype("D") @ c for X, c in zip(blocks, C, strict=True))
        bound = sum(abs(X).astype("d") @ abs(c) for X, c in zip(blocks, C, strict=True))
        assert (abs(found - expected) <= 60 * np.finfo(dtype).eps * bound).all()

    for columns in (1, 2, 4, 5, 8, 9, 15, 17, 33):
        blocks = [random_array(rng, (n, p), dtype) for p in (7, columns, 1, 3)]
        for count in range(1, 5):
            C = [random_array(rng, (X.shape[1], columns), wide) for X in blocks[:count]]
            check(blocks[:count], C)
            check(blocks[:count], [np.asfortranarray(c) for c in C])
        diagonals = [np.diag(random_array(rng, columns, "d")) for _ in range(3)]
        same = [random_array(rng, (n, columns), dtype) for _ in range(3)]
        for count in range(1, 4):
            check(same[:count], diagonals[:count])
        check(same[:2], [diagonals[0], random_array(rng, (columns, columns), wide)])
        check(same[:1], [np.diag(random_array(rng, columns, wide))])


@pytest.mark.parametrize("dtype", "fdFD")
def test_residuals_and_columns(dtype):
    rng = np.random.default_rng(5)
    n = 2100
    engine = engine_of(hermitian(n, dtype, rng), 900)
    for columns in (1, 3, 10, 17):
        AX, BX = (random_array(rng, (n, columns), dtype) for _ in range(2))
        theta = rng.standard_normal(columns)
        R, norms = engine.residual(AX, BX, theta)
        expected = AX.astype("D") - BX.astype("D") * theta
        assert R.dtype == dtype
        assert (abs(R - expected) <= 4 * np.finfo(dtype).eps * (abs(AX) + abs(BX) * abs(theta))).all()
        assert np.allclose(norms, np.linalg.norm(R.astype("D"), axis=0), rtol=1e-13)
        chosen = rng.integers(0, columns, 5)
        assert np.array_equal(engine.columns(AX, chosen), AX[:, chosen])
