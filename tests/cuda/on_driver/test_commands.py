"""What is asked of the driver, by way of Numba and cuda-core as they are; the driver is that of `driver.c`."""

from __future__ import annotations

import functools
import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

if "DRIVER_LOG" not in os.environ:
    pytest.skip("there is no driver of the tests' own: `test_driver` brings it", allow_module_level=True)

from dispatch_cuda import CudaBackend
from dispatch_cuda.faults import DeviceError

import dispatch

KEPT = []
"""Results that are there at the end of the process."""

LOG = Path(os.environ["DRIVER_LOG"])
PRODUCER = 0x99
"""The stream that others make their arrays on."""


class Array:
    """A device array of another library's."""

    shape, dtype, nbytes = (3, 40), np.dtype(np.float64), 960

    def __init__(self):
        self.memory = np.zeros(self.shape)
        self.__cuda_array_interface__ = {
            "shape": self.shape, "typestr": "<f8", "strides": None, "data": (self.memory.ctypes.data, False),
            "version": 3, "stream": PRODUCER,
        }  # fmt: skip


def started():
    """Return a backend that nobody else has."""
    backend = CudaBackend()
    assert [device.name for device in backend.probe()] == ["cuda:0", "cuda:1"]
    return backend


@pytest.fixture(scope="module")
def backend():
    return started()


@pytest.fixture
def asked():
    """A function that returns what a call asks of the driver, in a thread that has no current device."""

    def run(work):
        errors = []

        def watched():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)

        gc.collect()  # what earlier tests left in cycles goes back now, not meanwhile
        LOG.write_text("")
        thread = threading.Thread(target=watched)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return LOG.read_text().splitlines()

    return run


def commands(lines):
    """Return the lines without those that make a device the current one, and without the devices."""
    return [line.partition(" on device")[0] for line in lines if not line.startswith("push")]


def test_sums_on_the_device_are_ordered_by_events_and_not_waited_for(backend, asked):
    def work():
        dispatch.sum(Array(), axis=1, backend=backend)

    first = commands(asked(work))
    stream = first[0].split()[1]
    lines = commands(asked(work))
    before, after = lines[0].split()[1], lines[-2].split()[1]
    assert lines == [
        f"event {before} by {PRODUCER:#x}",
        f"let {stream} wait for {before}",
        f"launch by {stream}",
        f"launch by {stream}",
        f"event {after} by {stream}",
        f"let {PRODUCER:#x} wait for {after}",
    ]


def test_what_is_kept_is_given_back_at_the_end(backend):
    """After the last test: `test_driver` looks at what is said then."""
    KEPT.extend(dispatch.sum(Array(), axis=1, backend=backend) for _ in range(30))


def test_a_sum_of_the_host_waits_once(backend, asked):
    a = np.zeros((3, 40))
    lines = commands(asked(lambda: dispatch.sum(a, axis=1, backend=backend)))
    assert [line.split()[0] for line in lines] == ["send", "launch", "fetch", "wait"]
    assert len({line.split()[-1] for line in lines}) == 1


@pytest.mark.parametrize("array", [Array, lambda: np.zeros((3, 40))], ids=["device", "host"])
def test_other_devices_are_left_alone(monkeypatch, asked, array):
    """Numba makes the first one current in a thread that has none."""
    monkeypatch.setenv("DRIVER_ARRAYS_ON", "1")
    lines = asked(lambda: dispatch.sum(array(), axis=1, backend="cuda:1"))
    assert len(lines) > 4
    assert all(line.endswith("on device 1") for line in lines)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_memory_goes_back_in_the_context_of_its_device(monkeypatch, asked, device):
    """Whichever thread drops it; without one the driver does not take it."""
    monkeypatch.setenv("DRIVER_ARRAYS_ON", device[-1])
    results = [dispatch.sum(Array(), axis=1, backend=device) for _ in range(30)]
    lines = [line for line in asked(results.clear) if line.startswith("free")]
    assert len(lines) > 10  # Numba lets some wait
    assert set(lines) == {f"free on device {device[-1]}"}


def test_memory_in_a_cycle_goes_back_too(asked):
    """The collector tells Numba first that an array is gone."""
    results = [dispatch.sum(Array(), axis=1, backend="cuda:0") for _ in range(30)]
    results.append(results)

    def work():
        nonlocal results
        del results
        gc.collect()

    assert {line for line in asked(work) if line.startswith("free")} == {"free on device 0"}


def call_of(command, backend):
    """Return a sum that gives the driver a command; a kernel that it has is not loaded again."""
    return functools.partial(dispatch.sum, np.zeros((3, 40)), axis=0 if command == "load" else 1, backend=backend)


@pytest.mark.parametrize("command", ["launch", "send", "fetch", "wait"])
def test_a_device_that_fails_is_given_up(monkeypatch, asked, command):
    """Numba raises errors of its own, and those of cuda-core, by which it loads and launches kernels."""
    backend = started()
    call = call_of(command, backend)
    monkeypatch.setenv("DRIVER_FAILS", f"{command} 700")
    with pytest.raises(DeviceError, match=r"cuda:0 failed: .*CUDA_ERROR_ILLEGAL_ADDRESS.*start a new one"):
        call()
    monkeypatch.delenv("DRIVER_FAILS")
    lines = asked(call)
    assert lines
    assert [line for line in lines if not line.endswith("on device 1")] == []


@pytest.mark.parametrize("command", ["load", "alloc", "launch", "send", "fetch"])
def test_a_device_without_memory_is_not(monkeypatch, asked, command):
    backend = started()
    call = call_of(command, backend)
    monkeypatch.setenv("DRIVER_FAILS", f"{command} 2")
    with pytest.raises(MemoryError, match=r"cuda:0 has not enough memory: .*CUDA_ERROR_OUT_OF_MEMORY"):
        call()
    monkeypatch.delenv("DRIVER_FAILS")
    assert all(line.endswith("on device 0") for line in asked(call))
