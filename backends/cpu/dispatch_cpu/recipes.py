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
    def reads_halves(self) -> bool:
        """Whether elements are float16."""
        return self.total == "f8" and self.element in ("u2", "i2")


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


def total(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which partial sums of a dtype are kept."""
    return np.dtype({"f": np.float64, "c": np.complex128}.get(dtype.kind, np.int64))


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype here: its kind and size, whatever the order of its bytes."""
    return f"{dtype.kind}{dtype.itemsize}"


def is_cast(dtype: np.dtype[Any], operation: np.dtype[Any]) -> bool:
    """Whether there is a recipe of its own for elements that are cast to `operation`."""
    return (name_of(dtype), name_of(operation)) in CAST


def recipe(dtype: np.dtype[Any], operation: np.dtype[Any] | None = None) -> Recipe:
    """Return the recipe for elements of a dtype that are cast to `operation`, by default their own."""
    if not dtype.isnative:
        return SWAPPED[name_of(dtype)]
    if operation is not None and is_cast(dtype, operation):
        return CAST[name_of(dtype), name_of(operation)]
    return RECIPES[name_of(dtype)]


class Key(NamedTuple):
    """What is compiled by itself.

    Attributes
    ----------
    name : str
        The function in `sum_kernels` or `pass_kernels`.
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

RUN_PASSES, RUN_FEW = (Key(name, RECIPES["i8"], "i8", masked=False) for name in ("run_passes", "run_few"))
"""The keys of what calls them: the functions of `pass_kernels`, which have all dtypes."""

_SINGLE = ("f4", "f8", "u4", "i2")
"""Elements whose sums may be float32."""


def results(recipe: Recipe, *, masked: bool) -> tuple[str, ...]:
    """Return the dtypes in which kernels write sums: those of float32 in two passes are float64 in the second."""
    is_single = recipe.stage == "f8" and recipe.element in _SINGLE and not masked
    return (recipe.total, "f4") if is_single else (recipe.total,)


def all_keys() -> list[Key]:
    """Return everything that a sum may ask for."""
    kernels = [
        Key(name, recipe, result, masked)
        for name in KERNELS
        for recipe in dict.fromkeys([*RECIPES.values(), *SWAPPED.values(), *CAST.values()])
        for masked in ((False,) if recipe in SWAPPED.values() else (False, True))
        for result in results(recipe, masked=masked)
    ]
    return [RUN_PASSES, RUN_FEW, *kernels]
