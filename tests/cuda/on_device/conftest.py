"""The device that these tests run on: PTX executed on the CPU, Numba's simulator, or a GPU.

``DISPATCH_CUDA_TESTS`` names it, ``ptx``, ``simulator`` or ``gpu``; without it the tests of this folder are skipped,
since a process has one kind of device for its whole life. ``PTX_ON_CPU`` is the folder of the tool that executes PTX;
``PTX_ON_CPU_OPTIONS`` are its options, such as ``order=2,seed=5,yieldmem=4``.
"""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

import dispatch

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")
DEVICE = os.environ.get("DISPATCH_CUDA_TESTS", "")
CAPABILITIES = [(7, 5), (8, 0), (9, 0), (10, 0)]
CAPABILITY = (9, 0)

if DEVICE == "ptx":
    sys.path.insert(0, os.environ["PTX_ON_CPU"])
    import hostcuda
    from dispatch_cuda.devices import CudaDevice
    from numba import cuda

    from tests.cuda import kernels, ptx

    hostcuda.install()
    compile_anew = cuda.compile

    def compiled(function, signature, **options):
        if hasattr(function, "specialised"):
            return ptx.compiled(function, signature, CAPABILITIES)[CAPABILITY], None
        return compile_anew(function, signature, **options)  # one of Numba's own

    cuda.compile = compiled
    options = (option.split("=") for option in os.environ.get("PTX_ON_CPU_OPTIONS", "").split(",") if option)
    hostcuda.OPTS.update({name: int(value) for name, value in options}, cc=CAPABILITY)
    # The module has the name of the plugin's object, so it is not an attribute of the package.
    sys.modules["dispatch_cuda.backend"].find_devices = lambda: [
        CudaDevice(0, "PTX on the CPU", CAPABILITY, 8 << 30, 13000)
    ]
if DEVICE == "simulator":
    from dispatch.solvers import dense
    from tests.cuda import simulator

    simulator.install()
    dense.ALWAYS_BELOW = 0  # LAPACK would solve what the simulator has time for


@pytest.fixture(autouse=True)
def _by_name():
    """Ask for the simulator, which nothing chooses by itself; a GPU is where its arrays are summed."""
    with dispatch.use("cuda") if DEVICE == "simulator" else contextlib.nullcontext():
        yield


def pytest_collection_modifyitems(items):
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here) and not DEVICE:
            item.add_marker(pytest.mark.skip(reason="DISPATCH_CUDA_TESTS names no device"))


def pytest_configure(config):
    if DEVICE == "ptx":  # the tool leaves files to the garbage collector
        for category in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
            config.addinivalue_line("filterwarnings", f"ignore::{category}")
    if DEVICE == "simulator":  # kernels run in threads of their own, where NumPy's error state of a test does not hold
        config.addinivalue_line("filterwarnings", "ignore:.*overflow encountered:RuntimeWarning")


launched: set[str] = set()
"""The kernels that test processes of this one have launched."""


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node):
    """Note what a test process that has ended has launched."""
    launched.update(getattr(node, "workeroutput", {}).get("launched", ()))


def pytest_sessionfinish(session):
    """With ``DISPATCH_CUDA_EVERY_KERNEL`` set, fail where a kernel has not been launched, and so not been checked."""
    if DEVICE != "ptx":
        return
    launched.update(hostcuda.STATS["kernels"])
    if hasattr(session.config, "workeroutput"):  # one of several processes
        session.config.workeroutput["launched"] = sorted(launched)
    elif os.environ.get("DISPATCH_CUDA_EVERY_KERNEL") and (missed := kernels.every_name() - launched):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"kernels that no test has launched: {', '.join(sorted(missed))}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
