"""Refuse matrices for which every answer would be wrong: with NaN or infinity in them, or not Hermitian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.problem import EigenProblem

ROUNDING = 1000
"""Asymmetry that passes as rounding, in units of the matrix's precision times its largest element."""


def check_values(problem: EigenProblem) -> None:
    """Raise ValueError unless A and M are finite and symmetric, or Hermitian.

    Explicit matrices are compared with their transposes element by element. An operator is asked for two products:
    ``xᴴ(A y)`` and ``(A x)ᴴ y`` differ for random x and y, with probability one, unless it is Hermitian.
    """
    for name, operand in (("A", problem.A), ("M", problem.M)):
        if operand is None:
            continue
        if isinstance(operand, LinearOperator):
            asymmetry, size = _probe(name, operand, problem)
        else:
            _check_finite(name, operand.data if isinstance(operand, csr_array) else operand)
            asymmetry, size = _compare(operand)
        eps = np.finfo(operand.dtype).eps if np.dtype(operand.dtype).kind in "fc" else problem.eps
        if asymmetry > ROUNDING * eps * size:
            adjective, adjoint = ("Hermitian", ".conj().T") if problem.dtype.kind == "c" else ("symmetric", ".T")
            raise ValueError(
                f"{name} is not {adjective}: {name} and its transpose differ by {asymmetry:.3g}, where the largest "
                f"element is {size:.3g}; use ({name} + {name}{adjoint}) / 2 if it ought to be, "
                "or scipy.sparse.linalg.eigs for the eigenvalues of a nonsymmetric matrix"
            )


def _check_finite(name: str, elements: NDArray[Any]) -> None:
    if not np.isfinite(elements).all():
        bad = int(np.count_nonzero(~np.isfinite(elements)))
        raise ValueError(f"{name} contains NaN or infinity in {bad} of its elements, expected finite numbers")


def _compare(matrix: csr_array | NDArray[Any]) -> tuple[float, float]:
    """Return the largest element of the matrix's difference from its conjugate transpose, and its largest element."""
    size = float(abs(matrix).max()) if min(matrix.shape) else 0.0
    return float(abs(matrix - matrix.conj().T).max()), size


def _probe(name: str, operator: LinearOperator, problem: EigenProblem) -> tuple[float, float]:
    """Return ``|xᴴ(A y) - (A x)ᴴ y| / √n`` and the size that it has for a matrix without symmetry."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((problem.n, 2))
    if problem.dtype.kind == "c":
        X = X + 1j * rng.standard_normal((problem.n, 2))
    X /= np.linalg.norm(X, axis=0)
    AX = apply_on_host(name, operator, X.astype(problem.dtype))
    x, y, Ax, Ay = X[:, 0], X[:, 1], AX[:, 0], AX[:, 1]
    return float(abs(np.vdot(x, Ay) - np.vdot(Ax, y))), float(np.linalg.norm(AX, axis=0).max())


def apply_on_host(name: str, operator: LinearOperator, X: NDArray[Any]) -> NDArray[Any]:
    """Return the operator's product with a host block, refusing one that is not finite or has another shape."""
    Y = np.asarray(operator.matmat(X))
    if Y.shape != (operator.shape[0], X.shape[1]):
        raise ValueError(f"{name}: the operator returned shape {Y.shape} for a block of shape {X.shape}")
    if not np.isfinite(Y).all():
        raise ValueError(f"{name}: the operator returned NaN or infinity for a finite block of vectors")
    return Y
