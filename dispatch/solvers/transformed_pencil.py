"""A pencil under a spectral transformation, with the same face as `Pencil`, so that the same LOBPCG runs on it."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from dispatch.solvers.engine import Block
from dispatch.solvers.inverses import Inverse
from dispatch.solvers.pencil import Pencil
from dispatch.solvers.transformation import Transformation


class IndefiniteError(ValueError):
    """The inner product is indefinite, or rounding errors of its null space, or of the inverse, cover the vectors."""


class ImpureError(Exception):
    """Vectors have grown in the null space of a semidefinite inner product, where nothing keeps them short."""


class TransformedPencil(Pencil):
    """The operator ``α + β C⁻¹ M`` in the place of A, and the inner product of M, or of A for buckling.

    Products with C⁻¹ are made on the host; everything else stays on the engine.

    Parameters
    ----------
    original : Pencil
        The scaled pencil.
    transformation : Transformation
        With the shift in the scale of `original`.
    inverse : Inverse
        Of ``C = A - σ M`` in that scale.
    metric : {"M", "A"}
        The matrix of the inner product.

    Attributes
    ----------
    watched : bool
        Whether a run is given up, by an `ImpureError`, where its vectors leave the range of the inverse: outside of it
        a semidefinite inner product sees nothing.
    """

    def __init__(self, original: Pencil, transformation: Transformation, inverse: Inverse, metric: str) -> None:
        self.engine, self.n, self.eps = original.engine, original.n, original.eps
        self.eigenvalue_scale = self.vector_scale = self.residual_scale = 1.0
        self.applications = self.solves = 0
        self.watched = False
        self.metric = metric
        self._original, self._inverse = original, inverse
        self._alpha, self._beta = transformation.alpha, transformation.beta

    @property
    def generalized(self) -> bool:
        """Whether the inner product is another than the plain one."""
        return self.metric == "A" or self._original.generalized

    def refuse_metric(self, square: float) -> NoReturn:
        """Raise `IndefiniteError` for a vector of negative length, `ImpureError` where a run can begin anew."""
        if self.watched:
            raise ImpureError
        try:
            super().refuse_metric(square)
        except ValueError as error:
            raise IndefiniteError(str(error)) from None

    def refuse_growth(self) -> NoReturn:
        """Raise `ImpureError` where a run can begin anew, `IndefiniteError` for vectors outside of the range of M."""
        if self.watched:
            raise ImpureError
        raise IndefiniteError(
            f"{self.metric} is semidefinite, and what it does not see of the vectors has outgrown the rest: give "
            "a sigma that is nearer to the wanted eigenvalues"
        )

    def apply_A(self, X: Block, vectors: int) -> Block:
        """Return ``α X + β C⁻¹ M X``."""
        Y = self.apply_inverse(X, vectors)
        if (self._alpha, self._beta) == (0.0, 1.0):
            return Y
        eye = np.eye(vectors)
        return self.engine.combine([X, Y], [self._alpha * eye, self._beta * eye])

    def apply_inverse(self, X: Block, vectors: int) -> Block:
        """Return ``C⁻¹ M X``: what is left of X are its parts near the shift."""
        return self.solve(self._original.apply_M(X), vectors)

    def solve(self, R: Block, vectors: int) -> Block:
        """Return ``C⁻¹ R``."""
        self.solves += vectors
        return self.engine.upload(self._inverse.solve(self.engine.download(R)))

    def apply_M(self, X: Block) -> Block:
        """Return the product with the matrix of the inner product."""
        return self.engine.apply(self._original.operator, X) if self.metric == "A" else self._original.apply_M(X)

    def test_block(self, X: Block, MX: Block) -> Block:
        """Return ``M X``: the operator is self-adjoint in the M-inner product."""
        return MX

    def image(self, X: Block, MX: Block) -> Block:
        """Return X itself, which the operator's product with an eigenvector is a multiple of."""
        return X
