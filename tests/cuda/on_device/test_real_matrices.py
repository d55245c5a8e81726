"""Matrices from practice, some of them hard, at every end of their spectra."""

from __future__ import annotations

import os

import pytest

from tests.solvers.problems import load, on_every_real_matrix
from tests.solvers.test_eigsh import assert_right


@pytest.mark.skipif("NUMBA_ENABLE_CUDASIM" in os.environ, reason="the simulator would take days")
@pytest.mark.timeout(1800)
@on_every_real_matrix
def test_real_matrices(name, which):
    assert_right(*load(name), which, backend="cuda")
