"""Where things are kept on disk from one process to the next, and how they are put there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return the folder of that name under ``DISPATCH_CACHE_DIR``, or under the platform's folder for caches.

    It need not exist. What is in it may be of other hardware, of other versions, or damaged; nothing may rest on it.
    """
    given = os.environ.get("DISPATCH_CACHE_DIR", "").strip()
    if given:
        return Path(given) / name
    import platformdirs  # not for `import dispatch` to load

    return platformdirs.user_cache_path("array-dispatch", appauthor=False) / name


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step: who reads it at the same time sees the old one or the new one, and all of it.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
