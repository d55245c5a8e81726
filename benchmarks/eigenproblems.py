"""The matrices that `benchmarks/eigsh.py` solves, with what is wanted of each and the right answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.ndimage
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from scipy.spatial import cKDTree

SPARE = 12
"""Eigenvalues computed beyond the wanted ones for a reference, so that no cluster is cut."""


@dataclass(frozen=True)
class Problem:
    """``A x = λ M x``: the k eigenvalues of `which`, to a residual of `accuracy` times the norm of A.

    `reference` has the k right values, ascending. Where `shift` is a number, the wanted eigenvalues are those nearest
    to it, so that shift-invert applies.
    """

    A: sp.csr_array
    which: str
    k: int
    reference: np.ndarray
    shift: float | None = None
    M: sp.csr_array | None = None
    accuracy: float = 1e-9


def laplacian_1d(n: int) -> sp.csr_array:
    """Return the Dirichlet Laplacian of a path."""
    return sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1], format="csr")


def grid_laplacian(*sizes: int) -> tuple[sp.csr_array, np.ndarray]:
    """Return the Dirichlet Laplacian of a grid, and the low and the high ends of its spectrum."""
    A, w = sp.csr_array((1, 1)), np.zeros(1)
    for n in sizes:
        A = sp.kron(A, sp.eye_array(n)) + sp.kron(sp.eye_array(A.shape[0]), laplacian_1d(n))
        w = np.add.outer(w, 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))).ravel()
    return A.tocsr(), np.sort(w)


def laplacian(*sizes: int, which: str = "SA", k: int = 10) -> Problem:
    """Return a Laplacian of a grid, whose spectrum is known."""
    A, w = grid_laplacian(*sizes)
    if which == "LA":
        return Problem(A, which, k, w[-k:])
    return Problem(A, which, k, w[:k], shift=0.0)


def random_geometric_graph(n: int, k: int, degree: float = 12.0) -> Problem:
    """Return the Laplacian of a graph of random points in the unit square that are joined where they are near."""
    points = np.random.default_rng(0).random((n, 2))
    pairs = cKDTree(points).query_pairs(np.sqrt(degree / (np.pi * n)), output_type="ndarray")
    half = sp.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    adjacency = half + half.T
    A = sp.csr_array(sp.diags_array(np.asarray(adjacency.sum(axis=0)).ravel()) - adjacency)
    return Problem(A, "SA", k, _smallest(A, None, k, -1e-3), shift=-1e-6)


def random_sparse(n: int = 20_000, row: int = 20) -> Problem:
    """Return a random symmetric matrix: its wanted eigenvalues are well separated."""
    rng = np.random.default_rng(0)
    half = sp.random_array((n, n), density=row / 2 / n, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
    A = sp.csr_array((half + half.T) / 2)
    w = sla.eigsh(A, 10 + SPARE, which="LM", ncv=120, tol=1e-13, return_eigenvectors=False, rng=0)
    return Problem(A, "LM", 10, np.sort(w[np.argsort(-abs(w))][:10]))


def badly_scaled(n: int = 120, spread: float = 1.0) -> Problem:
    """Return a diffusion operator with a log-normal coefficient, whose diagonal varies by 1.6e3."""
    field = scipy.ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((n + 1, n + 1)), 2)
    c = np.exp(spread * field / field.std())
    index = np.arange(n * n).reshape(n, n)
    across, down = c[:, :n], c[:n, :]
    diagonal = across[:n] + across[1:] + down[:, :n] + down[:, 1 : n + 1]
    A = sp.lil_array((n * n, n * n))
    A.setdiag(diagonal.ravel())
    A = A.tocoo()
    rows = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    columns = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    links = -np.concatenate([across[1:n].ravel(), down[:, 1:n].ravel()])
    upper = sp.coo_array((links, (rows, columns)), shape=A.shape)
    A = sp.csr_array(A + upper + upper.T)
    w = _smallest(A, None, 10, 0.0)
    return Problem(A, "SA", 10, w, shift=0.0, accuracy=1e-7 * w[-1] / sla.norm(A, 1))


def finite_elements(n: int = 100) -> Problem:
    """Return stiffness and mass matrix of bilinear elements on a square, whose spectrum is known."""
    h = 1 / (n + 1)
    stiffness = laplacian_1d(n) / h
    mass = sp.diags_array([np.full(n - 1, 1 / 6), np.full(n, 4 / 6), np.full(n - 1, 1 / 6)], offsets=[-1, 0, 1]) * h
    A, M = (sp.csr_array(B) for B in (sp.kron(stiffness, mass) + sp.kron(mass, stiffness), sp.kron(mass, mass)))
    angle = np.cos(np.pi * np.arange(1, n + 1) * h)
    w = 6 / h**2 * (1 - angle) / (2 + angle)
    return Problem(A, "SA", 10, np.sort(np.add.outer(w, w).ravel())[:10], shift=0.0, M=M, accuracy=1e-10)


def tutorial() -> Problem:
    """Return the tutorial's matrix: a random one of order 1000, thresholded and made symmetric."""
    A = np.random.default_rng(0).random((1000, 1000))
    A[A < 0.99] = 0
    A = (A + A.T) / 2
    w = scipy.linalg.eigvalsh(A)
    return Problem(sp.csr_array(A), "LM", 10, np.sort(w[np.argsort(-abs(w))][:10]))


def stored(path: Path, which: str) -> Problem:
    """Return a matrix with its whole spectrum from an ``.npz`` file."""
    z = np.load(path)
    A = sp.csr_array((z["data"], z["indices"], z["indptr"]), shape=tuple(z["shape"]))
    w = np.sort(z["eigs_all"])
    k = min(10, A.shape[0] - 1)
    order = {"SA": w, "LA": -w, "LM": -abs(w)}[which].argsort(kind="stable")
    return Problem(A, which, k, np.sort(w[order[:k]]))


def components(count: int, n: int) -> sp.csr_array:
    """Return the Laplacian of a graph of `count` connected components of n nodes: as many eigenvalues are zero."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(count):
        random = sp.random_array((n, n), density=6 / n, rng=rng).tocoo()
        rows, columns = np.r_[random.row, np.arange(n)], np.r_[random.col, (np.arange(n) + 1) % n]
        links = sp.coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
        adjacency = ((links + links.T) > 0).astype(float).toarray()
        np.fill_diagonal(adjacency, 0.0)
        parts.append(np.diag(adjacency.sum(axis=0)) - adjacency)
    return sp.csr_array(sp.block_diag(parts))


def _smallest(A: sp.csr_array, M: sp.csr_array | None, k: int, shift: float) -> np.ndarray:
    w: Any = sla.eigsh(A.tocsc(), k + SPARE, M=M, sigma=shift, ncv=4 * (k + SPARE), return_eigenvectors=False, rng=0)
    return np.sort(w)[:k]


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "2-D Laplacian 150², SA": lambda: laplacian(150, 150),
    "2-D Laplacian 150², LA": lambda: laplacian(150, 150, which="LA"),
    "3-D Laplacian 28³, SA": lambda: laplacian(28, 28, 28),
    "geometric graph 20,000, 10 SA": lambda: random_geometric_graph(20_000, 10),
    "geometric graph 20,000, 20 SA": lambda: random_geometric_graph(20_000, 20),
    "random sparse 20,000, LM": random_sparse,
    "badly scaled 120², SA": badly_scaled,
    "finite elements (A, M) 100², SA": finite_elements,
    "tutorial 1,000, LM": tutorial,
    "3-D Laplacian 60³, SA": lambda: laplacian(60, 60, 60),
    "3-D Laplacian 100³, SA": lambda: laplacian(100, 100, 100),
}
"""By name; the last two take minutes and gigabytes with some of the solvers."""
