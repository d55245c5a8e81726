"""``dispatch calibrate``: measure the devices of this machine now, and store what automatic choice rests on."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from dispatch.backend import Device
from dispatch.cli.arguments import add_json
from dispatch.cli.entries import named_entries
from dispatch.cli.exit_codes import DONE, FAILED
from dispatch.cli.json_document import to_json
from dispatch.cli.streams import complain, plugins_print_to_stderr
from dispatch.cli.tables import as_table
from dispatch.decision import format_seconds
from dispatch.entry import Entry, Unavailable
from dispatch.errors import PLUGIN_FAULTS, BackendUnavailableError, one_line
from dispatch.hardware.calibration import enabled, measured_profile, store_profile
from dispatch.hardware.profile import Profile

HEADER = ("device", "call", "launch", "memory GB/s", "up GB/s", "down GB/s", "SpMM G/s", "dense G/s")

LOWEST_PRIORITY = 19
"""As `os.nice` counts: whatever else runs comes first."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("calibrate", help="measure the devices, for automatic choice")
    parser.add_argument("--backend", metavar="NAME", help="only the devices of this backend")
    parser.add_argument(
        "--missing", action="store_true", help="only devices that are not measured yet, at low priority"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a row a device that was measured; return 1 where one could not be, or its profile not be stored."""
    if not enabled():
        raise ValueError("DISPATCH_CALIBRATE is 0, which keeps profiles from being measured and used; unset it")
    if options.missing and hasattr(os, "nice"):
        os.nice(LOWEST_PRIORITY)
    measured: dict[str, Profile] = {}
    failed = False
    with plugins_print_to_stderr():
        for entry, device in _devices(options.backend):
            if options.missing and device.profile is not None and device.profile.measured:
                continue
            backend = entry.backend()
            if isinstance(backend, Unavailable):
                continue
            try:
                measured[device.name] = measured_profile(backend, device)
            except PLUGIN_FAULTS as error:  # one device must not keep the others from being measured
                complain("error", f"{device.name}: {one_line(error)}")
                failed = True
                continue
            try:
                store_profile(device, entry.distribution, measured[device.name])
            except OSError as error:
                remedy = "set DISPATCH_CACHE_DIR to a folder that can be written"
                complain("error", f"{device.name}: measured, but not stored: {one_line(error)}; {remedy}")
                failed = True
    if options.json:
        sys.stdout.write(to_json({name: profile.to_dict() for name, profile in measured.items()}, indent=2))
    else:
        sys.stdout.write(as_table(HEADER, (_row(name, profile) for name, profile in measured.items())))
    return FAILED if failed else DONE


def _devices(name: str | None) -> list[tuple[Entry, Device]]:
    """Return the devices to measure; a simulator's speed is nobody's concern."""
    found = []
    for entry in named_entries() if name is None else named_entries(name, option="--backend"):
        devices = entry.devices()
        if not isinstance(devices, Unavailable):
            found += [(entry, device) for device in devices if device.kind != "simulator"]
        elif name is not None:
            raise BackendUnavailableError(devices.reason, devices.remedy)
    return found


def _row(name: str, profile: Profile) -> tuple[str, ...]:
    rates = (
        profile.read_bandwidth,
        profile.upload_bandwidth,
        profile.download_bandwidth,
        profile.spmm_rate,
        profile.dense_rate,
    )
    latencies = (profile.call_seconds, profile.launch_seconds)
    return (name, *map(format_seconds, latencies), *("-" if x == float("inf") else f"{x / 1e9:.3g}" for x in rates))
