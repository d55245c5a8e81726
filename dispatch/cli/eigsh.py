"""``dispatch eigsh FILE``: eigenpairs of a matrix in a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

import dispatch
from dispatch.cli.arguments import add_backend, add_eigsh, add_file, add_json
from dispatch.cli.files import read


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("eigsh", help="find eigenpairs of a symmetric matrix in a file")
    add_file(parser)
    add_eigsh(parser)
    parser.add_argument("--preconditioner", default="auto", help="'auto', 'none', 'jacobi' or 'chebyshev'")
    parser.add_argument("--out", metavar="FILE", help="save eigenvalues, eigenvectors and residual norms as .npz")
    parser.add_argument("--plot", metavar="FILE", help="draw the residual norms of each iteration (needs matplotlib)")
    add_backend(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the eigenvalues with their residual norms, and how and where they were found."""
    A = read(options.file, options.key)
    arguments: dict[str, Any] = {
        "k": options.k,
        "M": read(options.mass) if options.mass else None,
        "which": options.which,
        "maxiter": options.maxiter,
        "tol": options.tol,
        "rng": options.seed,
        "preconditioner": None if options.preconditioner == "none" else options.preconditioner,
        "backend": options.backend,
    }
    decision = dispatch.explain("eigsh", A, **arguments)
    started = time.perf_counter()
    w, v, info = dispatch.eigsh(A, **arguments, progress=sys.stderr.isatty(), return_info=True)
    seconds = time.perf_counter() - started
    if options.out:
        np.savez(options.out, eigenvalues=w, eigenvectors=v, residual_norms=info.residual_norms)
    if options.plot:
        _plot(info, options.plot)
    how = (
        f"on {info.device} ({decision.source}): {info.method}, {info.status}, {info.iterations} iterations, "
        f"{info.operator_applications} products, preconditioner {info.preconditioner} ({info.reason}), {seconds:.2f} s"
    )
    if options.json:
        result = {
            "eigenvalues": w.tolist(),
            "residual_norms": info.residual_norms.tolist(),
            "device": info.device,
            "source": decision.source,
            "iterations": info.iterations,
            "status": info.status,
            "preconditioner": info.preconditioner,
            "seconds": seconds,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        return 0
    lines = [f"{'eigenvalue':>24}  residual norm"]
    lines += [f"{value:24.16g}  {norm:.2e}" for value, norm in zip(w, info.residual_norms, strict=True)]
    sys.stdout.write("\n".join(lines) + f"\n{how}\n")
    return 0


def _plot(info: Any, path: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("--plot needs matplotlib: pip install 'array-dispatch[plot]'") from None
    if not info.history:
        raise ValueError(f"--plot has nothing to draw: the solution was {info.method}, without iterations")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    norms = np.array([state.residual_norms for state in info.history])
    axes.semilogy(np.maximum(norms, np.finfo(float).tiny), linewidth=1)
    axes.set(xlabel="iteration", ylabel="residual norm", title=f"{info.preconditioner} on {info.device}")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
