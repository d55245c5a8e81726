"""Each primitive of a `BlockEngine` on its own, so that a solver is brought up one primitive at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from dispatch.operations.eigsh import problem_of
from dispatch.solvers import BlockEngine
from dispatch.testing.base import Conformance
from dispatch.testing.comparison import assert_near

SIZES = [(2, 1), (7, 3), (64, 16), (257, 1), (1000, 33), (5001, 130)]
"""Lengths and numbers of vectors: at, below and above the powers of two that a kernel may be tiled by."""


def random_block(n: int, p: int, dtype: Any, seed: int = 0) -> NDArray[Any]:
    """Return an (n, p) array of normally distributed numbers."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return (X + 1j * rng.standard_normal((n, p)) if np.dtype(dtype).kind == "c" else X).astype(dtype)


def uneven_matrix(rows: int, columns: int, dtype: Any, per_row: float = 5, seed: int = 0) -> sp.csr_array:
    """Return a sparse matrix whose rows have very different lengths: some none, one of them all."""
    indices, offsets = _uneven_pattern(rows, columns, per_row, seed)
    data = random_block(len(indices), 1, dtype, seed)[:, 0]
    return sp.csr_array((data, indices, offsets), shape=(rows, columns), copy=True)


@lru_cache(maxsize=16)  # many tests have the same one, and choosing it takes longer than most of them
def _uneven_pattern(rows: int, columns: int, per_row: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(1 / (1 + per_row), rows) - 1, columns)
    lengths[rows // 3] = columns
    indices = np.concatenate([np.sort(rng.choice(columns, length, replace=False)) for length in lengths])
    return indices, np.r_[0, np.cumsum(lengths)]


class BlockEngineConformance(Conformance):
    """The primitives against NumPy, for every arithmetic that is declared."""

    @pytest.fixture(params="fdFD", ids=lambda char: np.dtype(char).name)
    def dtype(self, request: pytest.FixtureRequest) -> np.dtype[Any]:
        """Return an arithmetic of the blocks; one that is not declared is `EigshConformance`'s to see refused."""
        if "eigsh" not in self.operations or request.param not in self.eigsh_dtypes:
            pytest.skip("not declared")
        return np.dtype(str(request.param))

    @pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def size(self, request: pytest.FixtureRequest) -> tuple[int, int]:
        """Return the length and the number of the vectors of a block."""
        return (int(request.param[0]), int(request.param[1]))

    def engine_for(self, A: Any, k: int = 1) -> BlockEngine:
        """Return the engine that the backend makes for a problem with the matrix A."""
        return self.the_backend().block_engine(problem_of(A, k, which="SA"), device=self.devices()[0])

    def engine(self, n: int, dtype: np.dtype[Any]) -> BlockEngine:
        """Return an engine for vectors of length n."""
        return self.engine_for(sp.eye_array(n, format="csr", dtype=dtype))

    def close(self, what: str, actual: Any, expected: Any, dtype: np.dtype[Any], size: Any) -> None:
        """Assert that `what` is right to a few roundings of sums whose terms have the given sizes in total."""
        assert_near(what, actual, expected, 32 * np.finfo(dtype).eps * size + np.finfo(dtype).tiny)

    def same(self, what: str, actual: Any, expected: Any) -> None:
        """Assert that `what` is right to the bit: numbers that were moved and not computed."""
        assert_near(what, actual, expected, 0)

    def test_a_block_comes_back_as_it_was(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """`download` returns what `upload` was given, converted to the engine's dtype, whatever its layout."""
        engine, X = self.engine(size[0], dtype), random_block(*size, dtype)
        for host in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
            back = engine.download(engine.upload(host))
            assert back.dtype == dtype, f"download(upload(X)) has dtype {back.dtype}, expected {dtype}"
            self.same("download(upload(X))", back, X)

    def test_upload_takes_a_copy(self, dtype: np.dtype[Any]) -> None:
        """A block does not change when the host array that it came from does."""
        engine, X = self.engine(64, dtype), random_block(64, 3, dtype)
        given = X.copy()
        block = engine.upload(given)
        given[:] = 0
        self.same("a block, after the host array that it came from was overwritten,", engine.download(block), X)

    def test_columns(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """`columns` takes columns in the order that is asked for, one more than once, or none of them."""
        engine, X = self.engine(size[0], dtype), random_block(*size, dtype)
        p = size[1]
        for indices in (range(p), [p - 1], [0, p // 2, 0], list(range(p))[::-1], np.array([p - 1, 0])):
            chosen = engine.columns(engine.upload(X), indices)
            self.same(f"columns(X, {list(indices)})", engine.download(chosen), X[:, list(indices)])

    @pytest.mark.parametrize("q", [1, 4, 17])
    def test_gram(self, dtype: np.dtype[Any], size: tuple[int, int], q: int) -> None:
        """`gram` returns ``Xᴴ Y`` on the host, accumulated in double precision for single-precision blocks too."""
        n, p = size
        engine, X, Y = self.engine(n, dtype), random_block(n, p, dtype, 1), random_block(n, q, dtype, 2)
        G = engine.gram(engine.upload(X), engine.upload(Y))
        assert isinstance(G, np.ndarray), f"gram(X, Y) is a {type(G).__name__}, expected an array on the host"
        wide = engine.small_dtype
        assert G.dtype == wide, f"gram(X, Y) has dtype {G.dtype}, expected {wide}"
        terms = abs(X).T.astype(float) @ abs(Y).astype(float)
        self.close("gram(X, Y)", G, X.astype(wide).conj().T @ Y.astype(wide), wide, terms)

    def test_grams(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """`grams` returns what `gram` returns of each pair, to the bit."""
        engine = self.engine(size[0], dtype)
        X, Y = (engine.upload(random_block(size[0], p, dtype, p)) for p in (size[1], 5))
        pairs = [(X, Y), (Y, Y), (Y, X)]
        for number, (G, pair) in enumerate(zip(engine.grams(pairs), pairs, strict=True)):
            self.same(f"matrix {number} of grams", G, engine.gram(*pair))

    def test_gram_of_a_block_with_itself(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """The Gram matrix of one block with itself may take a path of its own: it is Hermitian."""
        engine, X = self.engine(size[0], dtype), random_block(*size, dtype)
        block = engine.upload(X)
        G = engine.gram(block, block)
        wide, terms = engine.small_dtype, abs(X).T.astype(float) @ abs(X).astype(float)
        self.close("gram(X, X)", G, X.astype(wide).conj().T @ X.astype(wide), wide, terms)
        self.close("gram(X, X) as a Hermitian matrix", G, G.conj().T, wide, terms)

    @pytest.mark.parametrize("widths", [(), (2,), (5, 1), (16, 3, 16, 1)], ids=str)
    def test_combine(self, dtype: np.dtype[Any], size: tuple[int, int], widths: tuple[int, ...]) -> None:
        """`combine` returns ``Σ X_j C_j`` for blocks and small matrices of any widths and layouts; the blocks stay."""
        n, p = size
        engine = self.engine(n, dtype)
        wide = engine.small_dtype
        X = [random_block(n, width, dtype, seed) for seed, width in enumerate((p, *widths))]
        blocks = [engine.upload(x) for x in X]
        layouts = (np.ascontiguousarray, np.asfortranarray, lambda c: np.repeat(c, 2, axis=1)[:, ::2])
        for number, q in enumerate((1, 6, 33)):
            C = [
                layouts[(number + seed) % 3](random_block(width, q, wide, 10 + seed))
                for seed, width in enumerate((p, *widths))
            ]
            combined = engine.download(engine.combine(blocks, C))
            expected = sum((x.astype(wide) @ c for x, c in zip(X, C, strict=True)), np.zeros((n, q), wide))
            terms = sum((abs(x) @ abs(c) for x, c in zip(X, C, strict=True)), np.zeros((n, q)))
            self.close(f"combine of {len(X)} blocks", combined, expected, dtype, terms)
        for block, x in zip(blocks, X, strict=True):
            self.same("a block, after it was combined,", engine.download(block), x)

    def test_combine_takes_one_block_twice(self, dtype: np.dtype[Any]) -> None:
        """The same block may stand in several places."""
        engine, X = self.engine(100, dtype), random_block(100, 4, dtype)
        block, eye = engine.upload(X), np.eye(4)
        combined = engine.download(engine.combine([block, block], [eye, 2 * eye]))
        self.close("combine([X, X], [1, 2])", combined, 3 * X, dtype, 3 * abs(X))

    @pytest.mark.parametrize("p", [1, 3, 33, 130])
    @pytest.mark.parametrize("n", [12, 300, 5001])
    def test_apply_a_sparse_matrix(self, dtype: np.dtype[Any], n: int, p: int) -> None:
        """Rows of any length, also none at all, and more vectors than fit in one pass."""
        A, X = uneven_matrix(n, n, dtype), random_block(n, p, dtype)
        engine = self.engine_for(A, k=1 if n < 5001 else 20)
        Y = engine.download(engine.apply(engine.operator(A), engine.upload(X)))
        exact = A.astype(engine.small_dtype) @ X
        self.close("apply of a sparse A to X", Y, exact, dtype, abs(A) @ abs(X) + abs(X).max())

    def test_apply_a_matrix_with_wide_indices(self, dtype: np.dtype[Any]) -> None:
        """SciPy's indices may be 64 bits wide, and unsorted."""
        A, X = uneven_matrix(100, 100, dtype)[:, ::-1], random_block(100, 3, dtype)
        A = sp.csr_array((A.data, A.indices.astype(np.int64), A.indptr.astype(np.int64)), shape=A.shape)
        engine = self.engine_for(sp.eye_array(100, format="csr", dtype=dtype))
        Y = engine.download(engine.apply(engine.operator(A), engine.upload(X)))
        self.close("apply of a sparse A with int64 indices", Y, A @ X, dtype, abs(A) @ abs(X) + abs(X).max())

    @pytest.mark.parametrize("shape", [(300, 40), (40, 300)], ids=str)
    def test_apply_a_rectangular_matrix(self, dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
        """Prolongation and restriction of a multigrid hierarchy change the length of the vectors, there and back."""
        rows, columns = shape
        A, X = uneven_matrix(rows, columns, dtype), random_block(columns, 5, dtype)
        engine = self.engine(300, dtype)
        Y = engine.apply(engine.operator(A), engine.upload(X))
        terms = abs(A) @ abs(X) + abs(X).max()
        self.close(f"apply of a {rows}-by-{columns} A to X", engine.download(Y), A @ X, dtype, terms)
        back = engine.apply(engine.operator(sp.csr_array(A.conj().T)), Y)
        exact = A.conj().T @ (A @ X)
        terms = abs(A).T @ (abs(A) @ abs(X)) + abs(X).max()
        self.close(f"apply of a {columns}-by-{rows} Aᴴ to A X", engine.download(back), exact, dtype, terms)

    @pytest.mark.parametrize("p", [1, 5, 130])
    def test_apply_a_dense_matrix(self, dtype: np.dtype[Any], p: int) -> None:
        """A dense operator, in rows or in columns."""
        A, X = random_block(200, 200, dtype, 1), random_block(200, p, dtype, 2)
        engine = self.engine(200, dtype)
        for matrix in (A, np.asfortranarray(A)):
            Y = engine.download(engine.apply(engine.operator(matrix), engine.upload(X)))
            self.close("apply of a dense A to X", Y, A @ X, dtype, abs(A) @ abs(X))

    def test_apply_an_operator(self, dtype: np.dtype[Any]) -> None:
        """A `LinearOperator` is applied on the host, to the whole block at once."""
        A, X = random_block(200, 200, dtype, 1), random_block(200, 5, dtype, 2)
        asked: list[tuple[int, ...]] = []

        def matmat(block: NDArray[Any]) -> NDArray[Any]:
            asked.append(block.shape)
            return np.asarray(A @ block)

        operator = LinearOperator(A.shape, matvec=matmat, matmat=matmat, dtype=A.dtype)
        engine = self.engine(200, dtype)
        Y = engine.download(engine.apply(engine.operator(operator), engine.upload(X)))
        self.close("apply of a LinearOperator to X", Y, A @ X, dtype, abs(A) @ abs(X))
        assert asked == [(200, 5)], f"the operator was given blocks of shapes {asked}, expected one of (200, 5)"
        A[7] = np.nan
        try:
            Y = engine.download(engine.apply(engine.operator(operator), engine.upload(X)))
        except ValueError:
            return  # a product that is no number may be refused
        assert np.isnan(Y[7]).all(), f"the operator returned NaN, and apply {Y[7]}"

    def test_residual(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """`residual` returns ``AX - BX diag(θ)`` with the norms of its columns in double precision."""
        n, p = size
        engine, AX, BX = self.engine(n, dtype), random_block(n, p, dtype, 1), random_block(n, p, dtype, 2)
        theta = np.linspace(-2.0, 3.0, p)
        R, norms = engine.residual(engine.upload(AX), engine.upload(BX), theta)
        self.close(
            "the block of residual(AX, BX, θ)", engine.download(R), AX - BX * theta, dtype, abs(AX) + abs(BX * theta)
        )
        assert norms.dtype == np.float64, f"the norms of residual(AX, BX, θ) have dtype {norms.dtype}, expected float64"
        exact = np.linalg.norm(AX - BX * theta, axis=0)
        assert_near("the norms of residual(AX, BX, θ)", norms, exact, 1e3 * np.finfo(dtype).eps * exact)

    def test_residual_and_norms(self, dtype: np.dtype[Any], size: tuple[int, int]) -> None:
        """`residual_and_norms` returns what `residual` does, and the norms of other blocks in double precision."""
        n, p = size
        engine, theta = self.engine(n, dtype), np.linspace(-2.0, 3.0, p)
        hosts = [random_block(n, width, dtype, seed) for seed, width in enumerate((p, p, 3))]
        AX, BX, X = (engine.upload(host) for host in hosts)
        expected, norms = engine.residual(AX, BX, theta)
        for blocks in ([], [1], [2, 0, 1]):
            R, found = engine.residual_and_norms(AX, BX, theta, [(AX, BX, X)[number] for number in blocks])
            self.same("the block of residual_and_norms", engine.download(R), engine.download(expected))
            assert len(found) == 1 + len(blocks), f"{len(found)} vectors of norms for {1 + len(blocks)} blocks"
            self.same("the norms of the residual", found[0], norms)
            for number, sizes in zip(blocks, found[1:], strict=True):
                exact = np.linalg.norm(hosts[number].astype(engine.small_dtype), axis=0)
                assert sizes.dtype == np.float64, f"the norms of a block have dtype {sizes.dtype}, expected float64"
                assert_near("the norms of a block", sizes, exact, 1e-13 * exact)

    def test_a_residual_of_zero(self, dtype: np.dtype[Any]) -> None:
        """An exact eigenpair has norm zero, not NaN."""
        engine, X = self.engine(100, dtype), random_block(100, 2, dtype)
        block = engine.upload(X)
        R, norms = engine.residual(block, block, np.ones(2))
        self.same("the norms of residual(X, X, 1)", norms, np.zeros(2))
        self.same("the block of residual(X, X, 1)", engine.download(R), np.zeros((100, 2)))

    @pytest.mark.parametrize("p", [1, 5, 16])
    @pytest.mark.parametrize("n", [12, 300, 4097])
    @pytest.mark.parametrize("aliased", [False, True], ids=["", "Y is D"])
    def test_chebyshev_step(self, dtype: np.dtype[Any], n: int, p: int, aliased: bool) -> None:
        """One step of the recurrence, also where the iterate is still the direction itself."""
        A = uneven_matrix(n, n, dtype)
        R, D = random_block(n, p, dtype, 1), random_block(n, p, dtype, 2)
        Y = D if aliased else random_block(n, p, dtype, 3)
        theta, a, b = np.linspace(-1.0, 2.0, p), np.linspace(0.2, 0.4, p), np.linspace(0.1, 0.3, p)
        engine = self.engine_for(A, k=1 if n < 4097 else 20)
        direction = engine.upload(D)
        iterate = direction if aliased else engine.upload(Y)
        stepped = engine.chebyshev_step(engine.operator(A), theta, a, b, engine.upload(R), direction, iterate)
        wide = engine.small_dtype
        R1 = R.astype(wide) - (A.astype(wide) @ D - D * theta)
        D1 = a * D + b * R1
        size = abs(R) + abs(A) @ abs(D) + abs(D) * (1 + abs(theta)) + abs(Y)
        for name, actual, expected in zip(("residual", "direction", "iterate"), stepped, (R1, D1, Y + D1), strict=True):
            self.close(f"the {name} of chebyshev_step", engine.download(actual), expected, dtype, size)

    @pytest.mark.parametrize("p", [1, 5, 16])
    @pytest.mark.parametrize("n", [12, 300, 4097])
    def test_chebyshev_iteration(self, dtype: np.dtype[Any], n: int, p: int) -> None:
        """Several steps at once give what the steps give one by one, to single precision at least."""
        A = sp.csr_array(uneven_matrix(n, n, dtype) / n)
        R, D = random_block(n, p, dtype, 1), random_block(n, p, dtype, 2)
        theta = np.linspace(-1.0, 2.0, p)
        steps = [(np.full(p, 0.5 + 0.1 * j), np.linspace(0.1, 0.3, p)) for j in range(3)]
        engine = self.engine_for(A, k=1 if n < 4097 else 20)
        Y = engine.chebyshev_iteration(engine.operator(A), theta, steps, engine.upload(R), engine.upload(D))
        expected = direction = D.astype(engine.small_dtype)
        residual = R.astype(engine.small_dtype)
        for a, b in steps:
            residual = residual - (A @ direction - direction * theta)
            direction = a * direction + b * residual
            expected = expected + direction
        allowed = 1000 * float(np.finfo(np.float32).eps) * abs(expected).max()
        assert_near("chebyshev_iteration in 3 steps", engine.download(Y), expected, allowed)

    def test_results_of_primitives_stay(self, dtype: np.dtype[Any]) -> None:
        """What a primitive returned does not change when it is called again with other blocks."""
        n, p = 300, 4
        A = uneven_matrix(n, n, dtype)
        engine = self.engine_for(A)
        operator, C = engine.operator(A), random_block(p, p, engine.small_dtype)
        names = ("upload", "apply", "combine", "columns", "the block of residual", "gram", "the norms of residual")

        def results(seed: int) -> tuple[list[Any], list[Any]]:
            X = engine.upload(random_block(n, p, dtype, seed))
            AX = engine.apply(operator, X)
            R, norms = engine.residual(AX, X, np.ones(p))
            blocks = [X, AX, engine.combine([X, AX], [C, C]), engine.columns(X, [2, 0]), R]
            return blocks, [engine.gram(X, AX), norms]

        blocks, on_host = results(1)
        before = [np.array(x) for x in (*map(engine.download, blocks), *on_host)]
        results(2)
        after = [np.array(x) for x in (*map(engine.download, blocks), *on_host)]
        for name, now, then in zip(names, after, before, strict=True):
            self.same(f"the result of {name}, after the next call,", now, then)

    def test_the_same_arguments_give_the_same_bits(self, dtype: np.dtype[Any]) -> None:
        """Every primitive is deterministic."""
        n, p = 5000, 17
        A, X = uneven_matrix(n, n, dtype), random_block(n, p, dtype)
        C = random_block(p, p, np.float64)
        results = []
        for _ in range(3):
            engine = self.engine_for(A, k=20)
            block, operator = engine.upload(X), engine.operator(A)
            AX = engine.apply(operator, block)
            R, norms = engine.residual(AX, block, np.ones(p))
            results.append((engine.gram(block, AX), engine.download(engine.combine([AX, R], [C, C])), norms))
        for other in results[1:]:
            for first, second in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(first, second)
