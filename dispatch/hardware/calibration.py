"""Which devices have been measured, and when the others are.

No call waits for a measurement. ``dispatch calibrate`` measures at once. Otherwise the first call of a process whose
choice could turn out differently, and that is long enough to matter, has the devices measured in a process of its own
and of low priority: a driver that crashes takes nothing with it, and the decisions of this process stay as they are.
The next process finds the profiles.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dispatch.hardware.profile import Profile

if TYPE_CHECKING:
    from dispatch.backend import Backend, Device

logger = logging.getLogger(__name__)

WORTH_SECONDS = 1e-3
"""Estimated time of a call from which a better choice is worth a measurement."""

PAUSE = 3600.0
"""Seconds after an attempt to measure in the background before another one: one that fails is not repeated at once."""


def enabled() -> bool:
    """Return whether stored profiles are used, and devices measured unasked; ``DISPATCH_CALIBRATE=0`` says no."""
    return os.environ.get("DISPATCH_CALIBRATE", "").strip() != "0"


def setting_problem() -> str:
    """Return what is wrong with ``DISPATCH_CALIBRATE``, or the empty string."""
    text = os.environ.get("DISPATCH_CALIBRATE", "").strip()
    return "" if text in ("", "0", "1") else f"it is {text!r}, expected 0 or 1; it counts as 1"


def with_stored_profiles(devices: Sequence[Device], distribution: str | None) -> tuple[Device, ...]:
    """Return devices with the profiles that were measured for them, where there are any."""
    if distribution is None or not enabled():
        return tuple(devices)
    from dispatch.hardware import store  # what it needs is not for `import dispatch` to load

    found = ((device, store.load(device, distribution)) for device in devices)
    return tuple(device if profile is None else replace(device, profile=profile) for device, profile in found)


def measured_profile(backend: Backend, device: Device) -> Profile:
    """Return what a backend measures of its device, once it is known to be a profile that can be stored.

    Raises
    ------
    TypeError, ValueError
        When it is not.
    Exception
        Whatever the backend raises.
    """
    profile = backend.calibrate(device)
    if not isinstance(profile, Profile):
        raise TypeError(f"calibrate() returned {profile!r}, expected a Profile")
    Profile.from_dict(profile.to_dict())
    return profile


def store_profile(device: Device, distribution: str | None, profile: Profile) -> None:
    """Store what was measured of a device, which processes find that look for devices from now on.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    from dispatch.hardware import store

    if distribution is not None:
        store.save(device, distribution, profile)


_started = threading.Event()
"""Whether this process has seen to the measurement."""


def calibrate_in_background() -> None:
    """Have every device that is not measured yet measured by another process; never raises, and does so once."""
    if _started.is_set() or not enabled():
        return
    _started.set()
    try:
        from dispatch.devices import python_command, start_silently

        command = python_command("dispatch", "calibrate", "--missing")
        if _claim():
            start_silently(command, {"DISPATCH_CALIBRATE": "1"})
            logger.info("the devices of this machine are measured in the background; the next process knows them")
    except Exception:
        logger.debug("the devices are not measured", exc_info=True)


def _claim() -> bool:
    """Return whether no process has tried for some time; the first of those that ask at once is told so."""
    from dispatch.hardware import store

    stamp = store.folder() / "attempted"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if abs(time.time() - stamp.stat().st_mtime) < PAUSE:  # clocks are set back
            return False
        stamp.unlink()
    try:
        stamp.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
