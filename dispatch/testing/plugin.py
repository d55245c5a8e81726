"""What a plugin promises before it runs anything: metadata, a light import, a probe without side effects."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import dispatch
from dispatch.discovery import discover
from dispatch.operations.call import describe
from dispatch.promptness import small_call
from dispatch.testing.base import Conformance
from dispatch.testing.capabilities import Elsewhere
from dispatch.testing.process import process_left_alone

HEAVY = ("numba", "pyopencl", "cupy", "torch", "jax", "scipy.sparse.linalg", "matplotlib")
"""Modules that take tenths of a second to import: importing a plugin must not import them."""


class PluginConformance(Conformance):
    """Name, version, import, probe and the answers about calls."""

    def test_its_metadata(self) -> None:
        """The name is lower-case and that of the entry point, the API version that of this core."""
        backend = self.the_backend()
        assert isinstance(backend, dispatch.Backend)
        assert backend.name == self.backend == self.backend.lower()
        assert backend.api_version == dispatch.API_VERSION
        if any(plugin.name == self.backend for plugin in discover()[0]):
            stated = any("api_version" in vars(kind) for kind in type(backend).__mro__ if kind is not dispatch.Backend)
            assert stated, "it takes api_version from the core, whichever that is: state the one it was written for"
        assert all("." in name for name in backend.array_types), "array_types are qualified names, such as 'a.b.Array'"

    def test_importing_it_is_light(self) -> None:
        """The module that the entry point names imports nothing heavy and prints nothing."""
        plugins = [plugin for plugin in discover()[0] if plugin.name == self.backend]
        if not plugins:
            pytest.skip(f"{self.backend} is registered in this process, not installed")
        module = plugins[0].target.partition(":")[0]
        code = f"import sys, {module}; sys.exit(', '.join(sorted(set({HEAVY!r}) & sys.modules.keys())) or 0)"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"importing {module} imports {result.stderr.strip()}"
        assert result.stdout == ""

    def test_its_devices(self) -> None:
        """`probe` returns devices named in order, says what they are, and says the same when it is asked again."""
        backend, devices = self.the_backend(), self.devices()
        assert [device.name for device in devices] == [f"{self.backend}:{index}" for index in range(len(devices))]
        assert all(device.description for device in devices)
        assert tuple(backend.probe()) == devices

    def test_probe_has_no_side_effects(self, capfd: pytest.CaptureFixture[str]) -> None:
        """`probe` prints nothing, and leaves the environment and the rest of the process alone."""
        backend = self.the_backend()
        with process_left_alone("probe()", capfd):
            backend.probe()

    def test_its_answers_about_calls(self) -> None:
        """`supports` answers True or a reason, `cost` a number of seconds that grows with the work."""
        backend, device = self.the_backend(), self.devices()[0]
        for operation, operand in (("sum", np.ones(3)), ("eigsh", np.eye(3))):
            answer = backend.supports(small_call(operation, operand), device)
            assert answer is True or (isinstance(answer, str) and answer.strip()), f"supports() answered {answer!r}"
        if "sum" not in self.operations:
            return
        costs = []
        for size in (1, 10**3, 10**6):
            call = describe("sum", np.ones(size, self.sum_dtypes[-1]), {})
            assert backend.supports(call, device) is True
            costs.append(backend.cost(call, device))
        assert all(isinstance(cost, (int, float)) for cost in costs)
        assert costs[0] >= 0
        assert costs == sorted(costs)

    def test_an_operation_that_is_not_declared_is_refused(self) -> None:
        """Selection learns from `supports` that the backend lacks an operation."""
        if "sum" not in self.operations:
            self.refused(lambda: dispatch.sum(np.ones(3), backend=self.backend), "sum")
        if "eigsh" not in self.operations:
            self.refused(lambda: dispatch.eigsh(np.eye(3), 1, backend=self.backend), "eigsh")

    def test_what_it_does_not_own_is_left_where_it_is(self) -> None:
        """A CUDA array of somebody else's is refused or added up where it is, never copied to the host in silence."""
        answer = self.the_backend().supports(describe("sum", Elsewhere(), {}), self.devices()[0])
        if answer is True:
            assert self.takes_cuda_arrays, "a device array that is not its own was accepted"
            dispatch.sum(Elsewhere(), backend=self.backend)
        else:
            assert isinstance(answer, str)
