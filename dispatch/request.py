"""The grammar in which users ask for a backend, the same in every place where they can.

======================  ==============================================================
``"cuda"``              any device of that backend
``"cuda:1"``            one device
``"cuda,opencl,cpu"``   the first of these that can run the call
``"cuda,auto"``         that one if it can, otherwise the cheapest of all
``"auto"``              the cheapest of all
a `Backend` object      that object, registered or not
======================  ==============================================================
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TypeAlias

from dispatch.backend import NAME, Backend, is_backend_name
from dispatch.errors import shortened

BackendLike: TypeAlias = str | Backend
"""What ``backend=`` accepts."""


@dataclass(frozen=True, slots=True)
class Term:
    """One item of a request: a backend by name, perhaps one of its devices; or a backend object; or automatic choice.

    Attributes
    ----------
    name : str
        Name of the backend, or ``"auto"``.
    device : int or None
        Index of the device that was asked for; None for any.
    backend : Backend or None
        The object, where one was given instead of a name.
    """

    name: str
    device: int | None = None
    backend: Backend | None = None

    @property
    def automatic(self) -> bool:
        """Whether the choice is left to the estimated cost."""
        return self.name == "auto" and self.backend is None


@dataclass(frozen=True, eq=False)
class Request:
    """A parsed request. Its identity is its equality, so that it is a cheap key; `parse` returns one object a text.

    Attributes
    ----------
    terms : tuple of Term
        In order of preference; never empty.
    text : str
        The request as it was written, for messages.
    """

    terms: tuple[Term, ...]
    text: str

    @property
    def reusable(self) -> bool:
        """Whether the request is made of names alone, so that decisions for it may be kept."""
        return all(term.backend is None for term in self.terms)


_TERM = re.compile(rf"(?P<name>{NAME})(?::(?P<device>[0-9]{{1,9}}))?")


def parse(backend: BackendLike) -> Request:
    """Return the request that `backend` spells.

    Raises
    ------
    TypeError
        When it is neither a string nor a `Backend`.
    ValueError
        When the string is not of the grammar, or the object's name is none that a backend can have.
    """
    if isinstance(backend, str):
        return _parse_text(backend)
    if isinstance(backend, Backend):
        refuse_name(getattr(backend, "name", None), type(backend).__name__)
        return Request((Term(backend.name, backend=backend),), repr(backend.name))
    raise TypeError(
        f"backend is {backend!r}, expected a name such as 'cpu', a device such as 'cuda:1', a list such as 'cuda,cpu', "
        "'auto', or a dispatch.Backend instance"
    )


@functools.lru_cache(maxsize=256)
def _parse_text(text: str) -> Request:
    terms = []
    for item in text.split(","):
        match = _TERM.fullmatch(item.strip().lower())
        if match is None or (match["name"] == "auto" and match["device"]):
            raise ValueError(
                f"backend {shortened(text, 80)!r}: {shortened(item.strip(), 80)!r} is neither a backend ('cpu'), "
                "a device ('cuda:1') nor 'auto'"
            )
        terms.append(Term(match["name"], int(match["device"]) if match["device"] else None))
    return Request(tuple(terms), repr(shortened(text, 80)))


def refuse_name(name: object, owner: str) -> None:
    """Raise ValueError when a backend object has a name by which it could not be asked for."""
    if not is_backend_name(name):
        raise ValueError(
            f"the name of {owner} is {name!r}, expected lower-case letters, digits, - and _, a letter first; "
            "not 'auto' or 'lobpcg'"
        )


AUTO = parse("auto")
"""The request that is in force when nobody asks for anything."""
