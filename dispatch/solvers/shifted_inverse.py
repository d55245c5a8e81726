"""The inverse of ``C = A - σ M``: built in the way that was chosen, at a shift where C is not singular."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from dispatch.solvers.dense import as_dense
from dispatch.solvers.inverses import (
    MOVES,
    SINGULAR,
    DenseFactors,
    Given,
    InnerIteration,
    Inverse,
    Refined,
    SingularShiftError,
    SparseFactors,
)
from dispatch.solvers.lengths import lengths
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem, Operand
from dispatch.solvers.way_to_shift import Way

NEAREST = 100
"""Distance from an eigenvalue, in units of ``ε ‖C‖``, below which a shift counts as that eigenvalue."""


ACCURATE = 4
"""Backward error of a solution, in units of ε, up to which factors serve without refinement: half a unit is usual."""


def invert(problem: EigenProblem, pencil: Pencil, sigma: float, way: Way, norm: float) -> tuple[float, Inverse, float]:
    """Return the shift, the inverse at it, and an estimate of the norm of that.

    Where `sigma` is an eigenvalue, as 0 is of a graph's Laplacian, the shift is moved down by ``100 ε ‖C‖``, with the ε
    of double precision, in which factors are: enough for them to be accurate, and so little that the order of the
    eigenvalues by their distance from it can only change among those whose distances differ by less.

    Parameters
    ----------
    problem : EigenProblem
        For OPinv, the preconditioner and the tolerance.
    pencil : Pencil
        The scaled pencil.
    sigma : float
        The shift, in the pencil's scale.
    way : str
        How to invert.
    norm : float
        Estimate of ``‖A‖``.

    Raises
    ------
    ValueError
        When OPinv is not the inverse, or C is singular for every shift.
    """
    if way == "given inverse":
        given = _checked(problem, pencil, sigma, Given(problem.OPinv, pencil.scale_A), max(norm, abs(sigma)))
        return sigma, given, _norm_of_inverse(given, problem)
    # Factors are in double precision; moving the shift by as much as single precision resolves would pass eigenvalues.
    nearest = NEAREST * float(np.finfo(np.result_type(problem.dtype, np.float64)).eps)
    # An inner iteration cannot solve with a matrix that is nearly singular; it is moved further.
    distance = np.sqrt(problem.eps) if way == "inner iteration" else nearest
    unit = distance * (max(norm, abs(sigma)) or 1.0)
    reason = ""
    for steps in MOVES:
        shift = sigma - steps * unit
        try:
            inverse = _build(problem, pencil, shift, way)
            size = _norm_of_inverse(inverse, problem)
        except SingularShiftError as error:
            reason = reason or str(error)
            continue
        # What MINRES solves is not singular for it; factors always return something.
        if way == "inner iteration" or size * max(norm, abs(shift)) < 1.0 / nearest:
            return shift, inverse, size
        reason = reason or f"the condition number is at least {size * max(norm, abs(shift)):.1g}"
    raise ValueError(
        f"A - sigma M is singular for sigma = {problem.sigma} and for shifts nearby ({reason}): {SINGULAR}"
    )


def _build(problem: EigenProblem, pencil: Pencil, shift: float, way: Way) -> Inverse:
    A, M = pencil.scaled_A, pencil.scaled_M
    dtype = np.result_type(problem.dtype, np.float64)
    if way == "inner iteration":
        return _iteration(problem, A, M, shift, dtype)
    if way == "sparse factors":
        C = shifted(A, M, shift, problem.n, dtype)
        return _refined_where_needed(SparseFactors(C), C)
    if isinstance(A, LinearOperator):
        pencil.applications += problem.n
    dense_M = None if M is None else as_dense(M, problem)
    C = shifted(as_dense(A, problem), dense_M, shift, problem.n, dtype)
    return _refined_where_needed(DenseFactors(C), C)


def shifted(A: Operand, M: Operand | None, shift: float, n: int, dtype: np.dtype[Any]) -> Any:
    """Return ``A - shift M`` in the dtype: sparse, dense or an operator, whichever A and M allow."""
    if isinstance(A, LinearOperator) or isinstance(M, LinearOperator):

        def product(X: Any) -> Any:
            return A @ X - shift * (X if M is None else M @ X)

        return LinearOperator((n, n), matvec=product, matmat=product, dtype=dtype)
    if isinstance(A, csr_array) and (M is None or isinstance(M, csr_array)):
        eye = eye_array(n, dtype=dtype) if M is None else M.astype(dtype)
        return csr_array(A.astype(dtype) - shift * eye) if shift else csr_array(A, dtype=dtype)
    C = np.array(A.toarray() if isinstance(A, csr_array) else A, dtype=dtype)
    if M is None:
        C[np.diag_indices(n)] -= shift
        return C
    # The product with the shift is rounded in the precision of C, not of M.
    return C - shift * (M.toarray() if isinstance(M, csr_array) else M).astype(dtype)


def _refined_where_needed(factors: Inverse, C: Any) -> Inverse:
    """Return factors as they are, or with refinement where pivots from the diagonal have made them inaccurate.

    A step of refinement doubles the solves. Definite matrices do without, indefinite ones seldom: their factors grow.
    """
    n = C.shape[0]
    b = np.random.default_rng(3).standard_normal((n, 1)).astype(C.dtype)
    y = factors.solve(b)
    norm = float(abs(C).sum(axis=1).max())
    error = float(np.linalg.norm(b - C @ y) / (norm * np.linalg.norm(y)))
    return factors if error <= ACCURATE * np.finfo(C.dtype).eps else Refined(factors, C)


def _norm_of_inverse(inverse: Inverse, problem: EigenProblem) -> float:
    """Return the growth of a vector in the second of two steps of inverse iteration."""
    y = np.random.default_rng(3).standard_normal((problem.n, 1)).astype(np.result_type(problem.dtype, np.float64))
    for _ in range(2):
        y = inverse.solve(y / np.linalg.norm(y))
    return float(np.linalg.norm(y))


def _iteration(
    problem: EigenProblem, A: Operand, M: Operand | None, shift: float, dtype: np.dtype[Any]
) -> InnerIteration:
    C = shifted(aslinearoperator(A), M, shift, problem.n, dtype)
    return InnerIteration(C, 4 * problem.eps, _inner_preconditioner(problem, A, M, shift))


def _inner_preconditioner(problem: EigenProblem, A: Operand, M: Operand | None, shift: float) -> Any:
    """Return the caller's preconditioner, or the inverse of the absolute diagonal: MINRES needs a definite one."""
    if problem.preconditioner is None or not isinstance(problem.preconditioner, str):
        return problem.preconditioner
    if isinstance(A, LinearOperator) or isinstance(M, LinearOperator):
        return None
    diagonal = abs(A.diagonal() - shift * (1.0 if M is None else M.diagonal()))
    return diags_array(1.0 / np.maximum(diagonal, 1e-3 * (diagonal.mean() or 1.0)))


def _checked(problem: EigenProblem, pencil: Pencil, sigma: float, given: Given, norm: float) -> Inverse:
    """Return the inverse of the caller with a step of refinement, or raise ValueError when it is that of another C."""
    dtype = np.result_type(problem.dtype, np.float64)
    C = shifted(pencil.scaled_A, pencil.scaled_M, sigma, problem.n, dtype)
    check_inverse(problem, C, norm, given.solve)
    return Refined(given, C)


def check_inverse(problem: EigenProblem, C: Any, norm: float, solve: Callable[[NDArray[Any]], Any]) -> None:
    """Raise ValueError unless the caller's OPinv solves a system with C, of some norm, and a random right-hand side."""
    b = np.random.default_rng(3).standard_normal((problem.n, 1)).astype(problem.dtype)
    y = solve(b)
    size, length, error = (float(lengths(some)[0]) for some in (b, y, b - C @ y))
    # Near an eigenvalue the solution is large, and its rounding errors with it.
    if not error <= max(1e-2 * size, 1e3 * problem.eps * norm * length):
        raise ValueError(
            f"OPinv is not the inverse of A - sigma M: (A - sigma M) OPinv b differs from a random b by "
            f"{error / size:.2g} times its norm; leave OPinv out, or check that it belongs to this sigma"
        )
