"""Matrices whose spectra are known."""

import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("DISPATCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real matrices with reference eigenvalues, where they are at hand."""


def laplacian_1d(n):
    return sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1], format="csr")


def laplacian(*sizes):
    """Return the Dirichlet Laplacian of a grid, and its whole spectrum in ascending order."""
    A = sp.csr_array((1, 1))
    w = np.zeros(1)
    for n in sizes:
        A = sp.kron(A, sp.eye_array(n)) + sp.kron(sp.eye_array(A.shape[0]), laplacian_1d(n))
        w = np.add.outer(w, 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))).ravel()
    return A.tocsr(), np.sort(w)


def random_symmetric(n, density=0.02, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    A = sp.random_array((n, n), density=density, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
    if np.dtype(dtype).kind == "c":
        B = sp.random_array((n, n), density=density, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
        A = A + 1j * B
    return sp.csr_array((A + A.conj().T) / 2).astype(dtype)


def components(count, n, seed=0):
    """Return the Laplacian of a graph of `count` connected components of n nodes: as many eigenvalues zero."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        A = sp.random_array((n, n), density=6 / n, rng=rng, data_sampler=lambda size: np.ones(size)).tocsr()
        ring = sp.coo_array((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
        A = ((A + A.T + ring + ring.T) > 0).astype(float).tolil()
        A.setdiag(0)
        A = A.tocsr()
        parts.append(sp.diags_array(np.asarray(A.sum(axis=0)).ravel()) - A)
    return sp.csr_array(sp.block_diag(parts))


def real_matrices():
    return sorted(path.stem for path in DATA.glob("*.npz"))


def load(name):
    z = np.load(DATA / f"{name}.npz")
    return sp.csr_array((z["data"], z["indices"], z["indptr"]), shape=tuple(z["shape"])), z["eigs_all"]
