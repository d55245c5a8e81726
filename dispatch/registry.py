"""The one table of known backends.

Names come from two sources: the entry points of installed plugins, found by one lazy scan, and `register`. A name that
``DISPATCH_DISABLE`` lists stays in the table, so that it can be explained, but its plugin is never imported.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from weakref import WeakSet

from dispatch.backend import Backend, is_backend_name
from dispatch.caller import warn_caller
from dispatch.discovery import DiscoveryProblem, Plugin, discover
from dispatch.entry import Entry, Unavailable, UnusableEntry
from dispatch.environment import disabled_names, setting_problems
from dispatch.errors import BackendWarning
from dispatch.request import refuse_name

INSTALLED_BY = {
    "cpu": "pip install array-dispatch-cpu",
    "cuda": "pip install 'array-dispatch[cuda]'",
    "opencl": "pip install 'array-dispatch[opencl]'",
}
"""The backends that people expect here, and how to get them: a request may name them on a machine that has them not."""


_ENTRY = "_dispatch_entry"
"""The attribute of an unregistered backend object that holds what has been found out about it."""


@dataclass(frozen=True)
class Table:
    """The known backends at one moment. A change makes a new table; this one is never modified.

    Attributes
    ----------
    entries : mapping of str to Entry
        Every known backend by name, in the order of the names.
    problems : tuple of DiscoveryProblem
        What was wrong with the metadata and the settings that the scan read.
    routes : dict
        Decisions that selection made from this table; they die with it.
    owners : dict
        The only backend that owns a class of device arrays, by the class; None where there is not one.
    """

    entries: dict[str, Entry]
    problems: tuple[DiscoveryProblem, ...] = ()
    routes: dict[Any, Any] = field(default_factory=dict)
    owners: dict[type, Backend | None] = field(default_factory=dict)


class Registry:
    """Keeps the current `Table`. Every method may be called from many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._found: Table | None = None
        self._registered: dict[str, Entry] = {}
        self._unregistered: WeakSet[Entry] = WeakSet()
        self.latest: Table | None = None
        """The current table, once there is one: that takes no call, and every sum looks it up."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def table(self) -> Table:
        """Return the current table; the first call scans the installed plugins."""
        table = self.latest
        if table is None:
            with self._lock:
                if self._found is None:
                    self._found = _scan()
                entries = sorted((self._found.entries | self._registered).items())
                table = self.latest = Table(dict(entries), self._found.problems)
        return table

    def entry_of(self, backend: Backend) -> Entry:
        """Return the entry of a backend object, whether it is registered or not."""
        with self._lock:
            registered = self._registered.get(backend.name)
            if registered is not None and registered.backend() is backend:
                return registered
            # Kept on the object, so that both live as long as each other, and equal objects are not mistaken.
            entry: Entry | None = vars(backend).get(_ENTRY)
            if entry is None:
                entry = vars(backend)[_ENTRY] = Entry(backend.name, lambda: backend)
                self._unregistered.add(entry)
            return entry

    def register(self, backend: Backend) -> Registration:
        """Add `backend` to the table, as `dispatch.register` documents."""
        if not isinstance(backend, Backend):
            raise TypeError(f"backend is {backend!r}, expected an instance of dispatch.Backend")
        refuse_name(getattr(backend, "name", None), type(backend).__name__)
        with self._lock:
            present = self.table().entries.get(backend.name)
            if present is not None and present.installed:
                raise ValueError(
                    f"a backend named {backend.name!r} is already provided by {present.author}; give yours another name"
                )
            entry = Entry(backend.name, lambda: backend)
            why = entry.backend()
            if isinstance(why, Unavailable):
                raise ValueError(f"the backend {backend.name!r} cannot be registered: {why.reason}")  # noqa: TRY004
            self._registered[backend.name] = entry
            self.latest = None
        return Registration(self, entry)

    def unregister(self, entry: Entry) -> None:
        """Remove what `register` added; nothing happens when it is gone already."""
        with self._lock:
            if self._registered.get(entry.name) is entry:
                del self._registered[entry.name]
                self.latest = None

    def refresh(self) -> None:
        """Forget everything but the registered backends; the next use scans, imports and probes again."""
        with self._lock:
            for entry in (*self._registered.values(), *self._unregistered):
                entry.forget()
            self._found = self.latest = None

    def _after_fork(self) -> None:
        # Another thread of the parent process may have held a lock at the moment of the fork.
        self._lock = threading.RLock()
        found = self._found.entries if self._found is not None else {}
        for entry in (*found.values(), *self._registered.values(), *self._unregistered):
            entry.after_fork()


class Registration:
    """The undo of one `register`: call it, or use it as a context manager. A second undo does nothing."""

    def __init__(self, registry: Registry, entry: Entry) -> None:
        self._registry = registry
        self._entry = entry

    def __call__(self) -> None:
        """Remove the backend again."""
        self._registry.unregister(self._entry)

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self()


def _scan() -> Table:
    plugins, found = discover()
    problems = list(found)
    disabled = disabled_names()
    claims: dict[str, list[Plugin]] = {name: [] for name in INSTALLED_BY}
    for plugin in plugins:
        if is_backend_name(plugin.name):
            claims.setdefault(plugin.name, []).append(plugin)
        else:
            reason = f"its entry point {plugin.name!r} is no name by which a backend can be asked for"
            problems.append(DiscoveryProblem(str(plugin), reason, f"report it to the authors of {plugin.distribution}"))
    for problem in setting_problems(claims):
        warn_caller(str(problem), BackendWarning)
        problems.append(problem)
    entries = {name: _entry(name, claims[name], name in disabled) for name in claims}
    return Table(entries, tuple(problems))


def _entry(name: str, claims: Sequence[Plugin], disabled: bool) -> Entry:
    if not claims:
        return UnusableEntry(name, Unavailable("it is not installed", INSTALLED_BY[name]), installed=False)
    first = claims[0]
    if disabled:
        why = Unavailable("disabled by DISPATCH_DISABLE", f"take {name} out of DISPATCH_DISABLE")
        return UnusableEntry(name, why, first.distribution, first.version)
    if len(claims) > 1:
        # Taking one of them would be a silent choice.
        rivals = " and ".join(str(plugin) for plugin in claims)
        remedy = "uninstall all but one of them"
        why = Unavailable(f"{rivals} all claim this name", remedy, hardware_present=True, broken=True)
        return UnusableEntry(name, why)
    return Entry(name, first.load, first.distribution, first.version)


registry = Registry()
"""The table of this process."""
