"""What has converged is what was wanted: eigenspaces of high multiplicity and unlucky starts do not end a run."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch
from dispatch.solvers.convergence import Accuracy
from dispatch.solvers.cut_clusters import share_residuals
from dispatch.solvers.pencil import Sizes

from .problems import components, laplacian


def rank_one_change(n, c):
    """The identity minus c times a projector of rank one: eigenvalues 1, n - 1 times, and 1 - c."""
    u = np.ones((n, 1)) / np.sqrt(n)
    return np.eye(n) - c * (u @ u.T)


def diagonal(values, seed):
    return sp.diags_array(np.random.default_rng(seed).permutation(values)).tocsr()


@pytest.mark.parametrize("k", [1, 2, 6])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sla.aslinearoperator])
@pytest.mark.parametrize("c", [2.1, 11.0])
def test_one_eigenvalue_far_from_all_others(c, kind, k):
    w = dispatch.eigsh(kind(rank_one_change(300, c)), k)[0]
    np.testing.assert_allclose(w, np.r_[1 - c, np.ones(k - 1)], rtol=1e-12)


def test_one_eigenvalue_near_a_shift():
    A = rank_one_change(300, 1.9)
    for arguments in ({"sigma": 0.0}, {"which": "SM"}):
        np.testing.assert_allclose(dispatch.eigsh(A, 1, **arguments)[0], [-0.9], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 6])
def test_one_element_of_a_large_identity(k):
    A = sp.eye_array(5000).tolil()
    A[7, 7] = -3
    np.testing.assert_allclose(dispatch.eigsh(A.tocsr(), k)[0], np.r_[-3, np.ones(k - 1)], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("multiplicity", "gap"), [(1, 0.001), (3, 0.003), (30, 0.01), (100, 0.003), (300, 0.1)])
def test_the_largest_magnitude_at_the_other_end(multiplicity, gap, seed):
    inner = np.random.default_rng(seed).uniform(-0.8, 0.8, 999 - multiplicity)
    A = diagonal(np.r_[np.ones(multiplicity), -1 - gap, inner], seed)
    for k in (1, 4):
        w = dispatch.eigsh(A, k, rng=seed)[0]
        assert abs(w[0] + 1 + gap) < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_a_loose_tolerance(seed):
    A = diagonal(np.r_[np.ones(300), 1.01, np.random.default_rng(seed).uniform(-0.8, 0.8, 699)], seed)
    w = dispatch.eigsh(A, 2, which="LA", tol=1e-3, rng=seed)[0]
    np.testing.assert_allclose(w, [1, 1.01], atol=1e-3)


@pytest.mark.parametrize("given", [[1], [1, 2, 3, 4], list(range(1, 9))], ids=len)
@pytest.mark.parametrize("which", ["SA", "LA", "LM", "BE"])
def test_a_start_of_unwanted_eigenvectors(which, given):
    A, spectrum = laplacian(20, 21)
    values, vectors = np.linalg.eigh(A.toarray())
    order = np.argsort({"SA": values, "LA": -values, "LM": -values, "BE": -abs(values - values.mean())}[which])
    w = dispatch.eigsh(A, 4, which=which, v0=vectors[:, order[3:]][:, given])[0]
    right = {"SA": np.arange(4), "BE": np.array([0, 1, -2, -1])}.get(which, np.arange(-4, 0))
    np.testing.assert_allclose(w, np.sort(spectrum)[right], rtol=1e-11)


@pytest.mark.parametrize("which", ["SA", "LA"])
@pytest.mark.parametrize("seed", range(6))
def test_multiple_eigenvalues_from_unwanted_eigenvectors(seed, which):
    # The guards alone would reach three members of each eigenvalue, and there are about fifteen.
    rng = np.random.default_rng(seed)
    values = rng.choice(rng.uniform(-10, 10, 20), 300)
    v0 = np.eye(300)[:, rng.permutation(300)[:6]]
    arguments = {"which": which, "v0": v0, "tol": 1e-4, "preconditioner": None, "rng": seed}
    w = dispatch.eigsh(sp.diags_array(values).tocsr(), 6, **arguments)[0]
    np.testing.assert_allclose(w, np.sort(values)[:6] if which == "SA" else np.sort(values)[-6:], rtol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_multiple_eigenvalue_close_to_a_larger_one_where_the_tolerance_is_loose(seed):
    # What looks like an eigenvector of the second has a part of the first, which grows if it is left to.
    rng = np.random.default_rng(seed)
    gap = 10.0 ** -rng.uniform(1.0, 3.5)
    values = np.concatenate([np.full(9, 10.0), np.full(70, 10.0 * (1.0 - gap)), rng.uniform(-9.0, 9.0, 180)])
    A = sp.diags_array(rng.permutation(values)).tocsr()
    v0 = np.eye(259)[:, rng.permutation(259)[:6]] if seed % 2 else None
    w = dispatch.eigsh(A, 6, which="LA", v0=v0, tol=gap / 4, preconditioner=None, rng=seed)[0]
    np.testing.assert_allclose(w, 10.0, rtol=gap / 4)


@pytest.mark.parametrize("tol", [0.0, 31.0, 33.0, 100.0])
def test_a_residual_within_its_limit_when_measured_is_within_what_is_promised(tol):
    eps, one = float(np.finfo(np.float32).eps), np.ones(1)
    pencil = SimpleNamespace(eps=eps, generalized=False)
    limit = Accuracy(pencil, tol * eps, 1.0).limits(None, one, Sizes(one, one))
    # In single precision a residual is measured with an error of 1.5 ε.
    assert 30.0 * eps <= limit <= (max(tol, 32.0) - 1.5) * eps


@pytest.mark.parametrize(("sign", "shift"), [(1, 0.0), (-1, 0.0), (1, 3.0)])
def test_no_guard_is_followed_where_no_value_can_lie_further_out(sign, shift):
    # Five of six: each row of a graph's Laplacian shows that nothing lies below zero.
    A = sign * components(6, 60) + shift * sp.eye_array(360)
    w, _, info = dispatch.eigsh(A.tocsr(), 5, which="SA" if sign > 0 else "LA", return_info=True)
    np.testing.assert_allclose(w, shift, rtol=1e-12, atol=1e-12)
    assert info.history[-2].converged < 5


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("sizes", [[1.2, 0.1, 0.3, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0], [0.7]], ids=str)
def test_vectors_of_one_eigenvalue_share_their_residuals(sizes, dtype):
    # The same in any basis that rounding errors may have made: orthogonal residuals of these sizes, and one more value.
    rng, k = np.random.default_rng(0), len(sizes)

    def random(*shape):
        return np.linalg.qr(rng.standard_normal((*shape, 2)) @ [1, 1j if dtype == np.complex128 else 1])[0]

    R = 1e-15 * random(50, k) * sizes @ random(k, k)
    R = np.column_stack([R, 1e-15 * random(50, 1)])
    engine = SimpleNamespace(residual=lambda AX, X, _: (AX, None), gram=lambda X, Y: X.conj().T @ Y)
    pencil = SimpleNamespace(engine=engine, image=lambda X, MX: MX, eps=np.finfo(dtype).eps, generalized=False)
    space = SimpleNamespace(vectors=lambda C: (C, R @ C, C))
    theta, C, accuracy = np.r_[np.zeros(k), 1.0], np.eye(k + 1, dtype=dtype), Accuracy(pencil, 1e-15, 1.0)
    share_residuals(pencil, space, theta, C, np.full(k + 1, 1e-14), accuracy)
    norms = np.linalg.norm(R @ C, axis=0) / 1e-15
    np.testing.assert_allclose(norms[:k], np.sqrt(np.mean(np.square(sizes))), rtol=1e-6)
    np.testing.assert_allclose(C.conj().T @ C, np.eye(k + 1), atol=1e-14)
    assert abs(C[k, :k]).max() == 0.0
    # Where less is wanted than all that can be had, nothing is touched.
    before, loose = C.copy(), Accuracy(pencil, 1e-3, 1.0)
    share_residuals(pencil, space, np.ones(k + 1), C, np.full(k + 1, 1e-14), loose)
    assert np.array_equal(C, before)


def test_an_eigenvector_near_a_shift():
    A = sp.diags_array(np.arange(1.0, 1001)).tocsr()
    w = dispatch.eigsh(A, 1, sigma=500.2, v0=np.eye(1000)[:, 502])[0]
    np.testing.assert_allclose(w, [500], rtol=1e-12)


def test_a_singular_metric_leaves_as_many_eigenvalues_as_its_rank():
    A = sp.diags_array(np.arange(1.0, 401)).tocsr()
    M = sp.diags_array((np.arange(400) < 2) * 1.0).tocsr()
    np.testing.assert_allclose(dispatch.eigsh(A, 2, M=M, sigma=1.2)[0], [1, 2], rtol=1e-10)
    with pytest.raises(ValueError, match="k is 4, and there are only 2 finite eigenvalues: M is singular"):
        dispatch.eigsh(A, 4, M=M, sigma=1.2)


def pencil(seed, n=300):
    """A with eigenvalues on both sides of zero, and a dense M that is known by its products: there is no filter."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, n))
    M = Z @ Z.T / n + np.eye(n)
    return np.diag(rng.uniform(-10, 10, n)), M, sla.LinearOperator(M.shape, matvec=M.dot, matmat=M.dot, dtype=float)


@pytest.mark.parametrize(
    ("seed", "which", "k"),
    [(3, "SM", 2), (4, "SM", 1), (4, "LM", 1), (6, "SM", 1), (6, "LM", 1), (7, "SM", 1), (7, "LM", 1)],
)
def test_the_largest_magnitudes_of_both_ends_where_convergence_is_slow(seed, which, k):
    # One end converges before anything has shown at the other.
    A, M, operator = pencil(seed)
    sigma = 0.02 if which == "SM" else None
    values = scipy.linalg.eigvalsh(A, M)
    right = np.sort(abs(values - (sigma or 0.0)))[-k:]
    for tol in (1e-2, 1e-3, 1e-5):
        w = dispatch.eigsh(A, k, operator, sigma=sigma, which=which, tol=tol, preconditioner=None, rng=seed)[0]
        np.testing.assert_allclose(np.sort(abs(w - (sigma or 0.0))), right, rtol=tol)


def test_what_has_not_been_confirmed_is_not_returned():
    A, _, operator = pencil(6)
    states = []
    dispatch.eigsh(A, 1, operator, tol=1e-3, preconditioner=None, rng=6, callback=states.append)
    accurate = next(state.iteration for state in states if state.converged == 1)
    words = (
        f"1 of 1 eigenpairs converged in {accurate} iterations, then the iterations are used up before it was certain"
    )
    with pytest.raises(dispatch.NoConvergence, match=words) as caught:
        dispatch.eigsh(A, 1, operator, tol=1e-3, preconditioner=None, rng=6, maxiter=accurate)
    assert caught.value.info.status == "maxiter"
    assert len(caught.value.eigenvalues) == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_tolerance_is_one_of_eigenvalues_where_all_of_cayleys_are_nearly_one(seed):
    # Zeros become -1, and the negative eigenvalue that is nearest to them, and wanted, 1 less some millionths.
    rng = np.random.default_rng(seed)
    values = np.concatenate([np.zeros(30), rng.uniform(0.01, 1.0, 135), -rng.uniform(0.01, 1.0, 135)])
    w = dispatch.eigsh(np.diag(values), 1, sigma=1e-7, which="SM", tol=5e-3, mode="cayley", rng=seed)[0]
    np.testing.assert_allclose(w, values[values < 0.0].max(), rtol=5e-3)


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_of_a_shift_in_a_cluster_in_single_precision(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([np.zeros(100), rng.uniform(-1.0, 1.0, 200)])
    u, Z = rng.standard_normal((300, 1)), rng.standard_normal((300, 300))
    H = np.eye(300) - 2 * u @ u.T / (u.T @ u)
    A, M = (H @ np.diag(values) @ H).astype(np.float32), (Z @ Z.T / 300 + np.eye(300)).astype(np.float32)
    A = (A + A.T) / 2
    expected = scipy.linalg.eigh(A.astype(float), M.astype(float), eigvals_only=True)
    below = expected[expected < -1e-5]
    # The shift is the least of the zeros: they are above it, and what is below it is none of them.
    w = dispatch.eigsh(A, 4, M, sigma=float(expected[len(below)]), which="BE", tol=1e-3, rng=seed)[0]
    np.testing.assert_allclose(w[:2], below[-2:], rtol=1e-3)
    assert abs(w[2:]).max() < 1e-6
