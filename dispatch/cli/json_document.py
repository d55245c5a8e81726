"""JSON of results: everything that NumPy computes has a form in it that is valid JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np


def to_json(document: dict[str, Any], indent: int | None = None) -> str:
    """Return `document` as JSON, with a line break at its end.

    A complex number is ``[re, im]``. What JSON has no number for is a string: ``"nan"``, ``"inf"``, ``"-inf"``, numbers
    of more than double precision, dates.
    """
    return json.dumps(_plain(document), indent=indent, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value] if value.ndim else _plain(value[()])
    if isinstance(value, (complex, np.complexfloating)):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, (np.bool_, np.integer, np.floating)) and not isinstance(value, np.timedelta64):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (str, int)) else str(value)
