"""Where calls go by arithmetic: devices of stated rates, which compute nothing."""

import contextlib

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch
from dispatch.backend import Profile

HOST = Profile(2e-6, 1e-5, 2e10, 2e9, 1e10)
FAST = {"read_bandwidth": 1.5e12, "spmm_rate": 1e11, "dense_rate": 1e12}
PCIE = {"upload_bandwidth": 1.2e10, "download_bandwidth": 1.2e10}
FAST_GPU = Profile(3e-5, 5e-5, **FAST, **PCIE)
SLOW_GPU = Profile(3e-5, 2e-5, 3e10, 1e9, 5e9, **PCIE)
SHARED_GPU = Profile(3e-5, 2e-5, 1e11, 1e9, 5e9)


class Resident:
    """An array on the stub's device."""

    dtype = np.dtype(float)

    def __init__(self, size):
        self.shape, self.nbytes = (size,), 8 * size


class Stub(dispatch.Backend):
    """A device with a profile; what runs on it returns its name."""

    def __init__(self, name, profile, kind="gpu", memory=None, array_types=()):
        self.name, self.array_types = name, array_types
        self._device = dispatch.Device(f"{name}:0", kind, f"stub {name}", memory, profile=profile)

    def probe(self):
        return [self._device]

    def supports(self, call, device):
        return True

    def sum(self, *args, device, **kwargs):
        return device.name

    def eigsh(self, problem, *, device):
        raise NotImplementedError


@pytest.fixture
def chosen(monkeypatch):
    """Return who runs a call on a machine of the given devices."""
    monkeypatch.setenv("DISPATCH_DISABLE", "cpu,cuda,opencl")
    dispatch.refresh()

    def chosen(devices, operation, *args, **kwargs):
        with contextlib.ExitStack() as stack:
            for stub in devices:
                stack.enter_context(dispatch.register(stub))
            return dispatch.explain(operation, *args, **kwargs).chosen.name

    return chosen


def host():
    return Stub("host", HOST, "cpu")


def laplacian(n):
    return sp.diags_array([[-1.0] * (n - 1), [2.0] * n, [-1.0] * (n - 1)], offsets=[-1, 0, 1], format="csr")


@pytest.mark.parametrize("size", [1, 10**3, 10**6, 10**8])
def test_a_sum_of_the_host_does_not_cross_a_slower_bus(chosen, size):
    a = np.broadcast_to(1.0, size)
    assert chosen([host(), Stub("gpu", FAST_GPU)], "sum", a) == "host:0"


def test_a_large_sum_goes_to_a_faster_device_on_the_same_memory(chosen):
    devices = [host(), Stub("shared", SHARED_GPU)]
    assert chosen(devices, "sum", np.broadcast_to(1.0, 10**3)) == "host:0"
    assert chosen(devices, "sum", np.broadcast_to(1.0, 10**8)) == "shared:0"


@pytest.mark.parametrize("size", [1, 10**8])
def test_a_resident_array_stays(chosen, size):
    own = f"{Resident.__module__}.Resident"
    for profile in (FAST_GPU, SLOW_GPU):
        assert chosen([host(), Stub("gpu", profile, array_types=(own,))], "sum", Resident(size)) == "gpu:0"


def test_a_resident_array_is_not_charged_for_a_transfer():
    own = f"{Resident.__module__}.Resident"
    stub = Stub("gpu", FAST_GPU, array_types=(own,))
    with dispatch.register(stub):
        seconds = dispatch.explain("sum", Resident(10**8), backend="gpu").chosen.seconds
    assert seconds == pytest.approx(3e-5 + 8e8 / 1.5e12)


def test_a_host_array_is_charged_for_its_transfer():
    with dispatch.register(Stub("gpu", FAST_GPU)):
        seconds = dispatch.explain("sum", np.broadcast_to(1.0, 10**6), backend="gpu").chosen.seconds
    assert seconds == pytest.approx(3e-5 + 8e6 / 1.5e12 + 8e6 / 1.2e10)


def test_a_measured_bandwidth_of_the_dtype_counts():
    profile = Profile(1e-6, 1e-5, 2e10, 2e9, 1e10, bandwidths={"float32": 1e10, "int8": 5e9})
    with dispatch.register(Stub("mine", profile)):
        for dtype, bandwidth in {"f4": 1e10, "f8": 2e10, "i1": 5e9, "u1": 5e9, "?": 5e9}.items():
            a = np.zeros(10**6, dtype)
            seconds = dispatch.explain("sum", a, backend="mine").chosen.seconds
            assert seconds == pytest.approx(1e-6 + a.nbytes / bandwidth)


def test_a_large_eigenproblem_moves_to_a_fast_device_and_a_small_one_does_not(chosen):
    devices = [host(), Stub("gpu", FAST_GPU)]
    assert chosen(devices, "eigsh", laplacian(100), which="SA") == "host:0"
    assert chosen(devices, "eigsh", laplacian(1_000), which="SA") == "host:0"
    assert chosen(devices, "eigsh", laplacian(1_000_000), which="SA") == "gpu:0"


def test_no_eigenproblem_moves_to_a_slow_device(chosen):
    for n in (100, 1_000, 1_000_000):
        assert chosen([host(), Stub("gpu", SLOW_GPU)], "eigsh", laplacian(n), which="SA") == "host:0"


def test_an_eigenproblem_that_does_not_fit_stays(chosen):
    gpu = Stub("gpu", FAST_GPU, memory=1 << 28)
    assert chosen([host(), gpu], "eigsh", laplacian(1_000_000), which="SA") == "host:0"


def test_an_operator_of_the_host_pays_for_its_blocks():
    operator = sp.linalg.aslinearoperator(laplacian(1_000_000))
    seconds = {}
    for name, profile in {"near": SHARED_GPU, "far": SLOW_GPU}.items():
        with dispatch.register(Stub(name, profile)):
            seconds[name] = dispatch.explain("eigsh", operator, which="SA", backend=name).chosen.seconds
    block = 8 * 9 * 1_000_000
    assert seconds["far"] - seconds["near"] > 2 * 12 * block / 1.2e10


def test_near_ties_stay_on_the_hosts_memory_and_then_on_the_cpu(chosen):
    a = np.broadcast_to(1.0, 10**7)
    slightly_faster = Profile(2e-6, 1e-5, 2.2e10, 2e9, 1e10, 1e15, 1e15)
    assert chosen([host(), Stub("gpu", slightly_faster)], "sum", a) == "host:0"
    much_faster = Profile(2e-6, 1e-5, 4e10, 2e9, 1e10, 1e15, 1e15)
    assert chosen([host(), Stub("gpu", much_faster)], "sum", a) == "gpu:0"


def test_the_cpu_comes_first_among_devices_on_the_hosts_memory():
    cpu = dispatch.backends()[0].devices[0].profile
    faster = Profile(cpu.call_seconds, cpu.launch_seconds, 1.1 * cpu.read_bandwidth, 1e9, 1e9)
    with dispatch.register(Stub("aaa", faster, "cpu")):
        decision = dispatch.explain("sum", np.broadcast_to(1.0, 10**8))
    assert decision.chosen.name == "cpu:0"
    (other,) = [candidate for candidate in decision.candidates if candidate.name == "aaa:0"]
    assert other.seconds < decision.chosen.seconds


def test_a_backend_without_a_profile_comes_last_until_it_is_measured(chosen):
    assert chosen([host(), Stub("mine", None)], "sum", np.ones(10)) == "host:0"
    with dispatch.register(Stub("mine", None)):
        chosen_candidate = dispatch.explain("sum", np.ones(10), backend="mine").chosen
    assert chosen_candidate.seconds == float("inf")
    assert chosen_candidate.basis == ""
