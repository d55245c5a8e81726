"""Matrices whose spectra are known, or known to be awkward."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def laplacian_1d(n: int) -> sp.csr_array:
    """Return the Dirichlet Laplacian of a path of n nodes."""
    return sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1], format="csr")


def laplacian(*sizes: int) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """Return the Dirichlet Laplacian of a grid, and its whole spectrum in ascending order."""
    A = sp.csr_array((1, 1))
    w = np.zeros(1)
    for n in sizes:
        A = sp.kron(A, sp.eye_array(n)) + sp.kron(sp.eye_array(A.shape[0]), laplacian_1d(n))
        w = np.add.outer(w, 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))).ravel()
    return A.tocsr(), np.sort(w)


def random_symmetric(n: int, density: float = 0.02, dtype: Any = float, seed: int = 0) -> sp.csr_array:
    """Return a random sparse matrix, symmetric or Hermitian."""
    rng = np.random.default_rng(seed)
    A = sp.random_array((n, n), density=density, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
    if np.dtype(dtype).kind == "c":
        B = sp.random_array((n, n), density=density, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
        A = A + 1j * B
    return sp.csr_array((A + A.conj().T) / 2).astype(dtype)


def components(count: int, n: int, seed: int = 0) -> sp.csr_array:
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
