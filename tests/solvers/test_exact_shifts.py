"""A shift that is an eigenvalue, or near one, with an M: definite, semidefinite, or what buckling makes of it."""

import re

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

import dispatch

from .problems import components, random_symmetric

LARGE = 4200
"""Too large for LAPACK to take over."""


def neumann(n):
    """The Laplacian of a path: zero is an eigenvalue."""
    return sp.diags_array(
        [-np.ones(n - 1), np.r_[1, 2 * np.ones(n - 2), 1], -np.ones(n - 1)], offsets=[-1, 0, 1]
    ).tocsr()


def two_thirds(n):
    """A semidefinite diagonal."""
    return sp.diags_array((np.arange(n) % 3 > 0) * 1.0).tocsr()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mode", ["normal", "buckling", "cayley"])
def test_the_eigenvalues_around_one_of_a_large_pencil(mode, dtype):
    A = sp.diags_array(np.arange(1.0, LARGE + 1)).tocsr().astype(dtype)
    M = sp.diags_array(np.full(LARGE, 2.0)).tocsr().astype(dtype)
    w = dispatch.eigsh(A, 5, M, sigma=100.0, mode=mode)[0]
    np.testing.assert_allclose(w, [99, 99.5, 100, 100.5, 101], rtol=30 * np.finfo(dtype).eps)
    w = dispatch.eigsh(A, 5, two_thirds(LARGE).astype(dtype), sigma=101.0, mode=mode)[0]
    np.testing.assert_allclose(w[:4], [98, 99, 101, 102], rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [LARGE, 4500, 5000])
def test_the_lowest_frequencies_of_a_free_body(n):
    A, M = neumann(n), two_thirds(n)
    w, v, info = dispatch.eigsh(A, 4, M, sigma=0, return_info=True)
    assert abs(w[0]) < 1e-14
    np.testing.assert_allclose(w[1:] / w[1], [1, 4, 9], rtol=1e-3)
    # One correction leaves rounding errors, though the inverse of a singular matrix is made of one vector.
    assert info.status == "converged"
    assert np.linalg.norm(A @ v - M @ v * w, axis=0).max() < 4 * 2.3e-16 * 4 * np.linalg.norm(v, axis=0).max()
    assert info.orthonormality < 1e-11


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vectors_that_an_inverse_tells_apart_by_a_millionth(dtype):
    # In buckling mode products with the inverse are all along the eigenvectors near the shift.
    values = np.r_[1e6, 2e6, 3e6, np.linspace(1, 2, LARGE - 3)]
    A, M = sp.diags_array(values).tocsr().astype(dtype), sp.eye_array(LARGE).tocsr().astype(dtype)
    w = dispatch.eigsh(A, 3, M, sigma=1.6e6, mode="buckling")[0]
    np.testing.assert_allclose(w, values[:3], rtol=30 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [10, 255])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("away", [0.0, 1e-9])
def test_a_semidefinite_metric_by_lapack(away, dtype, n):
    A, M = neumann(n).astype(dtype), two_thirds(n).astype(dtype)
    k = 2 if n == 10 else 20
    # What has no mass is eliminated.
    dense, mass = A.toarray().astype(float), M.diagonal() > 0
    inner = np.linalg.solve(dense[np.ix_(~mass, ~mass)], dense[np.ix_(~mass, mass)])
    expected = np.linalg.eigvalsh(dense[np.ix_(mass, mass)] - dense[np.ix_(mass, ~mass)] @ inner)
    shift = float(expected[3])
    for sigma in (away, shift + away):
        w, v = dispatch.eigsh(A.toarray(), k, M, sigma=sigma, preconditioner=None)
        nearest = np.sort(expected[np.argsort(abs(expected - sigma), kind="stable")[:k]])
        np.testing.assert_allclose(w, nearest, rtol=0, atol=200 * np.finfo(dtype).eps)
        assert abs(v.T @ (M @ v) - np.eye(k)).max() < 1e3 * np.finfo(dtype).eps


@pytest.mark.parametrize("seed", [34, 60, 127])
def test_a_semidefinite_metric_in_single_precision_is_not_called_indefinite(seed):
    A = sp.diags_array(np.linspace(1, 2, 257, dtype=np.float32)).tocsr()
    w = dispatch.eigsh(A, 1, two_thirds(257).astype(np.float32), sigma=0.5, tol=1e-3, rng=seed)[0]
    np.testing.assert_allclose(w, [1 + 1 / 256], rtol=1e-3)


def test_large_eigenvalues_are_not_infinite_in_single_precision():
    values = np.r_[1.3e4, 4.2e4, 8.2e4, np.linspace(0.1, 1.1, 97)].astype(np.float32)
    w = dispatch.eigsh(np.diag(values), 4, np.eye(100, dtype=np.float32), sigma=9e4, mode="buckling")[0]
    np.testing.assert_allclose(w[1:], values[:3], rtol=1e-5)


def test_a_shift_is_moved_by_less_than_single_precision_resolves():
    values = np.r_[0.73922104, 0.73922104, np.linspace(1, 2, 298)].astype(np.float32)
    for kind in (np.diag, lambda values: sp.diags_array(values).tocsr()):
        M = kind(np.ones(300, np.float32))
        w = dispatch.eigsh(kind(values), 3, M, sigma=float(values[0]))[0]
        np.testing.assert_allclose(w, np.sort(values)[:3], rtol=1e-6)


def test_cayleys_smallest_take_an_inverse_at_another_shift_than_the_one_that_is_given():
    A = random_symmetric(300, density=0.02).toarray()
    values, sigma = np.linalg.eigvalsh(A), 0.3
    expected = np.sort(values[np.argsort(abs((values + sigma) / (values - sigma)))[:3]])
    inverse = np.linalg.inv(A - sigma * np.eye(300))
    w = dispatch.eigsh(A, 3, sigma=sigma, which="SM", mode="cayley", OPinv=inverse)[0]
    np.testing.assert_allclose(w, expected, atol=1e-12)


def test_an_infinite_end_of_the_transformed_spectrum_overflows_nothing():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((257, 257)))[0]
    A = (Q * rng.choice(np.linspace(-1, 1, 40), 257)) @ Q.T
    mass = np.arange(257) % 4 > 0
    inner = np.linalg.solve(A[np.ix_(~mass, ~mass)], A[np.ix_(~mass, mass)])
    expected = np.linalg.eigvalsh(A[np.ix_(mass, mass)] - A[np.ix_(mass, ~mass)] @ inner)
    M = sp.diags_array(mass * 1.0).tocsr()
    w = dispatch.eigsh((A + A.T) / 2, 2, M, sigma=6980.9, which="BE", preconditioner=None)[0]
    np.testing.assert_allclose(w, expected[[0, -1]], rtol=1e-10)


def test_transformed_eigenvalues_that_are_all_one_are_divided_by_nothing():
    # At a distance of zero from one, no residual is small enough, and a warning would be an error here.
    values = np.random.default_rng(0).uniform(0.1, 1.0, 300)
    with pytest.raises(dispatch.NoConvergence, match="0 of 2 eigenpairs converged in 2 iterations"):
        dispatch.eigsh(np.diag(values), 2, np.eye(300), sigma=1e-17, mode="buckling", maxiter=2)


@pytest.mark.parametrize("seed", [2, 3])
def test_the_zero_matrix_far_from_a_shift(seed):
    M = sp.diags_array([np.ones(299), np.full(300, 4.0), np.ones(299)], offsets=[-1, 0, 1]).tocsr()
    w = dispatch.eigsh(np.zeros((300, 300)), 3, M, sigma=1e-9, which="SM", tol=1e-3, rng=seed)[0]
    assert abs(w).max() < 1e-12


def test_residuals_at_a_shift_are_those_that_are_promised():
    rng = np.random.default_rng(773)
    Q = np.linalg.qr(rng.standard_normal((270, 270)))[0]
    A = -0.0107 * np.eye(270) + (Q * 1e-12 * rng.standard_normal(270)) @ Q.T
    A = (A + A.T) / 2
    w, v, info = dispatch.eigsh(A, 8, which="SM", return_info=True)
    assert info.status == "converged"
    assert np.linalg.norm(A @ v - v * w, axis=0).max() <= 32 * 2.22e-16 * 0.0108


@pytest.mark.parametrize("away", [0.0, 1e-9])
def test_vectors_are_orthonormal_where_a_matrix_and_its_metric_are_singular(away):
    # Blocks without finite eigenvalues: LAPACK's vectors come from an inverse near an eigenvalue.
    rng = np.random.default_rng(0)
    blocks = [[[a, 1.0], [1.0, 0.0]] for a in rng.uniform(-1, 1, 10)]
    T = np.linalg.qr(rng.standard_normal((40, 40)))[0] * rng.uniform(0.5, 1, 40)
    A = T @ scipy.linalg.block_diag(np.diag(np.arange(1.0, 21)), *blocks) @ T.T
    M = (T * np.r_[np.ones(20), np.tile([1.0, 0.0], 10)]) @ T.T
    M = (M + M.T) / 2
    w, v = dispatch.eigsh((A + A.T) / 2, 4, M, sigma=5 + away, tol=1e-3)
    assert set(np.round(w)) in ({3, 4, 5, 6}, {4, 5, 6, 7})
    assert abs(v.T @ M @ v - np.eye(4)).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [0.0, 1e-9])
def test_the_way_out_of_a_shift_within_a_cluster_is_told_and_works(sigma, dtype):
    # Both ends are wanted, and those of the cluster are larger by 1e9 and more than the others.
    values = np.r_[np.zeros(40), np.linspace(-0.6, -0.5, 9), np.linspace(0.5, 0.6, 9), np.linspace(2, 3, LARGE - 58)]
    A = sp.diags_array(values.astype(dtype)).tocsr()
    text = (
        r"sigma is within about \S+ of an eigenvalue, whose transformed one is so large that its rounding errors cover "
        r"the others: move sigma away by 0\.03 or more, such as to (\S+) or (\S+)\)"
    )
    with pytest.raises(dispatch.NoConvergence, match=text) as caught:
        dispatch.eigsh(A, 6, sigma=sigma, which="BE")
    for moved in map(float, re.search(text, str(caught.value)).groups()):
        assert abs(moved - sigma) == pytest.approx(0.03, rel=0.1)
        ascending = np.argsort(1 / (values - moved), kind="stable")
        w = dispatch.eigsh(A, 6, sigma=moved, which="BE")[0]
        expected = np.sort(values[np.r_[ascending[:3], ascending[-3:]]])
        np.testing.assert_allclose(w, expected, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("which", "sigma", "sign", "wanted"),
    [
        ("BE", 0.0, 1, [0, 1, 2, -3, -2, -1]),
        ("BE", 1e-9, 1, [3, 4, 5, 6, 7, 8]),
        ("BE", 0.0, -1, [6, 7, 8, 0, 1, 2]),
        ("SA", -1e-9, 1, [-6, -5, -4, -3, -2, -1]),
    ],
)
def test_a_shift_within_the_zeros_of_a_graph(which, sigma, sign, wanted):
    # Transformed, the six zeros are so large that their rounding errors cover the others.
    A = components(6, 700)
    spectrum = np.sort(
        [np.linalg.eigvalsh(A[i : i + 700, i : i + 700].toarray()) for i in range(0, 4200, 700)], axis=None
    )
    w, v, info = dispatch.eigsh(sign * A, 6, sigma=sigma, which=which, return_info=True)
    np.testing.assert_allclose(w, np.sort(sign * spectrum[wanted]), atol=1e-11)
    assert np.linalg.norm(sign * A @ v - v * w, axis=0).max() < 32 * 2.22e-16 * spectrum[-1]
    assert abs(v.T @ v - np.eye(6)).max() < 1e-13
    assert info.status == "converged"
    assert info.residual_norms.shape == (6,)
