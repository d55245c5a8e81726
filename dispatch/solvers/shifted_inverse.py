"""The inverse of ``C = A - σ M``: built in the way that was chosen, at a shift where C is not singular."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from dispatch.solvers.dense import as_dense
from dispatch.solvers.inverses import (
    DenseFactors,
    Given,
    InnerIteration,
    Inverse,
    SingularShiftError,
    SparseFactors,
    norm_of,
)
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.problem import EigenProblem, Operand
from dispatch.solvers.way_to_shift import Way

NEAREST = 100
"""Distance from an eigenvalue, in units of ``ε ‖C‖``, below which a shift counts as that eigenvalue."""


def invert(problem: EigenProblem, pencil: Pencil, sigma: float, way: Way, norm: float) -> tuple[float, Inverse]:
    """Return the inverse, and the shift that it is for.

    Where `sigma` is an eigenvalue, as 0 is of a graph's Laplacian, the shift is moved down by ``100 ε ‖C‖``: enough for
    the factors to be accurate, and so little that the order of the eigenvalues by their distance from it can only
    change among those whose distances differ by less.

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
        given = Given(problem.OPinv, pencil.scale_A)
        _check_given(problem, pencil, sigma, given)
        return sigma, given
    # An inner iteration cannot solve with a matrix that is nearly singular; it is moved further.
    distance = np.sqrt(problem.eps) if way == "inner iteration" else NEAREST * problem.eps
    unit = distance * (max(norm, abs(sigma)) or 1.0)
    reason = ""
    for steps in (0, 1, 10):
        shift = sigma - steps * unit
        try:
            return shift, _build(problem, pencil, shift, way)
        except SingularShiftError as error:
            reason = reason or str(error)
    raise ValueError(
        f"A - sigma M is singular for sigma = {problem.sigma} and for shifts nearby ({reason}): A and M have a null "
        "vector in common, so that every number is an eigenvalue"
    )


def _build(problem: EigenProblem, pencil: Pencil, shift: float, way: Way) -> Inverse:
    A, M = pencil.scaled_A, pencil.scaled_M
    dtype = np.result_type(problem.dtype, np.float64)
    if way == "inner iteration":
        return _iteration(problem, A, M, shift, dtype)
    if way == "sparse factors":
        C = shifted(A, M, shift, problem.n, dtype)
        inverse: Inverse = SparseFactors(C)
    else:
        if isinstance(A, LinearOperator):
            pencil.applications += problem.n
        C = shifted(
            as_dense("A", A, problem), None if M is None else as_dense("M", M, problem), shift, problem.n, dtype
        )
        inverse = DenseFactors(C)
    _refuse_singular(inverse, norm_of(C), problem, dtype)
    return inverse


def shifted(A: Operand, M: Operand | None, shift: float, n: int, dtype: np.dtype[Any]) -> Any:
    """Return ``A - shift M`` in the dtype: sparse, dense or an operator, whichever A and M allow."""
    if isinstance(A, LinearOperator) or isinstance(M, LinearOperator):

        def product(X: Any) -> Any:
            return A @ X - shift * (X if M is None else M @ X)

        return LinearOperator((n, n), matvec=product, matmat=product, dtype=dtype)
    if isinstance(A, csr_array) and (M is None or isinstance(M, csr_array)):
        eye = eye_array(n, dtype=dtype) if M is None else M
        return csr_array(A - shift * eye, dtype=dtype) if shift else csr_array(A, dtype=dtype)
    C = np.array(A.toarray() if isinstance(A, csr_array) else A, dtype=dtype)
    if M is None:
        C[np.diag_indices(n)] -= shift
        return C
    return C - shift * (M.toarray() if isinstance(M, csr_array) else M)


def _refuse_singular(inverse: Inverse, norm: float, problem: EigenProblem, dtype: np.dtype[Any]) -> None:
    """Raise `SingularShiftError` when two steps of inverse iteration show that C is nearly singular."""
    y = np.random.default_rng(3).standard_normal((problem.n, 1)).astype(dtype)
    for _ in range(2):
        y = inverse.solve(y / np.linalg.norm(y))
        growth = float(np.linalg.norm(y)) * norm
        if not growth < 1.0 / (NEAREST * problem.eps):
            raise SingularShiftError(f"the condition number is at least {growth:.1g}")


def _iteration(
    problem: EigenProblem, A: Operand, M: Operand | None, shift: float, dtype: np.dtype[Any]
) -> InnerIteration:
    C = shifted(aslinearoperator(A), M, shift, problem.n, dtype)
    inverse = InnerIteration(C, 4 * problem.eps, _inner_preconditioner(problem, A, M, shift))
    inverse.solve(np.random.default_rng(3).standard_normal((problem.n, 1)).astype(dtype))
    return inverse


def _inner_preconditioner(problem: EigenProblem, A: Operand, M: Operand | None, shift: float) -> Any:
    """Return the caller's preconditioner, or the inverse of the absolute diagonal: MINRES needs a definite one."""
    if problem.preconditioner is None or not isinstance(problem.preconditioner, str):
        return problem.preconditioner
    if isinstance(A, LinearOperator) or isinstance(M, LinearOperator):
        return None
    diagonal = abs(A.diagonal() - shift * (1.0 if M is None else M.diagonal()))
    return diags_array(1.0 / np.maximum(diagonal, 1e-3 * diagonal.mean()))


def _check_given(problem: EigenProblem, pencil: Pencil, sigma: float, inverse: Given) -> None:
    """Raise ValueError when OPinv times a random vector is not the solution of the system."""
    b = np.random.default_rng(3).standard_normal((problem.n, 1)).astype(problem.dtype)
    y = inverse.solve(b)
    engine = pencil.engine
    Y = engine.upload(y)
    Cy = engine.download(pencil.apply_A(Y, 1)) - sigma * np.asarray(engine.download(pencil.apply_M(Y)))
    error = float(np.linalg.norm(b - Cy) / np.linalg.norm(b))
    # Near an eigenvalue the solution is large, and its rounding errors with it.
    if not error <= max(1e-2, 1e3 * problem.eps * float(np.linalg.norm(y) / np.linalg.norm(b))):
        raise ValueError(
            f"OPinv is not the inverse of A - sigma M: (A - sigma M) OPinv b differs from a random b by {error:.2g} "
            "times its norm; leave OPinv out, or check that it belongs to this sigma"
        )
