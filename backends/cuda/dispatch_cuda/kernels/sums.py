"""Sums over one group of axes; the host launches these kernels until no reduced group is left.

Every sum is taken in vectors of 16 bytes, whether the memory can be read so or not: a vector that cannot be read at
once is gathered, and added in the same order. So a sum depends on the elements and their number alone, to the bit: not
on the device, not on the strides, not on the alignment.

Accuracy: `DEPTH` vectors are added by a tree, at least in single precision or in 32-bit integers that cannot overflow.
The results are accumulated in double precision or 64-bit integers; those that are doubles already with the rounding
errors of each addition kept (D. E. Knuth, TAOCP 2, 4.2.2, theorem B). The error of a sum is thus bounded by some ten
roundings of the elements' precision, times the sum of the absolute values, whatever their number is.
"""

from __future__ import annotations

from functools import cache
from math import isinf
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels import numbers, vectors
from dispatch_cuda.kernels.making import kernel
from dispatch_cuda.kernels.vectors import device
from dispatch_cuda.kernels.warps import team_sum

GATHERED = 4
"""Elements of a gathered vector of integers: they are added exactly, in any order, and longer ones take registers."""

DEPTH = 8
"""Vectors that a thread reads at once and adds by a tree; with a mask two, or one."""

MASKED_LANES = 8
"""Lanes up to which two masked vectors are read at once: each lane of a mask takes a register, and with fewer registers
more threads run at a time."""


class Elements(NamedTuple):
    """What kernels for a sum are specialised by.

    Attributes
    ----------
    dtype : numpy.dtype
        Real type of the elements in memory; booleans are uint8, and uint64 is int64 where it is not converted.
    boolean : bool
        Whether elements count as one or zero.
    single : bool
        Whether each is rounded to single precision first.
    floating : bool
        Whether sums are double precision; otherwise they are integers modulo ``2**64``.
    masked : bool
        Whether there is a mask.
    """

    dtype: np.dtype[Any]
    boolean: bool
    single: bool
    floating: bool
    masked: bool

    @property
    def chain(self) -> Any:
        """The type in which a few vectors are added."""
        if self.floating:
            return types.float32 if self.single else types.float64
        return types.int32 if self.dtype.itemsize < 4 else types.int64

    @property
    def sums(self) -> Any:
        """The type of sums."""
        return types.float64 if self.floating else types.int64

    @property
    def neutral(self) -> float:
        """What changes no sum; of floating-point numbers, -0.0: it keeps the sign of zero."""
        return -0.0 if self.floating else 0

    @property
    def compensated(self) -> bool:
        """Whether the rounding errors of sums are kept, because they are not wider than the elements."""
        return self.floating and not self.single


@cache
def _converter(chain: Any, boolean: bool) -> Any:
    """Return the function that brings an element to the type of the chain."""
    if boolean:
        return device(lambda x: chain(1) if x != 0 else chain(0))
    return device(lambda x: chain(x))


@cache
def _chooser(chain: Any, neutral: float) -> Any:
    """Return the function of an element and its mask: the element, or what changes no sum."""
    absent = chain(neutral)
    return device(lambda x, m: x if m else absent)


@cache
def _accumulator(sums: Any, compensated: bool) -> Any:
    """Return the function that adds a number, of the chain's type, to a sum and its rounding errors."""
    if not compensated:
        return device(lambda total, errors, x: (total + sums(x), errors))

    @device
    def two_sum(total, errors, x):
        s = total + x
        z = s - total
        return s, errors + ((total - (s - z)) + (x - z))

    return two_sum


@cache
def _accumulators(sums: Any, compensated: bool) -> tuple[Any, Any]:
    """Return the same in two functions, one for the sum and one for its rounding errors."""
    accumulate = _accumulator(sums, compensated)
    return device(lambda t, e, x: accumulate(t, e, x)[0]), device(lambda t, e, x: accumulate(t, e, x)[1])


@cache
def _finisher(compensated: bool) -> Any:
    """Return the function of a sum and its rounding errors: the sum corrected by them."""
    if not compensated:
        return device(lambda total, _: total)

    @device
    def corrected(total, errors):
        # Where the sum has overflowed the errors mean nothing, and -0.0 must stay what it is.
        return total if isinf(total) or errors == 0.0 else total + errors

    return corrected


@device
def place(index, stride, more, axes, which):
    """Return how far from the first element index number `index` lies, which counts in C order over the outer axes.

    There is one axis with the given stride, or `more` of them, each with three numbers in `axes`: extent, and stride in
    the elements (`which` = 1) and in the mask (2).
    """
    if more == 0:
        return index * stride
    at = types.int64(0)
    d = more - 1
    while d >= 0:
        extent = axes[3 * d]
        rest = index // extent
        at += (index - rest * extent) * axes[3 * d + which]
        index = rest
        d -= 1
    return at


def _streamed(nbytes: int) -> Any:
    """Return the function that reads a vector of so many bytes, with the arguments of one that gathers it."""
    stream = vectors.stream(nbytes)
    return device(lambda a, i, _: stream(a, i))


class _Parts(NamedTuple):
    """The device functions that both kernels are made of."""

    read: Any
    read_some: Any
    block: Any
    depth: int


@cache
def _parts(elements: Elements, lanes: int, vectorised: bool, mask_vectorised: bool) -> _Parts:
    """Return the functions that read a vector, a part of one, and the sum of `depth` of them.

    Where `vectorised`, elements are neighbours and vectors lie on boundaries of 16 bytes. Where `mask_vectorised`, so
    are the marks of each vector, and lie on boundaries of as many bytes.
    """
    chain, masked = elements.chain, elements.masked
    neutral = chain(elements.neutral)
    convert = vectors.lanewise(_converter(chain, elements.boolean), lanes, 1)
    chosen = vectors.lanewise(_chooser(chain, elements.neutral), lanes, 2)
    gather, gather_some = vectors.gather(lanes), vectors.gather_some(lanes)
    first = vectors.first(lanes)
    add_vectors = vectors.lanewise(numbers.add, lanes, 2)

    raw = _streamed(vectors.BYTES) if vectorised else gather
    marks = _streamed(lanes) if mask_vectorised else gather

    @device
    def read(a, i, step, m, mi, m_step):
        x = convert(raw(a, i, step))
        return chosen(x, marks(m, mi, m_step)) if masked else x

    @device
    def read_some(a, i, step, m, mi, m_step, count):
        x = first(convert(gather_some(a, i, step, count)), count, neutral)
        return chosen(x, gather_some(m, mi, m_step, count)) if masked else x

    @device
    def one(a, i, step, m, mi, m_step, apart, m_apart):
        return read(a, i, step, m, mi, m_step)

    @device
    def pair(a, i, step, m, mi, m_step, apart, m_apart):
        return add_vectors(read(a, i, step, m, mi, m_step), read(a, i + apart, step, m, mi + m_apart, m_step))

    @device
    def block(a, i, step, m, mi, m_step, apart, m_apart):
        x = pair(a, i, step, m, mi, m_step, apart, m_apart)
        y = pair(a, i + 2 * apart, step, m, mi + 2 * m_apart, m_step, apart, m_apart)
        z = pair(a, i + 4 * apart, step, m, mi + 4 * m_apart, m_step, apart, m_apart)
        w = pair(a, i + 6 * apart, step, m, mi + 6 * m_apart, m_step, apart, m_apart)
        return add_vectors(add_vectors(x, y), add_vectors(z, w))

    if not masked:
        return _Parts(read, read_some, block, DEPTH)
    return _Parts(read, read_some, pair, 2) if lanes <= MASKED_LANES else _Parts(read, read_some, one, 1)


@kernel("sum_rows")
def rows(elements: Elements, vectorised: bool, mask_vectorised: bool, team: int, threads: int) -> Any:
    """Return the kernel that sums rows: ``out[row, c]`` is the sum of chunk c of n elements, `a_step` apart.

    A team of so many threads of a block of `threads` shares a chunk.
    """
    lanes = vectors.lanes_of(elements.dtype)
    if not vectorised and not elements.floating:
        lanes = min(lanes, GATHERED)
    parts = _parts(elements, lanes, vectorised, mask_vectorised)
    read, read_some, block, depth = parts.read, parts.read_some, parts.block, parts.depth
    across = vectors.across(numbers.add, lanes)
    accumulate, finish = _accumulator(elements.sums, elements.compensated), _finisher(elements.compensated)
    sums, neutral = elements.sums, elements.sums(elements.neutral)
    total_of_team = team_sum(team, threads, sums)

    @cuda.jit
    def sum_rows(a, a_start, m, m_start, outer, more, axes, a_outer, m_outer, n, a_step, m_step, chunk, out):
        item = types.int64(cuda.threadIdx.x % team)
        task = types.int64(cuda.blockIdx.x) * (threads // team) + cuda.threadIdx.x // team
        tasks = types.int64(cuda.gridDim.x) * (threads // team)
        chunks = (n + chunk - 1) // chunk
        apart, m_apart = team * lanes * a_step, team * lanes * m_step
        while task < outer * chunks:
            row = task // chunks
            begin = (task - row * chunks) * chunk
            count = min(chunk, n - begin)
            at = a_start + place(row, a_outer, more, axes, 1) + begin * a_step
            m_at = m_start + place(row, m_outer, more, axes, 2) + begin * m_step
            whole = count // lanes
            total, errors = neutral, sums(0)
            i = item
            while i + (depth - 1) * team < whole:
                e = i * lanes
                x = block(a, at + e * a_step, a_step, m, m_at + e * m_step, m_step, apart, m_apart)
                total, errors = accumulate(total, errors, across(x))
                i += depth * team
            while i < whole:
                e = i * lanes
                x = read(a, at + e * a_step, a_step, m, m_at + e * m_step, m_step)
                total, errors = accumulate(total, errors, across(x))
                i += team
            e = whole * lanes
            if i == whole and e < count:
                x = read_some(a, at + e * a_step, a_step, m, m_at + e * m_step, m_step, count - e)
                total, errors = accumulate(total, errors, across(x))
            result = total_of_team(finish(total, errors))
            if item == 0:
                out[task] = result
            task += tasks

    return sum_rows


@kernel("sum_columns")
def columns(elements: Elements, vectorised: bool, mask_vectorised: bool, threads: int) -> Any:
    """Return the kernel that sums columns: ``out[index, c, j]`` is the sum over chunk c of n rows in column j.

    A thread takes the columns of a vector where `vectorised`, and one otherwise. Of a further row behind the last there
    are only the first `ragged` columns.
    """
    lanes = vectors.lanes_of(elements.dtype) if vectorised else 1
    parts = _parts(elements, lanes, vectorised, mask_vectorised)
    read, read_some, block, depth = parts.read, parts.read_some, parts.block, parts.depth
    sums, neutral = elements.sums, elements.sums(elements.neutral)
    total_after, errors_after = (
        vectors.lanewise(function, lanes, 3) for function in _accumulators(sums, elements.compensated)
    )
    finish = vectors.lanewise(_finisher(elements.compensated), lanes, 2)
    splat, scatter = vectors.splat(lanes), vectors.scatter(lanes)

    @cuda.jit
    def sum_columns(
        a, a_start, m, m_start, outer, more, axes, a_outer, m_outer, n, a_step, m_step, chunk, width, a_lane, m_lane,
        ragged, out,
    ):  # fmt: skip
        task = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        chunks = max((n + chunk - 1) // chunk, types.int64(1))
        stripes = width // lanes
        while task < outer * chunks * stripes:
            piece = task // stripes
            j = (task - piece * stripes) * lanes
            index = piece // chunks
            c = piece - index * chunks
            begin = c * chunk
            count = min(chunk, n - begin)
            at = a_start + place(index, a_outer, more, axes, 1) + begin * a_step + j * a_lane
            m_at = m_start + place(index, m_outer, more, axes, 2) + begin * m_step + j * m_lane
            total, errors = splat(neutral), splat(sums(0))
            r = types.int64(0)
            while r + depth <= count:
                x = block(a, at + r * a_step, a_lane, m, m_at + r * m_step, m_lane, a_step, m_step)
                total, errors = total_after(total, errors, x), errors_after(total, errors, x)
                r += depth
            while r < count:
                x = read(a, at + r * a_step, a_lane, m, m_at + r * m_step, m_lane)
                total, errors = total_after(total, errors, x), errors_after(total, errors, x)
                r += 1
            if c == chunks - 1 and j < ragged:
                some = min(types.int64(lanes), ragged - j)
                x = read_some(a, at + r * a_step, a_lane, m, m_at + r * m_step, m_lane, some)
                total, errors = total_after(total, errors, x), errors_after(total, errors, x)
            scatter(out, piece * width + j, finish(total, errors))
            task += types.int64(cuda.gridDim.x) * threads

    return sum_columns
