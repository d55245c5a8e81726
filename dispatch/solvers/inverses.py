"""Products with ``C⁻¹ = (A - σ M)⁻¹`` on the host: by factors, by an inner iteration, or by what the caller gave.

They are computed in double precision whatever the problem's: what an inverse loses, no later step gives back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs, lu_solve
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import LinearOperator, minres, splu

MOVES = (0, 1, 10, 100, 1_000, 10_000, 100_000)
"""How far a shift that is an eigenvalue is moved until ``A - σ M`` is not singular, in units near the precision."""

SINGULAR = (
    "give another sigma; where A and M have a null vector in common, every number is an eigenvalue, and none will do"
)
"""What to do when no move helps."""


class SingularShiftError(Exception):
    """The shift is an eigenvalue, as far as the arithmetic can tell."""


class Inverse(ABC):
    """Solves ``C Y = B`` for blocks on the host.

    Attributes
    ----------
    name : str
        How, for `EigshInfo`.
    """

    name: str

    @abstractmethod
    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``."""


class Refined(Inverse):
    """Another inverse, and one step of iterative refinement: what is solved is then C to the last bits.

    Eigenvectors of the inverse of a slightly different matrix are not those of C, however far one iterates on it.
    """

    def __init__(self, inverse: Inverse, C: Any) -> None:
        self.name = inverse.name
        self._inverse, self._C = inverse, C

    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``."""
        Y = self._inverse.solve(B)
        return np.asarray(Y + self._inverse.solve(B - self._C @ Y))


class SparseFactors(Inverse):
    """The factors of a sparse C, by SuperLU.

    The elimination order is that of the symmetric pattern, and pivots are taken from the diagonal while they are not
    too small, which halves the fill.
    """

    name = "factors of A - sigma M by SuperLU"

    def __init__(self, C: csr_array) -> None:
        self._dtype = C.dtype
        try:
            self._factors = splu(
                csc_array(C), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01, options={"SymmetricMode": True}
            )
        except RuntimeError as error:
            raise SingularShiftError(str(error)) from None

    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``."""
        return np.asarray(self._factors.solve(np.asarray(B, self._dtype)))


class DenseFactors(Inverse):
    """The factors of a dense C, by LAPACK."""

    name = "factors of A - sigma M by LAPACK"

    def __init__(self, C: NDArray[Any]) -> None:
        # LAPACK's own routine reports a zero pivot, where scipy.linalg.lu_factor warns of it.
        (factorise,) = get_lapack_funcs(("getrf",), (C,))
        lu, pivots, zero = factorise(C)
        if zero:
            raise SingularShiftError(f"pivot {zero} is zero")
        self._factors = lu, pivots

    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``."""
        return np.asarray(lu_solve(self._factors, B, check_finite=False))


class InnerIteration(Inverse):
    """MINRES for each vector: needs nothing but products with C, and many of them.

    A Hermitian C is solved as a real symmetric matrix of twice the order, since SciPy's MINRES is for real ones.
    """

    name = "MINRES for each product with the inverse"

    def __init__(self, C: LinearOperator, rtol: float, preconditioner: LinearOperator | None) -> None:
        self._C, self._rtol, self._preconditioner = C, rtol, preconditioner
        self._complex = np.dtype(C.dtype).kind == "c"

    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``, one column after the other."""
        return np.stack([self._solve(b) for b in np.asarray(B).T], axis=1)

    def _solve(self, b: NDArray[Any]) -> NDArray[Any]:
        size = np.linalg.norm(b)
        if size == 0.0:
            return b
        y = self._minres(b / size)
        residual = np.linalg.norm(b / size - self._C @ y)
        # MINRES ends at the least-squares solution of a singular system, far from solving it.
        if not residual < 1e-2:
            raise SingularShiftError(f"MINRES left a residual of {residual:.2g} times the right-hand side")
        return np.asarray(y * size)

    def _minres(self, b: NDArray[Any]) -> NDArray[Any]:
        n = len(b)
        C, M = self._C, self._preconditioner
        if not self._complex:
            return np.asarray(minres(C, b, rtol=self._rtol, M=M, maxiter=20 * n)[0])
        operators = [None if P is None else _as_real(P, n) for P in (C, M)]
        y = minres(operators[0], np.concatenate([b.real, b.imag]), rtol=self._rtol, M=operators[1], maxiter=40 * n)[0]
        return np.asarray(y[:n] + 1j * y[n:])


def _as_real(operator: LinearOperator, n: int) -> LinearOperator:
    """Return the real form, of twice the order, of a complex operator."""

    def product(x: NDArray[Any]) -> NDArray[Any]:
        y = np.asarray(operator @ (x[:n] + 1j * x[n:])).ravel()
        return np.concatenate([y.real, y.imag])

    return LinearOperator((2 * n, 2 * n), matvec=product, dtype=np.float64)


class Given(Inverse):
    """The caller's ``OPinv``, for the unscaled matrices.

    Parameters
    ----------
    operator : LinearOperator
        ``OPinv``.
    scale : float
        What C was divided by.
    """

    name = "OPinv, given by the caller"

    def __init__(self, operator: LinearOperator, scale: float) -> None:
        self._operator, self._scale = operator, scale

    def solve(self, B: NDArray[Any]) -> NDArray[Any]:
        """Return ``C⁻¹ B``."""
        return np.asarray(self._operator.matmat(np.array(B))) * self._scale
