"""The table of SciPy's arguments in docs/eigsh.md: every clause of every row is run here, beside SciPy where it can.

A clause is what stands between two semicolons. Which column it stands in follows from its evidence.
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch

from .problems import REPOSITORY, laplacian, random_symmetric

N = 300
A = random_symmetric(N, density=0.02)
H = random_symmetric(N, density=0.02, dtype=complex)
SPECTRUM, SPECTRUM_H = (np.linalg.eigvalsh(matrix.toarray()) for matrix in (A, H))
SPECTRUM_P = SPECTRUM_H + 9
POSITIVE = sp.diags_array(np.linspace(1, 3, N)).tocsr() + 0.1 * abs(random_symmetric(N, density=0.01)).tocsr()
POSITIVE = POSITIVE + POSITIVE.T
EYE = sp.eye_array(N, format="csr")
SHIFT = 0.37
INVERSE = sla.splu((A - SHIFT * EYE).tocsc())
OPINV = sla.LinearOperator((N, N), matvec=INVERSE.solve, matmat=INVERSE.solve, dtype=float)
SMALL = random_symmetric(12, density=0.9).toarray()
GRID = laplacian(12, 13)[0]
INVERTED = np.linalg.inv((A - SHIFT * EYE).toarray())
FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


class Bare:
    """All that `aslinearoperator` asks for."""

    shape, dtype = (N, N), np.dtype(float)

    def matvec(self, x):
        return A @ x


@dataclass(frozen=True)
class Evidence:
    """What shows that a clause is true."""

    kind: str
    check: Callable[[], None]


def run(eigsh: Callable[..., Any], call: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eigsh(**{"A": A, "k": 4, "v0": None, **call})


def scipys(call: dict[str, Any]) -> Any:
    return run(sla.eigsh, {"rng": 0, **call})


def ours(call: dict[str, Any]) -> Any:
    return run(dispatch.eigsh, {"backend": "cpu", **call})


def pairs(result: Any) -> tuple[Any, Any]:
    return result if isinstance(result, tuple) else (result, None)


def assert_same(call: dict[str, Any]) -> None:
    w, v = pairs(ours(call))
    expected, vectors = pairs(scipys(call))
    if np.iscomplexobj(call.get("A")) or getattr(call.get("A"), "dtype", A.dtype).kind == "c":
        expected = np.sort(expected)  # SciPy leaves these in no order
    assert w.dtype == expected.dtype
    size = max(abs(SPECTRUM).max(), abs(expected).max())
    np.testing.assert_allclose(w, expected, rtol=0, atol=(1e-4 if w.dtype == np.float32 else 1e-9) * size)
    assert (v is None) == (vectors is None)
    if v is not None:
        assert (v.shape, v.dtype) == (vectors.shape, vectors.dtype)


def same(*calls: dict[str, Any]) -> Evidence:
    """Both return the same values, in the same order and arithmetic."""

    def check() -> None:
        for call in calls:
            assert_same(call)

    return Evidence("same", check)


def both_refuse(error: type[Exception], message: str, *calls: dict[str, Any]) -> Evidence:
    def check() -> None:
        for call in calls:
            with pytest.raises(Exception):  # noqa: B017, PT011 - SciPy has an error of some kind
                scipys(call)
            with pytest.raises(error, match=message):
                ours(call)

    return Evidence("same", check)


def ours_alone(expected: Any, *calls: dict[str, Any]) -> Evidence:
    """SciPy raises something, and ours returns the expected values."""

    def check() -> None:
        for call in calls:
            with pytest.raises(Exception):  # noqa: B017, PT011 - it has many
                scipys(call)
            np.testing.assert_allclose(pairs(ours(call))[0], expected, rtol=0, atol=1e-9 * abs(SPECTRUM).max())

    return Evidence("more", check)


def refused(error: type[Exception], message: str, *calls: dict[str, Any], scipy_returns: bool = True) -> Evidence:
    """SciPy returns something, or crashes, and is then not called; ours raises."""

    def check() -> None:
        for call in calls:
            if scipy_returns:
                scipys(call)
            with pytest.raises(error, match=message):
                ours(call)

    return Evidence("differs", check)


def differs(check: Callable[[], None]) -> Evidence:
    return Evidence("differs", check)


def holds(check: Callable[[], None]) -> Evidence:
    """A statement about ours that SciPy does not contradict."""
    return Evidence("same", check)


def besides(check: Callable[[], None]) -> Evidence:
    """Something of ours that SciPy has no equal of."""
    return Evidence("more", check)


def largest(spectrum: Any, k: int) -> Any:
    return np.sort(spectrum[np.argsort(-abs(spectrum))[:k]])


def nearest(spectrum: Any, sigma: float, k: int) -> Any:
    return np.sort(spectrum[np.argsort(abs(spectrum - sigma))[:k]])


def whole(**more: Any) -> dict[str, Any]:
    return {"A": SMALL, "k": 15, **more}


def broken() -> Any:
    matrix = A.copy()
    matrix.indices[3] = N
    return matrix


def rises_from(first: dict[str, Any], second: dict[str, Any]) -> Callable[[], None]:
    """Return a check that ours gives the same bits for two calls."""

    def check() -> None:
        for x, y in zip(ours(first), ours(second), strict=True):
            assert np.array_equal(x, y)

    return check


def promotes() -> None:
    w, v = ours({"A": A.astype(np.float32), "M": POSITIVE})
    assert (w.dtype, v.dtype) == (np.float64, np.float64)
    assert scipys({"A": A.astype(np.float32), "M": POSITIVE})[0].dtype == np.float32
    spectrum = scipy.linalg.eigvalsh(A.toarray(), POSITIVE.astype(np.float32).toarray().astype(float))
    np.testing.assert_allclose(ours({"M": POSITIVE.astype(np.float32)})[0], largest(spectrum, 4), rtol=1e-9)
    # A diagonal of phases on both sides makes M complex, and leaves the eigenvalues of a diagonal A alone.
    phase = np.exp(1j * np.random.default_rng(0).uniform(0, 6, N))
    M = sp.csr_array(POSITIVE.multiply(np.outer(phase, phase.conj())))
    D = sp.diags_array(np.linspace(-2, 5, N)).tocsr()
    w, v = ours({"A": D, "M": M})
    assert v.dtype == np.complex128
    spectrum = scipy.linalg.eigvalsh(D.toarray(), POSITIVE.toarray())
    np.testing.assert_allclose(w, largest(spectrum, 4), rtol=1e-9)


def takes_a_block() -> None:
    """From the wanted vectors it takes fewer iterations, whichever column they are in."""
    vectors = np.linalg.eigh(A.toarray())[1]
    wanted = vectors[:, np.argsort(-abs(SPECTRUM))[:4]]
    infos = [
        dispatch.eigsh(A, 4, v0=v0, return_info=True, backend="cpu")[2] for v0 in (wanted, np.c_[wanted, BLOCK], None)
    ]
    assert infos[0].iterations < infos[2].iterations
    assert infos[1].iterations < infos[2].iterations


def starts_elsewhere() -> None:
    grid, spectrum = laplacian(20, 21)
    v0 = np.linalg.eigh(grid.toarray())[1][:, 20:24]
    np.testing.assert_allclose(ours({"A": grid, "v0": v0, "which": "SA"})[0], spectrum[:4], rtol=1e-11)


def counts_iterations() -> None:
    hard = laplacian(60, 61)[0]
    with pytest.raises(dispatch.NoConvergence) as caught:
        ours({"A": hard, "which": "SA", "maxiter": 3})
    assert caught.value.info.iterations == 3


def bounds_residuals() -> None:
    hard = laplacian(40, 41)[0]
    for tol in (1e-3, 1e-7):
        w, v = ours({"A": hard, "which": "SA", "tol": tol})
        assert (np.linalg.norm(hard @ v - v * w, axis=0) <= tol * w * (1 + 1e-9)).all()


def reaches_the_floor() -> None:
    w, v = ours({"which": "SA", "tol": 0})
    assert np.linalg.norm(A @ v - v * w, axis=0).max() <= 32 * np.finfo(float).eps * abs(SPECTRUM).max()


def complex_order() -> None:
    for which in ("LM", "SM", "LA", "SA"):
        w = ours({"A": H, "which": which, "return_eigenvectors": False})
        real = ours({"A": np.diag(SPECTRUM_H), "which": which, "return_eigenvectors": False})
        np.testing.assert_allclose(w, real, rtol=0, atol=1e-9)


def pays_no_heed_to_minv() -> None:
    wrong = {"M": POSITIVE, "Minv": EYE}
    spectrum = scipy.linalg.eigvalsh(A.toarray(), POSITIVE.toarray())
    np.testing.assert_allclose(ours(wrong)[0], largest(spectrum, 4), rtol=1e-9)
    assert abs(scipys(wrong)[0] - largest(spectrum, 4)).max() > 1e-3


def uses_A_besides() -> None:
    """SciPy never multiplies by A here; ours refines with it what an inaccurate inverse has given."""
    asked = []
    operator = sla.LinearOperator((N, N), matvec=lambda x: asked.append(1) or A @ x, dtype=float)
    noisy = sla.LinearOperator((N, N), matvec=lambda x: INVERSE.solve(x) * (1 + 1e-7 * np.sin(np.arange(N))))
    call = {"A": operator, "sigma": SHIFT, "OPinv": noisy}
    right = nearest(SPECTRUM, SHIFT, 4)
    assert abs(scipys(call)[0] - right).max() > 1e-10
    assert not asked
    np.testing.assert_allclose(ours(call)[0], right, rtol=0, atol=1e-11)
    assert asked


def warns_of_mode() -> None:
    with pytest.warns(UserWarning, match="mode is 'cayley', and sigma is not given: it has no effect"):
        w = dispatch.eigsh(A, 4, mode="cayley", return_eigenvectors=False, backend="cpu")
    np.testing.assert_allclose(np.sort(w), largest(SPECTRUM, 4), atol=1e-9)


def complex_rng() -> None:
    for call in ({"A": H, "rng": 5}, {"A": H}):
        rises_from(call, call)()
    first, second = (scipys({"A": H, "rng": 5})[1] for _ in range(2))
    assert not np.array_equal(first, second)


def generator_advances() -> None:
    generator = np.random.default_rng(5)
    first, second = (ours({"rng": generator, "tol": 1e-3})[1] for _ in range(2))
    assert not np.array_equal(first, second)


def one_k_and_all() -> None:
    """SciPy's complex problems end at k = n - 2."""
    n = 12
    dense = random_symmetric(n, density=0.9, dtype=complex).toarray()
    spectrum = np.linalg.eigvalsh(dense)
    assert len(scipys({"A": dense, "k": n - 1})[0]) == n
    for form in (dense, sp.csr_array(dense)):
        np.testing.assert_allclose(ours({"A": form, "k": n - 1})[0], largest(spectrum, n - 1), atol=1e-12)


def basis_size() -> None:
    short, long = (
        dispatch.eigsh(A, 4, sigma=SHIFT, ncv=ncv, return_info=True, backend="cpu")[2].iterations for ncv in (12, 60)
    )
    assert long < short
    rises_from({"ncv": 12}, {"ncv": 60})()


SMALLEST = {"A": SMALL, "which": "SM"}
"""ARPACK needs more iterations than it has for the smallest magnitudes of larger matrices."""
BLOCK = np.random.default_rng(0).standard_normal((N, 6))
TABLE: dict[str, dict[str, Evidence]] = {
    "A": {
        "every scipy.sparse format, arrays and matrices": same(
            *({"A": GRID.asformat(form), "which": "LA"} for form in FORMATS),
            {"A": sp.csr_matrix(A)},
            {"A": sp.dok_matrix(A)},
        ),
        "dense arrays, `LinearOperator`, and what `aslinearoperator` takes": same(
            {"A": A.toarray()}, {"A": np.asmatrix(A.toarray())}, {"A": sla.aslinearoperator(A)}, {"A": Bare()}
        ),
        "lists": ours_alone(np.linalg.eigvalsh(SMALL)[-2:], {"A": SMALL.tolist(), "k": 2, "which": "LA"}),
        "float32, float64, complex64 and complex128, in either byte order": same(
            *({"A": (H if char in "FD" else A).astype(char)} for char in "fdFD"), {"A": A.toarray().astype(">f8")}
        ),
        "integers, booleans and float16 are computed in float64": same(
            *({"A": (A.toarray() > 0.2).astype(dtype)} for dtype in (bool, np.int8, np.uint32, np.int64)),
            {"A": A.toarray().astype(np.float16)},
        ),
        "longdouble is a `ValueError`": both_refuse(
            ValueError, "expected float32, float64, complex64 or complex128", {"A": A.astype(np.longdouble)}
        ),
        "one that is not square is a `ValueError`": both_refuse(ValueError, "expected a square", {"A": A[:, :9]}),
        "NaN or infinity is a `ValueError`": both_refuse(
            ValueError, "NaN or infinity", {"A": A * np.nan}, {"A": np.full((9, 9), np.inf)}
        ),
        "the zero matrix": ours_alone(np.zeros(4), {"A": sp.csr_array((N, N))}),
        "not symmetric or Hermitian is a `ValueError`": refused(
            ValueError,
            "A is not (symmetric|Hermitian)",
            {"A": sp.triu(A, format="csr")},
            {"A": (1 + 1j) * A},
            {"A": sla.aslinearoperator(sp.triu(A, format="csr"))},
        ),
        "masked elements are a `ValueError`": refused(
            ValueError, "A has masked elements", {"A": np.ma.masked_greater(A.toarray(), 0.5)}
        ),
        "indices outside the matrix are a `ValueError`": refused(
            ValueError, "A is not a well-formed csr matrix", {"A": broken()}, scipy_returns=False
        ),
        "elements beyond 2^±960 are a `ValueError`": refused(
            ValueError, "near the end of the range", {"A": A * 1e300}, {"A": A * 1e-300}
        ),
    },
    "k": {
        "from 1 to n - 1": same(*({"A": SMALL, "k": k} for k in range(1, 12)), {"k": 1}, {"k": N - 1}),
        "0 and less is a `ValueError`": both_refuse(ValueError, "expected 1 <= k < n = 300", {"k": 0}, {"k": -3}),
        "what is no integer, `True` among it, is a `TypeError`": both_refuse(
            TypeError, "expected an integer", {"k": 2.0}, {"k": True}, {"k": "2"}, {"k": None}, {"k": np.array([2])}
        ),
        "for `k >= n` a dense matrix is solved whole, whatever the arguments other than M, with SciPy's "
        "`RuntimeWarning`": same(
            whole(),
            whole(M=np.diag(np.arange(1.0, 13))),
            whole(sigma=0.3, which="SM", ncv=2),
            whole(return_eigenvectors=False, which="SA"),
            whole(OPinv=SMALL, Minv=SMALL),
        ),
        "a sparse one or an operator is a `TypeError`": both_refuse(
            TypeError, "expected k < n", {"k": N}, {"A": sla.aslinearoperator(A), "k": N + 3}
        ),
        "for complex matrices SciPy's `k >= n` begins at n - 1": differs(one_k_and_all),
    },
    "M": {
        "every form that A may have": same(
            {"M": POSITIVE},
            {"M": POSITIVE.toarray()},
            {"M": sp.coo_matrix(POSITIVE)},
            {"M": sla.aslinearoperator(POSITIVE)},
            {"A": H, "M": POSITIVE},
        ),
        "a semidefinite one with `sigma`": same(
            {"A": POSITIVE, "M": sp.diags_array(np.r_[np.zeros(9), np.ones(N - 9)]).tocsc(), "sigma": 0.0}
        ),
        "an indefinite one in buckling mode": same(
            {"A": POSITIVE.tocsc(), "M": A.tocsc(), "sigma": 3.3, "mode": "buckling"},
        ),
        "another shape is a `ValueError`": both_refuse(ValueError, "the shape of A", {"M": np.eye(9)}),
        "A and M are brought to their common type, where SciPy computes in that of A": differs(promotes),
        "one that is found not to be positive definite is a `ValueError`": refused(
            ValueError, "M is not positive definite", {"M": -EYE.toarray()}, {"M": EYE - 3 * sp.eye_array(N, k=0)}
        ),
    },
    "sigma": {
        "any real number": same(
            {"sigma": SHIFT}, {"sigma": 0}, {"sigma": np.float32(0.25)}, {"sigma": np.array(-1.5)}, {"sigma": True}
        ),
        "with it `which` is of the transformed eigenvalues": same(
            *({"sigma": SHIFT, "which": which} for which in ("LM", "LA", "SA", "BE"))
        ),
        "NaN and infinity are a `ValueError`": both_refuse(
            ValueError, "expected a finite number", {"sigma": np.nan}, {"sigma": np.inf}
        ),
        "an exact eigenvalue": ours_alone([2.0, 3.0], {"A": np.diag(np.arange(1.0, 13)), "k": 2, "sigma": 3.0}),
        "complex numbers without an imaginary part, for real matrices": ours_alone(
            nearest(SPECTRUM, SHIFT, 4), {"A": A.toarray(), "sigma": SHIFT + 0j}
        ),
        "complex numbers with one are a `TypeError`, where SciPy takes them for complex matrices": refused(
            TypeError, "expected a real number", {"A": SMALL * (1 + 0j), "sigma": SHIFT + 1j}
        ),
        "one beyond n ‖A‖ / ε, from where all eigenvalues are equally far, is a `ValueError`": refused(
            ValueError, "so far from every eigenvalue", {"A": A.toarray(), "sigma": 1e30}
        ),
    },
    "which": {
        "LM, SM, LA, SA and BE, with the larger half of an odd k at the upper end": same(
            *({"which": which} for which in ("LM", "LA", "SA", "BE")), SMALLEST, {"which": "BE", "k": 5}
        ),
        "anything else is a `ValueError`": both_refuse(
            ValueError, "expected one of LM, SM", {"which": "LR"}, {"which": "la"}, {"which": None}
        ),
        "BE for complex matrices": ours_alone(np.r_[SPECTRUM_H[:2], SPECTRUM_H[-2:]], {"A": H, "which": "BE"}),
        "BE for k = 1": ours_alone(SPECTRUM[-1:], {"which": "BE", "k": 1}),
        "the LR, SR, LI and SI of `eigs`, which SciPy lets pass for complex matrices, are a `ValueError`": refused(
            ValueError, "which is 'LR', expected one of LM", {"A": H, "which": "LR"}
        ),
    },
    "v0": {
        "any n numbers": same(
            *({"v0": v0} for v0 in (np.ones(N), [1.0] * N, np.arange(N), np.ones((N, 1)), np.ones((1, N))))
        ),
        "a block (n, m), of which k vectors are used": besides(takes_a_block),
        "zeros, which count as no start": ours_alone(largest(SPECTRUM, 4), {"v0": np.zeros(N)}),
        "NaN is a `ValueError`": refused(
            ValueError, "v0 contains NaN", {"v0": np.full(N, np.nan)}, scipy_returns=False
        ),
        "a wrong length is a `ValueError`, where SciPy may crash": refused(
            ValueError, r"v0 has shape \(10,\), expected \(300,\)", {"v0": np.ones(10)}, scipy_returns=False
        ),
        "a complex one for a real A is a `ValueError`, unless its imaginary part is zero": refused(
            ValueError, "v0 is complex and A is real", {"v0": np.ones(N) * (1 + 1j)}
        ),
        "eigenvectors that are not the wanted ones": besides(starts_elsewhere),
    },
    "ncv": {
        "more than k": same({"ncv": 20}, {"ncv": N}, {"ncv": 10 * N}, {"ncv": np.int64(9), "sigma": SHIFT}),
        "k or less is a `ValueError`": both_refuse(ValueError, "ncv is 4, expected more than k = 4", {"ncv": 4}),
        "what is no integer is a `TypeError`": both_refuse(TypeError, "expected an integer", {"ncv": 9.0}),
        "it is the size of the basis with `sigma`, and without effect otherwise": differs(basis_size),
    },
    "maxiter": {
        "1 or more, also as a float": same({"maxiter": 3000}, {"maxiter": 1e4}),
        "0 and less is a `ValueError`": both_refuse(ValueError, "maxiter is 0, expected at least 1", {"maxiter": 0}),
        "it counts LOBPCG's iterations, not ARPACK's restarts": differs(counts_iterations),
        "a float with a fraction is a `TypeError`": refused(TypeError, "maxiter is 300.5", {"maxiter": 300.5}),
    },
    "tol": {
        "0 is as accurate as the arithmetic allows": holds(reaches_the_floor),
        "negative counts as 0": same({"tol": -1}),
        "NaN is a `ValueError`": both_refuse(ValueError, "tol is nan, expected a finite number", {"tol": np.nan}),
        "it bounds residuals relative to the eigenvalue, where ARPACK's bounds an estimate": differs(bounds_residuals),
        "infinity is a `ValueError`": refused(ValueError, "tol is inf, expected a finite number", {"tol": np.inf}),
    },
    "return_eigenvectors": {
        "with vectors, values ascend": same(*({"which": which} for which in ("LM", "LA", "SA", "BE")), SMALLEST),
        "without vectors and `sigma` LM ascends by magnitude, SM and SA descend": same(
            *({"which": which, "return_eigenvectors": False} for which in ("LM", "LA", "SA", "BE")),
            {**SMALLEST, "return_eigenvectors": False},
        ),
        "with `sigma` all ascend": same(
            *({"which": which, "sigma": SHIFT, "return_eigenvectors": False} for which in ("LM", "LA", "SA", "BE"))
        ),
        "complex problems have the order of real ones, SciPy's none": differs(complex_order),
    },
    "Minv": {
        "with M": same({"M": POSITIVE, "Minv": np.linalg.inv(POSITIVE.toarray())}),
        "without M, or with `sigma`, it is a `ValueError`": both_refuse(
            ValueError,
            "Minv is given",
            *({"Minv": EYE, **call} for call in ({}, {"A": H}, {"M": POSITIVE, "sigma": SHIFT})),
        ),
        "another shape is a `ValueError`": both_refuse(
            ValueError, "Minv has shape", {"M": POSITIVE, "Minv": np.eye(9)}
        ),
        "it is never needed, and no matter where it is wrong": differs(pays_no_heed_to_minv),
    },
    "OPinv": {
        "the inverse of `A - sigma M` in every mode": same(
            {"sigma": SHIFT, "OPinv": OPINV},
            {"sigma": SHIFT, "OPinv": OPINV, "mode": "cayley"},
            {"sigma": SHIFT, "OPinv": INVERTED},
        ),
        "without `sigma` it is a `ValueError`": both_refuse(
            ValueError, "OPinv is given without sigma", {"OPinv": OPINV}
        ),
        "another shape is a `ValueError`": both_refuse(
            ValueError, "OPinv has shape", {"sigma": SHIFT, "OPinv": np.eye(9)}
        ),
        "A is used besides": differs(uses_A_besides),
        "a complex one for a real problem is a `ValueError`": refused(
            ValueError, "OPinv is complex and the problem is real", {"sigma": SHIFT, "OPinv": INVERTED + 0j}
        ),
        "one that is not the inverse is a `ValueError`": refused(
            ValueError, "OPinv is not the inverse of A - sigma M", {"sigma": SHIFT, "OPinv": EYE}
        ),
    },
    "mode": {
        "normal, buckling and cayley": same(
            *({"A": POSITIVE, "sigma": 3.3, "mode": mode} for mode in ("normal", "buckling", "cayley")),
            {"M": POSITIVE, "sigma": SHIFT, "mode": "cayley"},
        ),
        "anything else with `sigma` is a `ValueError`": both_refuse(
            ValueError, "expected one of normal, buckling, cayley", {"sigma": SHIFT, "mode": "Normal"}
        ),
        "buckling for complex matrices": ours_alone(
            np.sort(SPECTRUM_P[np.argsort(-abs(SPECTRUM_P / (SPECTRUM_P - SHIFT)))[:4]]),
            {"A": H + 9 * EYE, "sigma": SHIFT, "mode": "buckling"},
        ),
        "cayley for complex matrices": ours_alone(
            np.sort(SPECTRUM_H[np.argsort(-abs((SPECTRUM_H + SHIFT) / (SPECTRUM_H - SHIFT)))[:4]]),
            {"A": H, "sigma": SHIFT, "mode": "cayley"},
        ),
        "without `sigma` it has no effect, and a warning says so": differs(warns_of_mode),
        "anything else is a `ValueError` without `sigma`, too": refused(
            ValueError, "mode is 'other'", {"mode": "other"}
        ),
        "buckling and cayley with `sigma=0`, where every eigenvalue becomes 1, are a `ValueError`": refused(
            ValueError, "maps every eigenvalue to 1", *({"sigma": 0, "mode": mode} for mode in ("cayley", "buckling"))
        ),
        "buckling with an indefinite A is a `ValueError`": refused(
            ValueError, "A is not positive (semi)?definite", {"sigma": SHIFT, "mode": "buckling"}
        ),
    },
    "rng": {
        "a `Generator`, or what `default_rng` takes": same(
            *({"rng": rng} for rng in (1, [1, 2], np.random.SeedSequence(1))),
            *({"rng": rng} for rng in (np.random.default_rng(1), np.random.PCG64(1))),
        ),
        "what it does not take is a `TypeError` or a `ValueError`": both_refuse(
            (TypeError, ValueError), "expected a seed", {"rng": "x"}, {"rng": 1.5}, {"rng": -1}
        ),
        "a `Generator` goes on from where it is": holds(generator_advances),
        "None is a fixed seed, not entropy": differs(rises_from({}, {"rng": 0})),
        "it is used for complex matrices, too": differs(complex_rng),
    },
}


def documented() -> dict[str, dict[str, list[str]]]:
    """Return the rows of the table: of each argument, the clauses of each column."""
    text = (REPOSITORY / "docs" / "eigsh.md").read_text(encoding="utf-8").split("## SciPy's arguments")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {
        argument.strip("`"): {
            kind: [clause.strip() for clause in cell.split(";") if clause]
            for kind, cell in zip(("same", "more", "differs"), cells, strict=True)
        }
        for argument, *cells in rows
    }


def test_the_rows_are_scipys_arguments():
    assert list(documented()) == list(TABLE) == list(inspect.signature(sla.eigsh).parameters)
    assert list(TABLE) == list(inspect.signature(dispatch.eigsh).parameters)[: len(TABLE)]


@pytest.mark.parametrize("argument", TABLE)
def test_every_clause_has_evidence(argument):
    for kind, clauses in documented()[argument].items():
        assert clauses == [clause for clause, evidence in TABLE[argument].items() if evidence.kind == kind]


@pytest.mark.parametrize(
    ("argument", "clause"), [(argument, clause) for argument, clauses in TABLE.items() for clause in clauses]
)
def test_clause(argument, clause):
    TABLE[argument][clause].check()
