"""Small problems, and problems of which much is wanted: the whole spectrum by LAPACK, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.inverses import DenseFactors, SingularShiftError
from dispatch.solvers.problem import EigenProblem, Operand
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult
from dispatch.solvers.transformation import Transformation

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

    LAPACK in single precision leaves residuals of about ``n^(1/2) ε ‖A‖``, more than is promised.

    Raises
    ------
    ValueError
        When the matrix of the inner product is not positive definite: M, or A for buckling; with a shift it may be
        semidefinite.
    """
    wide = np.result_type(problem.dtype, np.float64)
    A = as_dense(problem.A, problem).astype(wide, copy=False)
    M = None if problem.M is None else as_dense(problem.M, problem).astype(wide, copy=False)
    scale, scale_M = _power_of_two(A), 1.0 if M is None else _power_of_two(M)
    scaled_A, scaled_M = A * (1.0 / scale), None if M is None else M * (1.0 / scale_M)
    sigma = None if problem.sigma is None else problem.sigma * (scale_M / scale)
    if problem.mode == "buckling":
        values, X = _buckling(scaled_A, np.eye(problem.n) if M is None else scaled_M, sigma, problem.eps)
        X = X / np.sqrt(scale)
    else:
        values, X = _spectrum(scaled_A, scaled_M, sigma, problem.eps)
        X = X / np.sqrt(scale_M)
    order = _wanted(problem, values, sigma)
    values = (values[order] * (scale / scale_M)).astype(problem.dtype.char.lower())
    X = X[:, order].astype(problem.dtype)
    R = A @ X - (X if M is None else M @ X) * values
    operators = isinstance(problem.A, LinearOperator)
    info = EigshInfo(
        method="dense",
        status="converged",
        iterations=0,
        operator_applications=problem.n if operators else 0,
        residual_norms=np.linalg.norm(R, axis=0),
        reason=reason,
    )
    return EigshResult(values, X, info)


def _spectrum(
    A: NDArray[Any], M: NDArray[Any] | None, sigma: float | None, eps: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite eigenvalues of the pencil and M-orthonormal eigenvectors; its elements are accurate to ε."""
    try:
        # Divide and conquer: its vectors are orthonormal to a few units, clusters or not.
        values, X = eigh(A, M, check_finite=False, driver="evd" if M is None else "gvd")
    except LinAlgError as error:
        if sigma is None or M is None:
            raise ValueError(
                f"M is not positive definite: {error}; a semidefinite M needs sigma, which asks for the finite "
                "eigenvalues near it"
            ) from None
        return _by_inverse(A, M, M, sigma, "M", eps)
    return values, X


def _buckling(A: NDArray[Any], M: Any, sigma: float | None, eps: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite eigenvalues of the pencil and A-orthonormal eigenvectors."""
    try:
        inverse_values, X = eigh(M, A, check_finite=False, driver="gvd")
    except LinAlgError:
        return _by_inverse(A, M, A, sigma or 0.0, "A", eps)
    finite = abs(inverse_values) > len(A) * eps * abs(inverse_values).max()
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
    L = V[:, rank] * np.sqrt(d[rank])
    unit = 100 * eps * float(abs(A).sum(axis=1).max())
    for steps in (0, 1, 10):
        C = A - (sigma - steps * unit) * M
        try:
            Y = DenseFactors(C).solve(L)
        except SingularShiftError:
            continue
        if abs(Y).max() * abs(C).max() < abs(L).max() / eps:
            break
    else:
        raise ValueError(
            "A - sigma M is singular for sigma and for shifts nearby: A and M have a null vector in common, so that "
            "every number is an eigenvalue"
        )
    K = L.conj().T @ Y
    theta, Z = eigh((K + K.conj().T) / 2, check_finite=False, driver="evd")
    X = Y @ Z / np.where(theta == 0.0, 1.0, theta)
    AX, MX = A @ X, M @ X
    a, m = (np.einsum("ij,ij->j", X.conj(), P).real for P in (AX, MX))
    finite = (abs(theta) > len(A) * eps * abs(theta).max()) & (m != 0.0)
    size = np.sqrt((a if name == "A" else m)[finite])
    return (a / np.where(m == 0.0, 1.0, m))[finite], X[:, finite] / size


def _wanted(problem: EigenProblem, values: NDArray[Any], sigma: float | None) -> NDArray[np.intp]:
    """Return which eigenvalues are wanted, by themselves or by what a shift makes of them."""
    if len(values) < problem.k:
        raise ValueError(f"k is {problem.k}, and there are only {len(values)} finite eigenvalues: M is singular")
    if sigma is None:
        return wanted_first(values, problem.which)[: problem.k]
    if (abs(values - sigma) <= 100 * problem.eps * abs(values).max()).any():
        sigma -= 100 * problem.eps * float(abs(values).max())
    return wanted_first(Transformation(problem.mode, sigma).forward(values), problem.which)[: problem.k]


def as_dense(operand: Operand, problem: EigenProblem) -> NDArray[Any]:
    """Return the operand as a dense array in the working dtype; of an operator, its product with the identity."""
    if isinstance(operand, csr_array):
        return np.asarray(operand.toarray())
    if isinstance(operand, LinearOperator):
        matrix = np.asarray(operand.matmat(np.eye(problem.n, dtype=problem.dtype)), problem.dtype)
        return np.asarray((matrix + matrix.conj().T) / 2)
    return np.asarray(operand)


def _power_of_two(matrix: NDArray[Any]) -> float:
    size = float(abs(matrix).max())
    return float(np.ldexp(1.0, np.frexp(size)[1])) if size > 0.0 else 1.0
