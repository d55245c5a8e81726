"""Find the OpenCL devices of this machine, in a stable order, without those that are known not to compute rightly."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from dispatch.backend import BackendUnavailableError
from dispatch_opencl.traits import kind_of

logger = logging.getLogger(__name__)

POCL = "pip install 'array-dispatch[pocl]' for one that runs on any CPU"

ORDER = ("gpu", "accelerator", "cpu", "simulator")
"""GPUs come first; devices of one kind stay in the order in which the loader lists them."""

KNOWN_BAD = (
    ("clover", None, "Mesa's Clover is abandoned and miscompiles; install Rusticl or the vendor's driver"),
    ("apple", "cpu", "Apple's driver for CPUs allows no barriers in work-groups"),
)
"""Devices that are never used: a part of the platform's lower-case name, the kind of device or None for all, why."""


def find_devices() -> list[Any]:
    """Return the usable devices as `pyopencl.Device` objects, the best first.

    ``PYOPENCL_CTX`` restricts them to those that it names, as it does for PyOpenCL's own contexts.

    Raises
    ------
    BackendUnavailableError
        With the reason and the remedy of each way not to have any.
    """
    platforms = _platforms()
    found: list[Any] = []
    excluded: list[str] = []
    for device in _all_devices(platforms, excluded):
        reason = unusable(device)
        if reason:
            excluded.append(f"{device.name.strip()} of {device.platform.name.strip()}: {reason}")
        else:
            found.append(device)
    for line in excluded:
        logger.info("not used: %s", line)
    if not found:
        raise BackendUnavailableError(
            f"none of the OpenCL devices can be used: {'; '.join(excluded)}"
            if excluded
            else f"the OpenCL platforms {', '.join(p.name.strip() for p in platforms)} have no device",
            _remedy(platforms),
            hardware_present=bool(excluded),
        )
    chosen = _restrict(found, platforms, os.environ.get("PYOPENCL_CTX", ""))
    return sorted(chosen, key=lambda device: ORDER.index(kind_of(device)))


def _remedy(platforms: Sequence[Any]) -> str:
    """Return what to do where no device of the platforms can be used."""
    if any("portable computing language" in platform.name.lower() for platform in platforms):
        # Where it cannot write, it lists no device and does not say why.
        return "let PoCL write to its cache, in a folder that POCL_CACHE_DIR names, or check the driver with `clinfo`"
    return f"check the driver and its access rights with `clinfo`, or {POCL}"


def _platforms() -> list[Any]:
    try:
        import pyopencl as cl
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"PyOpenCL cannot be imported: {error}", "pip install --force-reinstall pyopencl"
        ) from None
    try:
        platforms = list(cl.get_platforms())
    except cl.Error as error:
        if error.code == cl.status_code.PLATFORM_NOT_FOUND_KHR:
            raise BackendUnavailableError(
                "no OpenCL driver (ICD) is installed", f"install the driver of your GPU, or {POCL}"
            ) from None
        raise BackendUnavailableError(
            f"the OpenCL loader failed: {error}",
            "reinstall the driver, or name a folder of working .icd files in OCL_ICD_VENDORS",
            hardware_present=True,
        ) from None
    if not platforms:
        raise BackendUnavailableError(
            "the OpenCL loader lists no platform",
            f"check the .icd files in /etc/OpenCL/vendors or OCL_ICD_VENDORS, or {POCL}",
        )
    return platforms


def _all_devices(platforms: Sequence[Any], excluded: list[str]) -> Iterator[Any]:
    import pyopencl as cl

    for platform in platforms:
        try:
            yield from platform.get_devices()
        except cl.Error as error:
            if error.code != cl.status_code.DEVICE_NOT_FOUND:
                excluded.append(f"platform {platform.name.strip()}: its driver failed: {error}")


def unusable(device: Any) -> str:
    """Return why a device must not be used, or the empty string."""
    for platform, kind, reason in KNOWN_BAD:
        if platform in device.platform.name.lower() and kind in (None, kind_of(device)):
            return reason
    if not device.available:
        return "its driver says that it is not available"
    if not device.compiler_available:
        return "its driver has no compiler"
    if not device.endian_little:
        return "it is big-endian"
    if "EMBEDDED" in device.profile:
        return "it has the embedded profile, without 64-bit integers and with inexact rounding"
    return ""


def _restrict(devices: list[Any], platforms: Sequence[Any], wanted: str) -> list[Any]:
    """Return the devices that ``PYOPENCL_CTX`` names: a platform, then devices of it, by index or part of a name."""
    if not wanted:
        return devices
    platform_text, _, device_text = wanted.partition(":")
    chosen = [d for d in devices if _named(platform_text, d.platform, platforms)]
    if device_text:
        listed = {platform: list(platform.get_devices()) for platform in {d.platform for d in chosen}}
        parts = device_text.replace(":", ",").split(",")
        chosen = [d for d in chosen if any(_named(part, d, listed[d.platform]) for part in parts)]
    if not chosen:
        there = ", ".join(
            f"{platforms.index(d.platform)}:{list(d.platform.get_devices()).index(d)} ({d.name.strip()})"
            for d in devices
        )
        raise BackendUnavailableError(f"PYOPENCL_CTX={wanted!r} names no usable device", f"there is {there}")
    return chosen


def _named(text: str, candidate: Any, all_of_them: Sequence[Any]) -> bool:
    text = text.strip().lower()
    if text.isdecimal():
        return int(text) < len(all_of_them) and all_of_them[int(text)] == candidate
    return text in candidate.name.lower()


def describe(device: Any) -> str:
    """Return a device's name, compute units, precisions and driver in a line."""
    extensions = device.extensions.split()
    precisions = [f"fp{bits}" for bits in (64, 16) if f"cl_khr_fp{bits}" in extensions]
    return (
        f"{device.name.strip()}, {device.max_compute_units} compute units, "
        f"{' and '.join(precisions) or 'no fp64'}, {device.platform.name.strip()}, driver {device.driver_version}"
    )
