"""`eigsh` with `sigma`, and with SM: every mode, end, form and arithmetic, against the whole spectrum by LAPACK."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch
from dispatch.solvers import shift_without_inverse, way_to_shift

from .problems import components, laplacian, load, random_symmetric, real_matrices

N = 300
FORMS = {"sparse": lambda A: A, "dense": lambda A: A.toarray(), "operator": sla.aslinearoperator}


def definite(n, dtype=float, seed=0):
    B = random_symmetric(n, density=0.02, dtype=dtype, seed=seed)
    return sp.csr_array(B @ B.conj().T + sp.diags_array(np.linspace(1, 3, n))).astype(dtype)


def transformed(values, sigma, mode):
    return {
        "normal": lambda: 1 / (values - sigma),
        "cayley": lambda: (values + sigma) / (values - sigma),
        "buckling": lambda: values / (values - sigma),
    }[mode]()


def wanted(values, which, k, nu=None):
    """Return the k values that are wanted by what a transformation makes of them, in ascending order."""
    nu = values if nu is None else nu
    if which == "BE":
        ascending = np.argsort(nu)
        return np.sort(values[np.r_[ascending[: k // 2], ascending[len(nu) - (k + 1) // 2 :]]])
    keys = {"SA": nu, "LA": -nu, "LM": -abs(nu), "SM": abs(nu)}[which]
    return np.sort(values[np.argsort(keys, kind="stable")[:k]])


def check(A, M, w, v, expected, eps, metric=None):
    """Assert values, residuals in units of the matrices' norms, and orthonormality in the metric."""
    A, M = (P.toarray() if sp.issparse(P) else np.asarray(P) for P in (A, M))
    norm, norm_M = np.linalg.norm(A, 2), np.linalg.norm(M, 2)
    size = norm + norm_M * abs(expected).max()
    np.testing.assert_allclose(w, expected, rtol=0, atol=300 * eps * size * np.linalg.norm(np.linalg.inv(M), 2))
    residuals = np.linalg.norm(A @ v - M @ v * w, axis=0)
    assert (residuals <= 100 * eps * (norm + norm_M * abs(w)) * np.linalg.norm(v, axis=0)).all()
    gram = v.conj().T @ (M if metric is None else metric) @ v
    assert abs(gram - np.eye(len(w))).max() < 1000 * eps


@pytest.mark.parametrize("generalized", [False, True], ids=["standard", "generalized"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["normal", "cayley"])
@pytest.mark.parametrize("which", ["LM", "SM", "LA", "SA", "BE"])
def test_every_end_of_the_transformed_spectrum(which, mode, form, generalized):
    A = random_symmetric(N, density=0.02)
    M = definite(N) if generalized else sp.eye_array(N).tocsr()
    values = scipy.linalg.eigvalsh(A.toarray(), M.toarray())
    sigma = 0.1 if generalized else 0.4
    given = {"M": FORMS[form](M)} if generalized else {}
    w, v, info = dispatch.eigsh(FORMS[form](A), 4, sigma=sigma, mode=mode, which=which, return_info=True, **given)
    assert info.status == "converged"
    if which != "SM":
        assert info.method == "lobpcg"
        assert info.transformation.startswith(mode)
    check(A, M, w, v, wanted(values, which, 4, transformed(values, sigma, mode)), np.finfo(float).eps)


@pytest.mark.parametrize("which", ["LM", "SM", "LA", "SA", "BE"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_buckling(which, dtype):
    stiffness, geometric = definite(N, dtype, 3), random_symmetric(N, density=0.02, dtype=dtype)
    values = 1 / scipy.linalg.eigvalsh(geometric.toarray(), stiffness.toarray())
    w, v = dispatch.eigsh(stiffness, 4, M=geometric, sigma=-1.1, mode="buckling", which=which)
    np.testing.assert_allclose(w, wanted(values, which, 4, transformed(values, -1.1, "buckling")), rtol=1e-10)
    residuals = np.linalg.norm(stiffness @ v - geometric @ v * w, axis=0) / np.linalg.norm(stiffness @ v, axis=0)
    assert residuals.max() < 1e-12
    # As in SciPy, the inner product of this mode is that of A.
    assert abs(v.conj().T @ (stiffness @ v) - np.eye(4)).max() < 1e-12


@pytest.mark.parametrize("mode", ["normal", "cayley"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_other_arithmetics(dtype, mode):
    A, M = random_symmetric(N, density=0.02, dtype=dtype), definite(N, dtype)
    values = scipy.linalg.eigvalsh(A.toarray().astype(complex), M.toarray().astype(complex))
    for which in ("LM", "BE"):
        w, v = dispatch.eigsh(A, 4, M=M, sigma=-0.3, mode=mode, which=which)
        assert (w.dtype, v.dtype) == (np.dtype(dtype).char.lower(), dtype)
        check(A, M, w, v, wanted(values, which, 4, transformed(values, -0.3, mode)), np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("mode", ["normal", "cayley", "buckling"])
def test_small_orders_are_scipys(n, mode):
    A = sp.diags_array(np.arange(1.0, n + 1)).toarray() + 0.1
    for which in ("LM", "SM", "LA", "SA", "BE"):
        for k in {1, n // 2, n - 1} - {0, n} - ({1} if which == "BE" else set()):  # ARPACK refuses BE for one
            ours, theirs = (
                eigsh(A, k, sigma=1.6, mode=mode, which=which, **more)
                for eigsh, more in ((dispatch.eigsh, {}), (sla.eigsh, {"rng": 0}))
            )
            np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
            values = dispatch.eigsh(A, k, sigma=1.6, mode=mode, which=which, return_eigenvectors=False)
            np.testing.assert_allclose(values, ours[0], rtol=1e-10)


SINGULAR = {
    "laplacian of a graph": (components(3, 120), 0.0, 3),
    "an exact eigenvalue": (sp.diags_array(np.repeat(np.arange(30.0), 12)).tocsr(), 7.0, 12),
    "zero": (sp.csr_array((400, 400)), 0.0, 6),
    "identity": (sp.eye_array(400).tocsr(), 1.0, 6),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SINGULAR)
def test_a_shift_that_is_an_eigenvalue(name, form):
    A, sigma, multiplicity = SINGULAR[name]
    values = np.linalg.eigvalsh(A.toarray())
    k = min(multiplicity, 14)
    w, v, info = dispatch.eigsh(FORMS[form](A), k, sigma=sigma, return_info=True)
    check(A, np.eye(A.shape[0]), w, v, wanted(values, "LM", k, -abs(values - sigma) + 1e9), np.finfo(float).eps)
    if info.method == "lobpcg":
        assert "sigma is an eigenvalue to working precision and was moved to" in info.transformation


@pytest.mark.parametrize("n", [60, 400])
def test_a_semidefinite_mass_matrix(n):
    A = laplacian(n // 20, 20)[0]
    M = sp.diags_array(np.r_[np.zeros(n // 3), np.linspace(1, 2, n - n // 3)]).tocsr()
    # The finite eigenvalues are those of the Schur complement on the part that has mass.
    D, z = A.toarray(), n // 3
    schur = D[z:, z:] - D[z:, :z] @ np.linalg.solve(D[:z, :z], D[:z, z:])
    values = scipy.linalg.eigvalsh(schur, M.toarray()[z:, z:])
    for sigma, which, mode in (
        (0.0, "LM", "normal"),
        (0.7, "LM", "normal"),
        (0.7, "LA", "normal"),
        (0.7, "BE", "cayley"),
    ):
        w, v = dispatch.eigsh(A, 5, M=M, sigma=sigma, which=which, mode=mode)
        np.testing.assert_allclose(w, wanted(values, which, 5, transformed(values, sigma, mode)), rtol=1e-10)
        assert np.linalg.norm(A @ v - M @ v * w, axis=0).max() < 1e-11
        assert abs(v.T @ M @ v - np.eye(5)).max() < 1e-11


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [100, 380])
@pytest.mark.parametrize("form", ["diagonal", "projection"])
def test_a_semidefinite_mass_matrix_and_eigenvalues_close_to_one_another(form, rank, dtype):
    # Tens of iterations, in each of which what M does not see grows where it is left alone.
    n, rng = 400, np.random.default_rng(rank)
    A = random_symmetric(n, density=0.01) * 0.02 + sp.diags_array(np.linspace(1, 1.5, n))
    if form == "diagonal":
        M = sp.diags_array(np.r_[np.zeros(n - rank), np.ones(rank)]).tocsr().astype(dtype)
    else:
        Q = np.linalg.qr(rng.standard_normal((n, n)))[0][:, :rank]
        M = (Q @ Q.T + (Q @ Q.T).T).astype(dtype) / 2
    A = sp.csr_array((A + A.T) / 2).astype(dtype)
    w, v, info = dispatch.eigsh(A, 4, M=M, sigma=0.0, return_info=True)
    mass, stiffness = (P.toarray().astype(float) if sp.issparse(P) else P.astype(float) for P in (M, A))
    inverse = np.linalg.inv(np.linalg.cholesky(stiffness))
    right = 1 / np.linalg.eigvalsh(inverse @ mass @ inverse.T)[::-1][:4]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(w, right, rtol=100 * eps)
    assert (info.method, info.status) == ("lobpcg", "converged")
    assert np.linalg.norm(A @ v - M @ v * w, axis=0).max() < 100 * eps
    assert abs(v.T @ M @ v - np.eye(4)).max() < 100 * eps


def test_an_inner_iteration_where_factors_do_not_fit(monkeypatch):
    monkeypatch.setattr(way_to_shift, "available_memory", lambda: 1e3)
    monkeypatch.setattr(way_to_shift, "DENSE_FACTORS_BELOW", 0)
    for dtype, form, generalized in ((float, "sparse", True), (float, "operator", False), (complex, "sparse", False)):
        A = random_symmetric(N, density=0.02, dtype=dtype) + sp.diags_array(np.linspace(-9, 9, N))
        M = definite(N, dtype) if generalized else sp.eye_array(N).tocsr()
        values = scipy.linalg.eigvalsh(A.toarray(), M.toarray())
        given = {"M": FORMS[form](M)} if generalized else {}
        w, v, info = dispatch.eigsh(FORMS[form](A), 3, sigma=0.1, return_info=True, tol=1e-9, **given)
        assert "MINRES" in info.transformation
        assert info.solves > 10
        np.testing.assert_allclose(w, wanted(values, "LM", 3, transformed(values, 0.1, "normal")), rtol=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_all_eigenvalues_on_one_side_need_no_inverse(monkeypatch, sign):
    monkeypatch.setattr(way_to_shift, "available_memory", lambda: 1e3)
    A, spectrum = laplacian(20, 21)
    for form in (lambda A: A, sla.aslinearoperator):
        monkeypatch.setattr(way_to_shift, "DENSE_FACTORS_BELOW", 0)
        w, _, info = dispatch.eigsh(form(sign * A), 5, sigma=0.0, return_info=True)
        np.testing.assert_allclose(np.sort(sign * w), spectrum[:5], rtol=1e-11)
        assert info.solves == 0
        assert info.transformation.startswith(
            f"none: the eigenvalues nearest to sigma are the {'smallest' if sign == 1 else 'largest'}"
        )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [float, complex])
def test_smallest_magnitude_of_an_indefinite_matrix(form, dtype):
    A = random_symmetric(N, density=0.02, dtype=dtype)
    values = np.linalg.eigvalsh(A.toarray())
    w, v, info = dispatch.eigsh(FORMS[form](A), 4, which="SM", return_info=True)
    check(A, np.eye(N), w, v, wanted(values, "SM", 4), np.finfo(float).eps)
    assert info.transformation.startswith("normal, factors of A - sigma M")
    values = dispatch.eigsh(FORMS[form](A), 4, which="SM", return_eigenvectors=False)
    np.testing.assert_allclose(values, w[np.argsort(-abs(w))], rtol=1e-10)


def test_the_inverse_of_the_caller_is_used_and_checked():
    A, spectrum = laplacian(20, 21)
    factors = sla.splu((A - 1.3 * sp.eye_array(420)).tocsc())
    calls = []

    def solve(x):
        calls.append(1)
        return factors.solve(x)

    OPinv = sla.LinearOperator(A.shape, matvec=solve, matmat=solve, dtype=float)
    w, v, info = dispatch.eigsh(A, 4, sigma=1.3, OPinv=OPinv, return_info=True)
    np.testing.assert_allclose(w, wanted(spectrum, "LM", 4, 1 / (spectrum - 1.3)), rtol=1e-12)
    assert "OPinv, given by the caller" in info.transformation
    assert calls
    with pytest.raises(ValueError, match=r"OPinv is not the inverse of A - sigma M: \(A - sigma M\) OPinv b differs"):
        dispatch.eigsh(A, 4, sigma=1.4, OPinv=OPinv)


def test_an_inverse_that_is_only_near_is_refined_or_found_out():
    A, spectrum = laplacian(20, 21)
    factors = sla.splu((A - 1.3 * sp.eye_array(420)).tocsc())
    noise = random_symmetric(420, seed=4)
    OPinv = sla.LinearOperator(A.shape, matvec=lambda x: factors.solve(x) + 1e-6 * (noise @ x), dtype=float)
    w = dispatch.eigsh(A, 4, sigma=1.3, OPinv=OPinv)[0]
    np.testing.assert_allclose(w, wanted(spectrum, "LM", 4, 1 / (spectrum - 1.3)), rtol=1e-12)
    rng = np.random.default_rng(0)
    OPinv = sla.LinearOperator(A.shape, matvec=lambda x: factors.solve(x) + 1e-3 * rng.standard_normal(x.shape))
    with pytest.raises(dispatch.NoConvergence, match="the iterations are used up"):
        dispatch.eigsh(A, 4, sigma=1.3, OPinv=OPinv, maxiter=30)


def test_a_transformed_run_can_be_watched_and_stopped():
    A, _ = laplacian(20, 21)
    seen = []
    w, _, info = dispatch.eigsh(A, 4, sigma=1.3, callback=seen.append, return_info=True)
    assert len(seen) == len(info.history) == info.iterations + 1
    np.testing.assert_allclose(np.sort(seen[-1].ritz_values), w, rtol=1e-9)
    with pytest.raises(dispatch.NoConvergence, match="the callback stopped it") as caught:
        dispatch.eigsh(A, 4, sigma=1.3, callback=lambda state: True)
    assert caught.value.info.status == "stopped"
    assert caught.value.approximations.eigenvalues.shape == (4,)


def test_a_tolerance_is_met_by_the_residuals():
    A, spectrum = laplacian(30, 31)
    for tol in (1e-3, 1e-6, 1e-10):
        w, v, info = dispatch.eigsh(A, 5, sigma=2.2, tol=tol, return_info=True)
        assert (np.linalg.norm(A @ v - v * w, axis=0) <= np.maximum(tol * abs(w), 1e-13)).all()
        np.testing.assert_allclose(w, wanted(spectrum, "LM", 5, 1 / (spectrum - 2.2)), rtol=tol)


@pytest.mark.parametrize("scale", [1e-120, 1e-6, 1e6, 1e120])
def test_scale_does_not_matter(scale):
    A, spectrum = laplacian(20, 21)
    w = dispatch.eigsh(A * scale, 4, sigma=1.3 * scale)[0]
    np.testing.assert_allclose(w, scale * wanted(spectrum, "LM", 4, 1 / (spectrum - 1.3)), rtol=1e-11)


REFUSED = {
    "M null with A": (
        dict(A=sp.diags_array(np.r_[0.0, 0.0, np.ones(398)]), M=sp.diags_array(np.r_[0.0, 0.0, np.ones(398)])),
        "A - sigma M is singular for sigma = 0.5 and for shifts nearby",
    ),
    "indefinite M": (dict(M=sp.diags_array(np.r_[-np.ones(9), np.ones(391)])), "M is not positive semidefinite"),
    "indefinite A": (
        dict(A=laplacian(20, 20)[0] - 4 * sp.eye_array(400), mode="buckling"),
        "A is not positive semidefinite: it has an eigenvalue of -1 times its norm",
    ),
    "cayley at zero": (dict(sigma=0, mode="cayley"), "sigma is 0, and mode 'cayley' then maps every eigenvalue to 1"),
    "Minv": (dict(Minv=np.eye(400)), "Minv is given with sigma"),
    "sigma NaN": (dict(sigma=np.nan), "sigma is nan, expected a finite number"),
    "OPinv shape": (dict(OPinv=np.eye(3)), r"OPinv has shape \(3, 3\), expected \(400, 400\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        dispatch.eigsh(**{"A": laplacian(20, 20)[0], "sigma": 0.5, **arguments})


@pytest.mark.skipif(not real_matrices(), reason="the folder of real matrices is not there")
@pytest.mark.parametrize("name", [name for name in real_matrices() if load(name)[0].shape[0] > 200])
def test_real_matrices_inside_their_spectra(name):
    A, spectrum = load(name)
    norm = abs(spectrum).max()
    for sigma in (0.0, float(np.median(spectrum)), float(spectrum[len(spectrum) // 3] + 1e-3 * norm)):
        w, v = dispatch.eigsh(A, 6, sigma=sigma)
        distances = np.sort(abs(spectrum - sigma))[:6]
        np.testing.assert_allclose(np.sort(abs(w - sigma)), distances, rtol=0, atol=1e-11 * norm)
        assert np.linalg.norm(A @ v - v * w, axis=0).max() <= 1e-12 * norm
        assert abs(v.conj().T @ v - np.eye(6)).max() < 1e-12


@pytest.mark.skipif(not real_matrices(), reason="the folder of real matrices is not there")
@pytest.mark.parametrize(("stiffness", "mass"), [("lund_a", "lund_b"), ("bcsstk01", "bcsstm01")])
def test_real_pencils(stiffness, mass):
    A, M = load(stiffness)[0], load(mass)[0]
    inverse = np.sort(scipy.linalg.eigvalsh(M.toarray(), A.toarray()))
    w, v = dispatch.eigsh(A, 6, M=M, sigma=0.0)
    np.testing.assert_allclose(w, 1 / inverse[::-1][:6], rtol=1e-9)
    assert abs(v.T @ M @ v - np.eye(6)).max() < 1e-9


@pytest.mark.parametrize("arguments", [{"which": "SM"}, {"sigma": 0.0}, {"sigma": 1e-6}])
@pytest.mark.parametrize("n", [60, 400])
def test_single_precision_does_not_move_a_shift_past_eigenvalues(n, arguments):
    d = np.logspace(-6, 0, n)
    d[1::2] *= -1
    turn = sp.block_diag([np.array([[0.6, 0.8], [-0.8, 0.6]])] * (n // 2), format="csr")
    A = sp.csr_array(turn @ sp.diags_array(d) @ turn.T).astype(np.float32)
    A = sp.csr_array((A + A.T) / 2)
    right = np.linalg.eigvalsh(A.toarray().astype(float))
    right = np.sort(right[np.argsort(abs(right - arguments.get("sigma", 0.0)))[:3]])
    w = dispatch.eigsh(A, 3, **arguments)[0]
    np.testing.assert_allclose(np.sort(w), right, rtol=1e-5)


@pytest.mark.parametrize("spectrum", ["integers", "half zero"])
def test_a_shift_at_a_multiple_eigenvalue_in_single_precision(spectrum):
    # Corrections by an inverse at an eigenvalue may all go its way: they are dependent, and not to be taken.
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    integers = rng.integers(-3, 4, 300).astype(float)
    d = integers if spectrum == "integers" else np.r_[np.zeros(150), rng.standard_normal(150)]
    A = (Q * d @ Q.T).astype(np.float32)
    A = (A + A.T) / 2
    right = np.linalg.eigvalsh(A.astype(float))
    w, v, info = dispatch.eigsh(A, 10, sigma=right[75], return_info=True)
    assert info.status == "converged"
    distances = np.sort(abs(right - right[75]))[:10]
    np.testing.assert_allclose(np.sort(abs(w - right[75])), distances, atol=1e-5)
    assert np.linalg.norm(A.astype(float) @ v - v * w, axis=0).max() < 64 * np.finfo(np.float32).eps * abs(right).max()


def test_what_is_farthest_from_a_huge_shift_is_accurate_for_A():
    # A - sigma M is so much larger than A that the promise for it would say little of A's small eigenvalues.
    A = laplacian(300)[0]
    M = sp.diags_array(np.logspace(0, -2, 300), format="csr")
    w, v, info = dispatch.eigsh(A, 4, M=M, sigma=1e5, which="SM", return_info=True)
    np.testing.assert_allclose(w, scipy.linalg.eigvalsh(A.toarray(), M.toarray())[:4], rtol=1e-6)
    limits = 32 * np.finfo(float).eps * (4 + abs(w)) * np.linalg.norm(v, axis=0)
    assert (np.linalg.norm(A @ v - M @ v * w, axis=0) <= limits).all()
    assert info.status == "converged"


def test_what_a_huge_shift_hides_is_no_answer(monkeypatch):
    A, M = laplacian(300)[0], sp.diags_array(np.logspace(0, -2, 300), format="csr")
    arguments = dict(M=M, sigma=1e9, which="SM", mode="buckling")
    info = dispatch.eigsh(A, 4, return_info=True, **arguments)[2]
    assert info.reason == "the largest eigenvalues of A - sigma M were not accurate enough as those of A"
    monkeypatch.setattr(shift_without_inverse, "RESCUE_BELOW", 200)
    with pytest.raises(dispatch.NoConvergence, match="sigma M is so much larger than A that rounding errors"):
        dispatch.eigsh(A, 4, **arguments)


def far_pencil():
    """A pencil that is large next to the farthest of its eigenvalues from 3.2, which are near zero."""
    return sp.diags_array(np.r_[np.linspace(0.01, 0.02, 10), np.linspace(2, 4, 590)]).tocsr()


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_what_is_farthest_is_accurate_relative_to_the_eigenvalues(tol):
    A = far_pencil()
    w, v, info = dispatch.eigsh(A, 3, sigma=3.2, which="SM", tol=tol, return_info=True)
    np.testing.assert_allclose(w, np.linspace(0.01, 0.02, 10)[:3], rtol=tol)
    assert info.status == "converged"
    assert (np.linalg.norm(A @ v - v * w, axis=0) <= tol * abs(w)).all()
    assert len(info.history) > info.iterations > info.history[-1].iteration  # of two runs
    assert info.history[-1].ritz_values == pytest.approx(np.linspace(0.01, 0.02, 10)[:3], rel=tol)


def test_eigenvalues_that_are_farthest_are_those_of_A_wherever_they_are_shown():
    A = far_pencil()
    seen = []
    with pytest.raises(dispatch.NoConvergence, match="0 of 3 eigenpairs converged in 1 iterations") as caught:
        dispatch.eigsh(A, 3, sigma=3.2, which="SM", maxiter=1, callback=lambda state: seen.append(state.ritz_values))
    error = caught.value
    for values in (seen[-1], error.info.history[-1].ritz_values, error.approximations.eigenvalues):
        assert ((values > 0.0) & (values < 4.0)).all()
    X = error.approximations.eigenvectors
    np.testing.assert_allclose(np.diag(X.T @ (A @ X)), error.approximations.eigenvalues, rtol=1e-12)


@pytest.mark.parametrize("rank", [75, 150])
def test_buckling_with_a_semidefinite_matrix(rank):
    # A vector of its null space has a length of rounding errors, which may be negative.
    rng = np.random.default_rng(rank)
    Z = rng.standard_normal((N, rank))
    A, M = Z @ Z.T / N, np.diag(rng.uniform(-1, 1, N))
    for sigma in (-1.0, 0.7):
        w, v = dispatch.eigsh(A, 5, M, sigma=sigma, mode="buckling")
        nu = np.linalg.eigvals(np.linalg.solve(A - sigma * M, A)).real
        right = np.sort(nu[np.argsort(-abs(nu))[:5]])
        np.testing.assert_allclose(np.sort(w / (w - sigma)), right, rtol=1e-7)
        assert abs(v.T @ A @ v - np.eye(5)).max() < 1e-9


def test_buckling_names_the_matrix_that_is_singular():
    A = sp.diags_array(np.r_[0.0, np.linspace(1, 2, N - 1)]).tocsr()
    M = sp.diags_array(np.linspace(1, 3, N)).tocsr()
    with pytest.raises(
        ValueError, match=r"which='SM' in buckling mode needs a positive definite A; .* in the place of M"
    ):
        dispatch.eigsh(A, 3, M, sigma=0.7, which="SM", mode="buckling")
