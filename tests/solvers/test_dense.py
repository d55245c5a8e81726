"""The direct solution of small problems: it keeps the promise of the iteration, whatever M."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch
from dispatch.solvers import inverse_iteration


def excess(A, M, w, v):
    """The largest residual, in units of what is promised."""
    sizes = (np.linalg.norm(A, 2) + np.linalg.norm(M, 2) * abs(w)) * np.linalg.norm(v, axis=0)
    return (np.linalg.norm(A @ v - M @ v * w, axis=0) / sizes).max() / (32 * np.finfo(float).eps)


def random_symmetric(n):
    A = np.random.default_rng(2).standard_normal((n, n))
    return A + A.T


def with_condition(power, n=100):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    M = Q * np.logspace(0, -power, n) @ Q.T
    return (M + M.T) / 2


def count_below(A, M, value):
    """The number of eigenvalues below a number, by Sylvester's law of inertia."""
    _, D, _ = scipy.linalg.ldl(A - value * M)
    return int((np.linalg.eigvalsh(D) < 0.0).sum())


@pytest.mark.parametrize("seed", range(6))
def test_both_ends_of_a_singular_A_and_an_ill_conditioned_M_are_accurate(seed):
    # Factors of M leave 0 uncertain by M's condition; so does an inverse at a shift the other end.
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    A, M = Q * np.r_[np.zeros(10), np.arange(1, 21)] @ Q.T, with_condition(6, 30)
    A = (A + A.T) / 2
    w, v, info = dispatch.eigsh(A, 5, M=M, which="BE", return_info=True)
    assert info.status == "converged"
    assert excess(A, M, w, v) < 1
    assert abs(v.T @ M @ v - np.eye(5)).max() < 1e-10
    assert abs(w[:2]).max() < 1e-8
    counts = [count_below(A, M, value) for value in np.append((w[2:-1] + w[3:]) / 2, 2 * w[-1])]
    assert counts == [28, 29, 30]


def test_what_inverse_iteration_leaves_incomplete_is_not_returned(monkeypatch):
    monkeypatch.setattr(inverse_iteration, "INDEPENDENT", 2.0)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 30)))[0]
    A = Q * np.r_[np.zeros(10), np.arange(1, 21)] @ Q.T
    with pytest.raises(dispatch.NoConvergence, match="LAPACK had no more to give: M is ill-conditioned"):
        dispatch.eigsh((A + A.T) / 2, 5, M=with_condition(6, 30), which="BE")


def test_two_approximations_of_one_eigenpair_are_no_spectrum():
    A, M = np.diag([1.0, 2.0, 3.0]), np.eye(3)
    X = np.eye(3)
    X[:, 1] = [1.0, 1e-3, 0.0]
    everything = np.ones(3, bool)
    values, vectors = inverse_iteration.iterated_spectrum(
        A, M, np.array([1.0, 2.001, 2.999]), np.eye(3) + 1e-3, everything
    )
    np.testing.assert_allclose(values, [1.0, 2.0, 3.0], rtol=1e-14)
    np.testing.assert_allclose(abs(vectors), np.eye(3), atol=1e-8)
    assert inverse_iteration.iterated_spectrum(A, M, np.array([1.001, 0.999, 2.999]), X, everything) is None


def test_a_singular_A_is_named_in_buckling_mode():
    A = np.diag([0.0, 0.0, 0.0, 1.0, 2.0])
    with pytest.raises(
        ValueError, match="k is 4, and there are only 2 eigenvalues that differ from zero and from sigma: A is singular"
    ):
        dispatch.eigsh(A, 4, sigma=0.5, mode="buckling")


@pytest.mark.parametrize("k", [3, 40])
@pytest.mark.parametrize("arguments", [dict(sigma=0.3), dict(sigma=0.3, mode="cayley"), dict(which="SM"), {}])
@pytest.mark.parametrize("power", [4, 10, 13])
def test_an_ill_conditioned_M_costs_no_digits(power, arguments, k):
    A, M = random_symmetric(100), with_condition(power)
    w, v, info = dispatch.eigsh(A, k, M=M, return_info=True, **arguments)
    assert info.status == "converged"
    assert excess(A, M, w, v) < 1
    # Vectors that lie in M's small part are as orthogonal as its condition number allows.
    assert abs(v.T @ M @ v - np.eye(k)).max() < 10.0 ** (power - 14)


def test_an_ill_conditioned_A_costs_no_digits_in_buckling_mode():
    A, M = with_condition(10), random_symmetric(100)
    w, v, info = dispatch.eigsh(A, 3, M=M, sigma=0.2, mode="buckling", return_info=True)
    assert info.status == "converged"
    assert excess(A, M, w, v) < 1


@pytest.mark.parametrize("arguments", [dict(sigma=0), dict(which="SA"), dict(which="LA")])
def test_a_graded_mesh_is_solved_to_the_last_digits(arguments):
    n, h = 256, np.logspace(0, -6, 257)
    A = sp.diags_array([-1 / h[1:-1], 1 / h[:-1] + 1 / h[1:], -1 / h[1:-1]], offsets=[-1, 0, 1])
    mass = (h[:-1] + h[1:]) / 2
    right = np.linalg.eigvalsh(A.toarray() / np.sqrt(np.outer(mass, mass)))
    w = dispatch.eigsh(A, 4, M=sp.diags_array(mass), **arguments)[0]
    np.testing.assert_allclose(w, right[n - 4 :] if arguments.get("which") == "LA" else right[:4], rtol=1e-12)


def test_residuals_are_those_of_the_matrix_that_was_given():
    A = random_symmetric(60)
    skew = np.triu(np.random.default_rng(1).standard_normal((60, 60)), 1) * 1e-15 * abs(A).max()
    for matrix in (A + skew, sla.aslinearoperator(A + skew)):
        w, v, info = dispatch.eigsh(matrix, 3, return_info=True)
        np.testing.assert_allclose(info.residual_norms, np.linalg.norm((A + skew) @ v - v * w, axis=0), rtol=1e-2)


def test_a_limit_that_is_not_met_is_reported():
    A = random_symmetric(60)
    scale = np.linalg.norm(A, 2) * np.finfo(float).eps
    skew = np.linalg.qr(np.random.default_rng(1).standard_normal((60, 60)))[0]
    skew = (skew - skew.T) / 2
    assert dispatch.eigsh(A + 60 * scale * skew, 3, return_info=True)[2].status == "floor"
    with pytest.raises(dispatch.NoConvergence, match=r"0 of 3 eigenpairs converged.*A or M not quite Hermitian"):
        dispatch.eigsh(A + 300 * scale * skew, 3)


def test_the_whole_spectrum_of_an_ill_conditioned_pencil_is_complete():
    A, M = random_symmetric(30), with_condition(8, 30)
    with pytest.warns(RuntimeWarning, match="k = 30 >= n = 30"):
        w, _, info = dispatch.eigsh(A, 30, M=M, return_info=True)
    np.testing.assert_allclose(w, scipy.linalg.eigvalsh(A, M), rtol=1e-4)
    assert info.status == "converged"


@pytest.mark.parametrize("seed", range(4))
def test_a_cluster_at_a_shift_is_orthonormal(seed):
    # Zero is an eigenvalue many times over, and M is ill-conditioned: the inverse near zero takes over from Cholesky.
    rng = np.random.default_rng(seed)
    links = np.triu(rng.random((50, 50)) < 0.02, 1)
    phase = np.exp(1j * rng.uniform(0, 6, 50))
    A = phase[:, None] * (np.diag((links + links.T).sum(axis=0)) - 1.0 * links - links.T) * phase.conj()
    B = rng.standard_normal((50, 50)) + 1j * rng.standard_normal((50, 50))
    M = B @ B.conj().T / 50 + 1e-3 * np.eye(50)
    v, info = dispatch.eigsh(A, 4, M=M, which="SA", return_info=True)[1:]
    assert info.orthonormality < 1e-12
    assert info.residual_norms.max() < 1e-14 * np.linalg.norm(A, 2) * np.linalg.norm(v, axis=0).max()


@pytest.mark.parametrize("power", [-950, -520, 520, 950])
def test_residuals_are_measured_where_their_squares_are_no_numbers(power):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60, 60))
    A, M, scale = A + A.T, np.diag(rng.uniform(1, 2, 60)), 2.0**power
    for arguments in ({}, {"M": M}, {"M": M, "sigma": 0.3}, {"M": M, "sigma": 0.3, "which": "SM"}):
        w, _, info = dispatch.eigsh(A, 3, **arguments, return_info=True)
        if "sigma" in arguments:
            arguments = arguments | {"sigma": 0.3 * scale}
        scaled, _, other = dispatch.eigsh(A * scale, 3, **arguments, return_info=True)
        np.testing.assert_array_equal(scaled, w * scale)
        np.testing.assert_array_equal(other.residual_norms, info.residual_norms * scale)
        assert (info.residual_norms > 0).all()


@pytest.mark.parametrize("power", [-900, 900])
def test_what_is_farthest_from_a_shift_is_measured_where_squares_are_no_numbers(power):
    A = sp.diags_array(np.linspace(-1, 1, 300)).tocsr() * 2.0**power
    w, _, info = dispatch.eigsh(A, 3, sigma=0.3 * 2.0**power, which="SM", return_info=True)
    assert info.method == "lobpcg"
    np.testing.assert_allclose(w / 2.0**power, np.linspace(-1, 1, 300)[:3], rtol=1e-12)
    assert 0 < info.residual_norms.max() <= 32 * 2.3e-16 * 2.0**power


@pytest.mark.parametrize("size", [1e-15, 1e200])
def test_an_inverse_of_another_matrix_is_refused_at_any_scale(size):
    A = np.diag(np.linspace(1, 2, 50)) * size
    with pytest.raises(ValueError, match="OPinv is not the inverse of A - sigma M"):
        dispatch.eigsh(A, 3, sigma=1.3 * size, OPinv=np.eye(50) / size)
