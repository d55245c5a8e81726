"""`dispatch.eigsh` beside ARPACK, SciPy's lobpcg and PRIMME, in one run, to the same achieved residual.

Run as ``python benchmarks/eigsh.py``; ``--help`` lists the options. Prints Markdown tables. Wall seconds are minima
over the repeats; "right" counts the wanted eigenvalues that were found, against exact or independent references.

It can be run in pieces: ``--problems``, ``--solvers`` and ``--only`` choose one, ``--record FILE`` adds what was
measured to a file, a line of JSON each, and ``--tables FILE`` prints the tables of all of them. Of two records of the
same run the later one counts.

PyAMG and PRIMME are used where they are installed.
BLAS has one thread, with which ARPACK is fastest on small matrices; ours uses all cores for its own products.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

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

LABELS = (
    "SciPy eigsh (ARPACK)",
    "SciPy eigsh, shift-invert",
    "dispatch.eigsh",
    "dispatch.eigsh, AMG",
    "dispatch.eigsh, Chebyshev-Jacobi",
    "SciPy lobpcg",
    "SciPy lobpcg, PyAMG",
    "PRIMME",
)
"""The solvers, in the order of the tables; ratios are to the first."""

COLUMNS = "| solver | seconds | ratio to ARPACK | applications | iterations | residual / norm | right |"


@dataclass(frozen=True)
class Answer:
    """What a solver returned, and what it took."""

    values: np.ndarray
    vectors: np.ndarray
    applications: int | None = None
    iterations: int | None = None
    note: str = ""


Record: TypeAlias = dict[str, Any]
"""What is known of one row of a table: which ``table``, the names that make the ``row``, and the figures."""

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


def chosen(label: str, asked: Sequence[str]) -> bool:
    """Return whether a name is asked for, by itself or by a part of it; without any, all are."""
    return not asked or label in asked or any(part in label for part in asked if part not in LABELS)


def compare(name: str, repeats: int, asked: Sequence[str]) -> Iterator[Record]:
    """Run the solvers on one problem, in turns."""
    p = PROBLEMS[name]()
    norm = float(sla.norm(p.A, 1))
    candidates = [(label, solver) for label, solver in solvers(p) if chosen(label, asked)]
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
    about = f"n = {p.A.shape[0]}, {p.A.nnz} stored, k = {p.k}, residual {p.accuracy:.0e} of the norm"
    for label, _ in candidates:
        yield {
            "table": "problems",
            "row": [name, label],
            "about": about,
            "seconds": seconds[label],
            **measured(p, answers[label], p.accuracy * norm, norm),
        }


def measured(p: Problem, answer: Answer | str, target: float, norm: float) -> Record:
    """Return what an answer is worth, or why there is none."""
    if isinstance(answer, str):
        return {"error": answer}
    return {
        "applications": answer.applications,
        "iterations": answer.iterations,
        "residual": residual(p, answer) / norm,
        "right": right(p, answer.values, target),
        "k": p.k,
        "note": answer.note,
    }


def print_problems(records: Sequence[Record]) -> None:
    """Print a table for each problem."""
    for name in PROBLEMS:
        rows = {r["row"][1]: r for r in records if r["table"] == "problems" and r["row"][0] == name}
        if not rows:
            continue
        print(f"\n### {name}\n\n{next(iter(rows.values()))['about']}\n")
        print(COLUMNS + "\n" + "|---" * COLUMNS.count(" | ") + "|---|")
        base = rows.get(LABELS[0], {}).get("seconds")
        for label in sorted(rows, key=LABELS.index):
            r = rows[label]
            ratio = f"{r['seconds'] / base:.3f}" if base else ""
            if "error" in r:
                print(f"| {label} | {r['seconds']:.2f} | {r['error']} | | | | |")
                continue
            note = f" ({r['note']})" if r["note"] else ""
            print(
                f"| {label}{note} | {r['seconds']:.3f} | {ratio} | "
                f"{r['applications'] or ''} | {r['iterations'] or ''} | {r['residual']:.1e} | {r['right']}/{r['k']} |"
            )


def real_matrices(folder: Path, only: Sequence[str]) -> Iterator[Record]:
    """Solve each matrix in a folder, both solvers called without options but `k` and `which`."""
    for path in sorted(folder.glob("*.npz")):
        if only and path.stem not in only:
            continue
        for which in ("SA", "LA", "LM"):
            p = stored(path, which)
            norm = float(sla.norm(p.A, 1))
            for name, solver in (("ours", ours_by_default), ("ARPACK", arpack_by_default)):
                start = time.perf_counter()
                answer: Answer | str = "fails"
                with suppress(sla.ArpackError):
                    answer = solver(p)
                taken = time.perf_counter() - start
                yield {
                    "table": "matrices",
                    "row": [path.stem, which, name],
                    "n": p.A.shape[0],
                    "seconds": taken,
                    **measured(p, answer, 1e-10 * norm, norm),
                }


def print_matrices(records: Sequence[Record]) -> None:
    """Print one table of all matrices, ours and ARPACK in each cell."""
    rows = {tuple(r["row"]): r for r in records if r["table"] == "matrices"}
    if not rows:
        return
    print("\n### Real matrices, k = 10, tol = 0: ours / ARPACK\n")
    print("| matrix | n | which | right | seconds | applications | residual / norm |\n|---|---|---|---|---|---|---|")
    for name, which in sorted({row[:2] for row in rows}, key=lambda row: (row[0], ("SA", "LA", "LM").index(row[1]))):
        both = [rows.get((name, which, solver), {}) for solver in ("ours", "ARPACK")]
        cells = [
            (
                str(r.get("right", r.get("error", ""))),
                f"{r['seconds']:.3f}" if r else "",
                str(r.get("applications", "")),
                f"{r['residual']:.0e}" if "residual" in r else "",
            )
            for r in both
        ]
        columns = " | ".join(" / ".join(pair) for pair in zip(*cells, strict=True))
        print(f"| {name} | {max(r.get('n', 0) for r in both)} | {which} | {columns} |")
    for solver in ("ours", "ARPACK"):
        of = [r for row, r in rows.items() if row[2] == solver]
        failed, wrong = sum("error" in r for r in of), sum(r.get("right", r.get("k")) != r.get("k") for r in of)
        print(f"\n{solver}: {sum(r['seconds'] for r in of):.1f} s, {failed} runs failed, {wrong} returned a wrong set.")


def ours_by_default(p: Problem) -> Answer:
    """Run `dispatch.eigsh` as it is called without options."""
    w, v, info = dispatch.eigsh(p.A, p.k, which=p.which, return_info=True)
    return Answer(w, v, info.operator_applications, info.iterations)


def arpack_by_default(p: Problem) -> Answer:
    """Run SciPy's eigsh as it is called without options, from a fixed start."""
    A = Counted(p.A)
    w, v = sla.eigsh(A, p.k, which=p.which, rng=0)
    return Answer(w, v, A.count)


def multiplicities(seeds: int) -> Iterator[Record]:
    """Count the runs in which a member of the wanted set is missing, at tolerances relative to the norm."""
    graph = components(6, 500)
    block = grid_laplacian(20, 21)[0]
    cases = {
        "2-D Laplacian 40² (pairs)": grid_laplacian(40, 40),
        "3-D Laplacian 12³ (triples, six-fold)": grid_laplacian(12, 12, 12),
        "graph of 6 components": (graph, np.linalg.eigvalsh(graph.toarray())),
        "three equal blocks": (sp.csr_array(sp.block_diag([block] * 3)), np.repeat(grid_laplacian(20, 21)[1], 3)),
    }
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
            yield {"table": "multiplicities", "row": [name, f"{accuracy:.0e}"], "seeds": seeds, "missed": missed}


def print_multiplicities(records: Sequence[Record]) -> None:
    """Print in how many runs members are missing."""
    rows = [r for r in records if r["table"] == "multiplicities"]
    if rows:
        print(f"\n### Runs of {rows[0]['seeds']} with a wanted eigenvalue missing, k = 10\n")
        print("| matrix | tol / norm | ours | ARPACK |\n|---|---|---|---|")
    for r in rows:
        print(f"| {' | '.join(r['row'])} | {' | '.join(map(str, r['missed']))} |")


def read(file: Path) -> list[Record]:
    """Return the records of a file, the last one of each row."""
    records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return list({(r["table"], *r["row"]): r for r in records}.values())


def print_tables(records: Sequence[Record]) -> None:
    """Print the tables of all that was recorded."""
    print_problems(records)
    print_matrices(records)
    print_multiplicities(records)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="*", help="parts of their names; by default all below 100,000 unknowns")
    parser.add_argument("--solvers", nargs="*", default=[], help=f"names, or parts of names, of {', '.join(LABELS)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="matrices with their spectra")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="which of these matrices")
    parser.add_argument("--multiplicities", type=int, metavar="SEEDS", help="count missed members of clusters")
    parser.add_argument("--record", type=Path, metavar="FILE", help="add what is measured to a file")
    parser.add_argument(
        "--tables", type=Path, metavar="FILE", help="print the tables of such a file, and measure nothing"
    )
    options = parser.parse_args()
    if options.tables:
        print_tables(read(options.tables))
        return
    warnings.simplefilter("ignore")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}"
    )
    dispatch.eigsh(grid_laplacian(60, 60)[0], 10, which="SA")  # the first call in a process loads the kernels
    names = [
        name
        for name in PROBLEMS
        if (
            not name.startswith(LARGE_PROBLEMS)
            if options.problems is None
            else any(part in name for part in options.problems)
        )
    ]
    pieces = [compare(name, options.repeats, options.solvers) for name in names]
    if options.data:
        pieces.append(real_matrices(options.data, options.only))
    if options.multiplicities:
        pieces.append(multiplicities(options.multiplicities))
    for piece in pieces:
        records = []
        for record in piece:
            records.append(record)
            if options.record:  # at once: a piece that is cut short leaves what it has
                with options.record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
        print_tables(records)


if __name__ == "__main__":
    main()
