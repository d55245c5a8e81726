"""Ugly input: numbers at the ends of their range, operators with habits, inner products of low rank."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

EYE = sp.eye_array(400).tocsr()
RANGE = np.arange(1.0, 401)
A = sp.diags_array(RANGE).tocsr()


@pytest.mark.parametrize(("rank", "k", "sigma"), [(37, 6, 1.02), (20, 2, 1.1), (3, 2, 0.2)])
def test_buckling_with_a_matrix_of_low_rank(rank, k, sigma):
    d = np.where(np.arange(400) < rank, np.linspace(1, 2, 400), 0)
    w = dispatch.eigsh(sp.diags_array(d), k, M=EYE, sigma=sigma, mode="buckling")[0]
    transformed = abs(d[:rank] / (d[:rank] - sigma))
    np.testing.assert_allclose(w, np.sort(d[:rank][np.argsort(-transformed)[:k]]), rtol=1e-12)


def test_dependent_start_vectors_are_not_taken_for_a_singular_M():
    w, _, info = dispatch.eigsh(A, 3, M=2 * EYE, sigma=7.1, v0=np.ones((400, 5)), return_info=True)
    np.testing.assert_allclose(w, [6.5, 7, 7.5])
    assert info.method == "lobpcg"


def test_a_zero_M_has_no_finite_eigenvalues():
    with pytest.raises(ValueError, match="M is zero, and no eigenvalue is finite"):
        dispatch.eigsh(np.eye(30), 2, M=np.zeros((30, 30)), sigma=0.3)


BEYOND = {
    "eigenvalue": (dict(A=np.full((300, 300), 1e37, np.float32)), r"A has an eigenvalue of 3e\+39, beyond .* float32"),
    "large": (
        dict(A=np.diag(RANGE[:10] * 1e307)),
        r"A has elements of the size 1e\+308, .*multiply it by 2.0 \*\* -1000",
    ),
    "tiny": (dict(A=A * 1e-310), r"A has elements of the size 4e-308, near .* multiply it by 2.0 \*\* 1000"),
    "complex": (dict(A=A * (1 + 0j) * 1e305), "A has elements of the size"),
    "operator": (dict(A=sla.aslinearoperator(A * 1e300)), "A has elements of the size"),
    "small pencil": (
        dict(A=np.eye(20) * 1e200, M=np.eye(20) * 1e-200),
        r"A is of the size 1e\+200 and M of 1e-200: the",
    ),
    "pencil": (dict(A=A * 1e-200, M=EYE * 1e200), "their eigenvalues are beyond the range of float64"),
}


@pytest.mark.parametrize("case", BEYOND)
def test_what_leaves_the_range_of_numbers_is_refused(case):
    arguments, message = BEYOND[case]
    with pytest.raises(ValueError, match=message):
        dispatch.eigsh(k=2, **arguments)


SEMIDEFINITE = sp.diags_array(np.r_[0.0, np.ones(399)]).tocsr()
MIXED = EYE.tolil()
for i, j in ((0, 1), (0, 2), (1, 2)):
    MIXED[i, j] = MIXED[j, i] = -0.51  # no minor of order two is negative
MIXED = MIXED.tocsr()
METRICS = {
    "zero": (dict(M=SEMIDEFINITE), r"element \(0, 0\) is 0; a semidefinite M needs sigma"),
    "farthest": (dict(M=SEMIDEFINITE, sigma=1.5, which="SM"), "what is farthest from sigma.* is infinite then; use wh"),
    "negative": (dict(M=SEMIDEFINITE - 0.5 * EYE, sigma=1.5), r"M is not positive semidefinite: its element \(0, 0\)"),
    "pair": (dict(M=EYE + 2 * sp.eye_array(400, k=1) + 2 * sp.eye_array(400, k=-1), sigma=1.5), "larger than the geo"),
    "mixed": (dict(M=MIXED), "a vector x has xᴴ M x = -0.02"),
    "mixed, sigma": (dict(M=MIXED, sigma=100.3), "a vector x has xᴴ M x = -0.02"),
    "mixed, low end": (dict(M=MIXED, which="SA"), "a vector x has xᴴ M x = -0.02"),
}


@pytest.mark.parametrize("case", METRICS)
def test_an_indefinite_sparse_M_is_noticed(case):
    arguments, message = METRICS[case]
    with pytest.raises(ValueError, match=message):
        dispatch.eigsh(A, 3, **arguments)


@pytest.mark.parametrize("n", [50, 400])
def test_a_shift_that_all_eigenvalues_are_equally_far_from_is_refused(n):
    with pytest.raises(ValueError, match=r"sigma is 1e\+300, so far from every eigenvalue of A.*use which='LA'"):
        dispatch.eigsh(A[:n, :n], 3, sigma=1e300)


def test_an_object_with_nothing_but_matmat_is_an_operator():
    class Matrix:
        shape, dtype = (400, 400), np.dtype(float)

        def matmat(self, X):
            assert X.ndim == 2
            return A @ X

    np.testing.assert_allclose(dispatch.eigsh(Matrix(), 3)[0], [398, 399, 400])


def test_info_tells_when_an_ill_conditioned_M_costs_orthonormality():
    info = dispatch.eigsh(A, 3, M=EYE + SEMIDEFINITE, which="SA", return_info=True)[2]
    assert info.orthonormality < 1e-14
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))[0]
    M = (Q * np.logspace(0, -14, 60)) @ Q.T
    M = (M + M.T) / 2 + 1e-15 * np.eye(60)
    w, v, info = dispatch.eigsh(A[:60, :60].toarray(), 3, M=M, which="SA", return_info=True)
    assert info.orthonormality == pytest.approx(abs(v.T @ M @ v - np.eye(3)).max(), rel=1e-6)


def test_an_asymmetric_operator_in_half_precision_is_refused():
    upper = np.triu(np.ones((300, 300)))
    with pytest.raises(ValueError, match="A is not symmetric"):
        dispatch.eigsh(sla.LinearOperator((300, 300), matvec=lambda x: upper @ x, dtype=np.float16), 2)


def test_a_shift_among_eigenvalues_near_the_precision_is_moved_until_it_is_none():
    d = np.linspace(0.5, 1, 400)
    d[:3] = np.array([0, -100, -1000]) * np.finfo(float).eps
    w = dispatch.eigsh(sp.diags_array(d), 3, which="SM")[0]
    np.testing.assert_allclose(w, np.sort(d[:3]), rtol=0, atol=1e-14)


def test_what_is_stored_behind_the_last_row_is_left_where_it_is():
    X = sp.csr_array(np.diag(RANGE[:10]))
    X.data, X.indices = np.append(X.data, [0.0, 0.0]), np.append(X.indices, [0, 0])
    np.testing.assert_allclose(dispatch.eigsh(X, 2)[0], [9, 10])
    assert len(X.data) == len(X.indices) == 12


def test_operators_may_reuse_their_buffers_and_overwrite_their_arguments():
    buffer = np.zeros(400)

    def reuse(x):
        return np.multiply(RANGE, x.ravel(), out=buffer)

    def overwrite(X):
        X *= RANGE[:, None] if X.ndim == 2 else RANGE
        return X

    for operator in (
        sla.LinearOperator((400, 400), matvec=reuse, dtype=float),
        sla.LinearOperator((400, 400), matvec=overwrite, dtype=float),
        sla.LinearOperator((400, 400), matvec=overwrite, matmat=overwrite, dtype=float),
    ):
        np.testing.assert_allclose(dispatch.eigsh(operator, 3)[0], [398, 399, 400])


def test_an_operator_less_accurate_than_its_dtype_is_told_so():
    S = np.random.default_rng(0).standard_normal((300, 300))
    S = (S + S.T).astype(np.float32)
    operator = sla.LinearOperator((300, 300), matvec=lambda x: S @ x.astype(np.float32), dtype=float)
    with pytest.raises(ValueError, match=r"A is not symmetric.*give it the dtype float32 if its products are no more"):
        dispatch.eigsh(operator, 3)


@pytest.mark.parametrize("result", [None, np.ones(3), np.full(400, "a"), np.full(400, None)])
def test_what_an_operator_returns_must_be_numbers(result):
    with pytest.raises(ValueError, match=r"A: the operator returned an array of shape .* expected 400 numbers"):
        dispatch.eigsh(sla.LinearOperator((400, 400), matvec=lambda x: result, dtype=float), 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(M=np.eye(400).astype(object)), TypeError, "M has dtype object, expected a numeric one"),
        (dict(M=np.eye(400, dtype=np.longdouble)), ValueError, "M has dtype .*, expected float32"),
        (dict(maxiter=2.5), TypeError, "maxiter is 2.5, expected an integer"),
        (dict(maxiter="5"), TypeError, "maxiter is '5', expected an integer"),
        (dict(ncv=4.5), TypeError, "ncv is 4.5, expected an integer"),
        (dict(rng="a"), TypeError, "rng is 'a', expected a seed"),
        (dict(rng=-1), ValueError, "rng is -1, expected a seed"),
        (dict(OPinv="a", sigma=1.0), TypeError, "OPinv is 'a', expected a matrix or a LinearOperator"),
        (dict(preconditioner=EYE * np.nan), ValueError, "preconditioner contains NaN or infinity in 400"),
        (dict(preconditioner=EYE * 1j), ValueError, "preconditioner is complex and A is real"),
        (dict(sigma=np.complex128(5 + 5j)), TypeError, "sigma is .*, expected a real number"),
        (dict(tol=1j), TypeError, "tol is 1j, expected a real number"),
        (dict(sigma="500.2"), TypeError, "sigma is '500.2', expected a real number"),
        (dict(A=[[1, 2], [3]]), ValueError, "A is not a matrix: "),
        (dict(A=sp.coo_array(np.ones((2, 2, 2)))), ValueError, r"A has shape \(2, 2, 2\), expected a square matrix"),
    ],
)
def test_errors_name_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        dispatch.eigsh(**{"A": A, "k": 3, **arguments})


def test_a_callback_cannot_change_the_history():
    def write(state):
        state.ritz_values[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        dispatch.eigsh(A, 3, which="SA", callback=write)


def test_no_convergence_has_scipys_order_and_no_advice_where_the_callback_stopped():
    with pytest.raises(dispatch.NoConvergence) as caught:
        dispatch.eigsh(A, 3, which="LA", callback=lambda state: state.iteration == 2)
    assert "maxiter" not in str(caught.value)
    assert (np.diff(caught.value.approximations.eigenvalues) > 0).all()
