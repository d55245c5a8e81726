"""Where NumPy adds as accurately as is promised, and none is faster."""

from __future__ import annotations

from math import prod
from typing import Any

from numpy.typing import NDArray

from dispatch.reduction import Layout, Reduction
from dispatch_cpu import summation
from dispatch_cpu.in_place import repeats
from dispatch_cpu.row_sums import THREADED

BELOW = dict.fromkeys("?bBhHiI", 1 << 14) | dict.fromkeys("lLqQ", 1 << 13) | {"d": 1 << 20, "D": 1 << 19}
"""Elements, by character of the dtype, below which no kernel is faster where NumPy adds accurately in that dtype."""

INT64 = "lLqQ"
"""The integers that NumPy adds along rows as fast as one thread reads them."""

LONG = 64
"""Elements of a row from which on it does."""

BUFFERED = 1 << 14
"""Elements below which NumPy adds in pairs although it casts them: it does so in buffers, of which these fill two."""

CHUNK = 1 << 13
"""Elements of a buffer: NumPy adds in pairs inside of one, and the sums of buffers one after the other."""

MASKED = 2048
"""Elements below which no kernel is faster where NumPy adds under a mask."""

HALVES = 40
"""Float16 that NumPy adds with 15 additions an element at most, in float32."""

FEW_HALVES = 2048
"""Float16 below which that is not worth loading kernels."""

SHORT = 256
"""Elements of a row below which NumPy's time goes to beginning it."""

FEW_ROWS = 512
"""Elements below which that does not matter."""


def is_best_for_vectors(a: NDArray[Any]) -> bool:
    """Whether NumPy sums `a` best along any axis, without a mask and in the dtype that follows from its own."""
    char = a.dtype.char
    return a.size < BELOW.get(char, 0) and (char not in "dD" or (a.ndim == 1 and (a.dtype.isnative or a.size <= CHUNK)))


def is_best(a: NDArray[Any], reduction: Reduction, *, masked: bool, started: bool) -> bool:
    """Whether NumPy sums arrays like `a` best, under a mask or not, and from an initial value that is given or not."""
    own, char, size = a.dtype.char, reduction.dtype.char, a.size
    if size < 2:
        return True
    if char in "efdFD" and reduction.out is not None and not _keeps_order(a, reduction):
        return False
    if own == char and char in "fF" and not (masked or started) and _adds_two_rows(reduction):
        return True
    if char not in BELOW:
        return own == char == "e" and size < FEW_HALVES and not masked and _adds_halves_well(reduction.layout)
    if char not in "dD":
        below = MASKED if masked else BELOW[own if own in BELOW else char]
        return size < below or (not masked and own in INT64 and a.nbytes <= THREADED and _has_long_rows(a, reduction))
    if size >= (MASKED if masked else BELOW[char] if a.dtype == reduction.dtype else BUFFERED):
        return False
    if not is_accurate(a, reduction.layout, masked=masked):
        return False
    groups = reduction.layout.groups
    return len(groups) < 2 or not groups[-1].reduced or groups[-1].extent >= SHORT or size < FEW_ROWS


def is_accurate(a: NDArray[Any], layout: Layout, *, masked: bool) -> bool:
    """Whether NumPy adds floats of 8 bytes in pairs, or with 15 additions an element at most.

    It adds in pairs along the innermost axis in memory alone, and where there is no mask.
    """
    count = layout.factor * prod(group.extent for group in layout.groups if group.reduced)
    if count <= summation.SERIAL:
        return True
    if masked or layout.factor > 1 or not layout.groups[-1].reduced:
        return False
    *outer, inner = layout.groups
    passes = prod(group.extent for group in outer if group.reduced)
    if passes == 1:
        return not outer or inner.strides[0] == a.itemsize
    return a.flags.c_contiguous and pair_depth(inner.extent) + passes <= summation.SERIAL


def pair_depth(count: int) -> int:
    """Return how many additions an element passes, at most, in NumPy's pairwise summation of 128 elements or fewer."""
    return count - 1 if count < 8 else count // 8 + 2 + count % 8 if count <= 128 else summation.SERIAL


def _adds_two_rows(reduction: Reduction) -> bool:
    """Whether sums are of two elements that are no neighbours: they are rounded once, in whatever dtype."""
    return reduction.count == 2 and reduction.layout.pattern[-1:] == "K"


def _keeps_order(a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether `out` does not decide in which order NumPy adds, or in which dtype it keeps the sums of buffers."""
    return bool(reduction.out.dtype == reduction.dtype) and not repeats(a)


def _has_long_rows(a: NDArray[Any], reduction: Reduction) -> bool:
    """Whether what is summed over are rows of neighbours, or of elements farther apart than the second next.

    They begin with the first one.
    """
    groups = reduction.layout.groups
    if not groups or any(a.strides[axis] < 0 for axis in reduction.axes):
        return False
    inner = groups[-1]
    return inner.reduced and inner.extent >= LONG and inner.strides[0] != 2 * a.itemsize


def _adds_halves_well(layout: Layout) -> bool:
    """Whether sums of float16 are of few elements in the innermost axis: they are rounded once then."""
    if layout.factor > 1 or not layout.groups[-1].reduced or layout.groups[-1].extent > HALVES:
        return False
    return len(layout.groups) == 1 or (layout.groups[-1].strides[0] == 2 and "R" not in layout.pattern[:-1])
