"""How a problem would be solved, as far as that is known without a product with an operator: for `dispatch.explain`."""

from __future__ import annotations

from dataclasses import replace

from dispatch.solvers.checks import check_values
from dispatch.solvers.dense import dense_is_better
from dispatch.solvers.preconditioner_choice import check_fit, may_give_way, suited
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.spectral_bounds import gershgorin_bounds
from dispatch.solvers.start import carried
from dispatch.solvers.way_to_shift import choose_way, smallest_magnitudes


def plan(problem: EigenProblem) -> str:
    """Return the method, and what is known of its preconditioner or its inverse, as one line.

    Raises
    ------
    ValueError, ModuleNotFoundError
        What the call would raise for the elements of A and M, or for a preconditioner that does not fit.
    """
    check_values(problem, products=False)
    if dense_is_better(problem, carried(problem)):
        check_fit(smallest_magnitudes(problem))
        return f"dense, by LAPACK: n = {problem.n} is small"
    problem = smallest_magnitudes(problem)
    if problem.sigma is None:
        return _extremal(problem)
    if problem.which == "SM" and problem.mode != "cayley":
        M = problem.A if problem.mode == "buckling" else problem.M
        largest = _extremal(replace(problem, M=M, sigma=None, which="LM"))
        return f"{largest}; on A - sigma M, without an inverse"
    choice = choose_way(problem)
    return f"LOBPCG at sigma = {problem.sigma:g}, {problem.mode}, by {choice.way}: {choice.reason}"


def _extremal(problem: EigenProblem) -> str:
    check_fit(problem)
    asked = problem.preconditioner
    if asked is None:
        name, reason = "none", "asked for"
    elif not isinstance(asked, str):
        name, reason = "given", "given by the caller"
    elif asked != "auto":
        name, reason = asked, "asked for"
    else:
        name, reason = suited(problem, gershgorin_bounds(problem.A))
        if name == "amg":
            reason += ", unless its hierarchy turns out to be dense"
        if name.startswith("chebyshev") and may_give_way(problem):
            reason += "; factors take over where convergence is slow and they cost less"
    return f"LOBPCG for {problem.which}, preconditioner {name}: {reason}"
