"""Refuse matrices for which every answer would be wrong: with NaN or infinity in them, or not Hermitian."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.lengths import lengths
from dispatch.solvers.problem import EigenProblem, Operand

ROUNDING = 1000
"""Asymmetry that passes as rounding, in units of the matrix's precision times its largest element."""

EXPONENTS = {"f": 120, "d": 960}
"""Largest binary exponents, either way, of what the eigenvalues are made of: beyond, they may leave the arithmetic."""


def check_values(problem: EigenProblem, products: bool = True) -> None:
    """Raise ValueError unless A and M are finite and symmetric, or Hermitian.

    Explicit matrices are compared with their transposes element by element. An operator is asked for two products:
    ``xᴴ(A y)`` and ``(A x)ᴴ y`` differ for random x and y, with probability one, unless it is Hermitian. Without
    `products` nothing is asked of operators.
    """
    given = {name: operand for name, operand in (("A", problem.A), ("M", problem.M)) if operand is not None}
    sizes = {
        name: _symmetric(name, operand, problem)
        for name, operand in given.items()
        if not isinstance(operand, LinearOperator)
    }
    _check_scale(sizes, problem)
    check_definite(problem)
    if products:
        operators = {name: operand for name, operand in given.items() if name not in sizes}
        sizes |= {name: _symmetric(name, operand, problem) for name, operand in operators.items()}
        _check_scale(sizes, problem)
    size = sizes.get("A", 0.0)
    if problem.sigma and problem.M is None and abs(problem.sigma) * problem.eps > problem.n * size > 0.0:
        raise ValueError(
            f"sigma is {problem.sigma:g}, so far from every eigenvalue of A, whose elements go up to {size:.3g}, "
            "that all are equally far to working precision; use which='LA' or 'SA' without sigma for an end of the "
            "spectrum"
        )


def _symmetric(name: str, operand: Operand, problem: EigenProblem) -> float:
    """Return the size of a matrix, or raise ValueError unless it is finite and symmetric, or Hermitian."""
    if isinstance(operand, LinearOperator):
        asymmetry, size = _probe(operand, problem)
    else:
        check_finite(name, operand.data if isinstance(operand, csr_array) else operand)
        asymmetry, size = _compare(operand)
    # An operator may be declared in single precision where the problem is double; half is computed in double.
    eps = np.finfo(operand.dtype).eps if np.dtype(operand.dtype).char in "fF" else problem.eps
    if asymmetry > ROUNDING * eps * size:
        adjective, adjoint = ("Hermitian", ".conj().T") if problem.dtype.kind == "c" else ("symmetric", ".T")
        cause = ""
        how = f"{name} and its transpose differ by {asymmetry:.3g}, where the largest element is {size:.3g}"
        if isinstance(operand, LinearOperator):
            how = (
                f"for random vectors x and y of length 1, xᴴ({name} y) and ({name} x)ᴴ y differ by "
                f"{asymmetry:.3g}, where {name} x has the length {size:.3g}"
            )
        if isinstance(operand, LinearOperator) and asymmetry <= ROUNDING * float(np.finfo(np.float32).eps) * size:
            cause = "; give it the dtype float32 if its products are no more accurate than that"
        raise ValueError(
            f"{name} is not {adjective}: {how}; use ({name} + {name}{adjoint}) / 2 if it ought to be, "
            f"or scipy.sparse.linalg.eigs for the eigenvalues of a nonsymmetric matrix{cause}"
        )
    return size


def _check_scale(sizes: dict[str, float], problem: EigenProblem) -> None:
    """Raise ValueError where the arithmetic has too few exponents left."""
    exponents = {name: math.frexp(size)[1] for name, size in sizes.items()}
    for name, exponent in exponents.items():
        if abs(exponent) > EXPONENTS["d"]:
            raise ValueError(
                f"{name} has elements of the size {sizes[name]:.3g}, near the end of the range of float64: multiply it "
                f"by 2.0 ** {max(-1000, min(-exponent, 1000))}, and divide what is computed by it"
            )
    ratio = exponents.get("A", 0) - exponents.get("M", 0)
    if len(sizes) == 2 and sizes["A"] and abs(ratio) > EXPONENTS[np.result_type(problem.dtype.char.lower()).char]:
        raise ValueError(
            f"A is of the size {sizes['A']:.3g} and M of {sizes['M']:.3g}: their eigenvalues are beyond the range of "
            f"{problem.dtype}; multiply A by 2.0 ** {-exponents['A']} and M by 2.0 ** {-exponents['M']}, which divides "
            f"them by 2 ** {ratio}"
        )


def check_finite(name: str, elements: NDArray[Any]) -> None:
    """Raise ValueError unless all elements are finite."""
    if not np.isfinite(elements).all():
        bad = int(np.count_nonzero(~np.isfinite(elements)))
        raise ValueError(f"{name} contains NaN or infinity in {bad} of its elements, expected finite numbers")


def _compare(matrix: csr_array | NDArray[Any]) -> tuple[float, float]:
    """Return the largest element of the matrix's difference from its conjugate transpose, and its largest element."""
    size = float(abs(matrix).max()) if min(matrix.shape) else 0.0
    return float(abs(matrix - matrix.conj().T).max()), size


def _probe(operator: LinearOperator, problem: EigenProblem) -> tuple[float, float]:
    """Return ``|xᴴ(A y) - (A x)ᴴ y| / √n`` and the size that it has for a matrix without symmetry."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((problem.n, 2))
    if problem.dtype.kind == "c":
        X = X + 1j * rng.standard_normal((problem.n, 2))
    X /= np.linalg.norm(X, axis=0)
    AX = np.asarray(operator.matmat(X.astype(problem.dtype)))
    x, y, Ax, Ay = X[:, 0], X[:, 1], AX[:, 0], AX[:, 1]
    largest = float(abs(AX).max()) or 1.0
    asymmetry = abs(np.vdot(x, Ay / largest) - np.vdot(Ax / largest, y))
    return float(asymmetry * largest), float(lengths(AX).max())


def check_indices(name: str, matrix: Any) -> None:
    """Raise ValueError when a sparse matrix points outside itself: compiled code would follow it there."""
    try:
        if matrix.format in ("csr", "csc", "bsr"):
            # The check drops what is stored behind the last row, and converts indices: on a copy of the object, which
            # shares the arrays.
            copy(matrix).check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} is not a well-formed {matrix.format} matrix: {error}") from None
    for indices, size in zip(matrix.coords, matrix.shape, strict=True) if matrix.format == "coo" else ():
        if len(indices) != len(matrix.data) or (len(indices) and not 0 <= indices.min() <= indices.max() < size):
            raise ValueError(f"{name} is not a well-formed coo matrix: indices must be one an element, and < {size}")


def check_definite(problem: EigenProblem) -> None:
    """Raise ValueError when an explicit M cannot be positive definite, by its elements alone; semidefinite with sigma.

    None of its minors of order one and two may be negative, and without sigma a dense one must have a Cholesky factor.
    What passes may be indefinite yet: the iteration notices where a vector shows it.
    """
    M = problem.M
    if M is None or isinstance(M, LinearOperator) or problem.mode == "buckling":
        return
    nearest = problem.sigma is not None and problem.which != "SM"
    diagonal = np.asarray(M.diagonal().real, np.float64)
    i = int(diagonal.argmin())
    if diagonal[i] < 0.0 or (diagonal[i] == 0.0 and not nearest):
        remedy = "a semidefinite M needs sigma, which asks for the finite eigenvalues near it"
        if problem.sigma is not None:
            remedy = "what is farthest from sigma, which which='SM' asks for, is infinite then; use which='LM'"
        raise ValueError(
            f"M is not positive {'semi' if nearest else ''}definite: its element ({i}, {i}) is {diagonal[i]:.3g}"
            + ("" if nearest else f"; {remedy}")
        )
    rows, columns, elements = (M.tocoo().row, M.tocoo().col, M.data) if isinstance(M, csr_array) else _off_diagonal(M)
    means = np.sqrt(diagonal[rows]) * np.sqrt(diagonal[columns])
    excess = np.where(rows == columns, 0.0, abs(elements) - (1.0 + ROUNDING * problem.eps) * means)
    if excess.size and excess.max() > 0.0:
        worst = int(excess.argmax())
        raise ValueError(
            f"M is not positive {'semi' if nearest else ''}definite: its element ({rows[worst]}, {columns[worst]}) is "
            "larger than the geometric mean of the two diagonal elements"
        )

    if isinstance(M, np.ndarray) and problem.sigma is None:
        root = np.sqrt(diagonal)
        try:
            cholesky(M / np.outer(root, root), overwrite_a=True, check_finite=False)
        except LinAlgError as error:
            raise ValueError(f"M is not positive definite: {error}") from None


def _off_diagonal(M: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    rows, columns = np.nonzero(M)
    return rows, columns, M[rows, columns]


class Checked(LinearOperator):  # type: ignore[misc]
    """Somebody else's operator, whose every product is checked: its shape, its type, and that it is finite.

    It gets copies of blocks, which it may overwrite, and what it returns is copied: it may be its argument, or a buffer
    that the next product changes.
    """

    def __init__(self, name: str, operator: LinearOperator, dtype: np.dtype[Any]) -> None:
        super().__init__(operator.dtype, operator.shape)
        self._name, self._operator, self._complex = name, operator, dtype.kind == "c"

    def _matmat(self, X: NDArray[Any]) -> NDArray[Any]:
        Y = self._product(X)
        if Y.shape != (self.shape[0], X.shape[1]):
            raise ValueError(f"{self._name}: the operator returned shape {Y.shape} for a block of shape {X.shape}")
        if np.iscomplexobj(Y) and not self._complex:
            raise ValueError(f"{self._name}: the operator returned complex numbers, and its dtype is {self.dtype}")
        if not np.isfinite(Y).all():
            raise ValueError(f"{self._name}: the operator returned NaN or infinity for a finite block of vectors")
        return Y

    def _product(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return what the operator makes of the block; where it has no `matmat`, of one column after the other.

        SciPy would stack what `matvec` returns, perhaps the same buffer each time, when all columns are done.
        """
        if not _has_matmat(self._operator):
            columns = [np.array(self._operator._matvec(x.copy())) for x in X.T]
            for y in columns:
                if y.size != self.shape[0] or y.dtype.kind not in "biufc":
                    raise ValueError(
                        f"{self._name}: the operator returned an array of shape {y.shape} and dtype {y.dtype} for a "
                        f"vector, expected {self.shape[0]} numbers"
                    )
            return np.stack([y.ravel() for y in columns], axis=1)
        Y = np.array(self._operator._matmat(X.copy()))
        if Y.dtype.kind not in "biufc":
            raise ValueError(f"{self._name}: the operator returned an array of dtype {Y.dtype}, expected numbers")
        return Y

    def _matvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._matmat(x.reshape(-1, 1)).ravel()

    def _adjoint(self) -> LinearOperator:
        return self


def _has_matmat(operator: LinearOperator) -> bool:
    """Return whether products with blocks are the operator's own, and not put together by SciPy from `matvec`.

    What ``LinearOperator(shape, matvec)`` was given, nothing public tells. Should SciPy call it otherwise one day,
    blocks go to its `matmat`, and only operators that reuse a buffer, or take no column of shape (n, 1), fail.
    """
    given = getattr(operator, "_CustomLinearOperator__matmat_impl", operator)
    return given is not None and type(operator)._matmat is not LinearOperator._matmat
