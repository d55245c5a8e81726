"""What there is on this machine: what `dispatch.backends` returns and ``dispatch list`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

from dispatch.backend import Device
from dispatch.discovery import DiscoveryProblem
from dispatch.entry import Entry, Unavailable
from dispatch.registry import Table


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """One known backend.

    Attributes
    ----------
    name : str
        By which it is asked for.
    distribution, version : str or None
        The installed distribution that provides it; None for a registered object, and where it is not installed.
    available : bool
        Whether it can run on this machine.
    devices : tuple of Device
        Its devices; empty when it is not available.
    reason, remedy : str
        Why it is not available, and what to do about it; empty when it is.
    """

    name: str
    distribution: str | None
    version: str | None
    available: bool
    devices: tuple[Device, ...] = ()
    reason: str = ""
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        profiles = [None if device.profile is None else device.profile.to_dict() for device in self.devices]
        fields = asdict(self)
        devices = [device | {"profile": profile} for device, profile in zip(fields["devices"], profiles, strict=True)]
        return fields | {"devices": devices}


@dataclass(frozen=True, slots=True)
class Inventory(Sequence[BackendInfo]):
    """Every known backend, in order of name, and the problems met in finding them.

    Attributes
    ----------
    rows : tuple of BackendInfo
        One a backend; the inventory itself is a sequence of these.
    problems : tuple of DiscoveryProblem
        Broken metadata of installed packages and settings that name nothing; none of them hides a backend.
    """

    rows: tuple[BackendInfo, ...]
    problems: tuple[DiscoveryProblem, ...] = ()

    @overload
    def __getitem__(self, index: int) -> BackendInfo: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[BackendInfo, ...]: ...
    def __getitem__(self, index: int | slice) -> BackendInfo | tuple[BackendInfo, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[BackendInfo]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the inventory as plain values, ready for JSON."""
        return {
            "backends": [row.to_dict() for row in self.rows],
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        """Return one line a backend, and one a problem."""
        lines = []
        for row in self.rows:
            origin = f"{row.distribution} {row.version}" if row.distribution else "-"
            state = ", ".join(f"{device.name} ({device.description})" for device in row.devices)
            lines.append(f"{row.name}  {origin}  {state or f'unavailable: {row.reason} -> {row.remedy}'}")
        lines += map(str, self.problems)
        return "\n".join(lines)


def take_inventory(table: Table, problems: Sequence[DiscoveryProblem] = ()) -> Inventory:
    """Import and probe every backend of `table`, and return what came of it, with the `problems` found elsewhere."""
    return Inventory(tuple(_row(entry) for entry in table.entries.values()), (*table.problems, *problems))


def _row(entry: Entry) -> BackendInfo:
    devices = entry.devices()
    if isinstance(devices, Unavailable):
        return BackendInfo(
            entry.name, entry.distribution, entry.version, False, reason=devices.reason, remedy=devices.remedy
        )
    return BackendInfo(entry.name, entry.distribution, entry.version, True, devices)
