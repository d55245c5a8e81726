"""`eigsh`: the right eigenvalues, none missed, with small residuals and orthonormal vectors; wrong input refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator, splu

import dispatch
from dispatch.promptness import small_call
from dispatch.testing.base import Conformance
from dispatch.testing.comparison import assert_near
from dispatch.testing.matrices import components, laplacian, random_symmetric


def wanted(spectrum: NDArray[Any], k: int, which: str) -> NDArray[np.float64]:
    """Return the k eigenvalues of a spectrum that `which` names, in ascending order."""
    ascending = np.sort(spectrum)
    if which == "BE":
        return np.concatenate([ascending[: k // 2], ascending[len(ascending) - (k + 1) // 2 :]])
    keys = {"SA": ascending, "LA": -ascending, "LM": -abs(ascending), "SM": abs(ascending)}[which]
    return np.sort(ascending[np.argsort(keys, kind="stable")[:k]])


def check_pairs(
    A: Any, w: NDArray[Any], v: NDArray[Any], spectrum: NDArray[Any], which: str, M: Any = None, norms: Any = None
) -> None:
    """Assert that pairs are right to the precision of their arithmetic: values, residuals, orthonormality.

    All is measured against the norm of the matrix, in double precision.
    """
    k, eps = len(w), float(np.finfo(v.dtype).eps)
    norm = max(float(abs(spectrum).max()), np.finfo(float).tiny)
    assert (np.diff(w) >= 0).all(), "eigenvalues are not in ascending order"
    expected, name = wanted(spectrum, k, which), f'the {k} eigenvalues of which="{which}"'
    if which in ("LM", "SM"):  # of λ and -λ either one may be the last; that it is an eigenvalue, the residual tells
        assert_near(f"{name}, in magnitude,", np.sort(abs(w)), np.sort(abs(expected)), 200 * eps * norm)
    else:
        assert_near(name, w, expected, 200 * eps * norm)
    check_vectors(A, w, v, norm, M, norms=norms)


def check_vectors(
    A: Any, w: NDArray[Any], v: NDArray[Any], norm: float, M: Any = None, metric: str = "M", norms: Any = None
) -> None:
    """Assert that vectors belong to their values, are orthonormal in the metric, and have the residual norms given.

    `norm` is the largest magnitude of an eigenvalue; buckling mode's vectors are orthonormal in the inner product of A.
    """
    k, eps = len(w), float(np.finfo(v.dtype).eps)
    assert v.shape == (A.shape[0], k), f"the eigenvectors have shape {v.shape}, expected {(A.shape[0], k)}"
    wide = v.astype(np.result_type(v, np.float64))
    products = {"A": A @ wide, "M": wide if M is None else M @ wide}
    of_M = 1.0 if M is None else float(abs(M).sum(axis=0).max())
    residuals = np.linalg.norm(products["A"] - products["M"] * w.astype(np.float64), axis=0)
    allowed = 200 * eps * norm * of_M * np.linalg.norm(wide, axis=0).max(initial=0)
    assert_near("the norms of A x - λ M x", residuals, np.zeros(k), allowed)
    gram = wide.conj().T @ products[metric]
    assert_near(f"Vᴴ {metric} V, the products of eigenvectors with each other,", gram, np.eye(k), 200 * eps)
    if norms is not None:
        assert_near("info.residual_norms", norms, residuals, allowed)


SPECTRA: dict[str, tuple[sp.csr_array, NDArray[np.float64]]] = {
    "2-D Laplacian, pairs": laplacian(21, 21),
    "3-D Laplacian, triples and sixes": laplacian(8, 8, 8),
    "zero": (sp.csr_array((400, 400)), np.zeros(400)),
    "identity": (sp.eye_array(400).tocsr(), np.ones(400)),
    "tens of equals": (sp.diags_array(np.repeat(np.arange(40.0), 10)).tocsr(), np.repeat(np.arange(40.0), 10)),
    "two values": (sp.diags_array(np.repeat([1.0, 3.0], 200)).tocsr(), np.repeat([1.0, 3.0], 200)),
    "rank one": (sp.csr_array(np.ones((300, 300))), np.r_[np.zeros(299), 300.0]),
    "both signs, pairs at the ends": (
        sp.diags_array(np.r_[-199.0, -np.arange(200.0), np.arange(200.0), 199.0]).tocsr(),
        np.sort(np.r_[-199.0, -np.arange(200.0), np.arange(200.0), 199.0]),
    ),
}


class EigshConformance(Conformance):
    """`dispatch.eigsh` on the backend under test, against known spectra and dense LAPACK."""

    def eigsh(self, A: Any, k: int, **arguments: Any) -> Any:
        """Call `dispatch.eigsh` on the backend under test."""
        if "eigsh" not in self.operations:
            pytest.skip("not declared")
        told = arguments.pop("callback", None)

        seen = itertools.count(1)  # a solver may begin again, and count its iterations anew

        def callback(state: Any) -> Any:
            assert next(seen) <= self.most_iterations, (
                f"eigsh has not converged in {self.most_iterations} iterations, expected far fewer; where the solver "
                "is that of dispatch.solvers, a primitive is wrong: see BlockEngineConformance"
            )
            return told and told(state)

        result = dispatch.eigsh(A, k, backend=self.backend, callback=callback, **arguments)
        found = len(result[0] if isinstance(result, tuple) else result)
        assert found == k, f"eigsh returned {found} eigenvalues, expected {k}"
        return result

    @pytest.mark.parametrize("which", ["SA", "LA", "LM", "BE"])
    @pytest.mark.parametrize("char", "fdFD")
    def test_every_arithmetic_and_end(self, char: str, which: str) -> None:
        """Real symmetric and complex Hermitian, in both precisions, at every end of the spectrum."""
        A = random_symmetric(self.grid * self.grid * 3 // 2, dtype=char)
        if "eigsh" in self.operations and char not in self.eigsh_dtypes:
            self.refused(lambda: self.eigsh(A, 6, which=which), f"eigsh of {np.dtype(char)}")
            return
        w, v, info = self.eigsh(A, 6, which=which, return_info=True)
        assert (w.dtype, v.dtype) == (np.dtype(char.lower()), np.dtype(char))
        assert info.backend == self.backend
        assert info.device == self.devices()[0].name
        wide = A.toarray().astype(np.result_type(char, np.float64))
        check_pairs(A, w, v, np.linalg.eigvalsh(wide), which)
        true_norms = np.linalg.norm(wide @ v - v * w, axis=0)
        np.testing.assert_allclose(info.residual_norms, true_norms, atol=1000 * float(np.finfo(char).eps))
        assert w.flags.writeable, "the eigenvalues are read-only"
        assert v.flags.writeable, "the eigenvectors are read-only"
        if which == "LA":
            alone = self.eigsh(A, 6, which=which, return_eigenvectors=False)
            assert alone.dtype == w.dtype, f"eigenvalues without vectors have dtype {alone.dtype}, expected {w.dtype}"
            assert_near("the eigenvalues without vectors", alone, w, 1000 * float(np.finfo(char).eps) * abs(w).max())

    @pytest.mark.parametrize("which", ["SA", "LA", "LM"])
    @pytest.mark.parametrize("name", SPECTRA)
    def test_multiple_eigenvalues(self, name: str, which: str) -> None:
        """Every member of a cluster is found, and eigenvectors are orthonormal inside it."""
        A, spectrum = SPECTRA[name]
        w, v = self.eigsh(A, 7, which=which)
        check_pairs(A, w, v, spectrum, which)

    @pytest.mark.parametrize("seed", range(3))
    def test_as_many_zeros_as_components(self, seed: int) -> None:
        """The Laplacian of a graph has one zero for each connected component."""
        A = components(6, 150, seed)
        w, v = self.eigsh(A, 8, which="SA", rng=seed)
        spectrum = np.linalg.eigvalsh(A.toarray())
        check_pairs(A, w, v, spectrum, "SA")
        assert (abs(w) < 1e-12 * spectrum[-1]).sum() == 6

    @pytest.mark.parametrize("k", [1, 40, 398, 399])
    def test_few_and_nearly_all(self, k: int) -> None:
        """From one pair to all but one."""
        A, spectrum = laplacian(self.grid, self.grid)
        w, v = self.eigsh(A, k if k < 100 else A.shape[0] - 400 + k, which="SA")
        check_pairs(A, w, v, spectrum, "SA")

    @pytest.mark.parametrize("n", [2, 3, 17])
    def test_tiny(self, n: int) -> None:
        """A matrix smaller than any block."""
        A, spectrum = laplacian(n)
        w, v = self.eigsh(A, n - 1, which="LM")
        check_pairs(A, w, v, spectrum, "LM")

    @pytest.mark.parametrize("char", "dD")
    def test_generalized(self, char: str) -> None:
        """``A x = λ M x``, with vectors orthonormal in the inner product of M."""
        if char not in self.eigsh_dtypes:
            pytest.skip("not declared")
        A = laplacian(self.grid + 2, self.grid + 3)[0].astype(char)
        n = A.shape[0]
        B = random_symmetric(n, 0.01, char)
        M = sp.csr_array(sp.eye_array(n) * (1 + abs(B).sum(axis=0).max()) + B)
        C = np.linalg.cholesky(M.toarray())
        half = np.linalg.solve(C, A.toarray())
        spectrum = np.linalg.eigvalsh(np.linalg.solve(C, half.conj().T))
        dense = M.toarray()
        ends = {"d": [("SA", M), ("LA", dense), ("LM", M), ("BE", dense)], "D": [("SA", dense)]}[char]
        for which, mass in ends:
            w, v, info = self.eigsh(A, 5, M=mass, which=which, return_info=True)
            check_pairs(A, w, v, spectrum, which, M, info.residual_norms)
        sigma, norm = float(spectrum[20:22].mean()), float(spectrum[-1])
        w, v, info = self.eigsh(A, 5, M=dense if char == "d" else M, sigma=sigma, return_info=True)
        allowed = 200 * float(np.finfo(float).eps) * norm
        expected = sigma + wanted(spectrum - sigma, 5, "SM")
        assert_near(f"the eigenvalues of A x = λ M x nearest to {sigma}", w, expected, allowed)
        check_vectors(A, w, v, norm, M, norms=info.residual_norms)
        assert_near("a dense M, after the calls,", dense, M.toarray(), 0)

    @pytest.mark.parametrize(("mode", "sign"), [("normal", 1), ("buckling", 1), ("cayley", 1), ("normal", -1)])
    def test_at_a_shift(self, mode: str, sign: int) -> None:
        """The eigenvalues that a spectral transformation makes the largest: those near `sigma`, with most modes."""
        # Between two eigenvalues, and so near to zero that the modes weigh those below and above it differently.
        spectrum, sigma = sign * 0.1 * np.arange(1, 401), sign * 1.04
        A = sp.diags_array(spectrum).tocsr()
        transformed = {
            "normal": 1 / (spectrum - sigma),
            "buckling": spectrum / (spectrum - sigma),
            "cayley": (spectrum + sigma) / (spectrum - sigma),
        }
        for which in ("LM", "LA"):
            keys = {"LM": -abs(transformed[mode]), "LA": -transformed[mode]}[which]
            arguments: dict[str, Any] = {"sigma": sigma, "mode": mode, "which": which}
            if which == "LM":
                w, v = self.eigsh(A, 5, **arguments)
                check_vectors(A, w, v, abs(spectrum[-1]), metric="A" if mode == "buckling" else "M")
            else:
                w = self.eigsh(A, 5, **arguments, return_eigenvectors=False)
            expected = np.sort(spectrum[np.argsort(keys, kind="stable")[:5]])
            allowed = 200 * float(np.finfo(float).eps) * abs(spectrum[-1])
            assert_near(f'the eigenvalues of {mode} mode at {sigma} with which="{which}"', w, expected, allowed)

    def test_what_the_caller_knows_is_used(self) -> None:
        """Eigenvectors as `v0` save the iterations; a `preconditioner` and an `OPinv` are applied."""
        A = laplacian(2 * self.grid, 2 * self.grid + 1)[0]
        v = self.eigsh(A, 5, which="SA")[1]
        self.eigsh(A, 5, which="SA", v0=v, maxiter=100, preconditioner=None)  # from a random start, 200 are too few
        for name, shift, arguments in (("preconditioner", 0.0, {"which": "SA"}), ("OPinv", 1.01, {"sigma": 1.01})):
            asked: list[tuple[int, ...]] = []
            solve = splu(sp.csc_array(A - shift * sp.eye_array(A.shape[0]))).solve

            def product(x: NDArray[Any], asked: Any = asked, solve: Any = solve) -> NDArray[Any]:
                asked.append(x.shape)
                return np.asarray(solve(np.ascontiguousarray(x)))

            inverse = LinearOperator(A.shape, matvec=product, matmat=product, dtype=A.dtype)
            _, _, info = self.eigsh(A, 5, **arguments, **{name: inverse}, return_info=True)
            assert asked or not info.iterations, f"{name} was not applied in {info.iterations} iterations"

    def test_the_smallest_in_magnitude(self) -> None:
        """`which` SM of a matrix with eigenvalues of both signs: in the middle of its spectrum."""
        spectrum = np.r_[-np.arange(1.0, 201.0), np.arange(0.5, 200.5)]
        A = sp.diags_array(spectrum).tocsr()
        w, v = self.eigsh(A, 5, which="SM")
        check_pairs(A, w, v, spectrum, "SM")

    def test_dense_matrices_and_operators(self) -> None:
        """A dense array, and a matrix known by its products alone."""
        A, spectrum = laplacian(self.grid, self.grid + 1)
        for form in (A.toarray(), np.asfortranarray(A.toarray()), aslinearoperator(A)):
            w, v = self.eigsh(form, 4, which="SA")
            check_pairs(A, w, v, spectrum, "SA")
            if isinstance(form, np.ndarray):
                assert_near("a dense A, after the call,", form, A.toarray(), 0)

    @pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
    def test_any_scale(self, scale: float) -> None:
        """Eigenvalues scale with the matrix, and nothing overflows on the way."""
        A, spectrum = laplacian(self.grid, self.grid + 1)
        w, v = self.eigsh(A * scale, 4, which="SA")
        check_pairs(A, w / scale, v, spectrum, "SA")

    def test_a_tolerance_is_kept(self) -> None:
        """A tolerance that is loose is met by every pair's true residual, and `info` reports it."""
        A, spectrum = laplacian(2 * self.grid, 2 * self.grid + 1)
        states: list[Any] = []
        w, v, info = self.eigsh(A, 5, which="LA", tol=1e-4, callback=states.append, return_info=True)
        true_norms = np.linalg.norm(A @ v - v * w, axis=0)
        assert (true_norms <= 1.0001e-4 * abs(w)).all()
        np.testing.assert_allclose(info.residual_norms, true_norms, rtol=0.01, atol=1e-11)
        np.testing.assert_allclose(w, wanted(spectrum, 5, "LA"), rtol=1e-4)
        seen = max((state.iteration for state in states), default=0)
        assert info.iterations == seen, f"info.iterations is {info.iterations}, and the callback saw {seen}"

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        """Solutions are deterministic."""
        A, _ = laplacian(self.grid + 5, self.grid + 6)
        first, second = (self.eigsh(A, 4, which="SA", rng=3) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])

    def test_every_further_device_has_eigenpairs(self) -> None:
        """Devices after the first one solve the same, in every arithmetic that they support."""
        if "eigsh" not in self.operations or len(self.devices()) == 1:
            pytest.skip("not declared, or one device alone")
        A, spectrum = laplacian(self.grid, self.grid + 1)
        for device in self.devices()[1:]:
            for char in self.eigsh_dtypes:
                if self.the_backend().supports(small_call("eigsh", np.eye(3, dtype=char)), device) is True:
                    w, v = dispatch.eigsh(A.astype(char), 3, which="SA", backend=device.name)
                    check_pairs(A, w, v, spectrum, "SA")

    def test_inputs_are_not_modified(self) -> None:
        """Neither the matrices nor the start vectors; dense matrices, the tests that have some."""
        A = random_symmetric(400)
        M = sp.diags_array(np.linspace(1, 2, 400)).tocsr()
        v0 = np.ones((400, 3))
        copies = [A.copy(), M.copy(), v0.copy()]
        self.eigsh(A, 3, M=M, v0=v0, which="LA")
        for after, before in zip((A, M), copies, strict=False):
            np.testing.assert_array_equal(after.data, before.data)
            np.testing.assert_array_equal(after.indices, before.indices)
        np.testing.assert_array_equal(v0, copies[2])

    def test_no_convergence_is_an_error_with_what_converged(self) -> None:
        """Too few iterations raise; the pairs in the error are right."""
        n = 9 * self.grid * self.grid
        spectrum = np.r_[0, 50, 100, 1000 + 0.001 * np.arange(n - 3)]  # three that converge soon, and the others late
        A = sp.diags_array(spectrum).tocsr()
        with pytest.raises(dispatch.NoConvergence) as caught:
            self.eigsh(A, 6, which="SA", maxiter=8, preconditioner=None)
        error, norm = caught.value, float(spectrum[-1])
        w, found = error.eigenvalues, error.approximations
        check_vectors(A, w, error.eigenvectors, norm, norms=error.residual_norms)
        values, vectors = found.eigenvalues, found.eigenvectors
        assert vectors.shape == (n, 6), f"the approximations have {vectors.shape[1]} vectors, expected 6"
        true_norms = np.linalg.norm(A @ vectors - vectors * values, axis=0)
        assert_near("the residual norms of the approximations", error.info.residual_norms, true_norms, 1e-12 * norm)
        accurate = true_norms <= 16 * float(np.finfo(float).eps) * norm * np.linalg.norm(vectors, axis=0)
        missing = np.setdiff1d(values[accurate], w)
        assert not len(missing), f"the eigenvalues {missing} converged, and the error does not have them"
        assert len(w) < 6, "the error has all the eigenvalues that were asked for"
        iterations = error.info.iterations
        assert 0 < iterations <= 8, f"info.iterations is {iterations}, expected at most maxiter=8, and one at least"

    def test_bad_matrices_are_refused(self) -> None:
        """No number comes back for a matrix without symmetry, with NaN or infinity, or with another shape."""
        A, _ = laplacian(20, 20)
        lopsided = A.copy()
        lopsided[0, 1] = 3
        with pytest.raises(ValueError, match="A is not symmetric"):
            self.eigsh(lopsided, 3)
        for bad in (np.nan, np.inf):
            broken = A.copy()
            broken.data[5] = bad
            with pytest.raises(ValueError, match="A contains NaN or infinity"):
                self.eigsh(broken, 3)
            with pytest.raises(ValueError, match="A: the operator returned NaN or infinity"):
                self.eigsh(aslinearoperator(broken), 3)
        with pytest.raises(ValueError, match="A has shape"):
            self.eigsh(A[:, :-1], 3)
        with pytest.raises(ValueError, match="k is 0"):
            self.eigsh(A, 0)

    def test_an_interrupted_solution_leaves_a_backend_that_works(self) -> None:
        """An error out of the caller's callback passes through, and the next call is right."""
        A, spectrum = laplacian(self.grid + 10, self.grid + 11)

        def fail(_: Any) -> None:
            raise KeyError("from the callback")

        with pytest.raises(KeyError, match="from the callback"):
            self.eigsh(A, 3, which="SA", callback=fail)
        w, v = self.eigsh(A, 3, which="SA")
        check_pairs(A, w, v, spectrum, "SA")
