"""Which preconditioner serves a problem, from evidence that costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.engine import Block
from dispatch.solvers.factors import Factors, FilterThenFactors, start_of_factors
from dispatch.solvers.multigrid import HierarchyError, Multigrid, available
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.polynomial_preconditioners import (
    Chebyshev,
    ChebyshevJacobi,
    Filter,
    cannot_be_negative,
    filter_degree,
    unit_diagonal,
)
from dispatch.solvers.preconditioners import Nothing, Preconditioner, Product, jacobi
from dispatch.solvers.problem import EigenProblem, Operand

BADLY_SCALED = 100.0
"""Ratio of the largest to the smallest element of a diagonal from which its metric is the better one."""

LARGE = 50_000
"""Order from which multigrid wins on the Laplacian of a grid; the filter's cost grows with a power of it."""

WORTH_A_HIERARCHY = 5_000
"""Order from which multigrid is considered at all."""

LONGEST_ROW = 8.0
"""Longest row, in mean ones, of a matrix that aggregates well: the hubs of a power-law graph do not."""

DENSE_HIERARCHY = 2.5
"""Complexity from which a hierarchy is given up: the coarse matrices fill, as those of expanders do."""


def choose_preconditioner(
    problem: EigenProblem,
    pencil: Pencil,
    bounds: tuple[float, float],
    vectors: int,
    random_block: Callable[[int], Block],
) -> Preconditioner:
    """Return what the caller asked for, or what the evidence speaks for.

    Parameters
    ----------
    problem, pencil : EigenProblem, Pencil
        What is solved, and on what.
    bounds : (lower, upper)
        Bounds of the spectrum of A.
    vectors : int
        Size of a block.
    random_block : callable
        Returns a block of so many random vectors.

    Raises
    ------
    ValueError
        When what was asked for does not fit the problem.
    """
    asked = problem.preconditioner
    if asked is None:
        return Nothing("asked for")
    if not isinstance(asked, str):
        return Product("given", "given by the caller", pencil.engine, asked)

    def make(name: str, reason: str) -> Preconditioner:
        degree = filter_degree(problem, vectors)
        match name:
            case "none":
                return Nothing(reason)
            case "jacobi":
                return jacobi(problem, pencil, reason)
            case "chebyshev-jacobi":
                return ChebyshevJacobi(reason, problem, pencil, random_block(1), degree)
            case "amg":
                return Multigrid(reason, problem, pencil, bounds)
            case "factors":
                return Factors(reason, pencil, start_of_factors(pencil, bounds))
            case _:
                return Chebyshev(reason, pencil, problem.which, bounds, degree)

    check_fit(problem)
    if asked != "auto":
        return make(asked, "asked for")
    name, reason = suited(problem, bounds)
    if name == "amg":
        try:
            multigrid = Multigrid(reason, problem, pencil, bounds)
        except HierarchyError as error:
            reason += f", but {error.why}"
        else:
            if multigrid.complexity <= DENSE_HIERARCHY:
                return multigrid
            reason += f", but its multigrid hierarchy stores {multigrid.complexity:.2g} times what A does"
        # Where nothing but the size speaks for multigrid, the filter in A itself is the better one.
        metric = pencil.generalized or (_diagonal_ratio(problem.A) or 0.0) > BADLY_SCALED
        name = "chebyshev-jacobi" if metric else "chebyshev"
    chosen = make(name, reason)
    if may_give_way(problem) and isinstance(chosen, Filter):
        return FilterThenFactors(chosen, problem, pencil)
    return chosen


def check_fit(problem: EigenProblem) -> None:
    """Raise an error where a preconditioner that was asked for by name cannot serve the problem.

    With a shift none is asked for: the inverse takes its place.

    Raises
    ------
    ValueError
        When it is for another end of the spectrum, or needs elements that A does not show, or has not.
    ModuleNotFoundError
        When it needs PyAMG, and that is not installed.
    """
    asked = problem.preconditioner
    elementwise = ("jacobi", "chebyshev-jacobi", "amg", "factors")
    if problem.sigma is not None or not isinstance(asked, str) or asked not in elementwise:
        return
    if asked != "jacobi" and problem.which != "SA":
        raise ValueError(
            f"preconditioner {asked!r} approximates the inverse of A, which serves which='SA', and which is "
            f"{problem.which!r}; use 'chebyshev' or 'auto'"
        )
    if isinstance(problem.A, LinearOperator):
        raise ValueError(f"preconditioner {asked!r} needs the elements of A, and A is an operator: give a matrix")  # noqa: TRY004 - the option does not fit
    if asked == "factors":
        if not _sparse(problem):
            raise ValueError("preconditioner 'factors' needs a sparse A, and a sparse M if there is one; use 'auto'")
        return
    least = float(problem.A.diagonal().real.min())
    if asked != "jacobi" and least < 0.0:
        raise ValueError(
            f"preconditioner {asked!r} needs a diagonal without negative elements, and A's goes down to {least:.3g}; "
            "use 'chebyshev'"
        )
    if asked == "amg" and not available():
        raise ModuleNotFoundError("preconditioner 'amg' needs PyAMG: pip install 'array-dispatch[amg]'")


def may_give_way(problem: EigenProblem) -> bool:
    """Return whether factors may take over from a filter that was chosen by the evidence."""
    return problem.which == "SA" and _sparse(problem)


def suited(problem: EigenProblem, bounds: tuple[float, float]) -> tuple[str, str]:
    """Return the name of the preconditioner that the evidence speaks for, and the reason, without a product with A.

    Parameters
    ----------
    problem : EigenProblem
        Its `sigma` is None.
    bounds : (lower, upper)
        Bounds of the spectrum of A, in any scale.
    """
    size = max(map(abs, bounds))
    if np.isfinite(size) and bounds[1] - bounds[0] <= 1e3 * problem.eps * size:
        return "none", "A is a multiple of the identity"
    generalized = problem.M is not None
    ratio = _diagonal_ratio(problem.A) if problem.which == "SA" else None
    if ratio is not None:
        unfit = "a generalized problem" if generalized else ""
        if ratio > BADLY_SCALED:
            unfit = f"the diagonal of A varies by a factor of {ratio:.2g}"
        large = f"n = {problem.n} is large" if problem.n >= LARGE else ""
        if (unfit or large) and problem.n >= WORTH_A_HIERARCHY and _mesh_like(problem.A) and available():
            return "amg", f"{unfit or large}, and A is like the matrix of a mesh"
        if unfit:
            return "chebyshev-jacobi", unfit
    if generalized:
        name = "none" if isinstance(problem.A, LinearOperator) else "jacobi"
        return name, "a generalized problem: a filter in A alone would not fit"
    return "chebyshev", "any matrix whose products are all that is known"


def _sparse(problem: EigenProblem) -> bool:
    return all(isinstance(matrix, csr_array | None) for matrix in (problem.A, problem.M))


def _diagonal_ratio(A: Operand) -> float | None:
    """Return how much the positive elements of A's diagonal vary; None where it is not known or has negative ones.

    Where a row has a larger element than a definite matrix may have, its diagonal is not its scale: then the largest
    elements of the rows are compared as well.
    """
    if isinstance(A, LinearOperator):
        return None
    diagonal = np.asarray(A.diagonal().real, np.float64)
    positive = diagonal[diagonal > 0.0]
    if len(positive) == 0 or diagonal.min() < 0.0:
        return None
    ratio = float(positive.max() / positive.min())
    if ratio <= BADLY_SCALED:
        return ratio
    rows = abs(A).max(axis=1)
    largest = np.asarray(rows.toarray() if isinstance(A, csr_array) else rows, np.float64).ravel()
    if (largest <= 1.01 * np.sqrt(diagonal) * np.sqrt(diagonal.max())).all():
        return ratio
    largest = largest[largest > 0.0]
    return min(ratio, float(largest.max() / largest.min()))


def _mesh_like(A: Operand) -> bool:
    """Return whether A is positive semidefinite, mostly negative off its diagonal, and has rows of like length."""
    if not isinstance(A, csr_array):
        return False
    negative = np.count_nonzero(A.data.real < 0.0)
    off_diagonal = A.nnz - A.shape[0]
    lengths = np.diff(A.indptr)
    if not (negative >= 0.9 * off_diagonal > 0 and lengths.max() <= LONGEST_ROW * lengths.mean()):
        return False
    return cannot_be_negative(A, unit_diagonal(A)[0])
