"""`EigenProblem`: a call of `eigsh` after its arguments have been checked and brought to one form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

Operand: TypeAlias = csr_array | NDArray[Any] | LinearOperator
"""The forms that a matrix may have: sparse rows, dense, or a product."""

Which: TypeAlias = Literal["LM", "SM", "LA", "SA", "BE"]
Mode: TypeAlias = Literal["normal", "buckling", "cayley"]

WORKING_DTYPE = {"f": np.float32, "e": np.float64, "d": np.float64, "F": np.complex64, "D": np.complex128}
"""The arithmetic for each inexact type of matrix; integers and booleans are computed in float64."""


@dataclass(frozen=True)
class EigenProblem:
    """``A x = λ x`` or ``A x = λ M x``, what is wanted of it, and how to go about it.

    Attributes
    ----------
    A : csr_array, (n, n) ndarray or LinearOperator
        The matrix, in the working dtype; an operator keeps its own.
    M : csr_array, (n, n) ndarray, LinearOperator or None
        The matrix of the right-hand side; None stands for the identity.
    n : int
        Order of the matrices.
    dtype : numpy.dtype
        Working arithmetic: float32, float64, complex64 or complex128.
    k : int
        Number of eigenpairs wanted.
    which : {"LM", "SM", "LA", "SA", "BE"}
        Which eigenvalues; with `sigma`, which of the transformed ones.
    sigma, mode, OPinv, Minv
        The spectral transformation, if any.
    v0 : (n, p) ndarray or None
        Vectors to start from.
    ncv, maxiter : int or None
        Size of the basis and limit of iterations, where the caller gave them.
    tol : float
        Relative accuracy of the eigenvalues; 0 for the arithmetic's own.
    return_eigenvectors : bool
        Whether the caller wants the vectors; without them SciPy returns the values in another order.
    rng : numpy.random.Generator
        Source of the random start.
    preconditioner : object
        ``"auto"``, None, or what the caller gave.
    callback, progress
        Whom to tell about each iteration.
    given : object
        A as the caller gave it: a backend may return eigenpairs of an array type of its own for a matrix of that type.
    """

    A: Operand
    M: Operand | None
    n: int
    dtype: np.dtype[Any]
    k: int
    which: Which
    sigma: float | None
    mode: Mode
    OPinv: LinearOperator | None
    Minv: LinearOperator | None
    v0: NDArray[Any] | None
    ncv: int | None
    maxiter: int | None
    tol: float
    return_eigenvectors: bool
    rng: np.random.Generator
    preconditioner: Any
    callback: Callable[[Any], Any] | None
    progress: bool
    given: Any

    @property
    def eps(self) -> float:
        """Unit roundoff of the working arithmetic, times two."""
        return float(np.finfo(self.dtype).eps)

    @property
    def stored(self) -> int:
        """Number of stored elements of A; of an operator, the n that it must at least touch."""
        if isinstance(self.A, np.ndarray):
            return self.A.size
        return int(self.A.nnz) if isinstance(self.A, csr_array) else self.n
