"""`dispatch.eigsh` beside ARPACK, SciPy's lobpcg and PRIMME, in one run, to the same achieved residual.

Run as ``python benchmarks/eigsh.py``; ``--help`` lists the options. Prints Markdown tables. Wall seconds are minima
over the repeats; "right" counts the wanted eigenvalues that were found, against exact or independent references.
PyAMG and PRIMME are used where they are installed.
BLAS has one thread, with which ARPACK is fastest on small matrices; ours uses all cores for its own products.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from eigenproblems import PROBLEMS, Problem, components, grid_laplacian, stored

import dispatch

LARGE_PROBLEMS = ("3-D Laplacian 60³", "3-D Laplacian 100³")

LARGE = 100_000
"""Order from which only what is in reach runs: ours and the factorisation."""

COLUMNS = "| solver | seconds | ratio to ARPACK | applications | iterations | residual / norm | right |"


@dataclass(frozen=True)
class Answer:
    """What a solver returned, and what it took."""

    values: np.ndarray
    vectors: np.ndarray
    applications: int | None = None
    iterations: int | None = None
    note: str = ""


Solver = Callable[[Problem, float], Answer]
"""Takes a problem and the residual norm to reach."""


class Counted(sla.LinearOperator):
    """A matrix that counts the vectors that it is applied to."""

    def __init__(self, A: sp.csr_array) -> None:
        super().__init__(A.dtype, A.shape)
        self.A, self.count = A, 0

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        self.count += 1
        return self.A @ x

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        self.count += X.shape[1]
        return self.A @ X


def relative(problem: Problem, target: float) -> float:
    """Return the tolerance relative to the eigenvalues that asks for the target residual at the median one."""
    mass = 1.0 if problem.M is None else float(problem.M.sum(axis=0).max())
    return target / (float(np.median(abs(problem.reference))) * mass)


def ours(preconditioner: str | None = "auto") -> Solver:
    """Return `dispatch.eigsh` with a preconditioner."""

    def solve(p: Problem, target: float) -> Answer:
        w, v, info = dispatch.eigsh(
            p.A, p.k, p.M, which=p.which, tol=relative(p, target), preconditioner=preconditioner, return_info=True
        )
        return Answer(w, v, info.operator_applications, info.iterations, f"{info.method}, {info.preconditioner}")

    return solve


def arpack(p: Problem, target: float) -> Answer:
    """Run SciPy's eigsh."""
    A = Counted(p.A)
    w, v = sla.eigsh(A, p.k, p.M, which=p.which, tol=relative(p, target), maxiter=20_000, rng=0)
    return Answer(w, v, A.count)


def arpack_shift_invert(p: Problem, target: float) -> Answer:
    """Run SciPy's eigsh on the inverse, by SuperLU."""
    M = None if p.M is None else p.M.tocsc()
    w, v = sla.eigsh(p.A.tocsc(), p.k, M, sigma=p.shift, tol=0, rng=0)
    return Answer(w, v)


def lobpcg(amg: bool) -> Solver:
    """Return SciPy's lobpcg, bare or with PyAMG's smoothed aggregation."""

    def solve(p: Problem, target: float) -> Answer:
        A = Counted(p.A)
        X = np.random.default_rng(0).standard_normal((p.A.shape[0], p.k))
        inverse = None
        if amg:
            import pyamg

            # A singular matrix has no multigrid inverse: it is lifted by a trifle, as scikit-learn does.
            lifted = p.A + sp.diags_array(np.full(p.A.shape[0], 1e-6 * sla.norm(p.A, 1)))
            inverse = pyamg.smoothed_aggregation_solver(sp.csr_array(lifted)).aspreconditioner()
        w, v, history = sla.lobpcg(
            A, X, p.M, inverse, tol=target, maxiter=2000, largest=p.which == "LA", retResidualNormsHistory=True
        )
        return Answer(w, v, A.count, len(history))

    return solve


def primme(p: Problem, target: float) -> Answer:
    """Run PRIMME's default method."""
    import primme as module

    A, norm = Counted(p.A), float(sla.norm(p.A, 1))
    w, v, stats = module.eigsh(A, p.k, p.M, which=p.which, tol=target / norm, aNorm=norm, return_stats=True)
    return Answer(w, v, A.count, int(stats["numOuterIterations"]))


def solvers(p: Problem) -> Iterator[tuple[str, Solver]]:
    """Yield what applies to a problem, ARPACK first."""
    large = p.A.shape[0] >= LARGE
    if not large:
        yield "SciPy eigsh (ARPACK)", arpack
    if p.shift is not None and p.A.shape[0] < 10 * LARGE:
        yield "SciPy eigsh, shift-invert", arpack_shift_invert
    yield "dispatch.eigsh", ours()
    if p.which == "SA":
        yield "dispatch.eigsh, AMG", ours("amg")
        yield "dispatch.eigsh, Chebyshev-Jacobi", ours("chebyshev-jacobi")
    if p.which != "LM" and not large:
        yield "SciPy lobpcg", lobpcg(amg=False)
    if p.which == "SA":
        yield "SciPy lobpcg, PyAMG", lobpcg(amg=True)
    if not large:
        yield "PRIMME", primme


def right(p: Problem, values: np.ndarray, target: float) -> int:
    """Return how many of the wanted eigenvalues are among the values, each counted once."""
    tolerance = max(1e-6 * float(np.median(abs(p.reference))), 10 * target if p.M is None else 0.0)
    rest, found = list(values), 0
    for wanted in p.reference:
        near = [w for w in rest if abs(w - wanted) <= tolerance]
        if near:
            rest.remove(min(near, key=lambda w: abs(w - wanted)))
            found += 1
    return found


def residual(p: Problem, answer: Answer) -> float:
    """Return the largest ``‖A x - λ M x‖ / ‖x‖``."""
    v, w = answer.vectors, answer.values
    R = p.A @ v - (v if p.M is None else p.M @ v) * w
    return float((np.linalg.norm(R, axis=0) / np.linalg.norm(v, axis=0)).max())


def compare(name: str, p: Problem, repeats: int, only: str) -> None:
    """Print the table of one problem."""
    norm = float(sla.norm(p.A, 1))
    print(f"\n### {name}\n\nn = {p.A.shape[0]}, {p.A.nnz} stored, k = {p.k}, residual {p.accuracy:.0e} of the norm\n")
    print(COLUMNS + "\n" + "|---" * COLUMNS.count(" | ") + "|---|")
    candidates = [(label, solver) for label, solver in solvers(p) if only in label]
    seconds: dict[str, float] = {}
    answers: dict[str, Answer | str] = {}
    for _ in range(repeats):
        for label, solver in candidates:
            # What takes long is timed well enough by one run.
            if seconds.get(label, 0.0) > 3.0 or isinstance(answers.get(label), str):
                continue
            start = time.perf_counter()
            try:
                answers[label] = solver(p, p.accuracy * norm)
            except Exception as error:  # noqa: BLE001 - a peer that fails is a result
                answers[label] = f"{type(error).__name__}: {error}"[:80].replace("\n", " ")
            seconds[label] = min(time.perf_counter() - start, seconds.get(label, np.inf))
    for label, _ in candidates:
        answer = answers[label]
        if isinstance(answer, str):
            print(f"| {label} | {seconds[label]:.2f} | {answer} | | | | |")
            continue
        ratio = f"{seconds[label] / seconds[candidates[0][0]]:.3f}" if "ARPACK" in candidates[0][0] else ""
        print(
            f"| {label}{f' ({answer.note})' if answer.note else ''} | {seconds[label]:.3f} | {ratio} | "
            f"{answer.applications or ''} | {answer.iterations or ''} | {residual(p, answer) / norm:.1e} | "
            f"{right(p, answer.values, p.accuracy * norm)}/{p.k} |",
            flush=True,
        )


def real_matrices(folder: Path) -> None:
    """Print what it takes to solve each matrix in a folder, both solvers called without options but `k` and `which`."""
    print("\n### Real matrices, k = 10, tol = 0: ours / ARPACK\n")
    print("| matrix | n | which | right | seconds | applications | residual / norm |\n|---|---|---|---|---|---|---|")
    solvers = {"ours": ours_by_default, "ARPACK": arpack_by_default}
    seconds, failed, wrong = (dict.fromkeys(solvers, 0.0) for _ in range(3))
    for path in sorted(folder.glob("*.npz")):
        for which in ("SA", "LA", "LM"):
            p = stored(path, which)
            norm = float(sla.norm(p.A, 1))
            cells = []
            for name, solver in solvers.items():
                start = time.perf_counter()
                answer = None
                with suppress(sla.ArpackError):
                    answer = solver(p)
                taken = time.perf_counter() - start
                seconds[name] += taken
                if answer is None:
                    failed[name] += 1
                    cells.append(("fails", f"{taken:.3f}", "", ""))
                    continue
                found = right(p, answer.values, 1e-10 * norm)
                wrong[name] += found < p.k
                size = f"{residual(p, answer) / norm:.0e}"
                cells.append((f"{found}", f"{taken:.3f}", f"{answer.applications}", size))
            columns = " | ".join(" / ".join(pair) for pair in zip(*cells, strict=True))
            print(f"| {path.stem} | {p.A.shape[0]} | {which} | {columns} |", flush=True)
    for name in solvers:
        print(f"\n{name}: {seconds[name]:.1f} s, {failed[name]:g} runs failed, {wrong[name]:g} returned a wrong set.")


def ours_by_default(p: Problem) -> Answer:
    """Run `dispatch.eigsh` as it is called without options."""
    w, v, info = dispatch.eigsh(p.A, p.k, which=p.which, return_info=True)
    return Answer(w, v, info.operator_applications, info.iterations)


def arpack_by_default(p: Problem) -> Answer:
    """Run SciPy's eigsh as it is called without options, from a fixed start."""
    A = Counted(p.A)
    w, v = sla.eigsh(A, p.k, which=p.which, rng=0)
    return Answer(w, v, A.count)


def multiplicities(seeds: int) -> None:
    """Print in how many of the runs a member of the wanted set is missing, at tolerances relative to the norm."""
    graph = components(6, 500)
    block = grid_laplacian(20, 21)[0]
    cases = {
        "2-D Laplacian 40² (pairs)": grid_laplacian(40, 40),
        "3-D Laplacian 12³ (triples, six-fold)": grid_laplacian(12, 12, 12),
        "graph of 6 components": (graph, np.linalg.eigvalsh(graph.toarray())),
        "three equal blocks": (sp.csr_array(sp.block_diag([block] * 3)), np.repeat(grid_laplacian(20, 21)[1], 3)),
    }
    print(f"\n### Runs of {seeds} with a wanted eigenvalue missing, k = 10\n\n| matrix | tol / norm | ours | ARPACK |")
    print("|---|---|---|---|")
    for name, (A, w) in cases.items():
        norm = float(sla.norm(A, 1))
        for accuracy in (1e-3, 1e-5, 1e-7, 1e-9):
            missed = [0, 0]
            for seed in range(seeds):
                tol = accuracy * norm / w[9]
                for i, solver in enumerate((dispatch.eigsh, sla.eigsh)):
                    values = np.full(10, np.nan)
                    with suppress(sla.ArpackNoConvergence):
                        values = np.sort(solver(A, 10, which="SA", tol=tol, rng=seed)[0])
                    missed[i] += not (abs(values - w[:10]) <= 2e-2 * w[9]).all()
            print(f"| {name} | {accuracy:.0e} | {missed[0]} | {missed[1]} |", flush=True)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="*", help="parts of their names; by default all below 100,000 unknowns")
    parser.add_argument("--solver", default="", help="part of a solver's name: run only those")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of matrices with their spectra")
    parser.add_argument("--multiplicities", type=int, metavar="SEEDS", help="count missed members of clusters")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}"
    )
    dispatch.eigsh(grid_laplacian(60, 60)[0], 10, which="SA")  # the first call in a process loads the kernels
    for name, make in PROBLEMS.items():
        if (
            any(part in name for part in options.problems)
            if options.problems is not None
            else not name.startswith(LARGE_PROBLEMS)
        ):
            compare(name, make(), options.repeats, options.solver)
    if options.data:
        real_matrices(options.data)
    if options.multiplicities:
        multiplicities(options.multiplicities)


if __name__ == "__main__":
    main()
