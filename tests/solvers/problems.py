"""Matrices whose spectra are known: the kit's, and real ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from dispatch.testing.matrices import components, laplacian, laplacian_1d, random_symmetric

__all__ = [
    "components", "laplacian", "laplacian_1d", "load", "on_every_real_matrix", "random_symmetric", "real_matrices",
]  # fmt: skip

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("DISPATCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real matrices with reference eigenvalues, where they are at hand."""


def real_matrices():
    return sorted(path.stem for path in DATA.glob("*.npz"))


def on_every_real_matrix(test):
    """Return a test of `name` and `which` for each of the real matrices and ends of their spectra; skipped without."""
    test = pytest.mark.parametrize("which", ["SA", "LA", "LM"])(test)
    test = pytest.mark.parametrize("name", real_matrices())(test)
    return pytest.mark.skipif(not real_matrices(), reason="the folder of real matrices is not there")(test)


def load(name):
    z = np.load(DATA / f"{name}.npz")
    return sp.csr_array((z["data"], z["indices"], z["indptr"]), shape=tuple(z["shape"])), z["eigs_all"]
