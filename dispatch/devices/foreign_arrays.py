"""Which arrays NumPy cannot read, such as those on a device of a library that knows none of NumPy's protocols."""

from __future__ import annotations

from typing import Any


def is_foreign(array: Any) -> bool:
    """Whether an object is an array that NumPy would take for something else, or read element by element."""
    if not (hasattr(array, "dtype") and hasattr(array, "shape")):
        return False
    if any(hasattr(array, protocol) for protocol in ("__array__", "__array_interface__", "__array_struct__")):
        return False
    try:
        memoryview(array)
    except TypeError:
        return True
    return False
