"""Every kernel at the least size that goes all of its ways: what the simulator can do in seconds."""

from __future__ import annotations

import os

import numpy as np
import pytest

import dispatch
from dispatch.testing import SumConformance
from dispatch.testing.base import random_array
from dispatch.testing.eigsh import check_pairs
from dispatch.testing.matrices import laplacian

SHAPES = [
    ((4100,), None),  # a block
    ((2, 70), 1),  # a warp a row
    ((5, 9), 1),  # a thread a row
    ((9, 16), 0),  # columns by vectors
    ((9, 7), 0),  # columns one by one
    ((700, 2), 0),  # few columns, several rows as one
    ((3, 5, 4), (0, 2)),  # two outer axes
]


KIT = SumConformance()
KIT.backend = "cuda"


@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
@pytest.mark.parametrize("char", "?bhQefdF")
def test_small_sum(char, shape, axis):
    a = random_array(char, shape)
    KIT.check_sum(a, axis=axis)
    if char in "bd":
        mask = np.random.default_rng(1).random(shape) < 0.5
        KIT.check_sum(a, axis=axis, where=mask)
        KIT.check_sum(a[..., ::-1], axis=axis, where=mask, initial=2)


def test_small_sum_rounds_to_single_precision_five_times():
    """A run of 32 elements is a tree of depth five; what is added behind it is wider: the bound of docs/sum.md.

    Each of the five additions loses half a rounding of one; the sixth does not. Vectors of a thread are 128 apart.
    """
    a, half = np.zeros(1024, np.float32), 2.0**-24
    a[[0, 4]] = 1, -1
    a[[1, 2, 128, 256, 512]] = half
    assert dispatch.sum(a, backend="cuda") == 0
    a[8] = half
    assert dispatch.sum(a, backend="cuda") == half


def test_small_eigsh():
    A, spectrum = laplacian(*((6, 7) if "NUMBA_ENABLE_CUDASIM" in os.environ else (20, 21)))
    w, v, info = dispatch.eigsh(A, 1, which="SA", backend="cuda", return_info=True)
    assert info.method == "lobpcg"
    check_pairs(A, w, v, spectrum, "SA")
