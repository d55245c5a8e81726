"""What the factors of a sparse symmetric matrix would take, estimated before they are computed.

The profile that the reverse Cuthill-McKee order leaves is a bound of the elements of a triangular factor, far from
sharp in two dimensions and more. Its mean width w is about the size of the separators of the matrix's graph, and nested
dissection, which minimum-degree orders come close to, leaves about ``n log n`` elements for a graph with small
separators (A. George, SIAM J. Numer. Anal. 10, 1973) and ``w² log n`` where the largest ones dominate. On grids in two
and three dimensions, strips, bars, power networks and random graphs the estimate was within a factor of 3 of SuperLU's
factors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from dispatch.solvers.problem import EigenProblem

WORK_PER_SECOND = 3e9
"""Multiplications that SuperLU does in a second on one core of 2020."""

ELEMENTS_PER_SECOND = 1e9
"""Elements of triangular factors that go through a core in a second."""

COPIES = 3
"""SuperLU's peak memory in units of its factors: they grow by copying."""


@dataclass(frozen=True)
class FactorCost:
    """Estimated size of the two triangular factors of an n-by-n matrix, and the work that they take."""

    elements: float
    work: float
    itemsize: int

    @property
    def memory(self) -> float:
        """Bytes at the peak."""
        return COPIES * self.elements * (self.itemsize + 4)

    @property
    def seconds(self) -> float:
        """Seconds to factorise."""
        return self.work / WORK_PER_SECOND

    @property
    def solve_seconds(self) -> float:
        """Seconds to solve for one vector."""
        return self.elements / ELEMENTS_PER_SECOND


def factor_cost(problem: EigenProblem) -> FactorCost:
    """Return the estimate for ``A - σ M``, both sparse, factorised in double precision."""
    pattern, n = _pattern(problem), problem.n
    # SciPy's ordering takes matrices, not arrays.
    order = reverse_cuthill_mckee(csr_matrix(pattern), symmetric_mode=True)
    position = np.empty(n, np.intp)
    position[order] = np.arange(n)
    filled = np.flatnonzero(np.diff(pattern.indptr))
    first = np.minimum.reduceat(position[pattern.indices], pattern.indptr[filled]) if len(filled) else position[filled]
    profile = float(np.maximum(position[filled] - first, 0).sum() + n)
    mean = profile / n
    log = max(np.log2(n), 1.0)
    triangle = max(min(profile, log * (n + mean**2)), (pattern.nnz + n) / 2)
    return FactorCost(2 * triangle, 2 * triangle * mean, np.result_type(problem.dtype, np.float64).itemsize)


def _pattern(problem: EigenProblem) -> csr_array:
    A, M = problem.A, problem.M
    return csr_array(A if M is None else abs(A) + abs(M))


def product_seconds(problem: EigenProblem) -> float:
    """Return the time of a product of A with one of a block of vectors, as part of a filter on a core of 2020."""
    return 5e-10 * problem.stored + 1.5e-9 * problem.n


def available_memory() -> float:
    """Return the bytes of memory that are free for use, as far as the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 if hasattr(os, "sysconf") else 4e9
    return min(free, _cgroup_limit())


def _cgroup_limit() -> float:
    """Return what the control group of a container leaves to this process."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return np.inf if limit == "max" else max(float(limit) - float(used), 0.0)
    except (OSError, ValueError):
        return np.inf
