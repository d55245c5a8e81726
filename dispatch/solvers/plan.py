"""How a problem would be solved, as far as that is known without a product with the matrix: for `dispatch.explain`."""

from __future__ import annotations

from dispatch.solvers.dense import dense_is_better
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.start import guards
from dispatch.solvers.way_to_shift import choose_way, smallest_magnitudes


def plan(problem: EigenProblem) -> str:
    """Return the method, and what is known of its preconditioner or its inverse, as one line."""
    if dense_is_better(problem, min(problem.k + guards(problem.k), problem.n)):
        return f"dense, by LAPACK: n = {problem.n} is small"
    problem = smallest_magnitudes(problem)
    if problem.sigma is None:
        asked = problem.preconditioner
        if not (asked is None or isinstance(asked, str)):
            return f"LOBPCG for {problem.which}, the caller's preconditioner"
        evidence = "bounds of the spectrum, the diagonal and the pattern"
        chosen = f", to be chosen from the {evidence}" if asked == "auto" else ""
        return f"LOBPCG for {problem.which}, preconditioner {asked!r}{chosen}"
    if problem.which == "SM" and problem.mode != "cayley":
        return "LOBPCG on A - sigma M, without an inverse"
    choice = choose_way(problem)
    return f"LOBPCG at sigma = {problem.sigma:g}, {problem.mode}, by {choice.way}: {choice.reason}"
