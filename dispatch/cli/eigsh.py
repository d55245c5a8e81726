"""``dispatch eigsh FILE``: eigenpairs of a matrix in a file."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import dispatch
from dispatch.cli.argument_types import output_file, plot_file
from dispatch.cli.arguments import add_eigsh, add_file, add_json, eigsh_arguments, refuse_overwriting
from dispatch.cli.exit_codes import DONE
from dispatch.cli.files import read
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import complain, plugins_print_to_stderr


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("eigsh", help="find eigenpairs of a symmetric matrix in a file")
    add_file(parser)
    add_eigsh(parser)
    parser.add_argument(
        "--out", metavar="FILE", type=output_file, help="save eigenvalues, eigenvectors and residual norms as .npz"
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=plot_file, help="draw the residual norms of each iteration (needs matplotlib)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


class Solution(NamedTuple):
    """What a run found: all pairs, or those that converged and the failure."""

    w: Any
    v: Any
    info: dispatch.EigshInfo
    source: str
    seconds: float
    failure: dispatch.NoConvergence | None


def run(options: argparse.Namespace) -> int:
    """Print the eigenvalues with their residual norms, and how and where they were found."""
    refuse_overwriting(options)
    with plugins_print_to_stderr():
        solution = _solve(options)
    try:
        sys.stdout.write(_as_json(solution) if options.json else _as_text(solution))
    finally:  # a reader that went away does not keep the files from being written
        _save(solution, options)
        if solution.failure is not None:
            raise solution.failure
    return DONE


def _solve(options: argparse.Namespace) -> Solution:
    A = read(options.file, options.key)
    arguments = eigsh_arguments(options)
    decision = dispatch.explain("eigsh", A, **arguments)
    failure = None
    started = time.perf_counter()
    try:
        w, v, info = dispatch.eigsh(A, **arguments, progress=sys.stderr.isatty(), return_info=True)
    except dispatch.NoConvergence as error:
        failure, w, v = error, error.eigenvalues, error.eigenvectors
        device = decision.chosen.name if decision.chosen is not None else "?"
        info = replace(error.info, residual_norms=error.residual_norms, device=device)
    return Solution(w, v, info, decision.source, time.perf_counter() - started, failure)


def _as_text(solution: Solution) -> str:
    info = solution.info
    lines = [f"{'eigenvalue':>24}  residual norm"]
    lines += [f"{value:24.16g}  {norm:.2e}" for value, norm in zip(solution.w, info.residual_norms, strict=True)]
    lines += [
        f"on {info.device} ({solution.source}): {info.method}, {info.status}, {info.iterations} iterations, "
        f"{info.operator_applications} products, preconditioner {info.preconditioner} ({info.reason}), "
        f"{solution.seconds:.2f} s\n"
    ]
    return "\n".join(lines)


def _as_json(solution: Solution) -> str:
    info = solution.info
    return to_json(
        {
            "eigenvalues": solution.w,
            "residual_norms": info.residual_norms,
            "device": info.device,
            "source": solution.source,
            "iterations": info.iterations,
            "status": info.status,
            "preconditioner": info.preconditioner,
            "seconds": solution.seconds,
        }
    )


def _save(solution: Solution, options: argparse.Namespace) -> None:
    info = solution.info
    if options.out is not None:
        with open(options.out, "wb") as file:
            np.savez(file, eigenvalues=solution.w, eigenvectors=solution.v, residual_norms=info.residual_norms)
    if options.plot is not None:
        if info.history:
            _plot(info, options.plot)
        else:
            complain("warning", f"{options.plot} is not drawn: the solution was {info.method}, without iterations")


def _plot(info: dispatch.EigshInfo, path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    norms = np.array([state.residual_norms for state in info.history])
    axes.semilogy(np.maximum(norms, np.finfo(float).tiny), linewidth=1)
    axes.set(xlabel="iteration", ylabel="residual norm", title=f"{info.preconditioner} on {info.device}")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
