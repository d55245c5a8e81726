"""A device that Numba compiles for and loads kernels into, of which nothing is there: what compiles needs no GPU."""

from __future__ import annotations

from types import SimpleNamespace

from numba.cuda import dispatcher
from numba.cuda.cudadrv import devices


def install(put, capability):
    """Put the device in Numba's place for it, by `put(object, name, value)`."""
    device = SimpleNamespace(compute_capability=capability, id=0)
    module = SimpleNamespace(initialized=True)
    module.get_function = lambda name: SimpleNamespace(name=name, module=module)
    context = SimpleNamespace(device=device, create_module_image=lambda image, *callbacks: module)
    put(devices, "get_context", lambda *ordinal: context)
    put(dispatcher, "get_current_device", lambda: device)
