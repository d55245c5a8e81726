"""Which devices are found, in which order, and what is said where there is none."""

import os
import subprocess
import sys
import types

import pyopencl as cl
import pytest
from dispatch_opencl import OpenCLBackend
from dispatch_opencl.devices import find_devices
from dispatch_opencl.traits import Traits

import dispatch
from dispatch.backend import BackendUnavailableError

from .conftest import failure


class StubPlatform:
    version = "OpenCL 3.0"

    def __init__(self, name, *devices, error=None):
        self.name = name
        self._devices, self._error = devices, error
        for device in devices:
            device.platform = self

    def get_devices(self):
        if self._error is not None:
            raise self._error
        return list(self._devices)


def device(name, kind=cl.device_type.GPU, **properties):
    defaults = {
        "available": 1,
        "compiler_available": 1,
        "endian_little": 1,
        "profile": "FULL_PROFILE",
        "max_compute_units": 8,
        "extensions": "cl_khr_fp64 cl_khr_fp16",
        "driver_version": "1.2",
        "global_mem_size": 1 << 30,
    }
    return types.SimpleNamespace(name=name, type=kind, **(defaults | properties), __hash__=lambda: id(name))


@pytest.fixture
def platforms(monkeypatch):
    """Put stub platforms in the place of the machine's."""

    def put(*stubs, error=None):
        def get_platforms():
            if error is not None:
                raise error
            return list(stubs)

        monkeypatch.setattr(cl, "get_platforms", get_platforms)

    monkeypatch.delenv("PYOPENCL_CTX", raising=False)
    return put


def names():
    return [device.name for device in find_devices()]


CPU = cl.device_type.CPU


def test_gpus_come_before_accelerators_and_cpus_and_simulators_last(platforms):
    platforms(
        StubPlatform("Oclgrind", device("grind")),
        StubPlatform("PoCL", device("cores", CPU)),
        StubPlatform("Vendor", device("fpga", cl.device_type.ACCELERATOR), device("gpu a"), device("gpu b")),
    )
    assert names() == ["gpu a", "gpu b", "fpga", "cores", "grind"]
    probed = OpenCLBackend().probe()
    assert [(d.name, d.kind) for d in probed] == [
        ("opencl:0", "gpu"),
        ("opencl:1", "gpu"),
        ("opencl:2", "accelerator"),
        ("opencl:3", "cpu"),
        ("opencl:4", "simulator"),
    ]
    assert probed[0].description == "gpu a, 8 compute units, fp64 and fp16, Vendor, driver 1.2"
    assert probed[0].memory == 1 << 30


BAD = {
    "its driver says that it is not available": device("x", available=0),
    "its driver has no compiler": device("x", compiler_available=0),
    "it is big-endian": device("x", endian_little=0),
    "it has the embedded profile": device("x", profile="EMBEDDED_PROFILE"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_device_that_cannot_compute_rightly_is_left_out(platforms, reason):
    platforms(StubPlatform("Vendor", BAD[reason], device("good")))
    assert names() == ["good"]
    platforms(StubPlatform("Vendor", BAD[reason]))
    with pytest.raises(
        BackendUnavailableError, match=rf"none of the OpenCL devices can be used: x of Vendor: {reason}"
    ) as caught:
        find_devices()
    assert caught.value.hardware_present


def test_known_bad_platforms_are_left_out(platforms):
    platforms(StubPlatform("Clover", device("x")), StubPlatform("Apple", device("cores", CPU), device("gpu")))
    assert names() == ["gpu"]
    platforms(StubPlatform("Clover", device("x")))
    with pytest.raises(BackendUnavailableError, match="Mesa's Clover is abandoned and miscompiles"):
        find_devices()


@pytest.mark.parametrize(
    ("error", "stubs", "reason", "remedy"),
    [
        (
            failure(cl.status_code.PLATFORM_NOT_FOUND_KHR),
            (),
            "no OpenCL driver (ICD) is installed",
            "array-dispatch[pocl]",
        ),
        (failure(cl.status_code.OUT_OF_HOST_MEMORY), (), "the OpenCL loader failed", "OCL_ICD_VENDORS"),
        (None, (), "the OpenCL loader lists no platform", "/etc/OpenCL/vendors"),
        (
            None,
            (StubPlatform("Empty", error=failure(cl.status_code.DEVICE_NOT_FOUND)),),
            "Empty have no device",
            "clinfo",
        ),
        (
            None,
            (StubPlatform("Portable Computing Language"),),
            "Portable Computing Language have no device",
            "let PoCL write to its cache, in a folder that POCL_CACHE_DIR names",
        ),
        (
            None,
            (StubPlatform("Broken", error=failure(cl.status_code.OUT_OF_HOST_MEMORY)),),
            "platform Broken: its driver failed",
            "clinfo",
        ),
    ],
    ids=["no driver", "broken loader", "no platform", "no device", "no cache", "broken driver"],
)
def test_each_way_to_have_no_device_has_its_message_and_remedy(platforms, error, stubs, reason, remedy):
    platforms(*stubs, error=error)
    with pytest.raises(BackendUnavailableError) as caught:
        find_devices()
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


def test_pyopencl_that_cannot_be_imported_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(BackendUnavailableError, match="PyOpenCL cannot be imported"):
        find_devices()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("0", ["a0", "a1"]),
        ("0:1", ["a1"]),
        ("1", ["b0"]),
        ("beta", ["b0"]),
        ("Alpha:a1", ["a1"]),
        ("0:1,0", ["a0", "a1"]),
    ],
)
def test_pyopencl_ctx_restricts_the_devices(platforms, monkeypatch, wanted, expected):
    platforms(StubPlatform("Alpha", device("a0"), device("a1")), StubPlatform("Beta", device("b0")))
    monkeypatch.setenv("PYOPENCL_CTX", wanted)
    assert names() == expected


@pytest.mark.parametrize("wanted", ["7", "gamma", "0:5", "²", "0:²"])
def test_pyopencl_ctx_that_names_nothing_is_an_error(platforms, monkeypatch, wanted):
    platforms(StubPlatform("Alpha", device("a0")), StubPlatform("Beta", device("b0")))
    monkeypatch.setenv("PYOPENCL_CTX", wanted)
    with pytest.raises(BackendUnavailableError, match=rf"PYOPENCL_CTX='{wanted}' names no usable device") as caught:
        find_devices()
    assert caught.value.remedy == "there is 0:0 (a0), 1:0 (b0)"


def test_work_is_laid_out_by_the_properties_of_a_device(platforms):
    properties = {
        "local_mem_type": cl.device_local_mem_type.LOCAL,
        "host_unified_memory": 0,
        "max_work_group_size": 1000,
        "max_mem_alloc_size": 1 << 28,
    }
    gpu, cpu = device("g", **properties), device("c", CPU, **properties, extensions="")
    StubPlatform("P", gpu, cpu)
    assert not Traits.of(gpu).streams
    assert Traits.of(cpu).streams
    assert (Traits.of(gpu).fp64, Traits.of(cpu).fp64) == (True, False)
    assert Traits.of(gpu).group == 256


def test_the_host_is_cheaper_than_a_cpu_through_opencl():
    import numpy as np

    decision = dispatch.explain("sum", np.ones(1 << 20))
    assert decision.chosen.name == "cpu:0"
    candidates = {c.name: c.seconds for c in dispatch.explain("eigsh", np.eye(300), backend="auto").candidates}
    assert candidates["cpu:0"] < candidates["opencl:0"]


def test_the_plugin_is_light_until_it_is_asked_for_devices():
    code = "import dispatch_opencl, sys; print('pyopencl' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_nothing_prompts_or_prints():
    code = "import dispatch; print(dispatch.backends().rows[-1].available)"
    result = subprocess.run(
        [sys.executable, "-c", code], input="", capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout in ("True\n", "False\n")
    assert result.stderr == ""
