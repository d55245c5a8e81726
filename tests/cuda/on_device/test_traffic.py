"""What an iteration of the eigensolver moves between host and device, and how often the host waits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from dispatch_cuda.runtime import Runtime

import dispatch
from dispatch.testing.matrices import laplacian

WAITS = ("read", "synchronize", "wait_for")
SMALL = 1 << 14
"""Bytes of what is small: coefficients and Gram matrices of some ten vectors."""


@pytest.fixture
def traffic(monkeypatch):
    """Lists of how often the host waited in each iteration, and of the bytes of every copy in them."""
    waits, copies = [Counter()], [0]

    def noted(name):
        original = getattr(Runtime, name)

        def method(runtime, *arguments):
            if name in WAITS:
                waits[-1][name] += 1
            if name in ("read", "write"):
                copies.append(arguments[0].array.nbytes)
            return original(runtime, *arguments)

        monkeypatch.setattr(Runtime, name, method)

    for name in (*WAITS, "write"):
        noted(name)
    return waits, copies


@pytest.mark.parametrize("generalized", [False, True], ids=["standard", "with M"])
def test_an_iteration_waits_few_times_and_moves_little(traffic, generalized):
    """For both sweeps of orthonormalization, the last with the projected matrix, and for all norms; no block moves."""
    waits, copies = traffic
    A, _ = laplacian(20, 21)
    # The filter alone: factors, which may take its place, are the host's.
    filtered = {"preconditioner": "chebyshev-jacobi"}
    arguments = filtered | {"M": sp.diags_array(np.linspace(1, 2, A.shape[0])).tocsr()} if generalized else {}

    def iterated(_):
        waits.append(Counter())
        if len(waits) == 2:
            copies.clear()  # the start vectors are on the device now

    _, v, info = dispatch.eigsh(A, 4, which="SA", backend="cuda", callback=iterated, return_info=True, **arguments)
    assert info.method == "lobpcg"
    inner = waits[1:-1]
    assert len(inner) >= 6
    assert not any(count["synchronize"] or count["wait_for"] for count in inner)
    assert np.median([count["read"] for count in inner]) <= 3, inner
    # More where the basis is computed anew, and where the pairs are verified.
    assert max(count["read"] for count in inner) <= 20, inner
    assert max(copies[:-1]) < SMALL
    assert copies[-1] >= v.nbytes
