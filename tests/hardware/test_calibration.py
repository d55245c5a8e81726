"""Measuring: what a measurement gives, when it is made, and that no call waits for it."""

import json
import math
import os
import sys
import time

import numpy as np
import pytest

import dispatch
from dispatch.backend import Profile
from dispatch.cli import main
from dispatch.hardware import calibration, measurement, store


@pytest.fixture
def quick(monkeypatch):
    """Measure small things, each figure three times."""
    monkeypatch.setattr(measurement, "SECONDS", 0.0)
    monkeypatch.setattr(measurement, "SUM_BYTES", 1 << 16)
    monkeypatch.setattr(measurement, "GRID", 6)
    monkeypatch.setattr(measurement, "DTYPES", ("float64", "int8"))


waits_for_the_compiler = pytest.mark.xdist_group("compiled-kernels")
"""Kernels of sums are compiled by one test process; another would wait for all of them."""


@waits_for_the_compiler
def test_calibrate_measures_and_the_next_look_finds_it(cache, quick, capsys, monkeypatch):
    before = dispatch.explain("sum", np.ones(10**5), backend="cpu").chosen
    assert before.basis == "assumed"
    assert main(["calibrate", "--backend", "cpu", "--json"]) == 0
    (profile,) = json.loads(capsys.readouterr().out).values()
    dispatch.refresh()
    after = dispatch.explain("sum", np.ones(10**5), backend="cpu").chosen
    assert after.basis == "measured"
    assert after.device.profile.to_dict() == profile
    assert set(profile["bandwidths"]) == set(measurement.DTYPES)
    assert profile["upload_bandwidth"] is None
    assert all(0 < profile[name] < math.inf for name in ("call_seconds", "launch_seconds", "spmm_rate", "dense_rate"))
    steps = []
    monkeypatch.setattr("os.nice", steps.append)  # or every test after this one would run at the lowest priority
    assert main(["calibrate", "--backend", "cpu", "--missing"]) == 0
    assert "cpu:0" not in capsys.readouterr().out
    assert steps == [19]


class Discrete(dispatch.Backend):
    """NumPy under the name of a device with its own memory."""

    name = "discrete"

    def probe(self):
        return [dispatch.Device("discrete:0", "gpu", "NumPy")]

    def supports(self, call, device):
        return True if call.dtype == np.float64 else "float64 only"

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        return np.sum(a)

    def block_engine(self, problem, *, device):
        from dispatch_cpu.engine import CpuEngine

        return CpuEngine(problem)


def test_a_backend_that_states_no_rates_is_measured_through_its_operations(quick):
    backend = Discrete()
    profile = backend.calibrate(backend.probe()[0])
    assert list(profile.bandwidths) == ["float64"]
    assert not profile.on_host_memory
    assert 0 < profile.download_bandwidth < math.inf
    assert profile.measured


class NoSolver(Discrete):
    block_engine = dispatch.Backend.block_engine


def test_what_a_backend_lacks_is_never_estimated(quick):
    backend = NoSolver()
    profile = backend.calibrate(backend.probe()[0])
    assert profile.launch_seconds == math.inf
    assert profile.to_dict()["launch_seconds"] == "inf"
    assert Profile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


class Nothing(dispatch.Backend):
    name = "nothing"

    def probe(self):
        return [dispatch.Device("nothing:0", "cpu", "idle")]

    def supports(self, call, device):
        return True


def test_a_backend_with_nothing_to_measure_is_reported(cache, capsys):
    with dispatch.register(Nothing()):
        assert main(["calibrate", "--backend", "nothing"]) == 1
    assert capsys.readouterr().err == (
        "dispatch: error: nothing:0: ValueError: nothing:0 supports neither sum nor eigsh of float64: "
        "there is nothing to measure\n"
    )


@waits_for_the_compiler
def test_what_cannot_be_stored_is_reported_all_the_same(cache, quick, capsys):
    cache.write_text("a file is in the way")
    assert main(["calibrate", "--backend", "cpu"]) == 1
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["device", "cpu:0"]
    said, remedy = printed.err.rstrip().split("; ")
    assert said.startswith("dispatch: error: cpu:0: measured, but not stored: FileExistsError: ")
    assert remedy == "set DISPATCH_CACHE_DIR to a folder that can be written"


class Careless(Nothing):
    """Measures what `figures` says."""

    def __init__(self, figures):
        self.figures = figures

    def calibrate(self, device):
        return self.figures


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"spmm_rate": 1e9}, "TypeError: calibrate() returned {'spmm_rate': 1000000000.0}, expected a Profile"),
        (Profile(1.0, 1.0, 1e9, math.nan, 1e9), "ValueError: spmm_rate is nan, expected a number above 0"),
    ],
)
def test_a_measurement_that_is_no_profile_is_reported(cache, capsys, figures, said):
    with dispatch.register(Careless(figures)):
        assert main(["calibrate", "--backend", "nothing"]) == 1
    printed = capsys.readouterr()
    assert "nothing:0" not in printed.out
    assert printed.err == f"dispatch: error: nothing:0: {said}\n"


def test_calibrate_refuses_what_it_cannot_do(capsys, monkeypatch):
    assert main(["calibrate"]) == 2
    assert capsys.readouterr().err == (
        "dispatch: error: DISPATCH_CALIBRATE is 0, which keeps profiles from being measured and used; unset it\n"
    )
    monkeypatch.setenv("DISPATCH_CALIBRATE", "1")
    assert main(["calibrate", "--backend", "cpo"]) == 3
    assert "unknown backend 'cpo'; there is cpu" in capsys.readouterr().err


def test_a_wrong_setting_is_reported(monkeypatch):
    monkeypatch.setenv("DISPATCH_CALIBRATE", "never")
    dispatch.refresh()
    told = "DISPATCH_CALIBRATE: it is 'never', expected 0 or 1; it counts as 1 -> correct it, or unset it"
    with pytest.warns(dispatch.BackendWarning) as caught:
        problems = dispatch.backends().problems
    assert [str(warning.message) for warning in caught] == [told]
    assert told in map(str, problems)


class Rated(Discrete):
    """A device with stated rates that are no better than the host's."""

    name = "rated"

    def probe(self):
        return [dispatch.Device("rated:0", "gpu", "rated", profile=Profile(1.0, 1.0, 1e9, 1e9, 1e9, 1e9, 1e9))]


@pytest.fixture
def started(cache, monkeypatch):
    """The commands of background measurements, which are not run, with one candidate beside the CPU."""
    commands = []

    monkeypatch.setattr("dispatch.devices.start_silently", lambda command, variables: commands.append(command[1:]))
    calibration._started.clear()
    with dispatch.register(Rated()):
        yield commands
    calibration._started.set()


MEASURE = ["-P", "-m", "dispatch", "calibrate", "--missing"]
LARGE = np.broadcast_to(1.0, 10**8)


def decide(a, **asked):
    dispatch.selection.select(
        dispatch.operations.sum.call_of(a, None, None, None, False, *[np._NoValue] * 2),
        *dispatch.context.in_force(asked.get("backend")),
    )


def test_the_first_choice_that_matters_has_the_devices_measured(started, cache):
    decide(np.ones(3))
    decide(LARGE, backend="cpu")
    assert started == []
    decide(LARGE)
    decide(LARGE)
    assert started == [MEASURE]
    calibration._started.clear()  # another process, soon after
    decide(LARGE)
    assert started == [MEASURE]
    old = time.time() - calibration.PAUSE - 1
    os.utime(cache / "attempted", (old, old))
    calibration._started.clear()
    decide(LARGE)
    assert started == [MEASURE, MEASURE]


def test_an_attempt_in_the_future_keeps_nothing_from_being_measured(started, cache):
    cache.mkdir()
    (cache / "attempted").touch()
    future = time.time() + 2 * calibration.PAUSE  # the clock has been set back since
    os.utime(cache / "attempted", (future, future))
    decide(LARGE)
    assert started == [MEASURE]
    assert (cache / "attempted").stat().st_mtime < future


def test_no_program_but_python_is_started(started, cache, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    decide(LARGE)
    assert started == []
    assert not (cache / "attempted").exists()  # another process may still try


def test_nothing_is_measured_where_it_is_switched_off(started, monkeypatch):
    monkeypatch.setenv("DISPATCH_CALIBRATE", "0")
    decide(LARGE)
    assert started == []


def test_nothing_is_measured_where_it_is_known(started):
    for backend in dispatch.backends():
        for device in backend.devices:
            if backend.distribution:
                store.save(device, backend.distribution, Profile(1e-6, 1e-5, 1e10, 1e9, 1e9))
    dispatch.refresh()
    with dispatch.use("cpu,opencl,auto"):
        decide(LARGE)
    assert started == []


def test_a_folder_that_cannot_be_written_keeps_nothing_from_running(started, cache):
    cache.write_text("a file is in the way")
    decide(LARGE)
    assert started == []
    assert dispatch.sum(np.ones(3)) == 3
