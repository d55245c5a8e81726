"""`eigsh` against known spectra and dense LAPACK: every kind of matrix, arithmetic and end of the spectrum."""

import contextlib

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

from .problems import components, laplacian, load, on_every_real_matrix, random_symmetric


def wanted(spectrum, k, which):
    spectrum = np.sort(spectrum)
    if which == "BE":
        return np.concatenate([spectrum[: k // 2], spectrum[len(spectrum) - (k + 1) // 2 :]])
    keys = {"SA": spectrum, "LA": -spectrum, "LM": -abs(spectrum), "SM": abs(spectrum)}[which]
    return np.sort(spectrum[np.argsort(keys, kind="stable")[:k]])


def check(A, w, v, spectrum, k, which, tolerance, M=None):
    """Assert that the pairs are right: values, residuals, orthonormality, all against the norm of the matrix."""
    A = A.toarray() if sp.issparse(A) else np.asarray(A)
    A = A.astype(np.result_type(A, float))
    M = np.eye(len(A)) if M is None else M.toarray()
    norm = max(abs(spectrum).max(), 1e-300)
    assert w.shape == (k,)
    assert v.shape == (len(A), k)
    assert (np.diff(w) >= 0).all()
    np.testing.assert_allclose(w, wanted(spectrum, k, which), rtol=0, atol=tolerance * norm)
    residuals = np.linalg.norm(A @ v - M @ v * w, axis=0)
    assert residuals.max() <= tolerance * norm * np.linalg.norm(v, axis=0).max()
    assert abs(v.conj().T @ M @ v - np.eye(k)).max() < 100 * np.finfo(v.dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("which", ["SA", "LA", "LM", "BE"])
def test_random_matrices(dtype, which):
    A = random_symmetric(700, dtype=dtype)
    w, v, info = dispatch.eigsh(A, k=7, which=which, return_info=True)
    assert info.method == "lobpcg"
    assert w.dtype == np.dtype(dtype).char.lower()
    assert v.dtype == dtype
    spectrum = np.linalg.eigvalsh(A.toarray().astype(np.result_type(dtype, float)))
    check(A, w, v, spectrum, 7, which, 64 * np.finfo(dtype).eps)


@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
@pytest.mark.parametrize("sizes", [(40, 41), (30, 30), (11, 11, 11)], ids=str)
def test_laplacians(sizes, which):
    A, spectrum = laplacian(*sizes)
    w, v = dispatch.eigsh(A, k=10, which=which)
    check(A, w, v, spectrum, 10, which, 1e-13)


FORMS = {
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "bsr": sp.bsr_array,
    "dia": sp.dia_array,
    "lil": sp.lil_array,
    "dok": sp.dok_array,
    "dense": lambda A: A.toarray(),
    "fortran": lambda A: np.asfortranarray(A.toarray()),
    "list": lambda A: A.toarray().tolist(),
    "operator": sla.aslinearoperator,
    "matvec only": lambda A: sla.LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=A.dtype),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_matrix_gives_the_same(form):
    A, spectrum = laplacian(17, 18)
    w, v, info = dispatch.eigsh(FORMS[form](A), k=4, which="SA", return_info=True)
    assert info.method == "lobpcg"
    check(A, w, v, spectrum, 4, "SA", 1e-13)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16])
def test_other_types_are_computed_in_a_wider_one(dtype):
    A = (abs(random_symmetric(300).toarray()) > 0.5).astype(dtype)
    w, v = dispatch.eigsh(A, k=4)
    assert v.dtype == np.float64
    check(A, w, v, np.linalg.eigvalsh(A.astype(float)), 4, "LM", 1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("which", ["LM", "SM", "LA", "SA", "BE"])
def test_small_orders(n, which):
    A = random_symmetric(max(n, 2), density=0.9).toarray()[:n, :n]
    for k in {1, n // 2, n - 1} - {0}:
        with pytest.warns(RuntimeWarning, match="the whole spectrum") if k >= n else contextlib.nullcontext():
            w, v = dispatch.eigsh(A, k=k, which=which)
        check(A, w, v, np.linalg.eigvalsh(A), k, which, 1e-13)


MULTIPLE = {
    "zero": (sp.csr_array((400, 400)), np.zeros(400)),
    "identity": (sp.eye_array(400).tocsr(), np.ones(400)),
    "diagonal": (sp.diags_array(np.repeat(np.arange(40.0), 10)).tocsr(), np.repeat(np.arange(40.0), 10)),
    "rank one": (np.ones((400, 400)), np.r_[np.zeros(399), 400.0]),
    "indefinite pairs": (
        sp.diags_array(np.r_[-np.arange(200.0), np.arange(200.0)]).tocsr(),
        np.r_[-np.arange(200.0), np.arange(200.0)],
    ),
    "two values": (sp.diags_array(np.repeat([1.0, 3.0], 200)).tocsr(), np.repeat([1.0, 3.0], 200)),
}


@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
@pytest.mark.parametrize("name", MULTIPLE)
def test_multiple_eigenvalues(name, which):
    A, spectrum = MULTIPLE[name]
    w, v = dispatch.eigsh(A, k=6, which=which)
    check(A, w, v, spectrum, 6, which, 1e-13)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 0])
def test_no_member_of_a_cluster_is_missed(seed, tol):
    A, spectrum = laplacian(12, 12, 12)  # triple and six-fold eigenvalues
    w = dispatch.eigsh(A, k=10, which="SA", tol=tol, rng=seed)[0]
    np.testing.assert_allclose(w, spectrum[:10], rtol=max(tol, 1e-12))
    graph = components(6, 100)
    w = dispatch.eigsh(graph, k=8, which="SA", tol=tol, rng=seed)[0]
    assert np.count_nonzero(abs(w) < 1e-10) == 6


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e-6, 1e6, 1e100, 1e150])
def test_the_scale_of_the_matrix_does_not_matter(scale):
    A, spectrum = laplacian(20, 21)
    w, v, info = dispatch.eigsh(A * scale, k=5, which="SA", return_info=True)
    np.testing.assert_allclose(w, spectrum[:5] * scale, rtol=1e-12)
    assert abs(v.T @ v - np.eye(5)).max() < 1e-13
    assert info.residual_norms.max() <= 1e-13 * scale * spectrum[-1]


def test_a_generalized_problem():
    A, _ = laplacian(18, 19)
    M = sp.csr_array(sp.kron(laplacian(18)[0] + 3 * sp.eye_array(18), laplacian(19)[0] + 3 * sp.eye_array(19)))
    import scipy.linalg

    spectrum = scipy.linalg.eigvalsh(A.toarray(), M.toarray())
    w, v, info = dispatch.eigsh(A, k=4, M=M, which="LA", return_info=True)
    assert info.method == "lobpcg"
    check(A, w, v, spectrum, 4, "LA", 1e-11, M)
    with pytest.raises(ValueError, match="M is not positive definite"):
        dispatch.eigsh(A, k=4, M=-M, which="LA")


def test_the_same_call_gives_the_same_bits_and_leaves_its_input_alone():
    A = random_symmetric(600)
    before = A.copy()
    v0 = np.ones(600)
    state = np.random.get_state()[1].copy()
    first = dispatch.eigsh(A, k=5, v0=v0)
    second = dispatch.eigsh(A, k=5, v0=v0)
    assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))
    assert (A != before).nnz == 0
    assert (v0 == 1).all()
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("which", ["LM", "SM", "LA", "SA", "BE"])
def test_the_order_of_values_is_scipys(which):
    A = np.diag([-9.0, -7, -5, 0.2, 0.15, -0.05, 0.1, 6, 8, 10])
    for vectors in (True, False):
        ours = dispatch.eigsh(A, k=4, which=which, return_eigenvectors=vectors)
        theirs = sla.eigsh(A, k=4, which=which, return_eigenvectors=vectors)
        np.testing.assert_allclose(ours[0] if vectors else ours, theirs[0] if vectors else theirs, atol=1e-12)


@pytest.mark.parametrize("preconditioner", [None, "jacobi", "chebyshev", "matrix", "operator", "function"])
def test_preconditioners(preconditioner):
    A, spectrum = laplacian(20, 21)
    A = A + sp.diags_array(np.linspace(0, 5, 420))
    inverse = sp.diags_array(1 / A.diagonal()).tocsr()
    given = {"matrix": inverse, "operator": sla.aslinearoperator(inverse), "function": lambda R: inverse @ R}
    w, v, info = dispatch.eigsh(
        A, k=4, which="SA", preconditioner=given.get(preconditioner, preconditioner), return_info=True
    )
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 4, "SA", 1e-13)
    assert info.preconditioner.startswith(
        {None: "none", "jacobi": "jacobi", "chebyshev": "chebyshev"}.get(preconditioner, "given")
    )


def test_info_tells_what_happened():
    A, _ = laplacian(30, 31)
    seen = []
    w, v, info = dispatch.eigsh(A, k=4, which="SA", callback=seen.append, return_info=True)
    assert (info.backend, info.device, info.status) == ("cpu", "cpu:0", "converged")
    assert len(info.history) == info.iterations + 1 == len(seen)
    assert info.history[-1].converged == 4
    assert [state.iteration for state in seen] == list(range(len(seen)))
    np.testing.assert_allclose(info.residual_norms, np.linalg.norm(A @ v - v * w, axis=0), atol=1e-14)
    assert info.operator_applications > info.history[-1].operator_applications


def test_a_run_that_does_not_converge_raises_with_what_did():
    A, spectrum = laplacian(40, 41)
    with pytest.raises(
        dispatch.NoConvergence, match="the iterations are used up; the largest residual norm is"
    ) as caught:
        dispatch.eigsh(A, k=10, which="SA", maxiter=8)
    error = caught.value
    assert (error.info.backend, error.info.device) == ("cpu", "cpu:0")
    assert isinstance(error, sla.ArpackNoConvergence)
    assert len(error.eigenvalues) == error.eigenvectors.shape[1] == len(error.residual_norms) < 10
    assert error.info.status == "maxiter"
    np.testing.assert_allclose(np.sort(error.eigenvalues), spectrum[: len(error.eigenvalues)], rtol=1e-9)
    with pytest.raises(dispatch.NoConvergence, match="the callback stopped it"):
        dispatch.eigsh(A, k=10, which="SA", callback=lambda state: state.iteration == 2)


def test_a_residual_that_is_inaccurate_when_computed_anew_leaves_room_for_guards():
    # Whether the run's own residuals are within their limits then is up to rounding: it may not cost an iteration.
    A, _ = laplacian(25, 25)
    factors = (1e-60, 1e-12, 1e-3, 1.0, 1.7, 3.0, 7.0, 11.0, 13.0, 1e3, 1e50, 1e100)
    assert max(dispatch.eigsh(c * A, 10, tol=1e-8, return_info=True)[2].iterations for c in factors) == 6


def test_smallest_magnitude_of_a_matrix_without_negative_eigenvalues():
    for A in (components(6, 100), laplacian(20, 21)[0], laplacian(20, 21)[0].toarray()):
        w, v = dispatch.eigsh(A, k=8, which="SM")
        dense = A if isinstance(A, np.ndarray) else A.toarray()
        check(A, w, v, np.linalg.eigvalsh(dense), 8, "SM", 1e-13)


A400, _ = laplacian(20, 20)
REFUSED = {
    "not square": (dict(A=np.ones((3, 4))), ValueError, r"A has shape \(3, 4\), expected a square matrix"),
    "empty": (dict(A=np.ones((0, 0))), ValueError, "expected a square matrix"),
    "vector": (dict(A=np.ones(4)), ValueError, "expected a square matrix"),
    "text": (dict(A=np.full((3, 3), "a")), TypeError, "expected a numeric one"),
    "longdouble": (
        dict(A=np.eye(9, dtype=np.longdouble)),
        ValueError,
        "expected float32, float64, complex64 or complex128",
    ),
    "k zero": (dict(k=0), ValueError, "k is 0, expected 1 <= k < n = 400"),
    "k no integer": (dict(k=2.5), TypeError, "k is 2.5, expected an integer"),
    "k of sparse": (dict(k=400), TypeError, r"k is 400, expected k < n = 400 for a sparse matrix"),
    "which": (dict(which="LR"), ValueError, "which is 'LR', expected one of LM, SM, LA, SA, BE"),
    "mode": (dict(mode="other"), ValueError, "mode is 'other', expected one of normal, buckling, cayley"),
    "v0 length": (dict(v0=np.ones(10)), ValueError, r"v0 has shape \(10,\), expected \(400,\)"),
    "v0 NaN": (dict(v0=np.full(400, np.nan)), ValueError, "v0 contains NaN or infinity"),
    "v0 complex": (dict(v0=np.ones(400) * 1j), ValueError, "v0 is complex and A is real"),
    "ncv": (dict(ncv=6), ValueError, "ncv is 6, expected more than k = 6"),
    "maxiter": (dict(maxiter=0), ValueError, "maxiter is 0, expected at least 1"),
    "tol": (dict(tol=np.nan), ValueError, "tol is nan, expected a finite number"),
    "M shape": (dict(M=np.eye(3)), ValueError, r"M has shape \(3, 3\), expected \(400, 400\)"),
    "OPinv": (dict(OPinv=np.eye(400)), ValueError, "OPinv is given without sigma"),
    "Minv": (dict(Minv=np.eye(400)), ValueError, "Minv is given without M"),
    "preconditioner name": (dict(preconditioner="ilu"), ValueError, "preconditioner is 'ilu', expected one of 'auto'"),
    "preconditioner shape": (dict(preconditioner=np.eye(3)), ValueError, r"preconditioner has shape \(3, 3\)"),
    "NaN": (dict(A=A400 * np.nan), ValueError, "A contains NaN or infinity in 1920 of its elements"),
    "infinite dense": (dict(A=np.full((9, 9), np.inf)), ValueError, "A contains NaN or infinity in 81"),
    "nonsymmetric": (dict(A=sp.triu(A400)), ValueError, "A is not symmetric: A and its transpose differ by 1, where"),
    "symmetric but not Hermitian": (dict(A=A400 * (1 + 1j)), ValueError, "A is not Hermitian"),
    "nonsymmetric operator": (dict(A=sla.aslinearoperator(sp.triu(A400).tocsr())), ValueError, "A is not symmetric"),
    "nonsymmetric M": (dict(M=sp.triu(A400)), ValueError, "M is not symmetric"),
    "operator NaN": (
        dict(A=sla.aslinearoperator(A400 * np.nan)),
        ValueError,
        "A: the operator returned NaN or infinity",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    arguments, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        dispatch.eigsh(**{"A": A400, **arguments})


def test_an_operator_that_turns_to_nan_in_the_middle_is_an_error():
    calls = []

    def matmat(X):
        calls.append(X)
        return A400 @ X * (np.nan if len(calls) > 20 else 1)

    operator = sla.LinearOperator((400, 400), matvec=matmat, matmat=matmat, dtype=float)
    with pytest.raises(ValueError, match="the operator returned NaN or infinity for a finite block of vectors"):
        dispatch.eigsh(operator, k=3, which="SA")


@on_every_real_matrix
def test_real_matrices(name, which):
    assert_right(*load(name), which)


def assert_right(A, spectrum, which, **arguments):
    """Assert that the wanted pairs are those of the reference, that none is missing, and that they are orthonormal."""
    k = min(10, A.shape[0] - 1)
    w, v, info = dispatch.eigsh(A, k=k, which=which, return_info=True, **arguments)
    norm = abs(spectrum).max()
    np.testing.assert_allclose(w, wanted(spectrum, k, which), rtol=0, atol=1e-9 * norm)
    # Residuals by NumPy, not by the solver: within the promised limit, whose norm may be known a little less well.
    residuals = np.linalg.norm(A @ v - v * w, axis=0)
    assert residuals.max() <= (32 if info.status == "converged" else 100) * 1.1 * np.finfo(v.dtype).eps * norm
    assert abs(v.conj().T @ v - np.eye(k)).max() < 1e-12
