"""Lengths of vectors on the host whose squares may leave the range of numbers: those of matrices as they were given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import Operand

POWER_STEPS = 10
"""Steps of the power method for a norm: they seldom miss it by more than a tenth."""


def lengths(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the 2-norms of the columns of a block."""
    largest = np.asarray(abs(X).max(axis=0), np.float64)
    return np.asarray(np.linalg.norm(X / np.where(largest > 0.0, largest, 1.0), axis=0) * largest)


def norm_estimate(matrix: Operand) -> float:
    """Return the 2-norm of a Hermitian matrix, or a little less, by steps of the power method."""
    x = np.random.default_rng(2).standard_normal((matrix.shape[0], 1))
    size = float(lengths(x)[0])
    for _ in range(POWER_STEPS):
        x = matrix @ (x / size)
        size = float(lengths(x)[0])
        if size == 0.0:
            break
    return size
