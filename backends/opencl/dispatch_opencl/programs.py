"""`Programs`: the compiled kernels of a device in a context."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from importlib.resources import files
from typing import Any

import pyopencl as cl

from dispatch_opencl.faults import KernelBuildError
from dispatch_opencl.traits import Traits

logger = logging.getLogger(__name__)


class Programs:
    """The compiled programs of a device in a context, for all queues there. Every method may be called from any thread.

    Parameters
    ----------
    name : str
        The device's name in messages, such as ``"opencl:0"``.
    device : pyopencl.Device
        The device.
    traits : Traits
        Its properties.
    context : pyopencl.Context
        The context.
    """

    def __init__(self, name: str, device: Any, traits: Traits, context: Any) -> None:
        self.context = context
        self.device = device
        self._name = name
        self._traits = traits
        self._lock = threading.Lock()
        self._built: dict[tuple[str, tuple[str, ...]], Any] = {}

    def kernels(self, file: str, options: tuple[str, ...]) -> dict[str, Any]:
        """Return new kernels of a source file by their names. It is built with `options` on the first request.

        Raises
        ------
        KernelBuildError
            With the compiler's log.
        """
        key = (file, options)
        with self._lock:
            program = self._built.get(key)
            if program is None:
                program = self._built[key] = self._build(file, options)
        return {kernel.function_name: kernel for kernel in program.all_kernels()}

    def _build(self, file: str, options: tuple[str, ...]) -> Any:
        # -w: a loop that a compiler does not unroll is no news to the user.
        flags = ["-w", *options, f"-DFP64={int(self._traits.fp64)}", f"-DGROUP={self._traits.group}"]
        program = cl.Program(self.context, source(file))
        rejected = ""
        try:
            with warnings.catch_warnings():
                # A log is written by some compilers for a success, too.
                warnings.simplefilter("ignore", cl.CompilerWarning)
                program.build(flags, devices=[self.device])
        except cl.Error as error:
            rejected = str(error)
        if rejected:
            # PyOpenCL's error refers to itself by its frames, and by what called these to the buffers of this call.
            gc.collect()
            raise KernelBuildError(
                f"{self._name}: the compiler of {self.device.platform.name.strip()}, driver "
                f"{self.device.driver_version}, rejected {file} with the options {' '.join(flags)}: {rejected}. "
                "Update the driver, or use backend='cpu'"
            )
        logger.debug("%s: built %s with %s", self._name, file, " ".join(flags))
        return program


def source(file: str) -> str:
    """Return a kernel file of this package, with the common definitions before it."""
    folder = files("dispatch_opencl") / "kernels"
    return "\n".join((folder / name).read_text("utf-8") for name in ("scalars.cl", file))
