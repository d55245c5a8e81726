"""The dtypes of compiled sums: a `Recipe` for every dtype of elements, a `Key` for all that is compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Recipe(NamedTuple):
    """The dtypes of a kernel: those that elements are read as, that lanes are added in, and of the sums.

    Where integers are added as floats, those of 16 bits are float16, unsigned ones of 32 and 64 bits are floats with
    swapped bytes, and int64 is meant.
    """

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


SWAPPED = {
    "f4": Recipe("u4", "f8", "f8"),
    "f8": Recipe("u8", "f8", "f8"),
    "c8": Recipe("u4", "f8", "f8"),
    "c16": Recipe("u8", "f8", "f8"),
}
"""The same for elements in the byte order that is not the machine's, where kernels read it."""

CAST = {
    ("f2", "f4"): Recipe("i2", "f8", "f8"),
    ("f2", "f8"): Recipe("i2", "f8", "f8"),
    ("i8", "f8"): Recipe("i8", "f8", "f8"),
}
"""The same for elements that are cast to another kind of number or lane first, by what they are and are cast to."""


def recipe(dtype: np.dtype[Any], operation: np.dtype[Any] | None = None) -> Recipe:
    """Return the recipe for elements of a dtype that are cast to `operation`, by default their own."""
    name = f"{dtype.kind}{dtype.itemsize}"
    if not dtype.isnative:
        return SWAPPED[name]
    cast = None if operation is None else CAST.get((name, f"{operation.kind}{operation.itemsize}"))
    return RECIPES[name] if cast is None else cast


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


_SINGLE = ("f4", "f8", "u4", "i2")
"""Elements whose sums may be float32."""


def _results(recipe: Recipe) -> tuple[str, ...]:
    """Return the dtypes in which sums are written: the sums of float32 in two passes are float64 in the second."""
    return (recipe.total, "f4") if recipe.stage == "f8" and recipe.element in _SINGLE else (recipe.total,)


def all_keys() -> list[Key]:
    """Return everything that a sum may ask for."""
    return [
        Key(name, recipe, result, masked)
        for name in KERNELS
        for recipe in dict.fromkeys([*RECIPES.values(), *SWAPPED.values(), *CAST.values()])
        for result in _results(recipe)
        for masked in (False, True)
        if not (masked and result != recipe.total)
    ] + [few_key(layout, *chars) for layout in LAYOUTS for chars in FEW]
