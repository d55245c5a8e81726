"""Backends that exist for a test: objects to register, and plugins installed into a temporary folder."""

from __future__ import annotations

import sys
import textwrap

import pytest

import dispatch


class FakeBackend(dispatch.Backend):
    """A backend whose every answer a test chooses; its sums are its own name, so that a test sees who ran."""

    def __init__(self, name, *, cost=1.0, supports=True, probe=None, devices=1, kind="gpu", array_types=()):
        self.name = name
        self.array_types = array_types
        self.probes = 0
        self._cost, self._supports, self._probe, self._devices, self._kind = cost, supports, probe, devices, kind

    def probe(self):
        self.probes += 1
        if self._probe is not None:
            raise self._probe
        return [dispatch.Device(f"{self.name}:{i}", self._kind, f"fake {self.name} {i}") for i in range(self._devices)]

    def supports(self, call, device):
        return self._supports(call, device) if callable(self._supports) else self._supports

    def cost(self, call, device):
        return self._cost(call, device) if callable(self._cost) else self._cost

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        return device.name


@pytest.fixture
def register():
    """Register fake backends by name for the length of a test."""
    undo = []

    def register(name, **kwargs):
        backend = FakeBackend(name, **kwargs)
        undo.append(dispatch.register(backend))
        return backend

    yield register
    for registration in undo:
        registration()


WORKING_PLUGIN = """
import dispatch

class Plugin(dispatch.Backend):
    name = {name!r}
    def probe(self):
        return [dispatch.Device({name!r} + ":0", "gpu", "plugged in")]
    def supports(self, call, device):
        return True
    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        return device.name

backend = Plugin()
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path into which a test installs plugins and broken packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    site = Site(tmp_path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


class Site:
    """Writes what an installer would."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = []

    def install(self, name, code=WORKING_PLUGIN, *, distribution=None, version="1.0", entry_points=None):
        """Install a distribution with one module and one entry point for a backend called `name`."""
        distribution = distribution or f"plugin-{name}"
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code).replace("{name!r}", repr(name)))
        self.modules.append(module)
        if entry_points is None:
            entry_points = f"[dispatch.backends]\n{name} = {module}:backend\n"
        self.metadata(distribution, entry_points, version=version)
        dispatch.refresh()

    def metadata(self, distribution, entry_points, *, version="1.0"):
        """Write the metadata of a distribution; `entry_points` may be bytes, well formed or not."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        if isinstance(entry_points, str):
            entry_points = entry_points.encode()
        (info / "entry_points.txt").write_bytes(entry_points)
        dispatch.refresh()
