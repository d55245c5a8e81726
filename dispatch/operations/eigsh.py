"""`dispatch.eigsh`: SciPy's `eigsh` on whatever hardware there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from dispatch import context
from dispatch.errors import printable, shortened
from dispatch.operations.call import Call, bind, describe
from dispatch.request import BackendLike
from dispatch.selection import Route, select
from dispatch.tracing import observed

if TYPE_CHECKING:
    from dispatch.solvers import EigenProblem, EigshResult


def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: float | None = None,
    which: Literal["LM", "SM", "LA", "SA", "BE"] = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: Literal["normal", "buckling", "cayley"] = "normal",
    rng: Any = None,
    *,
    preconditioner: Any = "auto",
    callback: Callable[[Any], Any] | None = None,
    progress: bool = False,
    return_info: bool = False,
    backend: BackendLike | None = None,
) -> Any:
    """Find k eigenvalues and eigenvectors of a large sparse symmetric or Hermitian matrix.

    Solves ``A x = λ x``, or ``A x = λ M x``, with a block LOBPCG that is the same on every backend. The arguments up to
    `rng` are those of `scipy.sparse.linalg.eigsh`, in order and meaning.

    Parameters
    ----------
    A : (n, n) sparse matrix or array, array_like or LinearOperator, on the host
        Real symmetric or complex Hermitian; anything else is refused.
    k : int
        Number of eigenpairs wanted, ``1 <= k < n``.
    M : (n, n) matrix or operator, optional
        Symmetric positive definite, with `sigma` semidefinite, in buckling mode any; the right-hand side of the
        generalized problem.
    sigma : float, optional
        Find the eigenvalues nearest to `sigma`, by a spectral transformation.
    which : {"LM", "SM", "LA", "SA", "BE"}
        Largest or smallest in magnitude, largest or smallest algebraically, or half from either end. With `sigma`, it
        speaks of the transformed eigenvalues: ``1 / (w - sigma)``, or what `mode` makes of them.
    v0 : (n,) or (n, m) array_like, optional
        Where to start; the default is random.
    ncv : int, optional
        Size of the basis with `sigma`; without, it is accepted for SciPy's sake.
    maxiter : int, optional
        Most iterations to take.
    tol : float
        Relative accuracy of the eigenvalues; 0 asks for as much as the arithmetic gives.
    return_eigenvectors : bool
        Whether to return eigenvectors beside the eigenvalues.
    Minv, OPinv : matrix or operator, optional
        Inverse of `M`, and of ``A - sigma M``, where the caller has them.
    mode : {"normal", "buckling", "cayley"}
        Transformation that `sigma` stands for: ``1 / (w - sigma)``, ``w / (w - sigma)`` or
        ``(w + sigma) / (w - sigma)``.
    rng : int, numpy.random.Generator or None
        Seed of the random start. The default seed is fixed: the same call gives the same result.
    preconditioner : "auto", None, matrix, LinearOperator or callable
        Approximate inverse of ``A`` that is applied to blocks of residuals.
    callback : callable, optional
        Called with the `Iteration` of each iteration; returning True stops the run, which then raises `NoConvergence`
        with what there is. A problem that LAPACK solves has no iterations.
    progress : bool
        Show a progress bar on the standard error stream.
    return_info : bool
        Whether to return an `EigshInfo` as well.
    backend : str or Backend, optional
        Who runs the call: a name, a device (``"cuda:1"``), a list (``"cuda,cpu"``), ``"auto"`` or a `Backend`;
        ``"lobpcg"`` means ``"auto"``, since every backend's solver is LOBPCG. By default whoever `use`, `set_default`
        or ``DISPATCH_BACKEND`` ask for, otherwise the fastest.

    Returns
    -------
    w : (k,) ndarray
        Eigenvalues, in SciPy's order.
    v : (n, k) ndarray
        Eigenvectors, one a column; only with `return_eigenvectors`.
    info : EigshInfo
        How the solution came about; only with `return_info`.

    Raises
    ------
    NoConvergence
        When not every pair converged; it carries those that did.
    ValueError, TypeError
        When an argument is wrong: `A` not symmetric or not finite, shapes that do not fit, `k` out of range.
    UnknownBackendError, BackendUnavailableError, UnsupportedCallError
        When what was asked for cannot run the call.

    Notes
    -----
    A pair counts as converged when its residual, computed anew from the returned vector, is at most
    ``max(tol |λ| ‖M x‖, 32 ε (‖A‖ + |λ| ‖M‖) ‖x‖)``, ε being the precision of the arithmetic.

    Examples
    --------
    >>> import dispatch, scipy.sparse
    >>> A = scipy.sparse.diags_array([[-1.0] * 999, [2.0] * 1000, [-1.0] * 999], offsets=[-1, 0, 1])
    >>> w, v = dispatch.eigsh(A, k=3, which="SA")
    >>> bool(abs(A @ v - v * w).max() < 1e-12)
    True
    """
    # The solver is imported by the first call that needs it, so that `import dispatch` stays light.
    from dispatch.solvers import NoConvergence

    call = call_of(
        A, k, M, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, mode, rng,
        preconditioner, callback, progress, return_info,
    )  # fmt: skip
    route, decision = select(call, *context.in_force(hardware_of(backend)))
    try:
        with observed(decision, call):
            result = _signed(route.backend.eigsh(call.arguments["problem"], device=route.device), route)
    except NoConvergence as error:
        error.approximations = _signed(error.approximations, route)
        raise
    values: tuple[Any, ...] = (result.eigenvalues,)
    if return_eigenvectors:
        values = (*values, result.eigenvectors)
    if return_info:
        values = (*values, result.info)
    return values if len(values) > 1 else values[0]


def _signed(result: EigshResult, route: Route) -> EigshResult:
    """Return a result whose info names the backend and the device that it comes from."""
    from dispatch.solvers import EigshInfo, EigshResult

    if not isinstance(result, EigshResult) or not isinstance(result.info, EigshInfo):
        returned = shortened(printable(repr(result)), 200)
        raise TypeError(
            f"eigsh of the backend {route.backend.name!r} returned {returned}, expected a dispatch.solvers.EigshResult "
            "with an EigshInfo; report it to its authors"
        )
    return replace(result, info=replace(result.info, backend=route.backend.name, device=route.device.name))


def call_of(
    A: Any,
    k: int,
    M: Any,
    sigma: float | None,
    which: Literal["LM", "SM", "LA", "SA", "BE"],
    v0: Any,
    ncv: int | None,
    maxiter: int | None,
    tol: float,
    return_eigenvectors: bool,
    Minv: Any,
    OPinv: Any,
    mode: Literal["normal", "buckling", "cayley"],
    rng: Any,
    preconditioner: Any,
    callback: Callable[[Any], Any] | None,
    progress: bool,
    return_info: bool,  # noqa: ARG001 - no matter to a backend
) -> Call:
    """Check the arguments of `eigsh` and return what backends are told about the call."""
    from dispatch.solvers import prepare

    problem = prepare(
        A, k, M, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, mode, rng,
        preconditioner, callback, progress,
    )  # fmt: skip
    return describe("eigsh", A, {"problem": problem})


def hardware_of(backend: BackendLike | None) -> BackendLike | None:
    """Return the request for hardware in an `eigsh` call's ``backend``: the solver's name asks for none."""
    return "auto" if isinstance(backend, str) and backend.strip().lower() == "lobpcg" else backend


def problem_of(*args: Any, **kwargs: Any) -> EigenProblem:
    """Return the problem that ``eigsh(*args, **kwargs)`` states, for those who run parts of a solver on it."""
    arguments = bind(eigsh, args, kwargs)
    arguments.pop("backend")
    problem: EigenProblem = call_of(**arguments).arguments["problem"]
    return problem
