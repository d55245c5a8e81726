"""The order in which eigenvalues are wanted at a shift, decided where the transformed ones round to one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispatch.solvers.problem import Mode, Which
from dispatch.solvers.rayleigh_ritz import wanted_first

NEARLY = 0.01
"""Differences of transformed eigenvalues, or of A from ``A - σ M``, below which rounding takes too much of them."""


def wanted_at_shift(
    values: NDArray[np.float64], which: Which, mode: Mode, sigma: float, nearest: float = 0.0
) -> NDArray[np.intp]:
    """Return the order of eigenvalues λ that puts first those whose transformed ones ν are wanted.

    It is decided by λ itself, in terms that keep its differences where all ν round to one number: to 1 at a shift that
    is tiny, to -1 or 0 at one that is huge.

    Parameters
    ----------
    values : (n,) ndarray
        λ.
    which, mode, sigma
        What is wanted of ν, and what ν is.
    nearest : float
        Distance below the shift at which λ still counts as being above it: what is the shift to working precision
        stands at one end.
    """
    # On either side of its pole ν is monotone.
    above = values >= sigma - nearest
    ascending = np.lexsort((-values, above))
    if mode != "normal" and sigma < 0.0:
        ascending = ascending[::-1]
    rank = np.empty(len(values))
    rank[ascending] = np.arange(len(values))
    if which not in ("LM", "SM"):
        return wanted_first(rank, which)
    # Of two on one side that are equally far from the shift, but for rounding, the one towards it has the larger ν.
    size = np.lexsort((np.where(above, -values, values), _size(values, mode, sigma)))
    return size if which == "SM" else size[::-1]


def _size(values: NDArray[np.float64], mode: Mode, sigma: float) -> NDArray[np.float64]:
    """Return what grows with the size of ν."""
    if mode == "normal":
        return -abs(values - sigma)
    with np.errstate(divide="ignore", over="ignore"):
        if mode == "cayley":
            # λ and σ² / λ have ν of the same size.
            ratio = values / sigma
            return np.where(abs(ratio) > 1.0, 1.0 / ratio, ratio)
        # σ / λ = 1 ± δ have ν of the same size.
        ratio = sigma / values
        return np.minimum(ratio, 2.0 - ratio)


def blurred(values: NDArray[np.float64], which: Which, mode: Mode, sigma: float) -> bool:
    """Return whether sizes of ν are compared, of which one is nearly 1: its difference from 1 tells more."""
    if mode == "normal" or which not in ("LM", "SM"):
        return False
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        change = (2.0 if mode == "cayley" else 1.0) * sigma / (values - sigma)
        return bool((abs(abs(1.0 + change) - 1.0) < NEARLY).any())


def far(sigma: float, norm_A: float, norm_M: float, share: float = NEARLY) -> bool:
    """Return whether A is less than a share of ``σ M``, so that rounding errors of ``A - σ M`` hide the order."""
    return norm_A < share * abs(sigma) * norm_M
