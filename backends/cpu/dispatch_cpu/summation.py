"""The order in which floating-point numbers are added, and that order in NumPy.

The order is part of the contract: it depends on the shape alone, so that a sum has the same bits whatever the number
of threads, the machine, and whether the compiled kernels of `sum_kernels` or the functions here take it.

An array is brought into the form (outer, rows, width), to be summed over its rows: `width` neighbouring columns, once
an outer index; complex numbers are two columns. With ``L`` lanes, a power of two with ``L * width <= 256`` where
possible:

1. A *tile* is 16 ``L`` consecutive rows. Lane ``l`` adds the rows ``l, l + L, …, l + 15 L`` of the tile, one after the
   other, in the *stage* dtype.
2. The lanes of a tile, now in the accumulator's dtype, are added by halves: lane ``l`` and lane ``l + L/2``, and so on.
3. Tiles are added in pairs of neighbours, then pairs of pairs, and so on.

Rows missing from the last tile count as -0.0, which changes nothing. An element passes at most
``15 + ceil(log2(rows / 16))`` additions, six fewer than in NumPy's pairwise summation of contiguous memory, which adds
the last seven of a run one after the other; the error is at most that many units of roundoff times the sum of
magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).

Nothing here signals overflow or invalid operations; `sum` does so once it knows the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SERIAL = 16
"""Rows that a lane adds one after the other."""

LANES = 256
"""Lanes times width of a tile, as far as the width allows."""


STRIPE = 8192
"""Columns that kernels work on at a time: with fewer, memory is read in snatches, and with more, their lanes leave the
second level of the cache. No sum depends on it.
"""

FEW_ROWS = 256
"""Rows of which kernels work on an eighth of these columns: they are read in streams that go on with the next columns,
and the lanes stay in the first level of the cache.
"""

WIDE = 16
"""Neighbours from which NumPy's reduction over another axis adds one row of them after the other, as is meant here."""


def lanes(width: int) -> int:
    """Return the number of lanes of a tile: the largest power of two that fits."""
    return 1 << max((LANES // width).bit_length() - 1, 0) if width else 1


@np.errstate(all="ignore")
def sum_rows(x: NDArray[Any], stage: np.dtype[Any], accumulator: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums of the rows of floats, (outer, rows, width), as (outer, width) in the accumulator's dtype.

    `x` is C-contiguous: NumPy adds neighbours in an order of its own.
    """
    outer, rows, width = x.shape
    count = lanes(width)
    if rows == 0:
        return np.full((outer, width), -0.0, accumulator)
    while count // 2 >= rows:  # lanes without a row would only add -0.0
        count //= 2
    tiles = -(-rows // (SERIAL * count))
    missing = tiles * SERIAL * count - rows
    if missing:
        x = np.concatenate([x, np.full((outer, missing, width), -0.0, x.dtype)], axis=1)
    x = x.reshape(outer, tiles, SERIAL, count, width)[:, :, : -(-rows // count)]
    if count * width >= WIDE:
        total = np.add.reduce(x, axis=2, dtype=stage, initial=-0.0)
    else:
        total = x[:, :, 0].astype(stage)
        for row in range(1, x.shape[2]):
            total += x[:, :, row]
    total = total.astype(accumulator, copy=False)
    while count > 1:
        count //= 2
        total = total[:, :, :count] + total[:, :, count:]
    return sum_neighbours(total[:, :, 0])


@np.errstate(all="ignore")
def sum_neighbours(x: NDArray[Any]) -> NDArray[Any]:
    """Return the sums over axis 1 of ``(outer, n, width)``: pairs of neighbours, pairs of pairs, and so on."""
    while x.shape[1] > 1:
        paired = x[:, : x.shape[1] // 2 * 2].reshape(x.shape[0], -1, 2, x.shape[2])
        sums = paired[:, :, 0] + paired[:, :, 1]
        x = np.concatenate([sums, x[:, -1:]], axis=1) if x.shape[1] % 2 else sums
    return x[:, 0]
