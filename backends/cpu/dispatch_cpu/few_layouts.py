"""How a generalized ufunc goes through an array of up to three dimensions: in one pass over them, or in two."""

from __future__ import annotations

from typing import NamedTuple

SHORT = 64
"""Elements of a row below which rows that are summed as a whole are added to each other first, if there are more."""

ABSENT = 3
"""In place of a dimension that a pass does not have."""


class Second(NamedTuple):
    """The second pass, over what comes out of the first one: it names the same dimensions as the `Way`."""

    near: int = ABSENT
    rows: int = ABSENT
    columns: int = ABSENT


class Way(NamedTuple):
    """Which dimension of an array is what in a first pass, which sums over `rows`, and in a second one.

    What comes out of a pass has the dimensions `far`, `near` and `columns`, in this order.
    """

    far: int = ABSENT
    near: int = ABSENT
    rows: int = ABSENT
    columns: int = ABSENT
    second: Second = Second()

    @property
    def is_twofold(self) -> bool:
        """Whether there is a second pass."""
        return self.second.rows != ABSENT


class Layout(NamedTuple):
    """A generalized ufunc: its signature, the way it goes, and the one it goes where the last dimension is `SHORT`."""

    signature: str
    way: Way
    across: Way | None = None

    @property
    def dimensions(self) -> int:
        """How many dimensions the operand has."""
        return self.signature.partition(")")[0].count(",") + 1

    def way_of(self, shape: tuple[int, ...]) -> Way:
        """Return the way through an array of that shape."""
        if self.across is None:
            return self.way
        is_short = shape[self.across.columns] < SHORT and shape[self.across.rows] > shape[self.across.columns]
        return self.across if is_short else self.way


LAYOUTS = {
    "R": Layout("(r)->()", Way(rows=0)),
    "KR": Layout("(o,r)->(o)", Way(near=0, rows=1)),
    "RK": Layout("(r,c)->(c)", Way(rows=0, columns=1)),
    "KRK": Layout("(o,r,c)->(o,c)", Way(near=0, rows=1, columns=2)),
    "RKK": Layout("(r,o,c)->(o,c)", Way(near=1, rows=0, columns=2)),
    "KKR": Layout("(p,o,r)->(p,o)", Way(far=0, near=1, rows=2)),
    "RR": Layout(
        "(s,r)->()",
        Way(near=0, rows=1, second=Second(rows=0)),
        across=Way(rows=0, columns=1, second=Second(rows=1)),
    ),
    "KRR": Layout(
        "(o,s,r)->(o)",
        Way(far=0, near=1, rows=2, second=Second(near=0, rows=1)),
        across=Way(near=0, rows=1, columns=2, second=Second(near=0, rows=2)),
    ),
    "RKR": Layout(
        "(s,o,r)->(o)",
        Way(far=0, near=1, rows=2, second=Second(rows=0, columns=1)),
        across=Way(near=1, rows=0, columns=2, second=Second(near=1, rows=2)),
    ),
    "RRK": Layout("(s,r,c)->(c)", Way(near=0, rows=1, columns=2, second=Second(rows=0, columns=2))),
}
"""The layouts by what is done with each dimension: reduced or kept."""
