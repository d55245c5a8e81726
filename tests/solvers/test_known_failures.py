"""Failures of other solvers, by the issues that report them: each is run here, and must be right."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

from .problems import laplacian, random_symmetric


def assert_pairs(A, w, v, expected, tolerance=1e-11):
    norm = float(abs(A).sum(axis=1).max())
    np.testing.assert_allclose(w, expected, rtol=0, atol=tolerance * norm)
    assert np.linalg.norm(A @ v - v * w, axis=0).max() <= tolerance * norm
    assert abs(v.conj().T @ v - np.eye(len(w))).max() < 1e-11


def test_absolute_tolerance_pytorch_109497():
    # An absolute tolerance calls a small matrix's random start converged.
    A, spectrum = laplacian(40, 41)
    assert_pairs(A * 1e-6, *dispatch.eigsh(A * 1e-6, 4, which="SA"), spectrum[:4] * 1e-6)


def test_too_few_iterations_by_default_scipy_15170():
    A, spectrum = laplacian(60, 60)
    assert_pairs(A, *dispatch.eigsh(A, 4, which="SA"), spectrum[:4])


def test_the_start_is_not_overwritten():
    A, _ = laplacian(20, 21)
    X = np.random.default_rng(0).standard_normal((420, 6))
    before = X.copy()
    dispatch.eigsh(A, 4, v0=X, which="SA")
    assert np.array_equal(X, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [1, 3])
def test_tough_diagonals_scipy_16408(dtype, power):
    values = (np.arange(1.0, 401) ** power).astype(dtype)
    w = dispatch.eigsh(sp.diags_array(values).tocsr(), 6, which="SA")[0]
    np.testing.assert_allclose(w, values[:6], rtol=0, atol=64 * np.finfo(dtype).eps * values[-1])


def test_a_matrix_of_low_rank_scipy_14784():
    rng = np.random.default_rng(0)
    B = rng.standard_normal((504, 78))
    A = B @ B.T
    for k in (2, 10):
        assert_pairs(A, *dispatch.eigsh(A, k, which="LA"), np.linalg.eigvalsh(A)[-k:])


def test_a_good_start_scipy_10258():
    A, spectrum = laplacian(20, 21)
    exact = np.linalg.eigh(A.toarray())[1][:, :4]
    w, v, info = dispatch.eigsh(A, 4, v0=exact, which="SA", return_info=True)
    assert_pairs(A, w, v, spectrum[:4])
    assert info.iterations <= 1 or info.iterations < dispatch.eigsh(A, 4, which="SA", return_info=True)[2].iterations


def test_twenty_largest_of_a_laplacian_cupy_5024():
    A, spectrum = laplacian(50, 50)
    assert_pairs(A, *dispatch.eigsh(A, 20, which="LA"), spectrum[-20:])


def test_the_identity_cupy_6446():
    A = sp.eye_array(300).tocsr()
    assert_pairs(A, *dispatch.eigsh(A, 10), np.ones(10))


def test_many_pairs_cupy_7355_8486():
    A = random_symmetric(1400, density=0.01)
    spectrum = np.linalg.eigvalsh(A.toarray())
    assert_pairs(A, *dispatch.eigsh(A, 300, which="LA"), spectrum[-300:])


def test_two_values_only_cupy_10099():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    A = Q @ np.diag(np.repeat([1.0, 5.0], [260, 40])) @ Q.T
    A = (A + A.T) / 2
    assert_pairs(A, *dispatch.eigsh(A, 20), np.full(20, 5.0))


def test_nearly_all_pairs_cupy_6863():
    A = random_symmetric(60, density=0.5).toarray()
    spectrum = np.linalg.eigvalsh(A)
    for k in (58, 59):
        assert_pairs(A, *dispatch.eigsh(A, k, which="SA"), spectrum[:k])


def test_nothing_unconverged_is_returned_in_silence_cupy():
    A, _ = laplacian(60, 60)
    with pytest.raises(dispatch.NoConvergence):
        dispatch.eigsh(A, 10, which="SA", maxiter=1, preconditioner=None)


@pytest.mark.parametrize("form", [lambda A: A, sla.aslinearoperator], ids=["sparse", "operator"])
def test_a_singular_laplacian_with_sigma_and_sm_scipy_6339_11232_cupy_4692(form):
    edges = laplacian(20, 21)[0]
    A = sp.csr_array(sp.diags_array(-(np.asarray((edges - 4 * sp.eye_array(420)).sum(axis=1)).ravel())) + edges)
    A = A - 4 * sp.eye_array(420)  # the graph's Laplacian: constants are its null vectors
    spectrum = np.linalg.eigvalsh(A.toarray())
    for arguments in ({"which": "SM"}, {"sigma": 0.0}, {"which": "SA"}):
        assert_pairs(A, *dispatch.eigsh(form(A.tocsr()), 5, **arguments), spectrum[:5])


def test_missed_multiplicities_spectra_144_krylovkit_23_rarpack_6():
    A, spectrum = laplacian(12, 12, 12)
    for tol in (1e-4, 1e-8):
        np.testing.assert_allclose(dispatch.eigsh(A, 11, which="SA", tol=tol)[0], spectrum[:11], rtol=tol)


def test_the_same_call_gives_the_same_bits_scipy_12494_19756():
    for dtype in (float, complex):
        A = random_symmetric(400, dtype=dtype)
        first, second = (dispatch.eigsh(A, 4, rng=7) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sigma_with_a_small_operator_scipy_17632():
    A = np.array([[2.0, 1, 0, 0, 0], [1, 2, 1, 0, 0], [0, 1, 2, 1, 0], [0, 0, 1, 2, 1], [0, 0, 0, 1, 2]])
    w = dispatch.eigsh(sla.aslinearoperator(A), 2, sigma=1.5)[0]
    values = np.linalg.eigvalsh(A)
    np.testing.assert_allclose(w, np.sort(values[np.argsort(abs(values - 1.5))[:2]]), rtol=1e-12)


def test_factors_that_do_not_fit_scipy_7075_18148(monkeypatch):
    from dispatch.solvers import way_to_shift

    monkeypatch.setattr(way_to_shift, "available_memory", lambda: 1e5)
    A, spectrum = laplacian(20, 21)
    w, v, info = dispatch.eigsh(A, 4, sigma=0.0, return_info=True)
    assert_pairs(A, w, v, spectrum[:4])
    assert "do not fit into half of the 0.0001 GB that are free" in info.transformation


def test_a_singular_laplacian_sklearn_13393():
    from .problems import components

    A = components(4, 90)
    spectrum = np.linalg.eigvalsh(A.toarray())
    for preconditioner in ("auto", "jacobi", None):
        assert_pairs(A, *dispatch.eigsh(A, 6, which="SA", preconditioner=preconditioner), spectrum[:6])


def test_results_do_not_depend_on_the_start_pytorch_101075():
    A = sp.diags_array(-np.arange(1.0, 401)).tocsr()
    for seed in range(4):
        np.testing.assert_allclose(dispatch.eigsh(A, 3, which="LA", rng=seed)[0], [-3, -2, -1], rtol=1e-11)


def test_complex_matrices_pytorch_135860_scipy_13692_19887():
    A = random_symmetric(400, dtype=complex)
    spectrum = np.linalg.eigvalsh(A.toarray())
    for which, expected in (("LA", spectrum[-5:]), ("SA", spectrum[:5]), ("BE", np.r_[spectrum[:2], spectrum[-3:]])):
        assert_pairs(A, *dispatch.eigsh(A, 5, which=which), expected)


def test_a_generalized_problem_without_the_inverse_of_m():
    n = 40
    mass = sp.diags_array([np.ones(n - 1), 4 * np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]) / 6
    A, M = laplacian(n, n)[0], sp.csr_array(sp.kron(mass, mass))
    spectrum = scipy.linalg.eigvalsh(A.toarray(), M.toarray())
    w, v, info = dispatch.eigsh(A, 5, M=M, which="SA", return_info=True)
    np.testing.assert_allclose(w, spectrum[:5], rtol=1e-9)
    assert info.solves == 0


def test_v0_of_a_wrong_length_is_refused_not_read_beyond_scipy():
    with pytest.raises(ValueError, match=r"v0 has shape \(10,\), expected \(53,\)"):
        dispatch.eigsh(np.eye(53), 3, v0=np.ones(10))


def test_the_zero_matrix_scipy():
    assert_pairs(np.zeros((300, 300)), *dispatch.eigsh(np.zeros((300, 300)), 4), np.zeros(4))


def test_the_tridiagonal_raft_2624():
    n = 900
    A = sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, 5) / (n + 1))
    assert_pairs(A, *dispatch.eigsh(A, 4, which="SA"), exact)
