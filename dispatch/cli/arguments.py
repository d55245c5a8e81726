"""Options that several commands share, and the arguments of calls that they stand for."""

from __future__ import annotations

import argparse
import os
from typing import Any

from dispatch.cli import argument_types
from dispatch.cli.files import read


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the input file, and the name of the array inside it."""
    parser.add_argument("file", help="the input file")
    parser.add_argument("--key", metavar="NAME", help="which array, where the file holds several")


def refuse_overwriting(options: argparse.Namespace) -> None:
    """Raise ValueError where a result would be written over a file that is read."""
    for option in ("out", "plot"):
        for read_from in (options.file, getattr(options, "mass", None)):
            written = getattr(options, option, None)
            if written and read_from and os.path.exists(written) and os.path.samefile(written, read_from):
                raise ValueError(f"--{option} is the file that is read, {read_from!r}; name another one")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the backend."""
    parser.add_argument("--backend", help="who runs it: a name, a device 'cuda:1', a list 'cuda,cpu', or 'auto'")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the choice of machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_sum(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dispatch.sum`."""
    parser.add_argument(
        "--axis", type=argument_types.axes, help="what to sum over: '0', '0,2' or '=-1,0' (default: all)"
    )
    parser.add_argument("--dtype", type=argument_types.dtype, help="the type to add in")
    add_backend(parser)


def sum_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of the call of `dispatch.sum`."""
    return {"axis": options.axis, "dtype": options.dtype, "backend": options.backend}


def add_eigsh(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dispatch.eigsh`."""
    parser.add_argument("-k", type=int, default=6, help="how many eigenpairs (default 6)")
    parser.add_argument("--which", default="LM", choices=("LM", "SM", "LA", "SA", "BE"), help="which ones (default LM)")
    parser.add_argument("--tol", type=float, default=0.0, help="relative accuracy (default: what the arithmetic gives)")
    parser.add_argument("--maxiter", type=int, help="most iterations")
    parser.add_argument("--seed", type=argument_types.seed, help="seed of the random start")
    parser.add_argument("--mass", metavar="FILE", help="file of the matrix M of a generalized problem")
    parser.add_argument("--mass-key", metavar="NAME", help="which array of that file, where it holds several")
    parser.add_argument("--preconditioner", default="auto", help="'auto', 'none', 'jacobi' or 'chebyshev'")
    add_backend(parser)


def eigsh_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of the call of `dispatch.eigsh`; the file of M is read."""
    return {
        "k": options.k,
        "M": _mass(options),
        "which": options.which,
        "maxiter": options.maxiter,
        "tol": options.tol,
        "rng": options.seed,
        "preconditioner": None if options.preconditioner == "none" else options.preconditioner,
        "backend": options.backend,
    }


def _mass(options: argparse.Namespace) -> Any:
    if options.mass is None and options.mass_key is not None:
        raise ValueError("--mass-key names an array of the file of M; give that file with --mass")
    return None if options.mass is None else read(options.mass, options.mass_key, "--mass-key")
