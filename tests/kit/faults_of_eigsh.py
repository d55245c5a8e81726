"""Faults of `eigsh` as a whole, in a backend that replaces the core's solver."""

import dataclasses
import threading

import numpy as np
import scipy.linalg
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers import EigshInfo, EigshResult, Iteration, NoConvergence
from tests.kit.fault import Copy, fault


class Eigsh(Copy):
    """A copy whose solver changes the problem before, or the result after it is solved."""

    def eigsh(self, problem, *, device):
        return self.after(problem, super().eigsh(self.before(problem), device=device))

    def before(self, problem):
        return problem

    def after(self, problem, result):
        return result


def with_pairs(result, values, vectors):
    """Return a result with other eigenpairs."""
    return dataclasses.replace(result, eigenvalues=np.asarray(values), eigenvectors=np.asarray(vectors))


def with_info(result, **changes):
    """Return a result with another info."""
    return dataclasses.replace(result, info=dataclasses.replace(result.info, **changes))


# What is returned


@fault("test_every_arithmetic_and_end")
class Descending(Eigsh):
    """Pairs come in descending order."""

    def after(self, problem, result):
        return with_pairs(result, result.eigenvalues[::-1], result.eigenvectors[:, ::-1])


@fault("test_every_arithmetic_and_end")
class VectorsInAnotherOrder(Eigsh):
    """Vectors are not in the order of the values."""

    def after(self, problem, result):
        return with_pairs(result, result.eigenvalues, result.eigenvectors[:, ::-1])


@fault("test_every_arithmetic_and_end")
class NotNormalized(Eigsh):
    """Vectors are scaled so that their largest element is one."""

    def after(self, problem, result):
        v = result.eigenvectors
        return with_pairs(result, result.eigenvalues, v / abs(v).max(axis=0))


@fault("test_generalized", among="d")
class NormalizedWithoutM(Eigsh):
    """Vectors of a generalized problem have norm one."""

    def after(self, problem, result):
        v = result.eigenvectors
        return with_pairs(result, result.eigenvalues, v / np.linalg.norm(v, axis=0))


@fault("test_generalized", among="d")
class NormalizedWithoutDenseM(Eigsh):
    """Vectors of a generalized problem have norm one where `M` is dense."""

    def after(self, problem, result):
        if not isinstance(problem.M, np.ndarray):
            return result
        v = result.eigenvectors
        return with_pairs(result, result.eigenvalues, v / np.linalg.norm(v, axis=0))


@fault("test_at_a_shift")
class VectorsAtAShiftInAnotherOrder(Eigsh):
    """With `sigma`, vectors are not in the order of the values."""

    def after(self, problem, result):
        if problem.sigma is None:
            return result
        return with_pairs(result, result.eigenvalues, result.eigenvectors[:, ::-1])


@fault("test_multiple_eigenvalues", among="SA")
class SkewInsideClusters(Eigsh):
    """Vectors of one multiple eigenvalue are not orthogonal."""

    def after(self, problem, result):
        w, v = result.eigenvalues, result.eigenvectors.copy()
        equal = np.flatnonzero(np.diff(w) <= 1e-10 * max(abs(w).max(), 1e-300))
        v[:, equal + 1] = (v[:, equal + 1] + v[:, equal]) / np.sqrt(2)
        return with_pairs(result, w, v)


@fault("test_multiple_eigenvalues", among="SA")
class OneOfEachCluster(Eigsh):
    """A multiple eigenvalue is found less often than it is there."""

    def before(self, problem):
        return dataclasses.replace(problem, k=min(problem.k + 3, problem.n - 1))

    def after(self, problem, result):
        w, v, k = result.eigenvalues, result.eigenvectors, problem.k
        inside = np.flatnonzero(np.diff(w) <= 1e-10 * max(abs(w).max(), 1e-300)) + 1
        keep = np.setdiff1d(np.arange(len(w)), inside[: len(w) - k])
        keep = keep[:k] if problem.which == "SA" else keep[-k:]
        info = dataclasses.replace(result.info, residual_norms=result.info.residual_norms[keep])
        return EigshResult(w[keep], v[:, keep], info)


@fault("test_multiple_eigenvalues", among="LA")
class TopmostOnce(Eigsh):
    """The largest eigenvalue is found once, however often it is there."""

    def before(self, problem):
        return dataclasses.replace(problem, k=problem.k + 1) if problem.which == "LA" else problem

    def after(self, problem, result):
        if problem.which != "LA":
            return result
        w, v, norms = result.eigenvalues, result.eigenvectors, result.info.residual_norms
        twice = w[-1] - w[-2] <= 1e-10 * abs(w[-1])
        keep = np.r_[: problem.k - 1, problem.k] if twice else np.r_[1 : problem.k + 1]
        return EigshResult(w[keep], v[:, keep], dataclasses.replace(result.info, residual_norms=norms[keep]))


@fault("test_few_and_nearly_all", among="40")
class FortyAtMost(Eigsh):
    """No more than 32 pairs are found."""

    def after(self, problem, result):
        return with_pairs(result, result.eigenvalues[:32], result.eigenvectors[:, :32])


@fault("test_every_arithmetic_and_end", among="f-SA")
class ResultsInDoublePrecision(Eigsh):
    """Results of single precision come back in double."""

    def after(self, problem, result):
        v = result.eigenvectors
        return with_pairs(result, result.eigenvalues.astype(float), v.astype(np.result_type(v, float)))


@fault("test_every_arithmetic_and_end")
class ResidualsNotReported(Eigsh):
    """Residual norms are said to be zero."""

    def after(self, problem, result):
        return with_info(result, residual_norms=np.ones(problem.k))


@fault("test_generalized", among="d")
class ResidualsWithoutM(Eigsh):
    """Residual norms of a generalized problem are computed without `M`."""

    def after(self, problem, result):
        if problem.M is None:
            return result
        v = result.eigenvectors
        return with_info(result, residual_norms=np.linalg.norm(problem.A @ v - v * result.eigenvalues, axis=0))


@fault("test_a_tolerance_is_kept")
class IterationsNotCounted(Eigsh):
    """``info.iterations`` is zero."""

    def after(self, problem, result):
        return with_info(result, iterations=0)


@fault("test_a_tolerance_is_kept")
class ResidualsATenth(Eigsh):
    """Residual norms are reported a tenth of what they are."""

    def after(self, problem, result):
        return with_info(result, residual_norms=result.info.residual_norms / 10)


@fault("test_every_arithmetic_and_end", among="f-LA")
class ValuesAloneInDoublePrecision(Eigsh):
    """Without vectors, values of single precision come back in double."""

    def after(self, problem, result):
        values = result.eigenvalues
        return with_pairs(result, values if problem.return_eigenvectors else values.astype(float), result.eigenvectors)


@fault("test_every_arithmetic_and_end", among="d-SA")
class VectorsReadOnly(Eigsh):
    """Eigenpairs cannot be written to."""

    def after(self, problem, result):
        for array in (result.eigenvalues, result.eigenvectors):
            array.setflags(write=False)
        return result


@fault("test_at_a_shift")
class ValuesAloneDescending(Eigsh):
    """Without vectors, values come in the reverse order."""

    def after(self, problem, result):
        values = result.eigenvalues
        return with_pairs(result, values if problem.return_eigenvectors else values[::-1], result.eigenvectors)


@fault("test_every_arithmetic_and_end", among="d-SA")
class NormsWithoutEigenvalues(Eigsh):
    """Values are returned with a relative error of one in ten million."""

    def after(self, problem, result):
        return with_pairs(result, result.eigenvalues * (1 + 1e-7), result.eigenvectors)


# What is computed


@fault("test_every_arithmetic_and_end", among="d-SA")
class ComputedInSingle(Eigsh):
    """Double precision is computed in single."""

    def before(self, problem):
        narrow = np.dtype({"d": "f", "D": "F"}.get(problem.dtype.char, problem.dtype.char))
        if isinstance(problem.A, LinearOperator) or problem.M is not None:
            return problem
        return dataclasses.replace(problem, A=problem.A.astype(narrow), dtype=narrow)

    def after(self, problem, result):
        w, v = result.eigenvalues, result.eigenvectors
        return with_pairs(result, w.astype(problem.dtype.char.lower()), v.astype(problem.dtype))


@fault("test_every_arithmetic_and_end", among="D-SA")
class RealPartAlone(Eigsh):
    """Of a Hermitian matrix the real part is taken."""

    def before(self, problem):
        if problem.dtype.kind != "c" or isinstance(problem.A, LinearOperator):
            return problem
        return dataclasses.replace(problem, A=problem.A.real.astype(problem.dtype))


@fault("test_every_arithmetic_and_end", among="d-SA")
class UnconvergedReturned(Eigsh):
    """What has not converged is returned."""

    def before(self, problem):
        return dataclasses.replace(problem, tol=1e-3, preconditioner=None)


@fault("test_no_convergence_is_an_error_with_what_converged")
class NoConvergenceSwallowed(Eigsh):
    """Where pairs did not converge, they are returned all the same."""

    def eigsh(self, problem, *, device):
        try:
            return super().eigsh(problem, device=device)
        except NoConvergence as error:
            return error.approximations


class NoConvergenceOf(Eigsh):
    """A copy that changes what `NoConvergence` carries."""

    def eigsh(self, problem, *, device):
        try:
            return super().eigsh(problem, device=device)
        except NoConvergence as error:
            found = error.approximations
            accurate = np.isin(found.eigenvalues, error.eigenvalues)
            raise NoConvergence(str(error), *self.carried(found, accurate)) from None


@fault("test_no_convergence_is_an_error_with_what_converged")
class NoConvergenceWithoutPairs(NoConvergenceOf):
    """`NoConvergence` carries none of the pairs that converged."""

    def carried(self, found, accurate):
        return found, np.zeros_like(accurate)


@fault("test_no_convergence_is_an_error_with_what_converged")
class NoConvergenceWithZeros(NoConvergenceOf):
    """`NoConvergence` carries zeros and unit vectors."""

    def carried(self, found, accurate):
        w, v = found.eigenvalues, found.eigenvectors
        return with_pairs(found, np.zeros_like(w), np.eye(*v.shape, dtype=v.dtype)), np.ones_like(accurate)


@fault("test_no_convergence_is_an_error_with_what_converged")
class NoConvergenceWithAll(NoConvergenceOf):
    """`NoConvergence` carries pairs that did not converge."""

    def carried(self, found, accurate):
        return found, np.ones_like(accurate)


@fault("test_no_convergence_is_an_error_with_what_converged")
class NoConvergenceInAnotherOrder(NoConvergenceOf):
    """`NoConvergence` carries vectors that are not in the order of its values."""

    def carried(self, found, accurate):
        v = found.eigenvectors.copy()
        v[:, accurate] = v[:, accurate][:, ::-1]
        return with_pairs(found, found.eigenvalues, v), accurate


@fault("test_no_convergence_is_an_error_with_what_converged")
class MaxiterIgnored(Eigsh):
    """`maxiter` below 20 has no effect."""

    def before(self, problem):
        return problem if problem.maxiter is None else dataclasses.replace(problem, maxiter=max(problem.maxiter, 20))


@fault("test_tiny")
class Endless(Eigsh):
    """Iterations have no end."""

    def eigsh(self, problem, *, device):
        state = Iteration(0, np.zeros(problem.k), np.ones(problem.k), 0, 0)
        while not problem.callback(state):
            pass


@fault("test_any_scale")
class AbsoluteTolerance(Eigsh):
    """A matrix is shifted by a small number, whatever its size."""

    def before(self, problem):
        if not isinstance(problem.A, csr_array):
            return problem
        A = csr_array(problem.A + 1e-12 * np.float64(1) * scipy.sparse.eye_array(problem.n))
        return dataclasses.replace(problem, A=A.astype(problem.dtype))


@fault("test_generalized")
class MassIgnored(Eigsh):
    """`M` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, M=None)


@fault("test_generalized", among="d")
class MassIgnoredButForTheLowest(Eigsh):
    """`M` has an effect with ``which="SA"`` alone."""

    def before(self, problem):
        ignored = problem.which != "SA" and problem.sigma is None
        return dataclasses.replace(problem, M=None if ignored else problem.M)


@fault("test_generalized", among="D")
class MassIgnoredAtAShift(Eigsh):
    """`M` has no effect with `sigma`."""

    def before(self, problem):
        return dataclasses.replace(problem, M=problem.M if problem.sigma is None else None)


@fault("test_generalized", among="D")
class DenseMassIgnored(Eigsh):
    """A dense `M` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, M=None if isinstance(problem.M, np.ndarray) else problem.M)


@fault("test_at_a_shift")
class ShiftIgnored(Eigsh):
    """`sigma` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, sigma=None, mode="normal")


@fault("test_at_a_shift")
class ShiftOfEitherSign(Eigsh):
    """A negative `sigma` is taken for a positive one."""

    def before(self, problem):
        return dataclasses.replace(problem, sigma=None if problem.sigma is None else abs(problem.sigma))


@fault("test_what_the_caller_knows_is_used")
class StartIgnored(Eigsh):
    """`v0` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, v0=None)


@fault("test_what_the_caller_knows_is_used")
class PreconditionerIgnored(Eigsh):
    """The caller's preconditioner is not applied."""

    def before(self, problem):
        given = problem.preconditioner
        return dataclasses.replace(problem, preconditioner=given if given is None else "auto")


@fault("test_what_the_caller_knows_is_used")
class InverseIgnored(Eigsh):
    """`OPinv` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, OPinv=None)


@fault("test_at_a_shift")
class ModeIgnored(Eigsh):
    """`mode` has no effect."""

    def before(self, problem):
        return dataclasses.replace(problem, mode="normal")


@fault("test_the_smallest_in_magnitude")
class SmallestIsLowest(Eigsh):
    """``which="SM"`` means ``"SA"``."""

    def before(self, problem):
        return dataclasses.replace(problem, which="SA" if problem.which == "SM" else problem.which)


@fault("test_every_arithmetic_and_end", among="d-LM")
class LargestIsHighest(Eigsh):
    """``which="LM"`` means ``"LA"``."""

    def before(self, problem):
        return dataclasses.replace(problem, which="LA" if problem.which == "LM" else problem.which)


@fault("test_every_arithmetic_and_end", among="d-BE")
class OneEndOnly(Eigsh):
    """``which="BE"`` means ``"LA"``."""

    def before(self, problem):
        return dataclasses.replace(problem, which="LA" if problem.which == "BE" else problem.which)


@fault("test_dense_matrices_and_operators")
class OperatorsNotApplied(Eigsh):
    """An operator is taken for the identity."""

    def before(self, problem):
        if not isinstance(problem.A, LinearOperator):
            return problem
        return dataclasses.replace(problem, A=csr_array(scipy.sparse.eye_array(problem.n)))


@fault("test_bad_matrices_are_refused")
class OneTriangle(Eigsh):
    """One triangle of the matrix is read, and the other not compared with it."""

    def eigsh(self, problem, *, device):
        if not issparse(problem.A) or problem.M is not None:
            return super().eigsh(problem, device=device)
        w, v = scipy.linalg.eigh(problem.A.toarray(), check_finite=False)
        return EigshResult(
            w[: problem.k], v[:, : problem.k], EigshInfo("dense", "converged", 0, 0, np.zeros(problem.k))
        )


@fault("test_inputs_are_not_modified")
class MassScaled(Eigsh):
    """`M` is scaled in place."""

    def after(self, problem, result):
        if problem.M is not None:
            problem.M.data *= 2
        return result


@fault("test_dense_matrices_and_operators")
class DenseMatrixScaled(Eigsh):
    """A dense `A` is scaled in place."""

    def after(self, problem, result):
        if isinstance(problem.A, np.ndarray):
            problem.A[...] *= 2
        return result


@fault("test_generalized", among="d")
class DenseMassScaled(Eigsh):
    """A dense `M` is scaled in place."""

    def after(self, problem, result):
        if isinstance(problem.M, np.ndarray):
            problem.M[...] *= 2
        return result


@fault("test_the_same_seed_gives_the_same_bits")
class AnotherStart(Eigsh):
    """The start is another one in every call."""

    def before(self, problem):
        return dataclasses.replace(problem, rng=np.random.default_rng())


@fault("test_an_interrupted_solution_leaves_a_backend_that_works")
class LockKept(Eigsh):
    """A solution that is interrupted leaves the device locked."""

    def __init__(self):
        self.lock = threading.Lock()

    def eigsh(self, problem, *, device):
        if not self.lock.acquire(blocking=False):
            raise RuntimeError("the device is locked")
        result = super().eigsh(problem, device=device)
        self.lock.release()
        return result


@fault("test_an_interrupted_solution_leaves_a_backend_that_works")
class ErrorsSwallowed(Eigsh):
    """An error of the caller's callback is swallowed."""

    def before(self, problem):
        return dataclasses.replace(problem, callback=None)
