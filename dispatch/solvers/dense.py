"""Small problems, and problems of which much is wanted: the whole spectrum by LAPACK, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.conclusion import conclude, rounded
from dispatch.solvers.convergence import FLOOR
from dispatch.solvers.inverse_iteration import independent, iterated_spectrum, orthonormal_clusters
from dispatch.solvers.inverses import MOVES, SINGULAR, DenseFactors, SingularShiftError
from dispatch.solvers.lengths import lengths, norm_estimate
from dispatch.solvers.order_at_shift import wanted_at_shift
from dispatch.solvers.problem import EigenProblem, Operand
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult
from dispatch.solvers.schur_complement import finite_spectrum

ALWAYS_BELOW = 256
"""Order up to which LAPACK is faster than any iteration."""

BLOCKS = 5
"""A basis of three blocks has no room to move in a space of fewer than five."""

RESCUE_BELOW = 4096
"""Order up to which LAPACK takes over, for the whole spectrum, where the iteration gets stuck."""


def dense_is_better(problem: EigenProblem, vectors: int) -> bool:
    """Return whether the problem is small, absolutely or against the number of vectors of a block."""
    return problem.n <= ALWAYS_BELOW or problem.n < BLOCKS * vectors


def solve_dense(problem: EigenProblem, reason: str) -> EigshResult:
    """Return the wanted eigenpairs from the whole spectrum, computed in double precision and rounded to the problem's.

    LAPACK in single precision leaves residuals of about ``n^(1/2) ε ‖A‖``, more than is promised. So it does in double
    precision where the matrix of the inner product is ill-conditioned: errors are relative to the largest eigenvalue of
    the pencil then. The inverse at a shift has them relative to the distance from it, and takes over.

    Raises
    ------
    ValueError
        When the matrix of the inner product is not positive definite: M, or A for buckling; with a shift it may be
        semidefinite.
    NoConvergence
        When residuals, computed with A and M, are not small enough.
    """
    wide = np.result_type(problem.dtype, np.float64)
    A = as_dense(problem.A, problem).astype(wide, copy=False)
    M = None if problem.M is None else as_dense(problem.M, problem).astype(wide, copy=False)
    scale, scale_M = _power_of_two(A), 1.0 if M is None else _power_of_two(M)
    scaled_A, scaled_M = _hermitian(A / scale), None if M is None else _hermitian(M / scale_M)
    sigma = None if problem.sigma is None else problem.sigma * (scale_M / scale)
    values, X = _pairs(problem, scaled_A, scaled_M, sigma)
    values = rounded(problem, values * (scale / scale_M))
    X = (X / np.sqrt(scale if problem.mode == "buckling" else scale_M)).astype(problem.dtype)
    norms, limits = _Pencil(problem, A, M).residuals(values, X)
    accurate = norms <= limits
    # Of the whole spectrum, which SciPy leaves to LAPACK as well, there is nothing better to be had.
    at_floor = problem.k == problem.n or bool((norms <= 100 / FLOOR * limits).all())
    info = EigshInfo(
        method="dense",
        status="converged" if accurate.all() else "floor",
        iterations=0,
        operator_applications=problem.n if isinstance(problem.A, LinearOperator) else 0,
        residual_norms=norms,
        reason=reason,
    )
    metric = "A" if problem.mode == "buckling" else "M"
    why = "" if at_floor else f"LAPACK had no more to give: {metric} is ill-conditioned, or A or M not quite Hermitian"
    return conclude(problem, values, X, accurate, info, why)


def _pairs(
    problem: EigenProblem, A: NDArray[Any], M: NDArray[Any] | None, sigma: float | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the wanted pairs, by inverse iteration where LAPACK leaves them inaccurate and the problem is small."""
    wanted = _by_lapack(problem, A, M, sigma)
    if M is None or problem.mode == "buckling" or problem.n > ALWAYS_BELOW:
        return wanted
    pencil = _Pencil(problem, A, M)
    if pencil.excess(*wanted).max() <= 1.0:
        return wanted
    values, X = _spectrum(A, M, sigma, problem.eps)
    if len(values) < problem.n:
        return wanted
    spectrum = iterated_spectrum(A, M, values, X, pencil.excess(values, X) > 1.0)
    if spectrum is None or pencil.excess(*spectrum).max() > 1.0:
        return wanted
    values, X = _ascending(*_wanted(problem, *spectrum, sigma))
    _, limits = pencil.residuals(values, X)
    clusters = orthonormal_clusters(M, values, X, limits / lengths(M @ X))
    return values, clusters if pencil.excess(values, clusters).max() <= 1.0 else X


def _by_lapack(
    problem: EigenProblem, A: NDArray[Any], M: NDArray[Any] | None, sigma: float | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the wanted pairs: by the Cholesky factors of the inner product, or by an inverse where that is better."""
    metric = np.eye(problem.n) if M is None else M
    if problem.mode == "buckling":
        pairs = _buckling(A, metric, sigma, problem.eps)
    else:
        pairs = _spectrum(A, M, sigma, problem.eps)
    wanted = _wanted(problem, *pairs, sigma)
    if M is None and problem.mode != "buckling":
        return wanted
    excess = _Pencil(problem, A, M).excess
    name, B = ("A", A) if problem.mode == "buckling" else ("M", metric)
    if excess(*wanted).max() <= 1.0:
        # Vectors from an inverse near an eigenvalue are accurate enough for a large tol, and not quite orthogonal.
        again = _orthonormal(wanted[1], A, metric, B) if len(pairs[0]) < problem.n else None
        return again if again is not None and excess(*again).max() <= 1.0 else wanted
    shift = sigma if sigma is not None else 0.0 if problem.which == "SM" else float(wanted[0].mean())
    found = _by_inverse(A, metric, B, shift, name, problem.eps)
    if len(found[0]) == len(pairs[0]):
        # Far from the shift the inverse is the worse one: take each eigenvalue, by its number, from where it is better.
        near, pairs = _ascending(*found), _ascending(*pairs)
        better = excess(*near) < excess(*pairs)
        best = np.where(better, near[0], pairs[0]), np.where(better, near[1], pairs[1])
        merged = _wanted(problem, *best, sigma)
        again = _orthonormal(merged[1], A, metric, B)
        if again is not None:
            # Where M is so ill-conditioned that orthonormality costs accuracy, accuracy goes first.
            accurate = excess(*again).max() <= max(1.0, excess(*merged).max())
            return again if accurate else merged
    if len(found[0]) >= problem.k:
        # Singular to working precision, M leaves fewer eigenvalues than its factors make believe.
        again = _orthonormal(_wanted(problem, *found, sigma)[1], A, metric, B)
        if again is not None and excess(*again).max() < excess(*wanted).max():
            return again
    return wanted


def _orthonormal(
    X: NDArray[Any], A: NDArray[Any], M: NDArray[Any], B: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the Ritz pairs of A and M in the span of X, orthonormal in the inner product of B, which is A or M.

    Vectors of one cluster are not orthogonal where they come from two sources, or from an inverse near the cluster.
    Return None where one of them is there twice.
    """
    G, H = X.conj().T @ B @ X, X.conj().T @ (M if B is A else A) @ X
    if not independent(G):
        return None
    theta, Z = eigh(_hermitian(H), _hermitian(G), check_finite=False)
    with np.errstate(divide="ignore"):
        return (1.0 / theta if B is A else theta), X @ Z


def _ascending(values: NDArray[Any], X: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    order = np.argsort(values, kind="stable")
    return values[order], X[:, order]


class _Pencil:
    """Two dense matrices, their norms, estimated once, and what these say of eigenpairs."""

    def __init__(self, problem: EigenProblem, A: NDArray[Any], M: NDArray[Any] | None) -> None:
        self._A, self._M, self._problem = A, M, problem
        self._norm_A, self._norm_M = norm_estimate(A), 0.0 if M is None else norm_estimate(M)

    def residuals(self, values: NDArray[Any], X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the norms of the residuals ``A x - λ M x``, and how large these may be."""
        MX = X if self._M is None else self._M @ X
        size, size_M = lengths(X), lengths(MX)
        norm_A = max(self._norm_A, 0.0 if self._norm_M else abs(values).max())
        floor = FLOOR * self._problem.eps * (norm_A + self._norm_M * abs(values)) * size
        limits = np.maximum(self._problem.tol * abs(values) * size_M, floor)
        return lengths(self._A @ X - MX * values), np.maximum(limits, np.finfo(np.float64).tiny)

    def excess(self, values: NDArray[Any], X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the ratio of each residual to its limit."""
        norms, limits = self.residuals(values, X)
        return norms / limits


def _spectrum(
    A: NDArray[Any], M: NDArray[Any] | None, sigma: float | None, eps: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite eigenvalues of the pencil and M-orthonormal eigenvectors; its elements are accurate to ε."""
    if M is None:
        # Divide and conquer: its vectors are orthonormal to a few units, clusters or not.
        values, X = eigh(A, check_finite=False, driver="evd")
        return values, X
    # With ones on its diagonal, M is conditioned as well as any diagonal scaling can make it, but for a factor n
    # (A. van der Sluis, Numer. Math. 14, 1969): the mass matrices of graded meshes are very much better.
    diagonal = np.diag(M).real
    D = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    try:
        values, X = eigh(D[:, None] * A * D, D[:, None] * M * D, check_finite=False, driver="gvd")
    except LinAlgError as error:
        if sigma is None:
            raise ValueError(
                f"M is not positive definite: {error}; a semidefinite M needs sigma, which asks for the finite "
                "eigenvalues near it"
            ) from None
        finite = finite_spectrum(A, M, eps)
        return _by_inverse(A, M, M, sigma, "M", eps) if finite is None else finite
    return values, D[:, None] * X


def _buckling(A: NDArray[Any], M: Any, sigma: float | None, eps: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite eigenvalues of the pencil and A-orthonormal eigenvectors."""
    try:
        inverse_values, X = eigh(M, A, check_finite=False, driver="gvd")
    except LinAlgError:
        return _by_inverse(A, M, A, sigma or 0.0, "A", eps)
    finite = abs(inverse_values) > len(A) * float(np.finfo(A.dtype).eps) * abs(inverse_values).max()
    return 1.0 / inverse_values[finite], X[:, finite]


def _by_inverse(
    A: NDArray[Any], M: NDArray[Any], B: NDArray[Any], sigma: float, name: str, eps: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite eigenpairs for a semidefinite inner product ``B = L Lᴴ``, A or M.

    They are ``x = C⁻¹ L y`` for the eigenvectors y of ``Lᴴ C⁻¹ L``, where ``C = A - σ M``.
    """
    d, V = eigh(B, check_finite=False, driver="evd")
    if d[0] < -len(A) * eps * abs(d).max():
        least = d[0] / abs(d).max()
        raise ValueError(f"{name} is not positive semidefinite: it has an eigenvalue of {least:.3g} times its norm")
    rank = d > len(A) * eps * d[-1]
    if not rank.any():
        raise ValueError(f"{name} is zero, and no eigenvalue is finite")
    L = V[:, rank] * np.sqrt(d[rank])
    working = np.finfo(A.dtype).eps
    unit = 100 * working * float(abs(A).sum(axis=1).max())
    for steps in MOVES:
        C = A - (sigma - steps * unit) * M
        try:
            Y = DenseFactors(C).solve(L)
        except SingularShiftError:
            continue
        if abs(Y).max() * abs(C).max() < abs(L).max() / working:
            break
    else:
        raise ValueError(f"A - sigma M is singular for sigma and for shifts nearby: {SINGULAR}")
    K = L.conj().T @ Y
    theta, Z = eigh((K + K.conj().T) / 2, check_finite=False, driver="evd")
    X = Y @ Z / np.where(theta == 0.0, 1.0, theta)
    AX, MX = A @ X, M @ X
    a, m = (np.einsum("ij,ij->j", X.conj(), P).real for P in (AX, MX))
    finite = (abs(theta) > len(A) * working * abs(theta).max()) & (m != 0.0)
    size = np.sqrt((a if name == "A" else m)[finite])
    return (a / np.where(m == 0.0, 1.0, m))[finite], X[:, finite] / size


def _wanted(
    problem: EigenProblem, values: NDArray[Any], X: NDArray[Any], sigma: float | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs whose eigenvalues are wanted, by themselves or by what a shift makes of them."""
    if len(values) < problem.k:
        only = f"k is {problem.k}, and there are only {len(values)}"
        if problem.mode == "buckling":
            raise ValueError(f"{only} eigenvalues that differ from zero and from sigma: A is singular, or move sigma")
        raise ValueError(f"{only} finite eigenvalues: M is singular")
    if sigma is None:
        order = wanted_first(values, problem.which)
    else:
        nearest = 100 * float(np.finfo(values.dtype).eps * abs(values).max())
        order = wanted_at_shift(values, problem.which, problem.mode, sigma, nearest)
    order = order[: problem.k]
    return values[order], X[:, order]


def as_dense(operand: Operand, problem: EigenProblem) -> NDArray[Any]:
    """Return the operand as a dense array in the working dtype; of an operator, its product with the identity."""
    if isinstance(operand, csr_array):
        return np.asarray(operand.toarray())
    if isinstance(operand, LinearOperator):
        return np.asarray(operand.matmat(np.eye(problem.n, dtype=problem.dtype)), problem.dtype)
    return np.asarray(operand)


def _hermitian(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix without the asymmetry that has passed as rounding: LAPACK would look at one triangle only."""
    return np.asarray((matrix + matrix.conj().T) / 2)


def _power_of_two(matrix: NDArray[Any]) -> float:
    size = float(abs(matrix).max())
    return float(np.ldexp(1.0, np.frexp(size)[1])) if size > 0.0 else 1.0
