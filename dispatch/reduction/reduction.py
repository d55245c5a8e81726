"""`Reduction`: everything a backend needs to know of one sum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction.dtypes import real_part
from dispatch.reduction.layout import Group, Layout, Strides, contiguous_strides


@dataclass(frozen=True, slots=True)
class Reduction:
    """One sum, its arguments checked.

    Attributes
    ----------
    operand : numpy.dtype
        Dtype of the elements in memory.
    dtype : numpy.dtype
        The operation's: each element is cast to it before it is added, and so is the sum.
    accumulator : numpy.dtype or None
        Dtype of the raw sums, at least as wide; None when only NumPy can take this sum.
    shape : tuple of int
        Shape of the result.
    axes : frozenset of int
        The axes summed over.
    keepdims : bool
        Whether they stay in the result, with length one.
    count : int
        How many elements each sum has, masked ones included; 0 when the sum is empty: then it is `initial`.
    layout : Layout
        The walk through the operand and the mask.
    initial : numpy.generic or None
        What to add last, in dtype `dtype`; None to add nothing.
    out : array or None
        Where the result goes.
    where : array or None
        The mask, of dtype bool, not broadcast: the layout has its strides. None when every element counts.
    """

    operand: np.dtype[Any]
    dtype: np.dtype[Any]
    accumulator: np.dtype[Any] | None
    shape: tuple[int, ...]
    axes: frozenset[int]
    keepdims: bool
    count: int
    layout: Layout
    initial: Any
    out: Any
    where: Any

    @property
    def sums(self) -> int:
        """How many raw sums there are."""
        return prod(self.shape)

    @property
    def places(self) -> tuple[int, ...]:
        """The result's axes that are longer than one, in the order of the raw sums."""
        if self.keepdims:
            return self.layout.kept
        return tuple(axis - sum(reduced < axis for reduced in self.axes) for axis in self.layout.kept)

    def under(self, mask: Any) -> Reduction:
        """Return the same sum under another mask of the same layout, or None."""
        return self if mask is self.where else replace(self, where=mask)

    def real_groups(self) -> tuple[Group, ...]:
        """Return the groups of the layout for a kernel that knows real numbers alone.

        Their strides count reals in the operand, and marks in the mask; without a mask those are 0. Complex numbers are
        pairs of reals, an innermost kept group of two.
        """
        itemsize = real_part(self.operand).itemsize
        masked = self.where is not None
        groups = [
            Group(group.extent, (group.strides[0] // itemsize, group.strides[1] if masked else 0), group.reduced)
            for group in self.layout.groups
        ]
        if self.operand.kind == "c":
            columns = 1
            if groups and not groups[-1].reduced and groups[-1].strides == (2, 0):
                # Neighbouring columns of pairs are twice as many columns.
                columns = groups.pop().extent
            groups.append(Group(2 * columns, (1, 0), False))
        return tuple(groups)

    def result_strides(self, itemsize: int) -> Strides:
        """Return the strides of a new result of the given item size, laid out in the order of the operand's memory."""
        shape, kept = self.shape, self.places
        extents = [shape[axis] for axis in kept]
        strides = dict(zip(kept, contiguous_strides(extents, itemsize), strict=True))
        return tuple(strides.get(axis, itemsize) for axis in range(len(shape)))

    def destination(self, strides: Strides) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Return where raw sums go in a result with the given strides.

        Parameters
        ----------
        strides : tuple of int
            Those of ``out``, or of a new result (`result_strides`).

        Returns
        -------
        offset : int
            Bytes from the result's first element to the place of the first raw sum.
        axes : tuple of (int, int)
            Extent, and stride in bytes, of the kept axes, outermost first: raw sums are numbered in C order over
            them, and number ``i = (i₀, i₁, …)`` goes to ``offset + Σ iⱼ strideⱼ``.
        """
        offset = 0
        walk: list[tuple[int, int]] = []
        for axis, place in zip(self.layout.kept, self.places, strict=True):
            extent, stride = self.shape[place], strides[place]
            if axis in self.layout.flipped:
                offset += stride * (extent - 1)
                stride = -stride
            if walk and walk[-1][1] == stride * extent:
                extent *= walk.pop()[0]
            walk.append((extent, stride))
        return offset, tuple(walk)

    def _is_of_its_kind(self, dtype: np.dtype[Any]) -> bool:
        """Whether raw sums of that dtype are the accumulator's, or wrap around modulo 2**64 as it does."""
        kinds = dtype.kind, (self.accumulator or self.dtype).kind
        return kinds[0] == kinds[1] or set(kinds) == {"i", "u"}

    def finish(self, raw: NDArray[Any]) -> Any:
        """Return the result on the host: raw sums times the factor, plus `initial`, cast, arranged, in `out` if given.

        Parameters
        ----------
        raw : ndarray
            The raw sums, `sums` of them in the order of the kept groups, of dtype `accumulator` or `dtype`. It may
            become the result.

        Returns
        -------
        ndarray or numpy scalar
            As `numpy.sum` returns it: a scalar for a result of no dimensions, and `out` itself where it was given.

        Raises
        ------
        TypeError
            When the raw sums are of another kind than `accumulator` and `dtype`, such as floats for integers.
        """
        if raw.dtype not in (self.dtype, self.accumulator) and not self._is_of_its_kind(raw.dtype):
            raise TypeError(f"raw sums of dtype {raw.dtype}; return them in plan.accumulator, {self.accumulator}")
        raw = raw.reshape(-1)
        if self.count:
            if self.layout.factor != 1:
                # By parts: a complex product with an infinite part has parts that are not numbers.
                parts = np.ascontiguousarray(raw).view(raw.real.dtype)
                raw = (parts * parts.dtype.type(self.layout.factor)).view(raw.dtype)
            if self.initial is not None:
                raw = raw + raw.dtype.type(self.initial)
        else:
            raw = np.full(self.sums, self.initial, self.dtype)
        # The view tells apart integer types of one size, such as C's long and long long.
        return self._arrange(raw.astype(self.dtype, copy=False).view(self.dtype))

    def _arrange(self, values: NDArray[Any]) -> Any:
        if not self.shape and self.out is None:
            return values[0]
        layout, shape, kept = self.layout, self.shape, self.places
        view = values.reshape([shape[axis] for axis in kept])
        view = view[tuple(slice(None, None, -1 if axis in layout.flipped else 1) for axis in layout.kept)]
        view = view.transpose(np.argsort(kept)).reshape(shape)
        if self.out is not None:
            np.copyto(self.out, view, casting="unsafe")
            return self.out
        return np.array(view, order="K") if layout.flipped else view
