"""Triangular factors of ``A - σ M`` as a preconditioner, and a filter that gives way to them where it is slow.

A filter needs a degree of about the square root of the ratio of the spectrum's width to the distances of the wanted
eigenvalues, which is in the thousands where all of the low end lies within 1e-6 of the norm. Factors take one solution
whatever that ratio is, and are next to free where the graph of A has small separators.
"""

from __future__ import annotations

from functools import cached_property

from scipy.sparse import csr_array

from dispatch.solvers.engine import Block
from dispatch.solvers.factor_cost import FactorCost, available_memory, factor_cost, product_seconds
from dispatch.solvers.inverse_preconditioner import InversePreconditioner, NoInverseError
from dispatch.solvers.inverses import SingularShiftError, SparseFactors
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.polynomial_preconditioners import (
    SOON,
    Filter,
    cannot_be_negative,
    low_end,
    unit_diagonal,
)
from dispatch.solvers.preconditioners import Preconditioner, State
from dispatch.solvers.problem import EigenProblem

LIFT = 1e-6
"""How far below zero the first shift is, in the norm of A: a singular A has factors there."""


GAIN = 0.5
"""Estimated time of factors, in that of the filter, from which they take over: each is known within some factor."""


class Factors(InversePreconditioner):
    """Two steps with the factors of a sparse ``A - σ M``, on the host and in double precision."""

    name = "factors"

    def _shift_to(self, shift: float) -> None:
        wide = self._pencil.engine.small_dtype
        try:
            self._factors = SparseFactors(csr_array(low_end(self._pencil, shift), dtype=wide))
        except SingularShiftError as error:
            raise NoInverseError(f"A - sigma M is singular: {error}") from error

    def _inverse(self, R: Block, p: int) -> Block:
        engine = self._pencil.engine
        return engine.upload(self._factors.solve(engine.download(R)))


def start_of_factors(pencil: Pencil, bounds: tuple[float, float]) -> float:
    """Return a shift that is below the spectrum of a pencil, given bounds of that of A, where no Ritz values are known.

    With an M, only that of a semidefinite A is known to be: any other serves as well as it can.
    """
    matrix = low_end(pencil)
    lower = 0.0 if pencil.generalized or cannot_be_negative(matrix, unit_diagonal(matrix)[0]) else min(bounds[0], 0.0)
    return lower - LIFT * max(map(abs, bounds))


class FilterThenFactors(Preconditioner):
    """A filter, until its convergence is slow and factors would take less time than as many steps as it needs.

    Parameters
    ----------
    filter : Filter
        For the low end of the spectrum.
    problem : EigenProblem
        Its A is sparse, and so is M if there is one.
    pencil : Pencil
        The scaled matrices.
    """

    def __init__(self, filter: Filter, problem: EigenProblem, pencil: Pencil) -> None:
        self.name, self.reason = filter.name, filter.reason
        self._filter, self._problem, self._pencil = filter, problem, pencil
        self._factors: Factors | None = None
        self._possible = True

    def __call__(self, R: Block, state: State) -> Block:
        """Return what the filter, or the factors, make of the residuals."""
        if self._factors is None and self._possible and self._filter.steps_left and self._pays(len(state.theta)):
            self._give_way(state)
        serving = self._factors or self._filter
        return serving(R, state)

    def _give_way(self, state: State) -> None:
        try:
            self._factors = Factors(self.reason, self._pencil, Factors.shift_for(state))
        except NoInverseError:
            self._possible = False
            return
        self.name = f"{self._filter.name}, then {self._factors.name}"
        self.reason += (
            f"; its convergence was slow, and factors of about {self._cost.elements:.1e} elements take less time than "
            f"the {self._filter.steps_left:.1e} steps that were left"
        )

    def _pays(self, vectors: int) -> bool:
        """Return whether factors, and solutions for the iterations that should be left, take less time than the filter.

        Counts of operations decide, not clocks: the same call takes the same way on every machine.
        """
        filtered = vectors * self._filter.steps_left * product_seconds(self._problem)
        factors = self._cost.seconds + 2 * vectors * SOON * self._cost.solve_seconds
        return factors < GAIN * filtered and self._cost.memory <= available_memory() / 2

    @cached_property
    def _cost(self) -> FactorCost:
        return factor_cost(self._problem)
