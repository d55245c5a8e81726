"""The dtypes of compiled sums: a `Recipe` for every dtype of elements, a `Key` for all that is compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Recipe(NamedTuple):
    """The dtypes of a kernel: those that elements are read as, that lanes are added in, and of the sums."""

    element: str
    stage: str
    total: str

    @property
    def result(self) -> str:
        """The dtype of finished sums: the element's if it is a float that a kernel can write, else that of the sums."""
        return "f4" if self.element == "f4" else self.total

    @property
    def neutral(self) -> float:
        """What changes no sum."""
        return -0.0 if self.total == "f8" else 0


RECIPES = {
    "b1": Recipe("u1", "i2", "i8"),
    "i1": Recipe("i1", "i2", "i8"),
    "u1": Recipe("u1", "i2", "i8"),
    "i2": Recipe("i2", "i4", "i8"),
    "u2": Recipe("u2", "i4", "i8"),
    "i4": Recipe("i4", "i8", "i8"),
    "u4": Recipe("u4", "i8", "i8"),
    "i8": Recipe("i8", "i8", "i8"),
    "u8": Recipe("i8", "i8", "i8"),
    "f2": Recipe("u2", "f4", "f8"),
    "f4": Recipe("f4", "f8", "f8"),
    "f8": Recipe("f8", "f8", "f8"),
    "c8": Recipe("f4", "f8", "f8"),
    "c16": Recipe("f8", "f8", "f8"),
}
"""The recipe for each dtype; complex numbers are pairs of floats, unsigned sums are signed sums modulo ``2**64``."""


def recipe(dtype: np.dtype[Any]) -> Recipe:
    """Return the recipe for elements of a dtype."""
    return RECIPES[f"{dtype.kind}{dtype.itemsize}"]


class Key(NamedTuple):
    """What is compiled by itself.

    Attributes
    ----------
    name : str
        The function in `sum_kernels`, or the signature of a ufunc in `few_kernels`.
    recipe : Recipe
        Its dtypes.
    result : str
        The dtype in which it writes sums.
    masked : bool
        Whether there is a mask.
    """

    name: str
    recipe: Recipe
    result: str
    masked: bool

    def __str__(self) -> str:
        """Return what `parse_key` reads."""
        return ":".join((self.name, *self.recipe, self.result, "masked" if self.masked else "plain"))


def parse_key(text: str) -> Key:
    """Return the key that `text` spells."""
    name, element, stage, total, result, masked = text.split(":")
    return Key(name, Recipe(element, stage, total), result, masked == "masked")


KERNELS = ("sum_rows", "sum_short_rows")
"""The functions in `sum_kernels`."""

ALL, COLUMNS, ROWS, CUBES = "(r)->()", "(r,c)->(c)", "(o,r)->(o)", "(o,r,c)->(o,c)"
SLABS = "(r,o,s)->(o)"
"""The ufuncs in `few_kernels`: what is summed over is r and s, what is kept inside it c and outside o."""

LAYOUTS = (ALL, COLUMNS, ROWS, CUBES, SLABS)


def few_key(layout: str, element: str, result: str) -> Key:
    """Return the key of a ufunc for few floats, by the characters of what it reads and writes."""
    return Key(layout, Recipe(element, "f8", "f8"), result, masked=False)


FEW = ("Hd", "ff", "fd", "dd", "FF", "FD", "DD")
"""What ufuncs for few floats read and write; complex numbers are read as such, float16 as integers."""


def _results(recipe: Recipe) -> tuple[str, ...]:
    """Return the dtypes in which sums are written: the sums of float32 in two passes are float64 in the second."""
    return (recipe.total, "f4") if recipe.element in ("f4", "f8") else (recipe.total,)


def all_keys() -> list[Key]:
    """Return everything that a sum may ask for."""
    return [
        Key(name, recipe, result, masked)
        for name in KERNELS
        for recipe in dict.fromkeys(RECIPES.values())
        for result in _results(recipe)
        for masked in (False, True)
        if not (masked and result != recipe.total)
    ] + [few_key(layout, *chars) for layout in LAYOUTS for chars in FEW]
