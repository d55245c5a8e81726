"""What the generalized ufuncs of `few_kernels` return, by NumPy: they take time to load, and Numba may be missing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatch_cpu import recipes, summation
from dispatch_cpu.few_layouts import ABSENT, LAYOUTS
from dispatch_cpu.recipes import Recipe
from dispatch_cpu.signals import signal

PIECE = 1 << 15
"""Elements that NumPy takes at a time, about: they stay in the cache."""


def sum_by_numpy(layout: str, chars: str, x: NDArray[Any]) -> Any:
    """Return the sums of `x`, of that layout, by the characters of the dtypes that are read and written."""
    if not (x.dtype.isnative and x.flags.aligned):  # what a ufunc gets then is a copy
        x = np.ascontiguousarray(x, x.dtype.newbyteorder("="))
    way, recipe = LAYOUTS[layout].way_of(x.shape), recipes.few_recipe(chars)
    if not way.is_twofold:
        return _add_up(x, way[:4], recipe, chars)
    wide = "D" if chars[0] in "FD" else "d"
    partial = _add_up(x, way[:4], recipe, chars[0] + wide)
    left = {dimension: place for place, dimension in enumerate(_kept(way[:4]))}
    again = (ABSENT, *(left.get(dimension, ABSENT) for dimension in way.second))
    return _add_up(partial, again, recipes.few_recipe(wide + chars[1]), wide + chars[1])


def _kept(pass_: tuple[int, ...]) -> list[int]:
    """Return the dimensions that a pass leaves."""
    far, near, _, columns = pass_
    return [dimension for dimension in (far, near, columns) if dimension != ABSENT]


def _add_up(x: NDArray[Any], pass_: tuple[int, ...], recipe: Recipe, chars: str) -> Any:
    """Return the sums of one pass, which names the dimensions far, near, rows and columns."""
    shape = tuple(x.shape[dimension] for dimension in _kept(pass_))
    far, near, rows, columns = pass_
    if x.strides[rows] < 0:
        x = np.flip(x, rows)
    if _are_one(x, near, columns):
        x = x.transpose(rows, near, columns).reshape(1, x.shape[rows], -1)
    else:
        outer = [dimension for dimension in (far, near) if dimension != ABSENT]
        x = x.transpose([*outer, rows, *([] if columns == ABSENT else [columns])])
        x = x.reshape(prod(x.shape[: len(outer)]), x.shape[len(outer)], -1)
    pieces = np.array_split(x, min(x.size // PIECE, len(x))) if x.size > 2 * PIECE and len(x) > 1 else [x]
    sums = np.concatenate([_sums_of_rows(piece, recipe, chars) for piece in pieces])
    return sums.reshape(shape)[()]


def _are_one(x: NDArray[Any], near: int, columns: int) -> bool:
    """Whether two dimensions that are kept continue each other."""
    if ABSENT in (near, columns) or 1 in (x.shape[near], x.shape[columns]):
        return False
    return bool(x.strides[near] == x.shape[columns] * x.strides[columns])


def _sums_of_rows(x: NDArray[Any], recipe: Recipe, chars: str) -> NDArray[Any]:
    """Return the sums over the rows of (outer, rows, columns)."""
    outer, rows, columns = x.shape
    parts = np.ascontiguousarray(x).view(x.real.dtype).reshape(outer, rows, -1)
    sums = summation.sum_rows(parts, np.dtype(recipe.stage), np.dtype(recipe.total)) + 0.0
    if not np.isfinite(sums).all():
        signal(sums, x)
    result = np.dtype(chars[1])
    return sums.astype(result.char.lower()).view(result).reshape(outer, columns)
