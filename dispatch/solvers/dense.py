"""Small problems, and problems of which much is wanted: the whole spectrum by LAPACK, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.checks import apply_on_host
from dispatch.solvers.problem import EigenProblem, Operand
from dispatch.solvers.rayleigh_ritz import wanted_first
from dispatch.solvers.result import EigshInfo, EigshResult

ALWAYS_BELOW = 256
"""Order up to which LAPACK is faster than any iteration."""

BLOCKS = 5
"""A basis of three blocks has no room to move in a space of fewer than five."""


def dense_is_better(problem: EigenProblem, vectors: int) -> bool:
    """Return whether the problem is small, absolutely or against the number of vectors of a block."""
    return problem.n <= ALWAYS_BELOW or problem.n < BLOCKS * vectors


def solve_dense(problem: EigenProblem, reason: str) -> EigshResult:
    """Return the wanted eigenpairs from the whole spectrum.

    Raises
    ------
    ValueError
        When M is not positive definite.
    """
    A = as_dense("A", problem.A, problem)
    M = None if problem.M is None else as_dense("M", problem.M, problem)
    scale = _power_of_two(A)
    scale_M = 1.0 if M is None else _power_of_two(M)
    try:
        # Divide and conquer: its vectors are orthonormal to a few units, clusters or not.
        scaled_M = None if M is None else M * (1.0 / scale_M)
        driver = "evd" if M is None else "gvd"
        theta, X = eigh(A * (1.0 / scale), scaled_M, check_finite=False, driver=driver)
    except LinAlgError as error:
        raise ValueError(f"M is not positive definite: {error}") from None
    X = X / np.sqrt(scale_M)
    values = theta * (scale / scale_M)
    order = wanted_first(values, problem.which)[: problem.k]
    values, X = values[order], X[:, order]
    R = A @ X - (X if M is None else M @ X) * values
    info = EigshInfo(
        method="dense",
        status="converged",
        iterations=0,
        operator_applications=problem.n if isinstance(problem.A, LinearOperator) else 0,
        residual_norms=np.linalg.norm(R, axis=0).astype(np.float64),
        reason=reason,
    )
    return EigshResult(values.astype(problem.dtype.char.lower()), X, info)


def as_dense(name: str, operand: Operand, problem: EigenProblem) -> NDArray[Any]:
    """Return the operand as a dense array in the working dtype; of an operator, its product with the identity."""
    if isinstance(operand, csr_array):
        return np.asarray(operand.toarray())
    if isinstance(operand, LinearOperator):
        matrix = apply_on_host(name, operand, np.eye(problem.n, dtype=problem.dtype)).astype(problem.dtype)
        return np.asarray((matrix + matrix.conj().T) / 2)
    return np.asarray(operand)


def _power_of_two(matrix: NDArray[Any]) -> float:
    size = float(abs(matrix).max())
    return float(np.ldexp(1.0, np.frexp(size)[1])) if size > 0.0 else 1.0
