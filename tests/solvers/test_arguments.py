"""The arguments of `eigsh`: what is refused before any work, and what SciPy takes and we take too."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

from .problems import laplacian, random_symmetric

A, SPECTRUM = laplacian(20, 20)


def broken(form, index):
    matrix = {"csr": sp.csr_array, "csc": sp.csc_array, "coo": sp.coo_array}[form](A.copy())
    if form == "coo":
        matrix.coords[0][3] = index
    else:
        matrix.indices[3] = index
    return matrix


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("index", [400, -1, 2**30])
@pytest.mark.parametrize("argument", ["A", "M", "preconditioner"])
def test_indices_outside_a_matrix_are_refused(form, index, argument):
    with pytest.raises(ValueError, match=f"{argument} is not a well-formed {form} matrix: indices must be"):
        dispatch.eigsh(**{"A": A, "k": 3, argument: broken(form, index)})


INDEFINITE = sp.eye_array(400).tolil()
INDEFINITE[3, 4] = INDEFINITE[4, 3] = 2.0
REFUSED = {
    "callback": (dict(callback=3), TypeError, "callback is 3, expected a function"),
    "A is text": (
        dict(A="abc"),
        TypeError,
        "A is 'abc', expected a square matrix: an array, a sparse matrix, lists of numbers, or a LinearOperator",
    ),
    "M is a number": (dict(M=2.0), TypeError, "M is 2.0, expected a square matrix: an array"),
    "A is a scalar of NumPy": (dict(A=np.float64(2.0)), ValueError, r"A has shape \(\), expected a square matrix"),
    "masked": (dict(A=np.ma.masked_equal(np.eye(9), 1)), ValueError, "A has masked elements"),
    "M zero on the diagonal": (
        dict(M=sp.diags_array(np.r_[np.ones(399), 0.0])),
        ValueError,
        r"M is not positive definite: its element \(399, 399\) is 0; a semidefinite M needs sigma",
    ),
    "M indefinite": (dict(M=INDEFINITE), ValueError, r"M is not positive definite: its element \(3, 4\) is larger"),
    "M indefinite dense": (dict(M=INDEFINITE.toarray()), ValueError, "M is not positive definite"),
    "M indefinite beyond minors of order two": (
        dict(M=np.eye(400) - (1 + 1e-6) / 400 * np.ones((400, 400))),
        ValueError,
        "M is not positive definite: 400-th leading minor",
    ),
    "M indefinite operator": (
        dict(M=sla.LinearOperator((400, 400), matvec=lambda x: x - 1.5 * x.mean(), dtype=float), which="SA"),
        ValueError,
        r"M is not positive definite: a vector x has xᴴ M x = -0\.5",
    ),
    "M NaN": (dict(M=sp.eye_array(400) * np.nan), ValueError, "M contains NaN or infinity in 400"),
    "complex from a real operator": (
        dict(A=sla.LinearOperator((400, 400), matvec=lambda x: 1j * x, dtype=float)),
        ValueError,
        "A: the operator returned complex numbers, and its dtype is float64",
    ),
    "k of an operator": (dict(A=sla.aslinearoperator(A), k=400), TypeError, "k is 400, expected k < n = 400"),
    "k with M an operator": (dict(A=np.eye(4), M=sla.aslinearoperator(np.eye(4)), k=4), TypeError, "k is 4, expected"),
    "sigma complex": (dict(sigma=1j), TypeError, "sigma is 1j, expected a real number"),
    "sigma infinite": (dict(sigma=np.inf), ValueError, "sigma is inf, expected a finite number"),
    "rng": (dict(rng="x"), TypeError, "SeedSequence expects int"),
    "preconditioner NaN": (
        dict(preconditioner=lambda R: R * np.nan, which="SA"),
        ValueError,
        "preconditioner: the operator returned NaN or infinity",
    ),
    "preconditioner size": (
        dict(preconditioner=lambda R: R * 1e300, which="SA"),
        ValueError,
        "preconditioner 'given': the squares of what it made of a block of residuals overflow, expected numbers of "
        "about the size of the residuals; scale the preconditioner, or use 'auto'",
    ),
    "preconditioner elements": (
        dict(preconditioner=sp.eye_array(400) * 1e300, which="SA"),
        ValueError,
        "preconditioner 'given': the squares of what it made of a block of residuals overflow",
    ),
    "preconditioner result": (
        dict(preconditioner=lambda R: R[:3], which="SA"),
        ValueError,
        "preconditioner|shape",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    arguments, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        dispatch.eigsh(**{"A": A, "k": 3, **arguments})


class Bare:
    """All that SciPy asks of an operator."""

    shape, dtype = (400, 400), np.dtype(float)

    def matvec(self, x):
        return A @ x


@pytest.mark.parametrize("matrix", [Bare(), np.asmatrix(A.toarray()), A.tolil(), sp.dok_matrix(A)], ids=type)
def test_other_forms(matrix):
    np.testing.assert_allclose(dispatch.eigsh(matrix, 3, which="SA")[0], SPECTRUM[:3], rtol=1e-11)


def overwriting(X):
    Y = A @ X
    X[...] = 0
    return Y


def with_one_buffer():
    buffers = {}

    def matmat(X):
        Y = buffers.setdefault(X.shape, np.empty(X.shape))
        Y[...] = A @ X
        return Y

    return matmat


@pytest.mark.parametrize("matmat", [overwriting, with_one_buffer()], ids=["overwriting", "one buffer"])
@pytest.mark.parametrize("arguments", [{"which": "SA"}, {"which": "LM", "sigma": 0.0}])
def test_an_operator_may_overwrite_blocks_and_reuse_its_own(matmat, arguments):
    operator = sla.LinearOperator(A.shape, matvec=matmat, matmat=matmat, dtype=float)
    w, v = dispatch.eigsh(operator, 3, **arguments)
    np.testing.assert_allclose(w, SPECTRUM[:3], rtol=1e-11)
    assert np.linalg.norm(A @ v - v * w, axis=0).max() < 1e-12


def test_an_operator_may_return_its_argument():
    identity = sla.LinearOperator(A.shape, matvec=lambda x: x, matmat=lambda X: X, dtype=float)
    for arguments in ({"preconditioner": identity}, {"M": identity}):
        np.testing.assert_allclose(dispatch.eigsh(A, 3, which="SA", **arguments)[0], SPECTRUM[:3], rtol=1e-11)
    np.testing.assert_allclose(dispatch.eigsh(identity, 3, preconditioner="chebyshev")[0], np.ones(3), rtol=1e-13)


def test_duplicates_add_up_without_overflow():
    rows, columns = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 2])
    B = sp.coo_array((np.array([100, 100, 3, 1], np.int8), (rows, columns)), shape=(3, 3))
    np.testing.assert_allclose(dispatch.eigsh(B, 2)[0], [3, 200])
    assert B.nnz == 4


def test_the_whole_spectrum_ignores_sigma_as_scipy_does():
    B = random_symmetric(12, density=0.9).toarray()
    for arguments in ({}, {"sigma": 0.3}, {"which": "SM", "return_eigenvectors": False}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            ours, theirs = dispatch.eigsh(B, 20, **arguments), sla.eigsh(B, 20, **arguments)
        np.testing.assert_allclose(*(w[0] if isinstance(w, tuple) else w for w in (ours, theirs)), atol=1e-12)


def test_a_mode_without_sigma_warns():
    with pytest.warns(UserWarning, match="mode is 'cayley', and sigma is not given: it has no effect") as caught:
        dispatch.eigsh(np.eye(5), 2, mode="cayley")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="mode is 'buckling', and sigma is not given: it has no effect"):
        w = dispatch.eigsh(np.diag([-3.0, 1.0, 2.0, 4.0]), 2, mode="buckling", return_eigenvectors=False)
    np.testing.assert_allclose(w, [-3, 4])


def test_an_operator_that_is_not_symmetric_is_told_by_products():
    B = sp.csr_array(A + sp.coo_array(([1.0], ([3], [7])), shape=A.shape))
    words = "A is not symmetric: for random vectors x and y of length 1, xᴴ.A y. and .A x.ᴴ y differ by "
    with pytest.raises(ValueError, match=words):
        dispatch.eigsh(sla.aslinearoperator(B), 3)


def test_what_ncv_and_minv_do():
    assert len(dispatch.eigsh(A, 3, ncv=1000)[0]) == 3
    assert len(dispatch.eigsh(A, 3, M=sp.eye_array(400), Minv=sp.eye_array(400))[0]) == 3
    short, long = (dispatch.eigsh(A, 3, sigma=1.3, ncv=ncv, return_info=True)[2] for ncv in (12, 60))
    assert long.iterations <= short.iterations


def test_no_convergence_says_so_in_its_own_words_and_can_be_pickled():
    with pytest.raises(sla.ArpackNoConvergence) as caught:
        dispatch.eigsh(A, 4, which="SA", maxiter=1, preconditioner=None)
    assert str(caught.value).startswith("0 of 4 eigenpairs converged in 1 iterations")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.approximations.eigenvectors.shape == (400, 4)
    assert copy.eigenvalues.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"k": 3, "which": "SA"}, "LOBPCG for SA, preconditioner chebyshev: any matrix whose products are all"),
        ({"k": 3, "which": "SM"}, "LOBPCG for SA, preconditioner chebyshev: any matrix"),
        ({"k": 3, "M": 2 * A, "which": "SA"}, "LOBPCG for SA, preconditioner chebyshev-jacobi: a generalized problem"),
        ({"k": 3, "preconditioner": None}, "LOBPCG for LM, preconditioner none: asked for"),
        ({"k": 3, "which": "SA", "preconditioner": "jacobi"}, "LOBPCG for SA, preconditioner jacobi: asked for"),
        ({"k": 3, "sigma": 1.5}, "LOBPCG at sigma = 1.5, normal, by sparse factors: factors of about"),
        ({"k": 3, "sigma": 1.5, "which": "SM"}, "LOBPCG for LM, preconditioner chebyshev: any"),
        ({"k": 3, "preconditioner": A}, "LOBPCG for LM, preconditioner given: given by the caller"),
        ({"k": 200}, "dense, by LAPACK: n = 400 is small"),
    ],
)
def test_explain_tells_the_method(arguments, expected):
    decision = dispatch.explain("eigsh", A, **arguments)
    assert decision.plan.startswith(expected)
    assert expected in str(decision)
    assert decision.to_dict()["plan"] == decision.plan


REFUSED_TOO = {
    "inverse": (dict(sigma=0.5, OPinv=np.eye(60)), ValueError, "OPinv is not the inverse of A - sigma M"),
    "multigrid": (dict(which="LA", preconditioner="amg"), ValueError, "which serves which='SA', and which is 'LA'"),
    "filter": (dict(A=-A[:60, :60], which="SA", preconditioner="chebyshev-jacobi"), ValueError, "A's goes down to -4"),
    "diagonal": (dict(A=sla.aslinearoperator(A), preconditioner="jacobi"), ValueError, "needs the elements of A"),
    "nonsymmetric": (dict(A=sp.triu(A)), ValueError, "A is not symmetric: A and its transpose differ by 1"),
    "NaN": (dict(A=A * np.nan), ValueError, "A contains NaN or infinity in 1920"),
    "M": (dict(M=-sp.eye_array(60)), ValueError, r"M is not positive definite: its element \(0, 0\) is -1"),
    "far": (dict(sigma=1e300), ValueError, r"sigma is 1e\+300, so far from every eigenvalue"),
}


@pytest.mark.parametrize("case", [case for case in REFUSED_TOO if case != "inverse"])
def test_explain_raises_what_the_call_would_raise(case):
    arguments, error, message = REFUSED_TOO[case]
    with pytest.raises(error, match=message):
        dispatch.explain("eigsh", **{"A": A[:60, :60], "k": 3, **arguments})


@pytest.mark.parametrize("case", REFUSED_TOO)
def test_lapack_is_no_reason_to_let_wrong_arguments_pass(case):
    arguments, error, message = REFUSED_TOO[case]
    with pytest.raises(error, match=message):
        dispatch.eigsh(**{"A": A[:60, :60], "k": 3, **arguments})


def test_explain_asks_an_operator_for_nothing():
    def product(x):
        raise AssertionError("a product was asked for")

    operator = sla.LinearOperator((400, 400), matvec=product, dtype=float)
    assert dispatch.explain("eigsh", operator, k=3, M=operator).plan.startswith("LOBPCG for LM")


@pytest.mark.parametrize("asked", ["jacobi", A[:60, :60], lambda R: R], ids=["name", "matrix", "function"])
def test_a_preconditioner_that_lapack_leaves_aside_is_reported(asked):
    info = dispatch.eigsh(A[:60, :60], 3, preconditioner=asked, return_info=True)[2]
    assert info.preconditioner == "none"
    assert info.reason.endswith("and LAPACK takes no preconditioner")
    for name in ("auto", "none", None):
        info = dispatch.eigsh(A[:60, :60], 3, preconditioner=name, return_info=True)[2]
        assert info.reason == "n = 60 is small against 5 vectors"


@pytest.mark.parametrize(
    "arguments",
    [
        dict(k=0),
        dict(which="LR"),
        dict(mode="other"),
        dict(v0=np.ones(3)),
        dict(ncv=2),
        dict(maxiter=0),
        dict(tol=np.nan),
        dict(sigma=np.inf),
        dict(M=np.eye(3)),
        dict(M=-sp.eye_array(400)),
        dict(M=sp.eye_array(400) * np.nan),
        dict(OPinv=np.eye(400)),
        dict(Minv=np.eye(400)),
        dict(preconditioner="ilu"),
        dict(preconditioner=np.eye(3)),
        dict(callback=3),
        dict(rng="x"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_the_first_product(arguments):
    def product(x):
        raise AssertionError("a product was asked for")

    operator = sla.LinearOperator((400, 400), matvec=product, matmat=product, dtype=float)
    with pytest.raises((TypeError, ValueError)):
        dispatch.eigsh(**{"A": operator, "k": 3, **arguments})
