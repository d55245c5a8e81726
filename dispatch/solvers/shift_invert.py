"""Eigenvalues at a shift: LOBPCG on a transformed operator, and a verification that knows nothing of it.

The inverse turns the eigenvalues that are wanted into the largest, and well separated ones: a longer basis is then
better than LOBPCG's three equal blocks. The eigenvalues that are returned are those of a Rayleigh-Ritz step with A
itself, and the residuals are computed with A, so that an inverse that is none is found out. Where rounding errors of
the inverse show, corrections by the inverse times these residuals remove them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from dispatch.solvers.conclusion import conclude, unfinished
from dispatch.solvers.convergence import FLOOR, Accuracy, measurable
from dispatch.solvers.dense import RESCUE_BELOW, dense_is_better, solve_dense
from dispatch.solvers.engine import Block, BlockEngine
from dispatch.solvers.lobpcg import Outcome, Setting, lobpcg
from dispatch.solvers.observation import observer
from dispatch.solvers.order_at_shift import NEARLY, blurred, far, wanted_at_shift
from dispatch.solvers.orthonormalization import orthonormalize
from dispatch.solvers.pencil import Pencil, Sizes
from dispatch.solvers.preconditioners import Nothing, Preconditioner, State
from dispatch.solvers.problem import EigenProblem, Which
from dispatch.solvers.result import EigshInfo, EigshResult, Iteration, NoConvergence, Status
from dispatch.solvers.shift_without_inverse import at_an_end, at_either_end, farthest, near_an_end
from dispatch.solvers.shifted_inverse import NEAREST, invert
from dispatch.solvers.spectral_bounds import check_metric, gershgorin_bounds, lanczos_bounds, lanczos_extent
from dispatch.solvers.start import guards, random_vectors, start_vectors
from dispatch.solvers.start_in_range import start_in_range
from dispatch.solvers.transformation import Transformation, transformation
from dispatch.solvers.transformed_pencil import ImpureError, IndefiniteError, TransformedPencil
from dispatch.solvers.way_to_shift import Choice, choose_way

MAXITER = 300
"""Default limit of iterations: a transformed spectrum takes tens of them."""

BASIS = 20
"""Vectors of the basis beyond three for each pair: the transformed spectrum is well separated, and gains by them."""

MARGIN = 4
"""How much smaller than they must be the residuals are made before the first correction."""

REST = 1e-8
"""Relative change of a Ritz value in one iteration at which its residual with A is looked at."""

Residuals: TypeAlias = Callable[[Block, NDArray[np.float64]], NDArray[np.bool_]]
"""Says which vectors, with Ritz values of the transformed operator, are accurate as eigenvectors of A and M."""

MOST_REFINEMENTS = 8
"""Steps with A that follow a run, at most, while each makes the residuals smaller."""

UNTOUCHED = Nothing("the operator is an inverse already")

IMPURE = 1e3
"""Growth of the vectors' lengths from where on they are made of what a semidefinite inner product does not see."""


def solve_at_shift(
    problem: EigenProblem, engine: BlockEngine, extremal: Callable[[EigenProblem], EigshResult]
) -> EigshResult:
    """Return the eigenpairs that a problem with a shift asks for.

    Parameters
    ----------
    problem : EigenProblem
        Its `sigma` is not None.
    engine : BlockEngine
        Where the blocks live.
    extremal : callable
        Solves a problem without a shift.

    Raises
    ------
    ValueError
        When the matrix of the inner product is not positive semidefinite, when ``A - σ M`` is singular for every σ,
        when OPinv is not its inverse, or when σ is so far away that rounding errors hide the order of the eigenvalues.
    NoConvergence
        When the residuals, computed with A, are not small enough.
    """
    if problem.which == "SM" and problem.mode != "cayley":
        return farthest(problem, extremal)
    choice = choose_way(problem)
    if choice.way == "end of the spectrum":
        result = at_an_end(problem, engine, extremal, choice)
        if result is not None:
            return result
        choice = Choice("inner iteration", f"{choice.reason}, and eigenvalues lie on both sides of sigma")
    if problem.which == "SM":
        # (λ + σ) / (λ - σ) is smallest where the same with -σ is largest.
        problem = dataclasses.replace(problem, which="LM", sigma=-(problem.sigma or 0.0))
    try:
        return _near_eigenvalues(problem, engine, extremal, choice)
    except FarError:
        if problem.M is None and problem.mode != "buckling":
            return at_either_end(problem, extremal)
        if problem.n > RESCUE_BELOW:
            raise
        return solve_dense(problem, "sigma M is so much larger than A that rounding errors of A - sigma M cover A")
    except IndefiniteError as error:
        if problem.n > RESCUE_BELOW:
            raise
        return solve_dense(problem, f"{error}, which may be a rounding error, as LAPACK can tell")


def _near_eigenvalues(
    problem: EigenProblem, engine: BlockEngine, extremal: Callable[[EigenProblem], EigshResult], choice: Choice
) -> EigshResult:
    """Return what the transformed operator has, or the ends of A where rounding errors of that cover it."""
    run = _TransformedRun(problem, engine, choice)
    at_end = run.too_near > 0.0 and run.at_end
    if at_end and problem.which == "BE":
        # Rounding errors of one end of ν cover the other, or nearly do.
        result = near_an_end(problem, run.resolved, extremal)
        if result is not None:
            return result
        at_end = False
    try:
        return run.solve()
    except NoConvergence as error:
        if not at_end or problem.maxiter is not None or error.info.status == "stopped":
            raise
        result = near_an_end(problem, run.resolved, extremal)
        if result is None:
            raise
        spent, info = error.info, result.info
        info = dataclasses.replace(
            info,
            iterations=spent.iterations + info.iterations,
            operator_applications=spent.operator_applications + info.operator_applications,
            history=spent.history + info.history,
            solves=spent.solves,
        )
        return dataclasses.replace(result, info=info)


@dataclass(frozen=True)
class _Pairs:
    """Eigenpairs in the scale of the pencil, their residual norms by A and M, how large these may be, and can be."""

    values: NDArray[np.float64]
    X: Block
    R: Block
    norms: NDArray[np.float64]
    limits: NDArray[np.float64]
    floor: NDArray[np.float64]

    def of(self, engine: BlockEngine, some: NDArray[np.intp]) -> _Pairs:
        """Return some of the pairs."""
        X, R = engine.columns(self.X, some), engine.columns(self.R, some)
        return _Pairs(self.values[some], X, R, self.norms[some], self.limits[some], self.floor[some])

    @property
    def accurate(self) -> NDArray[np.bool_]:
        return np.isfinite(self.values) & (self.norms <= self.limits)

    @property
    def excess(self) -> float:
        """The largest ratio of a residual to its limit."""
        return float((self.norms / self.limits).max())


class _Purified(Preconditioner):
    """One more product with the inverse, which returns nothing of the null space but what belongs to its vectors.

    A residual ``C⁻¹ M x - μ x`` has all that x has there, and grows by it where it is small. So it is in every
    iteration, faster where eigenvalues are close to one another.

    K. Meerbergen, A. Spence, "Implicitly restarted Arnoldi with purification for the shift-invert transformation",
    Math. Comp. 66 (1997).
    """

    name = "none"
    reason = UNTOUCHED.reason

    def __init__(self, pencil: TransformedPencil) -> None:
        self._pencil = pencil

    def __call__(self, R: Block, state: State) -> Block:
        """Return ``C⁻¹ M R``."""
        return self._pencil.apply_inverse(R, len(state.theta))


class _TransformedAccuracy(Accuracy):
    """When a pair of the transformed operator is accurate enough as a pair of A and M, or will be after a correction.

    A residual d of ``μ = 1 / (λ - σ)`` becomes one of about ``d / μ²`` for A and M by the first correction. Rounding
    errors of the inverse may keep d from getting so small: they are large near the shift, where A does not see them. So
    a pair whose residual with A is small already is accurate as well.
    """

    def __init__(
        self, pencil: TransformedPencil, transformation: Transformation, tol: float, norm: float, residuals: Residuals
    ) -> None:
        super().__init__(pencil, tol, norm)
        self._transformation, self._alpha, self._beta = transformation, transformation.alpha, abs(transformation.beta)
        self._transformed, self._residuals = pencil, residuals
        self._previous = np.zeros(0)
        self._length = 0.0

    def limits(self, X: Block, theta: NDArray[np.float64], sizes: Sizes) -> NDArray[np.float64]:
        distance = abs(theta - self._alpha)
        enough = np.maximum(self._tol * distance, FLOOR / MARGIN * self.eps * distance**2 / self._beta)
        # A value that is α to working precision has none: what is wanted of it is divided by.
        enough = np.maximum(enough, self.eps**2 * self.norm)
        lengths = sizes.vectors
        self._length = self._length or float(lengths.max())
        # Where a run cannot begin anew, it goes on while anything but rounding errors is seen.
        most = IMPURE if self._transformed.watched else 1.0 / self.eps
        if self._transformed.generalized and not lengths.max() <= most * self._length:
            self._transformed.refuse_growth()
        limits = np.asarray(enough * lengths)
        # Products with A are made only for pairs that have come to rest.
        resting = len(self._previous) == len(theta) and bool((abs(theta - self._previous) <= REST * distance).any())
        self._previous = theta.copy()
        return np.where(self._residuals(X, theta), np.inf, limits) if resting else limits

    def coincidence(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the difference from each Ritz value below which another one is the same but for rounding errors."""
        return np.asarray(FLOOR / MARGIN * self.eps * abs(theta))

    def resolution(self, theta: NDArray[np.float64]) -> float:
        """Return the difference of ν below which λ differs by less than the tolerance, of λ, at each wanted one.

        A share of ν would be too much: Cayley's are nearly equal where σ is small, and one near the shift is huge.
        """
        distance = theta - self._alpha
        slope = abs(distance * (1.0 + self._transformation.sigma * distance / self._transformation.beta))  # |λ dν/dλ|
        return max(self._tol * float(slope.min()), float(self.eps**0.75) * self.norm)


class FarError(ValueError):
    """The shift is so far from all eigenvalues that rounding errors hide which of them are nearer to it."""


class _TransformedRun:
    """The solution of one problem by a transformed operator.

    The ends of ν are those of ``±C⁻¹ M``, which has no share of the identity that differences could be lost in. Where
    sizes of ν are compared and lose theirs, what is wanted is among the first k at either end: a size is largest there.
    """

    def __init__(self, problem: EigenProblem, engine: BlockEngine, choice: Choice) -> None:
        self._asked = self._problem = problem
        self._engine = engine
        self._original = Pencil(problem, engine)
        if self._original.generalized and problem.mode != "buckling":
            check_metric(self._original, self._random_block(1))
        self._norm = max(map(abs, lanczos_bounds(self._original, self._random_block(1))))
        self._norm_M = 0.0 if self._original.generalized else 1.0
        self._history: list[Iteration] = []
        self._sigma = (problem.sigma or 0.0) / self._original.eigenvalue_scale
        shift, self._inverse, self._inverse_norm = invert(problem, self._original, self._sigma, choice.way, self._norm)
        self._use(transformation(problem.mode, shift))
        self._how = f"{problem.mode}, {self._inverse.name}: {choice.reason}"
        if shift != self._sigma:
            moved = shift * self._original.eigenvalue_scale
            self._how += f"; sigma is an eigenvalue to working precision and was moved to {moved!r}"
        if problem.which != "LM":
            self._use_ends()
        elif problem.mode != "normal" and abs(self._transformation.beta) * self._inverse_norm < NEARLY:
            self._search_both_ends()

    def _use(self, transformation: Transformation) -> None:
        metric = "A" if self._asked.mode == "buckling" else "M"
        self._transformation = transformation
        self._pencil = TransformedPencil(self._original, transformation, self._inverse, metric)

    def _use_ends(self) -> None:
        # The sign is that of the shift that was given, which may have been moved past zero.
        sign = -1.0 if self._asked.mode != "normal" and self._sigma < 0.0 else 1.0
        self._use(Transformation(self._transformation.sigma, beta=sign))

    def _search_both_ends(self) -> None:
        k = 2 * self._asked.k
        which: Which = "BE"
        if self._asked.M is None:
            start, beta = self._random_block(1), abs(self._transformation.beta)
            bounds = lanczos_extent(self._engine, lambda v: self._pencil.apply_inverse(v, 1), start)
            if beta * max(map(abs, bounds)) < 1.0:
                # All ν are positive, and the largest have the largest size.
                k, which = self._asked.k, "LA"
        self._problem = dataclasses.replace(self._asked, which=which, k=k)
        self._use_ends()

    def solve(self) -> EigshResult:
        """Iterate on the transformed operator until its pairs are accurate as pairs of A and M."""
        problem = self._problem
        kept = problem.k + guards(problem.k)
        if dense_is_better(problem, kept):
            return solve_dense(self._asked, f"n = {problem.n} is small against {kept} vectors at both ends of ν")
        X = self._engine.upload(start_vectors(problem, kept))
        if self._pencil.generalized:
            X, rank = start_in_range(self._pencil, X, kept, self._random_block)
            if rank < kept:
                return self._of_low_rank(rank, kept)
        iterations = 0
        for tol in (problem.tol / 10, 0.0) if problem.tol else (0.0,):
            outcome = self._iterate(X, kept, tol)
            iterations += outcome.iterations
            pairs = self._verified(outcome.X)
            done = bool(pairs.accurate.all()) and outcome.status != "maxiter"
            if done or outcome.status in ("stopped", "maxiter"):
                break
            host = np.asarray(self._engine.download(pairs.X))
            X = self._engine.upload(np.concatenate([host, random_vectors(problem, kept - problem.k)], axis=1))
        if outcome.status != "stopped" and blurred(pairs.values, self._problem.which, problem.mode, self._sigma):
            self._search_both_ends()
            return self.solve()
        share = self._least_share()
        if far(self._sigma, self._norm, self._norm_M, share):
            largest = self._norm / (share * self._norm_M) * self._original.eigenvalue_scale
            raise FarError(
                f"sigma is {problem.sigma:g}, so far from all eigenvalues that rounding errors of A - sigma M hide "
                f"which are wanted: give a sigma of at most {largest:.2g} in size"
            )
        rescue = problem.maxiter is None and problem.n <= RESCUE_BELOW
        if rescue and outcome.status != "stopped" and not done:
            return solve_dense(self._asked, f"the transformed LOBPCG was not accurate after {iterations} iterations")
        return self._conclude(pairs, outcome.status, iterations)

    def _least_share(self) -> float:
        """Return which share of ``σ M`` A has to be: more where there is another way, less with a loose tolerance."""
        problem, eps = self._asked, self._original.eps
        if (problem.M is None and problem.mode != "buckling") or problem.n <= RESCUE_BELOW:
            return NEARLY
        return float(min(NEARLY, eps / max(problem.tol, eps**0.75)))

    def _of_low_rank(self, rank: int, kept: int) -> EigshResult:
        problem = self._problem
        reason = f"{self._pencil.metric} has rank {rank}, too little for {kept} vectors"
        if problem.n > RESCUE_BELOW:
            raise ValueError(f"{reason}: there are {rank} finite eigenvalues; ask for fewer")
        return solve_dense(self._asked, reason)

    def _iterate(self, X: Block, kept: int, tol: float) -> Outcome:
        """Return what a run from X comes to; where it leaves the range of the inverse, it begins anew inside it."""
        before = len(self._history)
        self._pencil.watched = True
        try:
            return self._run(X, kept, tol)
        except ImpureError:
            pass  # the run is over; what follows is the other way
        finally:
            self._pencil.watched = False
        wasted = len(self._history) - before
        outcome = self._run(self._pencil.apply_inverse(X, kept), kept, tol)
        X = self._pencil.apply_inverse(outcome.X, self._problem.k)
        return dataclasses.replace(outcome, X=X, iterations=outcome.iterations + wasted)

    def _run(self, X: Block, kept: int, tol: float) -> Outcome:
        problem, pencil = self._problem, self._pencil
        basis = min(max(problem.ncv or 3 * problem.k + BASIS, kept + 2 * problem.k), problem.n)
        setting = Setting(kept, problem.k, basis, problem.maxiter or MAXITER, recompute=False)
        norm = abs(self._transformation.beta) * self._inverse_norm
        accuracy = _TransformedAccuracy(pencil, self._transformation, tol, norm, self._accurate)
        precondition = UNTOUCHED if pencil.watched else _Purified(pencil)
        with observer(problem, self._present, self._history) as observe:
            return lobpcg(
                pencil, X, problem.k, problem.which, setting, accuracy, precondition, self._random_block, observe
            )

    def _verified(self, X: Block) -> _Pairs:
        """Return the pairs that A and M have in the span of X, refined until they are accurate."""
        pairs = self._ritz_pairs(X)
        if pairs is None:
            raise IndefiniteError(
                f"sigma is so near to an eigenvalue, for {self._problem.dtype}, that the vectors of others are lost: "
                "give another sigma, or A in float64"
            )
        for _ in range(MOST_REFINEMENTS):
            if pairs.accurate.all():
                break
            refined = self._ritz_pairs(self._corrected(pairs))
            if refined is None or not refined.excess < 0.9 * pairs.excess:
                break
            pairs = refined
        return pairs

    def _corrected(self, pairs: _Pairs) -> Block:
        """Return ``x + c t`` for each pair, t being ``C⁻¹ r`` less its share of the pairs, c the best factor.

        The Ritz step that follows has the pairs themselves. At a shift that is an eigenvalue, ``C⁻¹ r`` is little else
        than the vector of that; far from one, with c = -1, ``x + c C⁻¹ r`` would be ``C⁻¹ M x`` times ``λ - σ``, in
        which eigenvectors that are nearer to the shift than x have grown.
        """
        engine, k = self._engine, self._problem.k
        T = self._pencil.solve(pairs.R, k)
        T = engine.combine([T, pairs.X], [np.eye(k), -engine.gram(pairs.X, self._pencil.apply_M(T))])
        change, _ = engine.residual(self._original.apply_A(T, k), self._original.apply_M(T), pairs.values)
        lengths = np.diag(engine.gram(change, change)).real
        c = -np.diag(engine.gram(change, pairs.R)) / np.where(lengths > 0.0, lengths, 1.0)
        return engine.combine([pairs.X, T], [np.eye(k), np.diag(c)])

    def _ritz_pairs(self, Y: Block) -> _Pairs | None:
        """Return the Ritz pairs of A and M in the span of k vectors; for buckling, whose inner product is A's, of M.

        Return None where the vectors are dependent, as corrections at an eigenvalue may be: all go the same way.
        """
        engine, original, k = self._engine, self._original, self._problem.k
        Y, p = orthonormalize(self._pencil, Y, k)
        if p < k:
            return None
        buckling = self._problem.mode == "buckling"
        H = engine.gram(Y, original.apply_M(Y) if buckling else original.apply_A(Y, k))
        theta, C = eigh((H + H.conj().T) / 2, check_finite=False, driver="evd")
        with np.errstate(divide="ignore"):
            return self._pairs(engine.combine([Y], [C]), 1.0 / theta if buckling else theta)

    def _accurate(self, X: Block, theta: NDArray[np.float64]) -> NDArray[np.bool_]:
        if not self._pencil.watched:
            X = self._pencil.apply_inverse(X, len(theta))
        return self._pairs(X, self._transformation.backward(theta)).accurate

    def _pairs(self, X: Block, values: NDArray[np.float64]) -> _Pairs:
        """Return pairs with their residuals, computed from the vectors, and the limits of these."""
        engine, original = self._engine, self._original
        AX, MX = original.apply_A(X, len(values)), original.apply_M(X)
        theta = np.where(np.isfinite(values), values, 0.0)
        R, (norms, size, size_M, size_A) = engine.residual_and_norms(AX, MX, theta, (X, MX, AX))
        self._norm = max(self._norm, float((size_A / size).max()))
        norm_M = float((size_M / size).max()) if original.generalized else 0.0
        self._norm_M = max(self._norm_M, norm_M)
        floor = FLOOR * original.eps * (self._norm + norm_M * abs(theta)) * size
        return _Pairs(values, X, R, norms, measurable(self._problem.tol * abs(theta) * size_M, floor), floor)

    def _present(self, state: Iteration) -> Iteration:
        """Return a state with the eigenvalues of A, and the residuals that one more product with the inverse leaves."""
        values = self._transformation.backward(state.ritz_values)
        norms = np.full(len(values), np.inf)
        finite = np.isfinite(values)
        slope = (values[finite] - self._transformation.sigma) ** 2 / abs(self._transformation.beta)
        norms[finite] = state.residual_norms[finite] * slope
        return dataclasses.replace(
            state,
            ritz_values=values * self._original.eigenvalue_scale,
            residual_norms=norms * self._original.residual_scale,
            operator_applications=self._original.applications,
        )

    def _conclude(self, pairs: _Pairs, status: Status, iterations: int) -> EigshResult:
        problem, original = self._asked, self._original
        if self._problem is not problem:
            order = wanted_at_shift(pairs.values, problem.which, problem.mode, self._sigma)[: problem.k]
            pairs = pairs.of(self._engine, order)
        scale = original.scale_A**-0.5 if problem.mode == "buckling" else original.vector_scale
        accurate = pairs.accurate
        if status != "maxiter" and accurate.all():
            status = "converged"
        elif status not in ("stopped", "maxiter"):
            status = "floor"
        at_floor = bool((pairs.norms <= np.maximum(pairs.limits, 100 / FLOOR * pairs.floor)).all())
        lost = "" if at_floor else "their residuals stayed large: products with the inverse are inaccurate"
        why = unfinished(status, accurate) or lost
        if why and status != "stopped":
            why += self._advice()
        info = EigshInfo(
            method="lobpcg",
            status=status,
            iterations=iterations,
            operator_applications=original.applications,
            residual_norms=pairs.norms * original.scale_A * scale,
            history=tuple(self._history),
            reason=UNTOUCHED.reason,
            transformation=self._how,
            solves=self._pencil.solves,
        )
        vectors = np.asarray(self._engine.download(pairs.X)) * problem.dtype.type(scale)
        return conclude(problem, pairs.values * original.eigenvalue_scale, vectors, accurate, info, why)

    @property
    def too_near(self) -> float:
        """How far to move a shift that is so near to an eigenvalue that all others are small beside it; 0 if it is not.

        Residuals are at best ``ε ‖A‖²`` over its distance from that, too much at less than a hundredth.
        """
        enough = NEARLY * max(self._norm, abs(self._sigma))
        return enough * self._original.eigenvalue_scale if 1.0 / self._inverse_norm < enough / 2 else 0.0

    @property
    def at_end(self) -> bool:
        """Whether the rows of A show that the shift is at an end of its spectrum, or as good as that."""
        if self._original.generalized or self._asked.mode != "normal":
            return False
        lower, upper = gershgorin_bounds(self._original.scaled_A)
        enough = NEARLY * self._norm
        return bool(lower >= self._sigma - enough or upper <= self._sigma + enough)

    @property
    def resolved(self) -> float:
        """Distance from an eigenvalue below which the shift counts as being it."""
        return NEAREST * self._original.eps * max(self._norm, abs(self._sigma)) * self._original.eigenvalue_scale

    def _advice(self) -> str:
        """Return where to move a shift that is too near to an eigenvalue."""
        enough, sigma = self.too_near, self._asked.sigma or 0.0
        if not enough:
            return ""
        distance = self._original.eigenvalue_scale / self._inverse_norm
        return (
            f" (sigma is within about {distance:.1g} of an eigenvalue, whose transformed one is so large that "
            f"its rounding errors cover the others: move sigma away by {enough:.1g} or more, such as to "
            f"{sigma - enough:.6g} or {sigma + enough:.6g})"
        )

    def _random_block(self, vectors: int) -> Block:
        return self._engine.upload(random_vectors(self._problem, vectors))
