"""One real device, PoCL's, and the same device taken for what it is not, so that every kernel runs on it."""

from __future__ import annotations

import dataclasses
import importlib.util
import types

import pytest

from dispatch.backend import BackendUnavailableError

INSTALLED = importlib.util.find_spec("dispatch_opencl") is not None

if not INSTALLED:
    collect_ignore_glob = ["test_*.py"]
else:
    from dispatch_opencl import OpenCLBackend
    from dispatch_opencl.traits import Traits

GUISES = {
    "streams": {},
    "groups": {"kind": "gpu", "streams": False, "group": 64, "unified": False},
    "streams, no fp64": {"fp64": False},
    "groups, no fp64": {"kind": "gpu", "streams": False, "group": 128, "unified": False, "fp64": False},
}
"""The device as it is, as a GPU would be, and each of them without double precision."""


def guise(**traits):
    """Return a backend that takes its devices to have other traits than they have."""
    return OpenCLBackend(lambda device: dataclasses.replace(Traits.of(device), **traits))


def failure(code, kind=None):
    """Return an error as PyOpenCL raises it for a status code."""
    import pyopencl as cl

    record = types.SimpleNamespace(
        routine=lambda: "clTest", code=lambda: code, what=lambda: "", is_out_of_memory=lambda: False
    )
    return (kind or cl.LogicError)(record)


BACKENDS = {name: guise(**traits) for name, traits in GUISES.items()} if INSTALLED else {}


@pytest.fixture(scope="session", autouse=True)
def _device():
    try:
        for backend in BACKENDS.values():
            backend.probe()
    except BackendUnavailableError as error:
        pytest.skip(f"no OpenCL device: {error}")


@pytest.fixture(params=list(GUISES))
def backend(request):
    """The backend in each of its guises."""
    return BACKENDS[request.param]


@pytest.fixture(params=["streams", "groups"])
def with_fp64(request):
    """The backend in the guises that have double precision."""
    return BACKENDS[request.param]
