"""Read arrays and sparse matrices from files: .npy, .npz, .mtx, .mtx.gz, .mat and text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.cli.matrix_market import read_matrix_market
from dispatch.cli.text import read_text

READER_SECONDS = 300
"""How long a trial reading of a .mat file may take."""


def read(path: str, key: str | None = None, option: str = "--key") -> Any:
    """Return the array or sparse matrix in a file; the name's ending tells the format, text being the default.

    Parameters
    ----------
    path : str
        The file.
    key : str, optional
        Which array, where the file holds several.
    option : str
        What the key is given by, for messages.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it does not hold an array, or several and `key` names none of them, or one without a name and there is a
        `key`. Pickled objects are refused, and sparse matrices whose indices are outside their shape.
    """
    if not Path(path).is_fifo():  # which can be opened only once
        with Path(path).open("rb"):
            pass  # a file that is not there is the system's error, whatever the reader would say
    try:
        array = _by_ending(path, key, option)
        _refuse_outside(array)
    except MemoryError as error:
        raise MemoryError(f"{path}: not enough memory to read it{f' ({error})' if str(error) else ''}") from error
    except Exception as error:  # each reader has errors of its own for a file that is not what its name says
        raise ValueError(f"{path}: {error}") from error
    return array


def _refuse_outside(array: Any) -> None:
    """Refuse a sparse matrix with elements outside its shape; compiled code trusts the indices."""
    if hasattr(array, "check_format"):
        array.check_format(full_check=True)
    if getattr(array, "format", "") == "dia":
        rows, columns = array.shape
        outside = [int(offset) for offset in array.offsets if not -rows < offset < columns]
        if outside:
            raise ValueError(f"its diagonals {outside} are outside its shape {array.shape}")


def _by_ending(path: str, key: str | None, option: str) -> Any:
    name = Path(path).name.lower()
    if name.endswith((".npy", ".npz", ".mat")) and Path(path).is_fifo():
        raise ValueError("it is a pipe, and its format cannot be read from one; write a file first")
    if name.endswith(".npz"):
        return _from_npz(path, key, option)
    if name.endswith(".mat"):
        return _from_mat(path, key, option)
    _refuse_key(key, option)
    if name.endswith(".npy"):
        return np.load(path, allow_pickle=False)
    if name.endswith((".mtx", ".mtx.gz")):
        return read_matrix_market(path)
    return read_text(path)


def _refuse_key(key: str | None, option: str) -> None:
    if key is not None:
        raise ValueError(f"it holds one array and no names; leave {option} out")


_INDEX_ARRAYS = frozenset({"indices", "indptr", "row", "col", "coords", "offsets"})
"""What `scipy.sparse.save_npz` calls the arrays that say where elements are."""


def _from_npz(path: str, key: str | None, option: str) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        if {"format", "shape", "data"} <= set(archive.files):
            from scipy.sparse import load_npz

            _refuse_key(key, option)
            for name in _INDEX_ARRAYS.intersection(archive.files):  # SciPy would cut off what is no integer
                if archive[name].dtype.kind not in "iu":
                    raise ValueError(f"its {name} have dtype {archive[name].dtype}, expected integers")
            return load_npz(path)
        return _pick({name: archive[name] for name in archive.files}, key, option)


def _from_mat(path: str, key: str | None, option: str) -> Any:
    # A corrupt file can crash the compiled reader, or hang it, so a process of its own reads it first.
    trial = [sys.executable, "-c", "import sys, scipy.io; scipy.io.loadmat(sys.argv[1])", path]
    try:
        ended = subprocess.run(trial, capture_output=True, timeout=READER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"its reader had not finished after {READER_SECONDS} s: the file is corrupt") from None
    if ended.returncode < 0:
        raise ValueError("its reader crashed: the file is corrupt")
    from scipy.io import loadmat

    return _pick({n: a for n, a in loadmat(path, spmatrix=False).items() if not n.startswith("__")}, key, option)


def _pick(arrays: Mapping[str, Any], key: str | None, option: str) -> Any:
    if key is not None and key in arrays:
        return arrays[key]
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    asked = f"no array {key!r}" if key is not None else f"{len(arrays)} arrays"
    raise ValueError(f"it holds {asked}; choose one with {option}: {', '.join(arrays) or '(none)'}")
