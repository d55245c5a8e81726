"""Read Matrix Market files strictly.

`scipy.io.mmread` stops reading a number at the first character that does not belong to it and ignores the rest of the
line: it takes Fortran's ``1.5D+3`` for 1.5, and ``1,5`` for 1. Every line is therefore checked first, and what Fortran
programs write is brought to the form that is read.

R. F. Boisvert, R. Pozo, K. A. Remington, "The Matrix Market exchange formats: initial design", NISTIR 5935 (1996).
"""

from __future__ import annotations

import gzip
import io
import re
from typing import Any

import numpy as np

from dispatch.cli.text import refuse_overflow

_INDEX = rb"[0-9]+"
_INTEGER = rb"-?[0-9]+"
_REAL = rb"-?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|(?i:inf(?:inity)?|nan))"
_VALUES = {
    "real": (_REAL,),
    "double": (_REAL,),
    "complex": (_REAL, _REAL),
    "integer": (_INTEGER,),
    "unsigned-integer": (_INDEX,),
    "pattern": (),
}
_FORTRAN_EXPONENT = re.compile(rb"(?<=[0-9.])[dD](?=[-+]?[0-9])")
_PLUS_SIGN = re.compile(rb"(?<![^\s])\+(?=[0-9.])")
_HEAD = re.compile(rb"(?:%[^\n]*\n|[ \t\r]*\n)*[^\n]*\n?")
"""The banner, the comments, and the line of the sizes."""


def read_matrix_market(path: str) -> Any:
    """Return the sparse array, or the dense one, in a ``.mtx`` or ``.mtx.gz`` file.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When a line is not what the banner says, naming the line; when a number does not fit float64; and when the file
        holds both triangles, or a diagonal, that a matrix of the banner's symmetry does not have.
    """
    from scipy.io import mminfo, mmread

    open_file = gzip.open if path.lower().endswith(".gz") else open
    with open_file(path, "rb") as file:
        text: bytes = file.read()
    _, _, _, layout, field, symmetry = mminfo(io.BytesIO(text))
    end = _end_of_head(text)
    head, body = text[:end], text[end:]
    if re.search(rb"[dD+]", body):
        body = _PLUS_SIGN.sub(b"", _FORTRAN_EXPONENT.sub(b"e", body))
    _refuse_bad_lines(body, layout, field, lines_before=head.count(b"\n"))
    matrix = mmread(io.BytesIO(head + body), spmatrix=False)
    refuse_overflow(matrix.data if layout == "coordinate" else matrix, body)
    if symmetry == "general":
        return matrix
    _refuse_diagonal(matrix, symmetry)
    if layout == "coordinate" and matrix.tocsr().nnz < matrix.nnz:
        general = re.sub(rb"(?i)" + symmetry.encode(), b"general", head, count=1)
        _refuse_both_triangles(mmread(io.BytesIO(general + body), spmatrix=False), symmetry)
    return matrix


def _refuse_diagonal(matrix: Any, symmetry: str) -> None:
    """Refuse a diagonal that a matrix of that symmetry cannot have."""
    diagonal = matrix.diagonal()
    if symmetry == "skew-symmetric" and diagonal.any():
        raise ValueError("its banner says skew-symmetric, but an element of its diagonal is not 0")
    if symmetry == "hermitian" and np.any(diagonal.imag):
        raise ValueError("its banner says hermitian, but an element of its diagonal is not real")


def _refuse_both_triangles(stored: Any, symmetry: str) -> None:
    """Refuse an element and its mirror image, which `scipy.io.mmread` would add up."""
    rows, columns = stored.coords
    if (rows < columns).any() and (rows > columns).any():
        raise ValueError(
            f"its banner says {symmetry}, of which one triangle is stored, but it holds both: write general there"
        )


def _end_of_head(text: bytes) -> int:
    match = _HEAD.match(text)
    return match.end() if match is not None else len(text)


def _refuse_bad_lines(body: bytes, layout: str, field: str, lines_before: int) -> None:
    numbers = ((_INDEX, _INDEX) if layout == "coordinate" else ()) + _VALUES[field]
    good = rb"[ \t]*" + rb"[ \t]+".join(numbers) + rb"[ \t]*\r?$"
    bad = re.search(rb"^(?!" + good + rb")(?=[^\n]*\S)[^\n]*", body, re.MULTILINE)
    if bad is not None:
        line = lines_before + body.count(b"\n", 0, bad.start()) + 1
        found = bad.group().decode("utf-8", "replace").strip()
        wanted = [*(("row", "column") if layout == "coordinate" else ()), *[field] * len(_VALUES[field])]
        raise ValueError(f"line {line} is {found!r}, expected {len(wanted)} numbers: {', '.join(wanted)}")
