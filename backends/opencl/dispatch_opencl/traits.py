"""`Traits`: the properties of a device that decide how work is laid out on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["cpu", "gpu", "accelerator", "simulator"]

ITEMS = 16384
"""Work-items that go over elements one by one, at most."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What kernels and transfers need to know of a device. Nothing in here is a vendor's name.

    Attributes
    ----------
    kind : {"cpu", "gpu", "accelerator", "simulator"}
        What the device is.
    streams : bool
        How work is distributed. True: single work-items that each stream through a long contiguous range with wide
        vectors, as the cores of a CPU want it. False: work-groups whose items read neighbouring elements and reduce in
        local memory, as a GPU wants it. The wrong one costs an order of magnitude.
    fp64 : bool
        Whether the device has double precision.
    unified : bool
        Whether it computes on the host's memory, so that a host array can be a buffer without a copy.
    alignment : int
        Bytes to which such an array's address must be aligned.
    units : int
        Compute units.
    group : int
        Work-items of a group, a power of two.
    memory, largest : int
        Bytes of global memory, and of the largest buffer.
    """

    kind: Kind
    streams: bool
    fp64: bool
    unified: bool
    alignment: int
    units: int
    group: int
    memory: int
    largest: int

    @classmethod
    def of(cls, device: Any) -> Traits:
        """Return the traits of a `pyopencl.Device`."""
        import pyopencl as cl

        kind = kind_of(device)
        # A device that keeps its local memory in global memory gains nothing from staging there.
        emulated = device.local_mem_type == cl.device_local_mem_type.GLOBAL
        group = min(256, device.max_work_group_size)
        return cls(
            kind=kind,
            streams=kind == "cpu" or (kind == "accelerator" and emulated),
            fp64="cl_khr_fp64" in device.extensions.split(),
            unified=bool(device.host_unified_memory),
            alignment=16,
            units=device.max_compute_units,
            group=1 << (group.bit_length() - 1),
            memory=device.global_mem_size,
            largest=device.max_mem_alloc_size,
        )

    @property
    def group_started(self) -> int:
        """Work-items of a group where they are started; one by one where each streams."""
        return 1 if self.streams else self.group

    def work_items(self, wanted: int, most: int = ITEMS) -> tuple[tuple[int], tuple[int]]:
        """Return how many work-items to start, in whole groups, and those of a group, for so many that share work."""
        group = self.group_started
        return (-(-min(wanted, most) // group) * group,), (group,)


def kind_of(device: Any) -> Kind:
    """Return what a `pyopencl.Device` is; Oclgrind is a simulator, whatever device it plays."""
    import pyopencl as cl

    if "oclgrind" in device.platform.name.lower():
        return "simulator"
    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"
