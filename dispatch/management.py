"""Look at, add to and renew what dispatch knows: `backends`, `register`, `refresh`."""

from __future__ import annotations

from dispatch.backend import Backend
from dispatch.context import environment_problem, forget_environment
from dispatch.inventory import Inventory, take_inventory
from dispatch.registry import Registration, registry


def backends() -> Inventory:
    """Return every known backend: where it comes from, its devices, or why it is not available and what to do.

    Imports and probes every plugin that is not disabled.

    Examples
    --------
    >>> import dispatch
    >>> [backend.name for backend in dispatch.backends() if backend.available and backend.name == "cpu"]
    ['cpu']
    """
    return take_inventory(registry.table(), environment_problem())


def register(backend: Backend) -> Registration:
    """Make a backend object known to this process under its name, as an installed plugin would be.

    Parameters
    ----------
    backend : Backend
        The object; its name must be free.

    Returns
    -------
    Registration
        Call it to undo the registration, or use it as a context manager.

    Raises
    ------
    TypeError
        When `backend` is not a `Backend` instance.
    ValueError
        When another backend has the name.
    """
    return registry.register(backend)


def refresh() -> None:
    """Look at plugins, environment variables and hardware again.

    The next call scans, imports and probes as the first one did. Backends added by `register` stay.
    """
    registry.refresh()
    forget_environment()
