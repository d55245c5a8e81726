"""One known backend and what has been found out about it: not loaded yet, available, or unavailable and why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

from dispatch.backend import API_VERSION, Backend, Device, DeviceKind, Profile
from dispatch.errors import BackendUnavailableError, BrokenContractError, one_line, printable, said
from dispatch.hardware.calibration import with_stored_profiles
from dispatch.timeout import call_with_timeout, read_probe_timeout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a backend cannot be used, and what to do; the fields are those of `BackendUnavailableError`.

    `broken` says that it is the plugin's fault: it raised something else, hung, or broke the contract.
    """

    reason: str
    remedy: str
    hardware_present: bool = False
    broken: bool = False


class Entry:
    """A backend that is known by name.

    The plugin is imported once, when the backend is first asked for, and probed once, when its devices are. Whatever
    it does wrong ends here, as an `Unavailable`. Every method may be called from many threads.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], object],
        distribution: str | None = None,
        version: str | None = None,
    ) -> None:
        self.name = name
        self.distribution = distribution
        self.version = version
        self.installed = True
        self.warned = False
        """Whether the user has been warned that hardware is present but unusable."""
        self.blamed = False
        """Whether it has been logged that the backend fails to judge calls."""
        self._load = load
        self._lock = threading.RLock()
        self._backend: Backend | Unavailable | None = None
        self._devices: tuple[Device, ...] | Unavailable | None = None

    @property
    def author(self) -> str:
        """Who provides the backend, for messages: its distribution, or the program itself."""
        return self.distribution or "the program that registered it"

    @property
    def way_out(self) -> str:
        """How to do without the backend, for messages."""
        return f"set DISPATCH_DISABLE={self.name}" if self.distribution else "undo its registration"

    def backend(self) -> Backend | Unavailable:
        """Return the backend object, importing its plugin on the first call."""
        with self._lock:
            if self._backend is None:
                self._backend = self._attempt("importing its plugin", lambda: self._checked(self._load()))
            return self._backend

    def devices(self) -> tuple[Device, ...] | Unavailable:
        """Return the usable devices, probing for them on the first call."""
        with self._lock:
            backend = self.backend()
            if isinstance(backend, Unavailable):
                return backend
            if self._devices is None:
                self._devices = self._attempt("probe()", lambda: self._profiled(tuple(backend.probe())))
            return self._devices

    def forget(self) -> None:
        """Forget what was found, so that the next call imports and probes again."""
        with self._lock:
            self._backend = self._devices = None
            self.warned = self.blamed = False

    def after_fork(self) -> None:
        """Replace the lock: in the parent process another thread may have held it at the moment of the fork."""
        self._lock = threading.RLock()

    def _attempt(self, what: str, action: Callable[[], T]) -> T | Unavailable:
        seconds, _ = read_probe_timeout()
        try:
            return call_with_timeout(lambda: self._outcome(what, action), seconds)
        except TimeoutError as error:
            more = "allow more with DISPATCH_PROBE_TIMEOUT=<seconds>"
            return Unavailable(f"{what}: {error}", f"{self.way_out}, or {more}", broken=True)

    def _outcome(self, what: str, action: Callable[[], T]) -> T | Unavailable:
        """Return what `action` returns or what its error says; in the thread of the plugin, where no Ctrl-C arrives."""
        try:
            return action()
        except BackendUnavailableError as error:
            broken = isinstance(error, BrokenContractError)
            reason, remedy = said(getattr(error, "reason", "")), said(getattr(error, "remedy", ""))
            if not reason:
                reason = f"{what} raised {type(error).__name__} without a reason"
                remedy = remedy or f"report it to the authors of {self.author}"
            return Unavailable(reason, remedy, bool(getattr(error, "hardware_present", False)), broken)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, even KeyboardInterrupt
            mend = f"reinstall or update {self.author}" if self.distribution else "mend it"
            return Unavailable(f"{what} raised {one_line(error)}", f"{mend}, or {self.way_out}", broken=True)

    def _checked(self, backend: object) -> Backend:
        if not isinstance(backend, Backend):
            raise BrokenContractError(
                f"{self.author} provides {backend!r}, expected an instance of dispatch.Backend",
                f"report it to the authors of {self.author}",
            )
        if isinstance(backend.api_version, bool) or backend.api_version != API_VERSION:
            raise BrokenContractError(
                f"it was written for plugin API {backend.api_version!r}; this core has {API_VERSION}",
                f"install versions of array-dispatch and {self.author} that go together",
            )
        if backend.name != self.name:
            raise BrokenContractError(
                f"its entry point is named {self.name!r} but its backend {backend.name!r}",
                f"report it to the authors of {self.author}",
            )
        types = backend.array_types
        if not isinstance(types, tuple) or not all(isinstance(name, str) for name in types):
            raise BrokenContractError(
                f"its array_types are {types!r}, expected a tuple of qualified names such as ('cupy.ndarray',)",
                f"report it to the authors of {self.author}",
            )
        return backend

    def _profiled(self, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        self._check_devices(devices)
        return with_stored_profiles([_legible(device) for device in devices], self.distribution)

    def _check_devices(self, devices: tuple[Device, ...]) -> None:
        names = [device.name if isinstance(device, Device) else repr(device) for device in devices]
        if not names or names != [f"{self.name}:{index}" for index in range(len(names))]:
            raise BrokenContractError(
                f"probe() returned the devices {names}, expected {self.name}:0, {self.name}:1 and so on",
                f"report it to the authors of {self.author}",
            )
        for device in devices:
            memory = device.memory
            profiled = device.profile is None or isinstance(device.profile, Profile)
            texts = isinstance(device.description, str) and isinstance(device.driver, str)
            known = device.kind in get_args(DeviceKind) and texts and profiled
            counted = isinstance(memory, int) and not isinstance(memory, bool) and memory >= 0
            if not known or not (memory is None or counted):
                raise BrokenContractError(
                    f"probe() returned {device!r}, expected a kind of {', '.join(get_args(DeviceKind))}, a description "
                    "and a driver that are strings, the memory as an int of at least 0 or None, and the profile as a "
                    "Profile or None",
                    f"report it to the authors of {self.author}",
                )


def _legible(device: Device) -> Device:
    description, driver = printable(device.description), printable(device.driver)
    if (description, driver) == (device.description, device.driver):
        return device
    return replace(device, description=description, driver=driver)


class UnusableEntry(Entry):
    """A name that is known but has nothing to load: not installed, disabled, or claimed by two plugins."""

    def __init__(
        self,
        name: str,
        why: Unavailable,
        distribution: str | None = None,
        version: str | None = None,
        *,
        installed: bool = True,
    ) -> None:
        super().__init__(name, lambda: None, distribution, version)
        self.installed = installed
        self._why = why

    def backend(self) -> Unavailable:
        """Return why there is no backend under this name."""
        return self._why
