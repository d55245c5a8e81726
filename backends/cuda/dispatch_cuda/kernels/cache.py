"""Compiled kernels on disk, so that a process need not compile what an earlier one has.

Numba's own cache knows a kernel by its bytecode. It would not see a change in a function that the kernel calls, and it
would not find kernels of ours again, which are made by functions and keep what they are specialised by in closures.
Here the key is what decides the machine code: the sources of all kernels, what this one is specialised by, its
signature and options, the compute capability, and the versions and settings of everything that compiles.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import platform
from functools import cache
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Any

from dispatch.devices import cache_folder, write_whole
from dispatch_cuda.devices import toolkit_version

logger = logging.getLogger(__name__)

DIGEST = hashlib.sha256().digest_size
"""Bytes in front of each file: the digest of the others."""

SOURCES = hashlib.sha256(
    b"".join(
        file.name.encode() + file.read_bytes()
        for file in sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".py")
    )
).hexdigest()
"""Digest of the kernels' sources as they were when this process read them."""


class KernelCache:
    """Where Numba's dispatcher looks for a kernel before it compiles it, and leaves it afterwards.

    Whatever goes wrong with a file, a kernel that is not found is compiled.

    Parameters
    ----------
    name : str
        The kernel, with what it is specialised by.
    options : str
        The options that it is compiled with.
    """

    cache_path = None

    def __init__(self, name: str, options: str) -> None:
        self._name, self._options = name, options

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the kernel for a signature and the current device, or None."""
        data = load(self._path(signature, target))
        if data is None:
            return None
        try:
            return pickle.loads(data)
        except Exception as error:  # noqa: BLE001 - of a version of Numba that changed without changing its number
            logger.debug("%s is compiled anew: %s", self._name, error)
            return None

    def save_overload(self, signature: Any, kernel: Any) -> None:
        """Keep a kernel that has just been compiled for the current device."""
        try:
            data = import_module("numba.cuda.serialize").dumps(kernel)
        except Exception as error:  # noqa: BLE001 - a cache never breaks a call
            logger.debug("%s is not kept: %s", self._name, error)
            return
        save(self._path(signature, kernel.target_context), data)

    def flush(self) -> None:
        """Do nothing: files that are out of date are not found any longer."""

    def _path(self, signature: Any, target: Any) -> Path:
        return cache_folder("cuda-kernels") / key(self._name, self._options, signature, target.codegen().magic_tuple())


def key(*what: Any) -> str:
    """Return the name of the file for what is specific to a kernel, with what is common to all."""
    settings = sorted(
        (name, value) for name, value in os.environ.items() if name.startswith("NUMBA_") and "CUDA" in name
    )
    return hashlib.sha256(repr((*map(str, what), SOURCES, _compilers(), settings)).encode()).hexdigest()


@cache
def _compilers() -> tuple[str, ...]:
    names = ("numba-cuda", "numba", "llvmlite", "cuda-core", "cuda-bindings")
    python = (platform.python_implementation(), platform.python_version(), platform.machine())
    return (*python, toolkit_version(), *map(_version, names))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "-"


def load(path: Path) -> bytes | None:
    """Return what this user or the administrator has kept in a file, if all of it is there; otherwise None."""
    try:
        with open(path, "rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            digest, data = file.read(DIGEST), file.read()
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - a cache never breaks a call
        logger.debug("a compiled kernel cannot be read: %s", error)
        return None
    if hasattr(os, "getuid") and owner not in (os.getuid(), 0):
        logger.debug("a compiled kernel is somebody else's, and passed over: %s", path)
        return None
    if hashlib.sha256(data).digest() != digest:
        logger.debug("a compiled kernel is damaged, and passed over: %s", path)
        return None
    return data


def save(path: Path, data: bytes) -> None:
    """Keep data in a file, for others to see at once and whole; where that cannot be done, do nothing."""
    try:
        write_whole(path, hashlib.sha256(data).digest() + data)
    except Exception as error:  # noqa: BLE001 - a cache never breaks a call
        logger.debug("a compiled kernel is not kept: %s", error)
