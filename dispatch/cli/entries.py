"""Which backends a command is about: the one that is named, or all."""

from __future__ import annotations

from dispatch.entry import Entry
from dispatch.errors import UnknownBackendError
from dispatch.registry import registry


def named_entries(*names: str, option: str = "") -> list[Entry]:
    """Return the entries of these names, or all where there is no name.

    Raises
    ------
    UnknownBackendError
        When nobody provides a name; the text begins with the `option` that it was given for.
    """
    entries = registry.table().entries
    for name in names:
        if name not in entries:
            given = f"{option}: " if option else ""
            raise UnknownBackendError(f"{given}unknown backend {name!r}; there is {', '.join(entries)}")
    return [entries[name] for name in names] if names else list(entries.values())
