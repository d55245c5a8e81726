"""Compiling the kernels of `sum`, always outside of the process that sums.

``python -m dispatch_cpu.compilation`` compiles all of them and keeps them on disk. `start` does the same in the
background, for the few that a process has asked for: Numba's compiler changes the filters of `warnings`, which belong
to a whole process, and holds Python's lock for seconds, so that no program would want it in a thread of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatch.devices import python_command, start_silently
from dispatch_cpu.recipes import Key, all_keys, parse_key


def start(keys: Iterable[Key]) -> bool:
    """Have kernels compiled by a process that outlives this one if need be; False if some process compiles already.

    Raises
    ------
    RuntimeError
        Where no Python can be started.
    """
    command = python_command("dispatch_cpu.compilation", "--locked", *map(str, keys))
    lock = _lock(wait=False)
    if lock is None:
        return False
    try:
        # The lock goes with its descriptor: the system takes it back when the compiler ends, in whatever way.
        start_silently(command, pass_fds=(lock,))
    finally:
        os.close(lock)
    return True


def _lock(*, wait: bool) -> int | None:
    """Return a descriptor that holds the lock of the cache folder; None where another process holds it.

    Without it, two compilers could write under one name, and each other's kernels would be loaded: Numba itself does
    not guard its folder.
    """
    from dispatch_cpu import sum_kernels

    folder = Path(sum_kernels.sum_rows.stats.cache_path)
    descriptor = os.open(folder / "dispatch_cpu.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise RuntimeError(f"{folder} cannot be locked ({error}); set NUMBA_CACHE_DIR to a folder that can") from error
    return descriptor


@contextlib.contextmanager
def only_compiler() -> Iterator[None]:
    """Wait until no other process compiles, and keep others from it."""
    lock = _lock(wait=True)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def remove_stale() -> None:
    """Remove what Numba has kept of earlier sources, and would overwrite.

    It names a file in its index before it writes it: a process that looks at that moment would load a kernel of an
    earlier source, or of other dtypes.
    """
    from dispatch_cpu import pass_kernels, sum_kernels

    kernels = (sum_kernels.sum_rows, sum_kernels.sum_short_rows, pass_kernels.passes)
    for function in (*kernels, pass_kernels.run_passes, pass_kernels.run_few):
        kept = function._cache._cache_file
        valid = set(kept._load_index().values())
        for path in Path(function.stats.cache_path).glob(kept._index_name.removesuffix("nbi") + "*.nbc"):
            if path.name not in valid:
                path.unlink(missing_ok=True)


def compile_kernels(keys: Iterable[Key]) -> None:
    """Compile kernels, as far as they are not on disk and the processor can run them, and keep them there."""
    from dispatch_cpu import kernels

    for key in keys:
        with contextlib.suppress(NotImplementedError):
            kernels.call_once(key)


def main(arguments: list[str]) -> None:
    """Compile the kernels that are named, or all; ``--locked`` says that whoever starts this holds the lock."""
    names = [name for name in arguments if name != "--locked"]
    keys = list(map(parse_key, names)) if names else all_keys()
    with contextlib.nullcontext() if "--locked" in arguments else only_compiler():
        remove_stale()
        compile_kernels(keys)


if __name__ == "__main__":
    main(sys.argv[1:])
