"""``dispatch demo``: a spectral embedding of handwritten digits, on every backend that this machine has."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import dispatch
from dispatch.cli.argument_types import plot_file
from dispatch.cli.exit_codes import DONE, FAILED
from dispatch.cli.streams import complain
from dispatch.cli.tables import as_table
from dispatch.context import in_force
from dispatch.selection import refuse_unknown

AGREEMENT = 1e-8
"""Largest difference from SciPy's eigenvalues, and NumPy's sum, relative to theirs, that counts as agreement."""

PAIRS = 10

HEADER = ("backend", "device", "operation", "time", "largest residual", "difference from SciPy / NumPy")


PICTURE = "digits.png"
"""Where the picture goes if nobody says otherwise."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", help="embed handwritten digits on every available backend")
    parser.add_argument("--out", metavar="FILE", type=plot_file, help=f"the picture (default {PICTURE})")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a table of the backends and draw the embedding; return 1 when a backend disagrees."""
    from scipy.sparse.linalg import eigsh

    images, digits = _digits()
    names, why = _asked_for()
    out = options.out or _usual_picture()
    L = normalized_laplacian(images)
    reference = eigsh(L, k=PAIRS, which="LM", sigma=-1e-3)[0]
    total = images.sum()
    sys.stdout.write(
        f"{len(images)} handwritten digits, {L.nnz} links to the nearest neighbours, {PAIRS} smallest eigenpairs\n"
        f"on {', '.join(names)} ({why})\n"
    )
    rows: list[tuple[str, ...]] = []
    agree, embedding = True, None
    for name in names:
        try:
            with dispatch.trace() as calls:
                w, v, info = dispatch.eigsh(L, k=PAIRS, which="SA", return_info=True, backend=name)
                ours = dispatch.sum(images, backend=name)
        except (dispatch.BackendUnavailableError, dispatch.UnsupportedCallError) as error:
            rows.append((name, "-", "-", "-", "-", f"not available: {error.attempts[0].reason}"))
            continue
        difference = float(abs(w - reference).max() / abs(reference).max())
        apart = float(abs(ours - total) / abs(total))
        rows += [_row(name, calls[0], f"{info.residual_norms.max():.1e}", difference), _row(name, calls[1], "-", apart)]
        agree = agree and difference <= AGREEMENT and apart <= AGREEMENT
        embedding = v if embedding is None else embedding
    sys.stdout.write(as_table(HEADER, rows))
    if embedding is None:
        raise dispatch.BackendUnavailableError(
            f"nothing of {', '.join(names)} can run the demo", "see the reasons above"
        )
    if out:
        _draw(embedding, digits, out)
        sys.stdout.write(f"the embedding is drawn in {Path(out).resolve()}\n")
    if not agree:
        complain("error", f"a backend differs from the reference by more than {AGREEMENT:g}")
    return DONE if agree else FAILED


def _row(name: str, call: dispatch.TracedCall, residual: str, difference: float) -> tuple[str, ...]:
    return name, call.device, call.decision.operation, f"{call.seconds:.3f} s", residual, f"{difference:.1e}"


def _asked_for() -> tuple[list[str], str]:
    """Return the backends or devices to compare, and who says so: ``DISPATCH_BACKEND`` may name some."""
    request, source = in_force(None)
    refuse_unknown(request, source)
    if any(term.automatic for term in request.terms):
        return [backend.name for backend in dispatch.backends()], "every backend: DISPATCH_BACKEND may name some"
    return [term.name if term.device is None else f"{term.name}:{term.device}" for term in request.terms], source


def _usual_picture() -> str | None:
    """Return where the picture goes that nobody has asked for; none where it cannot be drawn, which is said."""
    try:
        return plot_file(PICTURE)
    except argparse.ArgumentTypeError as error:
        complain("warning", f"there will be no picture: {error}")
        return None


def normalized_laplacian(images: np.ndarray[Any, Any], neighbours: int = 10) -> Any:
    """Return ``I - D^-1/2 W D^-1/2`` of the symmetric graph of nearest neighbours.

    U. von Luxburg, "A tutorial on spectral clustering", Stat. Comput. 17 (2007), section 3.2.
    """
    from scipy.sparse import csr_array, diags_array, eye_array
    from sklearn.neighbors import kneighbors_graph

    links = csr_array(kneighbors_graph(images, neighbours))
    W = ((links + links.T) > 0).astype(float)
    scale = diags_array(1 / np.sqrt(np.asarray(W.sum(axis=0)).ravel()))
    L = eye_array(len(images)) - scale @ W @ scale
    return csr_array((L + L.T) / 2)


def _digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError("the demo needs scikit-learn: pip install 'array-dispatch[demo]'") from None
    return load_digits(return_X_y=True)  # type: ignore[no-any-return]


def _draw(v: np.ndarray[Any, Any], digits: np.ndarray[Any, Any], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, (x, y) in zip(figure.subplots(1, 2), ((1, 2), (3, 4)), strict=True):
        points = axes.scatter(v[:, x], v[:, y], c=digits, cmap="tab10", s=7, vmin=-0.5, vmax=9.5)
        axes.set(xlabel=f"eigenvector {x + 1}", ylabel=f"eigenvector {y + 1}", xticks=[], yticks=[])
    figure.colorbar(points, ax=figure.axes, ticks=range(10), label="digit")
    figure.suptitle("Handwritten digits, embedded by eigenvectors of their neighbour graph")
    figure.savefig(path, dpi=120)
