"""How the eigenvalues at a shift are reached: chosen from what is given, and from estimated time and memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers.factor_cost import FactorCost, available_memory, factor_cost, product_seconds
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.spectral_bounds import gershgorin_bounds, gershgorin_lower_bound

DENSE_FACTORS_BELOW = 4096
"""Order up to which an operator is written out as a dense matrix, by as many products, and factorised."""

Way = Literal["given inverse", "sparse factors", "dense factors", "end of the spectrum", "inner iteration"]


@dataclass(frozen=True)
class Choice:
    """A way, and why it was chosen."""

    way: Way
    reason: str


def smallest_magnitudes(problem: EigenProblem) -> EigenProblem:
    """Return a problem whose `which` is not SM, unless of a transformed spectrum, with the same eigenvalues.

    The smallest magnitudes are an end of the spectrum of a matrix without negative eigenvalues, and of any other the
    values nearest to zero.
    """
    if problem.which != "SM" or problem.sigma is not None:
        return problem
    if problem.M is None and gershgorin_lower_bound(problem.A) >= 0.0:
        return replace(problem, which="SA")
    return replace(problem, which="LM", sigma=0.0)


def choose_way(problem: EigenProblem) -> Choice:
    """Return how to solve a problem with a shift.

    Where all eigenvalues may lie on one side of the shift, those nearest to it are an end of the spectrum, which LOBPCG
    finds without any inverse.
    """
    # Cayley's smallest transformed eigenvalues are the largest ones at -sigma, where OPinv is none.
    if problem.OPinv is not None and problem.which != "SM":
        return Choice("given inverse", "OPinv is given")
    nearest = problem.mode == "normal" and problem.which == "LM"
    if isinstance(problem.A, LinearOperator) or isinstance(problem.M, LinearOperator):
        if problem.n <= DENSE_FACTORS_BELOW:
            return Choice("dense factors", f"the operators are written out, n = {problem.n} being small enough")
        return Choice("end of the spectrum" if nearest else "inner iteration", "an operator cannot be factorised")
    if not (isinstance(problem.A, csr_array) and (problem.M is None or isinstance(problem.M, csr_array))):
        return Choice("dense factors", "the matrix is dense")
    cost = factor_cost(problem)
    memory = available_memory()
    estimate = f"factors of about {cost.elements:.1e} elements and {cost.memory / 1e9:.2g} GB at the peak"
    if cost.memory > memory / 2:
        estimate += f" do not fit into half of the {memory / 1e9:.2g} GB that are free"
        return Choice("end of the spectrum" if nearest else "inner iteration", estimate)
    if nearest and _one_sided(problem):
        direct, lobpcg = _direct_seconds(problem, cost), _lobpcg_seconds(problem)
        if lobpcg < direct:
            estimate += f" would take {direct:.2g} s, LOBPCG at the end of the spectrum about {lobpcg:.2g} s"
            return Choice("end of the spectrum", estimate)
    return Choice("sparse factors", estimate)


def _one_sided(problem: EigenProblem) -> bool:
    """Return whether Gershgorin's circles show that all eigenvalues are on one side of the shift."""
    if problem.M is not None or problem.sigma is None:
        return False
    lower, upper = gershgorin_bounds(problem.A)
    return lower >= problem.sigma or upper <= problem.sigma


def _direct_seconds(problem: EigenProblem, cost: FactorCost) -> float:
    """Return the time of the factorisation and of the solutions that k eigenpairs take, measured at about 15 each."""
    return cost.seconds + 15 * problem.k * cost.solve_seconds


def _lobpcg_seconds(problem: EigenProblem) -> float:
    """Return the time of LOBPCG, measured at about 400 filtered products for each eigenpair of a grid or a graph."""
    return 400 * problem.k * product_seconds(problem)
