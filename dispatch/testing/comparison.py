"""How the kit compares numbers with what they should be, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPAIRS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "its complex conjugate": np.conj,
    "its transpose": np.transpose,
    "its conjugate transpose": lambda x: x.conj().T,
    "its negative": np.negative,
    "its square root": lambda x: np.sqrt(x.astype(complex)),
    "its rows in reverse order": lambda x: x[::-1],
    "its columns in reverse order": lambda x: x[..., ::-1],
}
"""What has to be done to a wrong result to make it right, for the mistakes that are made most often."""


def assert_near(what: str, actual: Any, expected: Any, allowed: Any) -> None:
    """Assert that a result has the shape that is expected, and elements no farther off than is allowed.

    Parameters
    ----------
    what : str
        The expression that was computed, for the message.
    actual, expected : array_like
        The result, and what it should be.
    allowed : array_like
        Most that each element may be off; broadcasts against `expected`.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what} has shape {actual.shape}, expected {expected.shape}"
    allowed = np.broadcast_to(allowed, expected.shape)
    wrong = _wrong(actual, expected, allowed)
    if not wrong.any():
        return
    with np.errstate(all="ignore"):
        excess = np.where(wrong, np.nan_to_num(abs(actual - expected) / np.maximum(allowed, 1e-300), nan=np.inf), 0)
    place = np.unravel_index(int(excess.argmax()), expected.shape)
    where = f"element {tuple(int(i) for i in place)} of it" if expected.ndim else "it"
    raise AssertionError(
        f"{what}: {where} is {actual[place]}, expected {expected[place]} ± {allowed[place]:.2g}; "
        f"{np.count_nonzero(wrong)} of {expected.size} elements are wrong{_likely(actual, expected, allowed)}"
    )


def assert_same(what: str, actual: Any, expected: Any) -> None:
    """Assert that a result is equal to what is expected, in the signs of zeros and in the part that is NaN as well."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what} has shape {actual.shape}, expected {expected.shape}"
    for part in ("real", "imag") if expected.dtype.kind == "c" else ("real",):
        found, right = getattr(actual, part), getattr(expected, part)
        signs = (right != 0) | (np.signbit(found) == np.signbit(right))
        same = ((found == right) & signs) | (np.isnan(found) & np.isnan(right))
        assert same.all(), f"{what} is {actual.tolist()}, expected {expected.tolist()}"


def _wrong(actual: NDArray[Any], expected: NDArray[Any], allowed: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        return np.asarray(~(abs(actual - expected) <= allowed))


def _likely(actual: NDArray[Any], expected: NDArray[Any], allowed: NDArray[Any]) -> str:
    for name, repair in REPAIRS.items():
        repaired = repair(actual) if actual.ndim else actual
        if repaired.shape == expected.shape and not _wrong(repaired, expected, allowed).any():
            return f"; {name} would be right"
    return ""
