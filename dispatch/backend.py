"""What a backend is: the base class that every plugin derives from, and the devices that it reports."""

from __future__ import annotations

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from dispatch.errors import Attempt, BackendUnavailableError, UnsupportedCallError
from dispatch.hardware.profile import Profile

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import BlockEngine, EigenProblem, EigshResult

__all__ = ["API_VERSION", "Backend", "BackendUnavailableError", "Device", "Profile", "UnsupportedCallError"]

API_VERSION = 1
"""Version of the contract between the core and its plugins. It changes when a plugin must."""

NAME = r"[a-z][a-z0-9_-]*"
"""What a backend may be called, as a regular expression: what a request can spell."""

RESERVED_NAMES = frozenset({"auto", "lobpcg"})
"""Words that mean something else where a backend is asked for."""


def is_backend_name(name: object) -> bool:
    """Return whether a backend can be asked for by this name."""
    return isinstance(name, str) and re.fullmatch(NAME, name) is not None and name not in RESERVED_NAMES


DeviceKind: TypeAlias = Literal["cpu", "gpu", "accelerator", "simulator"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a backend can run on.

    Attributes
    ----------
    name : str
        ``"<backend>:<index>"``, such as ``"cuda:0"``. The index counts from 0 in the order of `Backend.probe`.
    kind : {"cpu", "gpu", "accelerator", "simulator"}
        A simulator runs only when it is asked for by name.
    description : str
        The device's own name, such as ``"NVIDIA H100 PCIe"``.
    memory : int or None
        Total memory in bytes, where it is known.
    driver : str
        Version of the driver or runtime, where there is one: what was measured with another one does not count.
    profile : Profile or None
        How fast it is. `Backend.probe` gives what the device's properties suggest, or None; the core replaces it by
        what has been measured on this machine.
    """

    name: str
    kind: DeviceKind = "cpu"
    description: str = ""
    memory: int | None = None
    driver: str = ""
    profile: Profile | None = field(default=None, compare=False, repr=False)


class Backend(ABC):
    """One way to run the operations: a library or a kind of hardware, with its devices.

    A plugin exposes one instance through the entry-point group ``dispatch.backends``::

        [project.entry-points."dispatch.backends"]
        mine = "my_package:backend"

    Importing the named module must be cheap and must not fail; heavy imports belong in `probe` and later. Methods are
    called from any thread. Each operation gets the `Device` that was selected, one of those that `probe` returned.

    Attributes
    ----------
    name : str
        Lower-case name by which users ask for the backend; the same as the name of the entry point.
    api_version : int
        The `API_VERSION` that the plugin was written for, as a number; a backend that is no plugin need not say.
    array_types : tuple of str
        Qualified names of the array classes that live on this backend's devices, such as ``"cupy.ndarray"``. They are
        strings so that nothing is imported to ask.
    """

    name: ClassVar[str]
    api_version: int = API_VERSION
    array_types: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def probe(self) -> Sequence[Device]:
        """Return the devices that can be used now, the best first.

        Called at most once a process (again after `dispatch.refresh`). It must be cheap, have no side effects and
        never prompt.

        Raises
        ------
        BackendUnavailableError
            With the reason and the remedy, when there is no usable device.
        """

    @abstractmethod
    def supports(self, call: Call, device: Device) -> str | Literal[True]:
        """Return True when `call` can run on `device`, otherwise the reason why it cannot, as one clause.

        Every automatic choice asks it, in the caller's thread and without a limit of time: it must answer at once, on
        what `call` says, and wait for nothing. The same holds for `cost`.

        For a `sum` of a plain NumPy array without ``out`` and ``where`` the answer, like that of `cost`, is kept for
        calls with the same dtype and shape of the array, and the same ``axis``, ``dtype`` and ``keepdims``, and with or
        without ``initial``: there it must rest on nothing else, such as strides or values.
        """

    def residence(self, array: Any) -> Hashable:
        """Return where an array of one of `array_types` lives, as a dictionary's key; None where that cannot be said.

        Decisions for sums of device arrays are kept as those for NumPy arrays are, where two arrays that agree in
        class and residence make no difference to `supports` and `cost`. The default, None, keeps none: then all
        candidates are asked in each call, which takes some 30 µs.
        """
        return None

    def cost(self, call: Call, device: Device) -> float:
        """Return the estimated seconds that `call` takes on `device`, transfers included.

        The default is the core's estimate from the device's profile: from what ``dispatch calibrate`` measured, or
        else from what `probe` stated. Where there is neither, it is infinity, which ranks the backend behind every
        backend that gives an estimate: it is then chosen when it is asked for, or when nothing else supports the call.
        """
        if device.profile is None:
            return math.inf
        from dispatch.devices import on_cuda
        from dispatch.hardware.cost import estimate

        # Arrays of libraries that no backend knows can still be told to be on a device.
        resident = self.owns(call.array_type) or on_cuda(call.operand)
        return estimate(call, device.profile, device.memory, resident=resident)

    def calibrate(self, device: Device) -> Profile:
        """Return the measured profile of `device`, in at most a few seconds.

        The default measures the operations that the backend has.
        """
        from dispatch.hardware.measurement import measure

        return measure(self, device)

    def owns(self, kind: type) -> bool:
        """Return whether objects of a class live on this backend's devices, by `array_types`."""
        names = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
        return not set(self.array_types).isdisjoint(names)

    def sum(
        self,
        a: Any,
        axis: int | tuple[int, ...] | None,
        dtype: Any,
        out: Any,
        keepdims: bool,
        initial: Any,
        where: Any,
        *,
        device: Device,
    ) -> Any:
        """Run `dispatch.sum` on `device`. The arguments are those of `numpy.sum`, all of them given.

        `initial` and `where` are ``numpy._NoValue`` where the caller left them out.
        """
        raise _lacking("sum", device)

    def prepare_sum(
        self,
        a: Any,
        axis: int | tuple[int, ...] | None,
        dtype: Any,
        out: Any,
        keepdims: bool,
        initial: Any,
        where: Any,
        *,
        device: Device,
    ) -> Callable[..., Any]:
        """Return what runs this sum of a plain NumPy array on `device`, and those like it: where planning takes time.

        Sums are alike whose arrays, `out` and `where` included, are plain and agree in dtype, shape and strides, whose
        `axis`, `dtype` and `keepdims` are equal and of the same class, and which have an `initial` or not. What is
        returned takes the arguments of `sum` by position, without the device; the default is `sum` itself. Arguments
        that are no good are refused when the sum runs, not here.
        """
        return functools.partial(self.sum, device=device)

    def block_engine(self, problem: EigenProblem, *, device: Device) -> BlockEngine:
        """Return the primitives on which the core's LOBPCG solves `problem` on `device`."""
        raise _lacking("eigsh", device)

    def eigsh(self, problem: EigenProblem, *, device: Device) -> EigshResult:
        """Solve `problem` on `device`: the core's LOBPCG over `block_engine`, unless a backend knows better."""
        from dispatch.solvers import solve

        return solve(problem, self.block_engine(problem, device=device))


_METHODS = {"sum": ("sum",), "eigsh": ("eigsh", "block_engine")}
"""The methods of which a backend must have one of its own to have an operation."""


def lacks(backend: Backend, operation: str) -> bool:
    """Return whether a backend has none of the methods of an operation."""
    return all(
        getattr(getattr(backend, method), "__func__", None) is getattr(Backend, method)
        for method in _METHODS[operation]
    )


def _lacking(operation: str, device: Device) -> UnsupportedCallError:
    reason = f"its backend has no {operation}"
    return UnsupportedCallError(f"{device.name}: {reason}", attempts=[Attempt(device.name, reason)])
