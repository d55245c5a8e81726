"""What `eigsh` returns and what it raises when it cannot: `EigshResult`, `EigshInfo`, `NoConvergence`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence

Status = Literal["converged", "floor", "maxiter", "stopped"]


@dataclass(frozen=True, slots=True)
class Iteration:
    """The state of the solver after one iteration, as a callback sees it and the history keeps it.

    Attributes
    ----------
    iteration : int
        Counts from 0, the random start.
    ritz_values : (k,) ndarray
        Current approximations of the wanted eigenvalues, in the order of `which`.
    residual_norms : (k,) ndarray
        Norms of their residuals ``A x - θ M x``, for ``xᴴ M x = 1``.
    converged : int
        How many of them are accurate enough.
    operator_applications : int
        Products of A with one vector so far.
    """

    iteration: int
    ritz_values: NDArray[np.float64]
    residual_norms: NDArray[np.float64]
    converged: int
    operator_applications: int


@dataclass(frozen=True, slots=True)
class EigshInfo:
    """How a solution came about.

    Attributes
    ----------
    method : str
        ``"dense"`` or ``"lobpcg"``, perhaps after a spectral transformation.
    status : {"converged", "floor", "maxiter", "stopped"}
        ``"floor"``: the residuals stopped falling at the precision of the arithmetic, short of `tol`.
    iterations : int
        Iterations of the solver; 0 for a dense solution.
    operator_applications : int
        Products of A with one vector.
    residual_norms : (k,) ndarray
        ``‖A x - λ M x‖`` of each returned pair, computed anew from the vector that is returned.
    history : tuple of Iteration
        One state an iteration.
    orthonormality : float
        Largest element of ``|Xᴴ M X - I|`` for the returned vectors (of ``|Xᴴ A X - I|`` for buckling): some ε, but for
        an M so ill-conditioned that no arithmetic keeps vectors orthonormal in its inner product.
    preconditioner, reason : str
        What was applied to the residuals, and why.
    transformation : str
        The spectral transformation, and how its inverse was applied; empty without one.
    solves : int
        Linear systems with ``A - σ M`` that were solved, one for each vector.
    backend, device : str
        Who ran it.
    """

    method: str
    status: Status
    iterations: int
    operator_applications: int
    residual_norms: NDArray[np.float64]
    orthonormality: float = np.nan
    history: tuple[Iteration, ...] = field(default=(), repr=False)
    preconditioner: str = "none"
    reason: str = ""
    transformation: str = ""
    solves: int = 0
    backend: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class EigshResult:
    """Eigenpairs: ``eigenvalues`` (k,), ``eigenvectors`` (n, k), one a column, and the `EigshInfo`."""

    eigenvalues: NDArray[np.float64]
    eigenvectors: NDArray[Any]
    info: EigshInfo


class NoConvergence(ArpackNoConvergence):  # type: ignore[misc]
    """Not every wanted eigenpair reached the accuracy that was asked for.

    Attributes
    ----------
    eigenvalues : (c,) ndarray
        The eigenvalues that did converge.
    eigenvectors : (n, c) ndarray
        Their eigenvectors.
    residual_norms : (c,) ndarray
        Their residual norms.
    approximations : EigshResult
        All k pairs as far as they came, the unconverged among them, with their residual norms in its `info`.
    """

    def __init__(self, message: str, approximations: EigshResult, accurate: NDArray[np.bool_]) -> None:
        values, vectors = approximations.eigenvalues[accurate], approximations.eigenvectors[:, accurate]
        super().__init__(message, values, vectors)
        # SciPy's class would put "ARPACK error -1" before the message.
        self.args = (message,)
        self.approximations = approximations
        self.residual_norms = approximations.info.residual_norms[accurate]
        self._accurate = accurate

    @property
    def info(self) -> EigshInfo:
        """How far the solver came."""
        return self.approximations.info

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.approximations, self._accurate)
