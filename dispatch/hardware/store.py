"""Measured profiles on disk: one small JSON file a device, in the user's cache folder.

A file counts when it was written for the same device, driver and package versions. Whatever else is there, or cannot
be read, is passed over; writing replaces a file in one step, so that a reader sees the old one or the new one.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import platform
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatch.devices import cache_folder, write_whole
from dispatch.hardware.profile import Profile

if TYPE_CHECKING:
    from dispatch.backend import Device

logger = logging.getLogger(__name__)

FORMAT = 1
"""Of the files; others are passed over."""

LARGEST = 1 << 16
"""Bytes of a file that is worth reading: a profile has less than one in thirty of them."""


def folder() -> Path:
    """Return where profiles are kept."""
    return cache_folder("profiles")


def path_of(device: Device) -> Path:
    """Return the file of a device; machines with different hardware may share a folder."""
    hardware = json.dumps([device.name, device.kind, device.description])
    return folder() / f"{device.name.replace(':', '-')}-{hashlib.sha256(hardware.encode()).hexdigest()[:16]}.json"


def load(device: Device, distribution: str) -> Profile | None:
    """Return what was measured of a device with the software that is installed now, or None."""
    try:
        path = path_of(device)
        written = json.loads(_read(path))
        if not isinstance(written, dict) or written.get("identity") != identity(device, distribution):
            logger.debug("%s is of other hardware or software, and is passed over", path)
            return None
        return Profile.from_dict(written.get("profile"))
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - a cache never breaks a call
        logger.debug("the profile of %s is passed over: %s", device.name, error)
        return None


def _read(path: Path) -> str:
    """Return a small regular file's text; a pipe that somebody put there would never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
        raise ValueError(f"{path} is no small file")
    return path.read_text("utf-8")


def save(device: Device, distribution: str, profile: Profile) -> Path:
    """Write a profile and return its file.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    path = path_of(device)
    written = {"identity": identity(device, distribution), "profile": profile.to_dict()}
    write_whole(path, json.dumps(written, indent=1, allow_nan=False).encode())
    return path


def identity(device: Device, distribution: str) -> dict[str, Any]:
    """Return what a measurement holds for: the device, its driver, and the versions of what computes on it."""
    return {
        "format": FORMAT,
        "device": [device.name, device.kind, device.description],
        "driver": device.driver,
        "versions": _versions(distribution),
    }


def _versions(distribution: str) -> dict[str, str]:
    """Return the versions of a plugin, of what it requires, and of what every plugin rests on."""
    names = {"array-dispatch", "numpy", "scipy", distribution}
    for requirement in importlib.metadata.requires(distribution) or ():
        name, _, marker = requirement.partition(";")
        if "extra" not in marker:
            names.add(re.split(r"[^A-Za-z0-9._-]", name.strip())[0])
    versions = {"python": platform.python_version()}
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "-"
    return versions
