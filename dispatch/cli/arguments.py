"""Options that several commands share."""

from __future__ import annotations

import argparse


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the input file, and the name of the array inside it."""
    parser.add_argument("file", help="the input file")
    parser.add_argument("--key", metavar="NAME", help="which array, where the file holds several")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the backend."""
    parser.add_argument("--backend", help="who runs it: a name, a device 'cuda:1', a list 'cuda,cpu', or 'auto'")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the choice of machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_eigsh(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dispatch.eigsh`."""
    parser.add_argument("-k", type=int, default=6, help="how many eigenpairs (default 6)")
    parser.add_argument("--which", default="LM", choices=("LM", "SM", "LA", "SA", "BE"), help="which ones (default LM)")
    parser.add_argument("--tol", type=float, default=0.0, help="relative accuracy (default: what the arithmetic gives)")
    parser.add_argument("--maxiter", type=int, help="most iterations")
    parser.add_argument("--seed", type=int, help="seed of the random start")
    parser.add_argument("--mass", metavar="FILE", help="file of the matrix M of a generalized problem")
