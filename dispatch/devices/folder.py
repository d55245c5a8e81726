"""Where things are kept on disk from one process to the next."""

from __future__ import annotations

import os
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
