"""What the kit's classes share: the declarations of the backend under test, and how a call is made and judged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import dispatch
from dispatch.entry import Unavailable
from dispatch.promptness import lateness
from dispatch.registry import registry


class Conformance:
    """Declarations of the backend under test. A subclass sets what differs from the defaults.

    What is declared must work; what is not declared must be refused, with a reason.

    Attributes
    ----------
    backend : str
        The name under which the backend is installed or registered.
    operations : frozenset of str
        Of ``"sum"`` and ``"eigsh"``, those that it has.
    sum_dtypes : str
        NumPy's characters of the dtypes that its `sum` takes, with every other argument of `numpy.sum`.
    eigsh_dtypes : str
        Of ``"fdFD"``, the arithmetics that its `eigsh` works in.
    grid : int
        Points along a side of the grids whose Laplacians `eigsh` is tried on; fewer where a device is simulated.
    most_iterations : int
        Times that an `eigsh` may call its callback before it is held to be stuck; the core's solver needs 151 at most.
    takes_cuda_arrays : bool
        Whether it adds up any object with ``__cuda_array_interface__`` where that is.
    keeps_subnormals : bool
        Whether its sums count numbers below the smallest normal one; where not, these may count as zero.
    """

    backend: ClassVar[str]
    operations: ClassVar[frozenset[str]] = frozenset({"sum", "eigsh"})
    sum_dtypes: ClassVar[str] = "?bBhHiIlLqQefdFD"
    eigsh_dtypes: ClassVar[str] = "fdFD"
    grid: ClassVar[int] = 20
    most_iterations: ClassVar[int] = 250
    takes_cuda_arrays: ClassVar[bool] = False
    keeps_subnormals: ClassVar[bool] = True

    @pytest.fixture(autouse=True)
    def _declare(self) -> None:
        """Declare at run time what the class does not."""

    @pytest.fixture(autouse=True)
    def _answers_in_time(self, _declare: None) -> None:
        """Fail where the backend takes too long to answer about a call: each test would wait for it, or hang."""
        entry = registry.table().entries.get(self.backend)
        with warnings.catch_warnings():  # what a first probe does to them is no part of the test that follows
            late = lateness(entry) if entry is not None else ""
        if late:
            pytest.fail(f"{self.backend}: {late}", pytrace=False)

    def to_device(self, host: NDArray[Any]) -> Any:
        """Return a copy of a host array in the backend's own array type; override it when there is one."""
        pytest.skip(f"{self.backend} declares no array type of its own")

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return a copy of an array of the backend's own type on the host; override it when there is one."""
        raise NotImplementedError

    def the_backend(self) -> dispatch.Backend:
        """Return the object under test."""
        backend = registry.table().entries[self.backend].backend()
        assert not isinstance(backend, Unavailable), f"{self.backend} cannot be used: {backend.reason}"
        return backend

    def devices(self) -> tuple[dispatch.Device, ...]:
        """Return the devices of the backend under test, the one that unspecific calls use first."""
        devices = registry.table().entries[self.backend].devices()
        assert not isinstance(devices, Unavailable), f"{self.backend} cannot be used: {devices.reason}"
        return devices

    def refused(self, call: Callable[[], Any], what: str) -> None:
        """Assert that `call`, which the backend has not declared, is refused with a reason before any work."""
        try:
            call()
        except dispatch.UnsupportedCallError as error:
            attempts = error.attempts
        else:
            pytest.fail(f"{what} is not declared, but accepted: declare it, or let `supports` refuse it with a reason")
        assert attempts, "the error carries no attempts"
        for attempt in attempts:
            # Where a backend has no words, selection says so in their place.
            given = attempt.reason.strip() and "gives no reason" not in attempt.reason
            assert given, f"{attempt.backend} refused the call without a reason"


def random_array(dtype: Any, shape: tuple[int, ...] | int, seed: int = 0) -> NDArray[Any]:
    """Return an array with elements over much of the dtype's range: all bits of integers, decades of floats."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.4)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0, 256, (*np.atleast_1d(shape), dtype.itemsize), np.uint8).view(dtype)[..., 0])
    decades = 1 if dtype.itemsize == 2 else 3
    real = rng.standard_normal(shape) * 10.0 ** rng.uniform(-decades, decades, shape)
    if dtype.kind == "c":
        return np.asarray(real + 1j * rng.standard_normal(shape), dtype)
    return np.asarray(real, dtype)
