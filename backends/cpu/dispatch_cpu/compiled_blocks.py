"""Compiled combinations and residuals of blocks on all cores, and which combinations there are kernels for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers import Small
from dispatch_cpu.parallel import run_over_rows

ROWS = 2048
"""Rows that a thread takes at a time."""


def real_parts(X: NDArray[Any]) -> NDArray[Any]:
    """Return an array of real numbers: two columns for each complex one."""
    return X.view(X.dtype.char.lower())


def combination_kernel(
    blocks: Sequence[NDArray[Any]], coefficients: Sequence[Small], result: NDArray[Any]
) -> Callable[[int, int], None] | None:
    """Return a kernel that writes a range of rows of ``Σ X_j C_j`` into `result`, where there is one."""
    from dispatch_cpu.block_kernels import VECTOR, combination, scaled, scaled_sum

    parts = 2 if result.dtype.kind == "c" else 1
    diagonals = [diagonal_of(C) for C in coefficients] if len(blocks) <= 2 else [None]
    real = [d.real for d in diagonals if d is not None and not np.any(d.imag)]
    factors = [np.repeat(d, parts).astype(result.dtype.char.lower()) for d in real]
    if len(factors) == len(blocks):
        pairs = [x for X, d in zip(blocks, factors, strict=True) for x in (real_parts(X), d)]
        return partial(scaled_sum if len(blocks) == 2 else scaled, *pairs, real_parts(result))
    if len(blocks) > 3 or result.shape[1] * result.itemsize < VECTOR:
        return None
    absent = [np.empty((len(result), 0), result.dtype)] * (3 - len(blocks))
    C = np.ascontiguousarray(np.concatenate(list(coefficients)), result.dtype)
    y = real_parts(result)
    return partial(combination, *blocks, *absent, real_parts(C).ravel(), y.ravel(), y.shape[1])


def diagonal_of(C: Small) -> NDArray[Any] | None:
    """Return the diagonal of a diagonal matrix, and None of another one."""
    diagonal = np.diagonal(C)
    is_diagonal = C.shape[0] == C.shape[1] and np.count_nonzero(C) == np.count_nonzero(diagonal)
    return diagonal if is_diagonal else None


def residual(AX: NDArray[Any], BX: NDArray[Any], theta: Small) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return ``AX - BX diag(θ)``, and the sums of the squares of its columns."""
    from dispatch_cpu import block_kernels

    R = np.empty_like(AX)
    parts = real_parts(R).shape[1] // R.shape[1]
    shifts = np.repeat(theta, parts).astype(R.dtype.char.lower())
    squares = np.empty((-(-len(R) // ROWS), R.shape[1] * parts))

    def rows(start: int, stop: int) -> None:
        of_rows = squares[start // ROWS]
        block_kernels.residual(real_parts(AX), real_parts(BX), shifts, real_parts(R), of_rows, start, stop)

    run_over_rows(rows, len(R), ROWS)
    return R, squares.sum(axis=0).reshape(-1, parts).sum(axis=1)
