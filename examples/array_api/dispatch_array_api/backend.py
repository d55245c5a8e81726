"""`ArrayApiBackend`: the devices of one library, what they support, and `sum` on them."""

import dataclasses
import importlib
import warnings
from types import SimpleNamespace

import numpy as np

import dispatch
from dispatch.devices import ForkGuard
from dispatch.reduction import prepare

NO_VALUE = np._NoValue  # NumPy's mark for an argument that was left out

RUN = 16
"""Elements added at a time, then their sums, and so on: of more, a library's own order may not be accurate enough."""


class ArrayApiBackend(dispatch.Backend):
    """Computes with one library that has the array API.

    Parameters
    ----------
    name : str
        Of the backend.
    module : str
        The library's namespace, which is imported by the first call that needs it.
    array_types : tuple of str
        Qualified names of its array classes.
    distribution : str, optional
        What to install when the module is missing; the default is `name`.
    """

    api_version = 1

    def __init__(self, name, module, array_types, distribution=None):
        self.name, self.array_types = name, array_types
        self._module, self._distribution = module, distribution or name
        self._guard = ForkGuard(name)

    def probe(self):
        """Return the library's devices on which a number can be computed and read."""
        self._guard.check()
        try:
            self.xp = importlib.import_module(self._module)
        except ImportError as error:
            raise dispatch.BackendUnavailableError(str(error), f"pip install {self._distribution}") from None
        with warnings.catch_warnings(action="ignore"):  # a library may warn of devices that it has no more
            usable = [d for d in self.xp.__array_namespace_info__().devices() if d is not None and self._computes(d)]
        if not usable:
            remedy = "set JAX_ENABLE_X64=1" if self.name == "jax" else ""
            raise dispatch.BackendUnavailableError(f"{self.name} has no device that computes in float64", remedy)
        self._devices = {f"{self.name}:{index}": device for index, device in enumerate(usable)}
        return [
            dispatch.Device(name, "cpu" if "cpu" in str(device).lower() else "gpu", f"{self.name} on {device}")
            for name, device in self._devices.items()
        ]

    def _computes(self, device):
        try:
            twos = to_host(self.xp.ones(2, dtype=self.xp.float64, device=device) * 2.0)
            return twos.dtype == np.float64 and twos.sum() == 4.0
        except Exception:  # noqa: BLE001 - whatever a device lacks, it is not for us
            return False

    def supports(self, call, device):
        """Return True for host arrays and for the library's own arrays on this device, in dtypes that it has."""
        if lost := self._guard.why_not():
            return lost
        own = self._owns(call.operand)
        if own and call.operand.device != self._devices[device.name]:
            return f"the array is on {call.operand.device}"
        if call.operation == "eigsh":
            return True
        if not own and call.array_type is not np.ndarray:
            return f"it takes NumPy arrays and its own, not {call.array_type.__name__}"
        if own and "out" in call.arguments:
            return "arrays of the array API have no out; assign the sum to out[...]"
        try:
            accumulator = self._prepare(call.operand, **call.arguments).accumulator
        except Exception:  # noqa: BLE001 - the call itself raises it, in the words of NumPy's rules
            return True
        return True if accumulator is not None else f"it has no sum of {call.dtype}"

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        """Add up rows on the device; a plan says what they are, and makes NumPy's result of the sums of host arrays."""
        self._guard.check()  # who runs a call may have been decided before a fork
        self._guard.started()
        own, target, xp = self._owns(a), self._devices[device.name], self.xp
        host = None if own else np.asarray(a, order="C")
        plan = self._prepare(a if own else host, axis, dtype, out, keepdims, initial, where)
        wide = np.dtype(np.int64) if plan.accumulator.kind == "u" else plan.accumulator  # the same bits modulo 2**64
        if own:
            elements = xp.astype(xp.astype(a, getattr(xp, plan.dtype.name)), getattr(xp, wide.name))
        else:
            cast = host.astype(plan.dtype).astype(plan.accumulator).view(wide)
            elements = xp.asarray(cast, device=target)
        if plan.where is not None:
            mask = where if self._owns(where) else xp.asarray(np.array(where, bool, order="C"), device=target)
            elements = xp.where(xp.broadcast_to(mask, elements.shape), elements, xp.zeros_like(elements))
        raw = self._row_sums(elements, plan)
        if not own:
            return plan.finish(to_host(raw).view(plan.accumulator))
        if plan.initial is not None:
            raw = raw + xp.asarray(np.asarray(plan.initial, plan.accumulator).view(wide), device=target)
        return xp.reshape(xp.astype(raw, getattr(xp, plan.dtype.name)), plan.shape)

    def _prepare(self, a, axis=None, dtype=None, out=None, keepdims=False, initial=NO_VALUE, where=NO_VALUE):
        a, where = (described(x) if self._owns(x) else x for x in (a, where))
        return prepare(a, axis, dtype, out, keepdims, initial, where)

    def _row_sums(self, elements, plan):
        """Return the sums that `plan` asks for, of elements in C order."""
        if not plan.sums * plan.count:
            return self.xp.sum(elements) + self.xp.zeros(plan.sums, dtype=elements.dtype, device=elements.device)
        groups = plan.layout.groups
        kept_first = tuple(sorted(range(len(groups)), key=lambda group: groups[group].reduced))
        split = self.xp.reshape(elements, tuple(group.extent for group in groups))
        rows = self.xp.reshape(self.xp.permute_dims(split, kept_first), (plan.sums, plan.count))
        while rows.shape[1] > RUN:
            whole = rows.shape[1] // RUN * RUN
            runs = self.xp.reshape(rows[:, :whole], (plan.sums, -1, RUN))
            sums = self.xp.sum(runs, axis=2, dtype=rows.dtype)
            rows = self.xp.concat([sums, rows[:, whole:]], axis=1) if whole < rows.shape[1] else sums
        return self.xp.sum(rows, axis=1, dtype=rows.dtype)

    def block_engine(self, problem, *, device):
        """Return the primitives of the eigensolver."""
        from dispatch_array_api.engine import Engine

        self._guard.check()
        self._guard.started()
        return Engine(problem, self.xp, self._devices[device.name])

    def eigsh(self, problem, *, device):
        """Run the core's solver; a matrix of the library's gives eigenpairs of the library's."""
        result = super().eigsh(problem, device=device)
        if not self._owns(problem.given):
            return result
        target = self._devices[device.name]
        values, vectors = (self.xp.asarray(x, device=target) for x in (result.eigenvalues, result.eigenvectors))
        return dataclasses.replace(result, eigenvalues=values, eigenvectors=vectors)

    def _owns(self, x):
        return any(f"{base.__module__}.{base.__qualname__}" in self.array_types for base in type(x).__mro__)


def described(array):
    """Return what a plan has to know of an array of the library's: its shape and its dtype in NumPy's terms."""
    return SimpleNamespace(shape=tuple(array.shape), dtype=np.dtype(str(array.dtype).rpartition(".")[2]))


def to_host(array):
    """Return a copy of an array of the library's on the host."""
    return np.array(np.from_dlpack(array, device="cpu"))
