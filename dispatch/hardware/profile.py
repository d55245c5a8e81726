"""`Profile`: the rates and latencies of one device, from which the time of a call is estimated."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """How fast a device is.

    Attributes
    ----------
    call_seconds : float
        What the smallest `sum` of a host array takes.
    launch_seconds : float
        What the smallest primitive of a `BlockEngine` takes.
    read_bandwidth : float
        Bytes a second that the device reads from its memory.
    spmm_rate : float
        Elements a second that a step of a Chebyshev filter goes through, for each vector of the block: those stored in
        the matrix and `FILTER_VECTORS` for each row.
    dense_rate : float
        Multiply-adds a second in Gram matrices and combinations of blocks.
    upload_bandwidth, download_bandwidth : float
        Bytes a second from the host to the device, and back; infinity where it computes on the host's memory.
    bandwidths : mapping of str to float
        Bytes a second of a `sum` of a large host array, transfers included, by the name of a dtype; for the others it
        follows from `read_bandwidth` and `upload_bandwidth`.
    measured : bool
        Whether the figures were measured on this device; otherwise they are assumed from its properties.
    """

    call_seconds: float
    launch_seconds: float
    read_bandwidth: float
    spmm_rate: float
    dense_rate: float
    upload_bandwidth: float = math.inf
    download_bandwidth: float = math.inf
    bandwidths: Mapping[str, float] = field(default_factory=dict)
    measured: bool = False

    @property
    def on_host_memory(self) -> bool:
        """Whether the device computes on the host's memory, so that nothing is copied."""
        return math.isinf(self.upload_bandwidth)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON.

        A transfer that copies nothing is None, and the latency of what the device cannot do is ``"inf"``.
        """
        infinite = {**dict.fromkeys(_LATENCIES, "inf"), **dict.fromkeys(_TRANSFERS)}
        return {
            name: infinite[name] if value == math.inf and name in infinite else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Any) -> Profile:
        """Return the measured profile that `to_dict` wrote.

        Raises
        ------
        ValueError
            When something else than a profile was written: a field is missing, or is no positive number.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a profile is {values!r}, expected a mapping")  # noqa: TRY004
        bandwidths = values.get("bandwidths")
        if not isinstance(bandwidths, dict) or not all(isinstance(name, str) for name in bandwidths):
            raise ValueError(f"bandwidths is {bandwidths!r}, expected a mapping of dtypes to numbers")
        rates = [f.name for f in fields(cls) if f.name not in ("bandwidths", "measured")]
        numbers: dict[str, Any] = {name: values.get(name) for name in rates}
        for infinite, names in (("inf", _LATENCIES), (None, _TRANSFERS)):
            numbers.update({name: math.inf for name in names if values.get(name, 0) == infinite})
        for named in (numbers, bandwidths):
            named.update({name: _positive(name, number) for name, number in named.items()})
        return cls(**numbers, bandwidths=bandwidths, measured=True)


_LATENCIES = ("call_seconds", "launch_seconds")
_TRANSFERS = ("upload_bandwidth", "download_bandwidth")


def _positive(name: str, number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not number > 0:
        raise ValueError(f"{name} is {number!r}, expected a number above 0")
    if number > sys.float_info.max and number != math.inf:  # of Python's integers some are larger, and fail later
        raise ValueError(f"{name} is beyond the largest float")
    return float(number)
