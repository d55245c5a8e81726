"""What a backend says it can do, asked of `Backend.supports` where nobody has declared it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch.backend import Backend, Device
from dispatch.operations.call import describe
from dispatch.testing.engine import problem_of
from dispatch.testing.sum import ALL_DTYPES


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The declarations of `Conformance`: ``operations``, ``sum_dtypes`` and ``eigsh_dtypes``."""

    operations: frozenset[str]
    sum_dtypes: str
    eigsh_dtypes: str


def capabilities_of(backend: Backend, device: Device) -> Capabilities:
    """Ask a backend about a small call of each operation in each dtype."""
    sums = [
        char for char in ALL_DTYPES if backend.supports(describe("sum", np.ones(3, char), {}), device) is True
    ]  # fmt: skip
    solutions = [
        char
        for char in "fdFD"
        if backend.supports(describe("eigsh", A := np.eye(3, dtype=char), {"problem": problem_of(A)}), device) is True
    ]
    operations = {name for name, able in (("sum", sums), ("eigsh", solutions)) if able}
    return Capabilities(frozenset(operations), "".join(sums), "".join(solutions))
