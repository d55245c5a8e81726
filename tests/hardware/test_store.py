"""Profiles on disk: kept for the same device and software, and never an obstacle to a call."""

import json
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

import dispatch
from dispatch.backend import Profile
from dispatch.hardware import store

PROFILE = Profile(1e-5, 2e-5, 3e10, 4e9, 5e9, 6e9, math.inf, {"float32": 7e9}, measured=True)
DEVICE = dispatch.Device("cpu:0", "cpu", "some processor", driver="1.0")
DISTRIBUTION = "array-dispatch-cpu"


def test_what_was_saved_is_loaded(cache):
    assert store.load(DEVICE, DISTRIBUTION) is None
    path = store.save(DEVICE, DISTRIBUTION, PROFILE)
    assert path.parent == cache
    assert store.load(DEVICE, DISTRIBUTION) == PROFILE
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize(
    "other",
    [
        replace(DEVICE, driver="1.1"),
        replace(DEVICE, description="another processor"),
        replace(DEVICE, kind="gpu"),
        replace(DEVICE, name="cpu:1"),
    ],
    ids=["driver", "description", "kind", "name"],
)
def test_a_profile_of_another_device_does_not_count(cache, other):
    store.save(DEVICE, DISTRIBUTION, PROFILE)
    assert store.load(other, DISTRIBUTION) is None


@pytest.mark.parametrize("package", ["array-dispatch", "array-dispatch-cpu", "numpy", "numba"])
def test_a_profile_of_other_versions_does_not_count(cache, monkeypatch, package):
    store.save(DEVICE, DISTRIBUTION, PROFILE)
    installed = store.importlib.metadata.version
    monkeypatch.setattr(store.importlib.metadata, "version", lambda name: "999" if name == package else installed(name))
    assert store.load(DEVICE, DISTRIBUTION) is None
    store.save(DEVICE, DISTRIBUTION, PROFILE)
    assert store.load(DEVICE, DISTRIBUTION) == PROFILE
    assert len(list(cache.iterdir())) == 1  # the old one is replaced


def written(path, **changed):
    document = json.loads(path.read_text())
    document["profile"].update(changed)
    return json.dumps(document)


FOREIGN = {
    "empty": lambda path: b"",
    "cut": lambda path: path.read_bytes()[:-20],
    "no text": lambda path: b"\xff\xfe\x00",
    "another document": lambda path: b"[1, 2]",
    "nested": lambda path: b"[" * 60_000,
    "large": lambda path: b" " * (1 << 20) + path.read_bytes(),
    "no profile": lambda path: json.dumps(json.loads(path.read_text()) | {"profile": None}).encode(),
    "a rate of zero": lambda path: written(path, spmm_rate=0).encode(),
    "a negative rate": lambda path: written(path, spmm_rate=-1.0).encode(),
    "a rate that is no number": lambda path: written(path, spmm_rate="fast").encode(),
    "a rate that is NaN": lambda path: written(path, read_bandwidth=float("nan")).encode(),
    "a rate beyond all floats": lambda path: written(path, call_seconds=10**400).encode(),
    "a rate that is null": lambda path: written(path, read_bandwidth=None).encode(),
    "a latency that is null": lambda path: written(path, launch_seconds=None).encode(),
    "a bandwidth beyond all floats": lambda path: written(path, upload_bandwidth=10**400).encode(),
    "a dtype's bandwidth beyond all floats": lambda path: written(path, bandwidths={"float32": 10**400}).encode(),
    "a rate that is missing": lambda path: path.read_bytes().replace(b"dense_rate", b"other_rate"),
    "bandwidths that are none": lambda path: written(path, bandwidths={"float32": None}).encode(),
    "bandwidths that are a list": lambda path: written(path, bandwidths=[1.0]).encode(),
}


def the_cpu():
    """Return the CPU's device as a new process would see it."""
    dispatch.refresh()
    return dispatch.backends()[0].devices[0]


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_never_breaks_a_call(cache, content):
    path = store.save(the_cpu(), DISTRIBUTION, PROFILE)
    assert the_cpu().profile == PROFILE
    path.write_bytes(content(path))
    assert not the_cpu().profile.measured
    assert dispatch.sum(np.ones(3)) == 3


def test_what_is_no_file_never_breaks_a_call(cache):
    path = store.save(the_cpu(), DISTRIBUTION, PROFILE)
    path.unlink()
    os.mkfifo(path)  # opening it would wait for a writer
    assert not the_cpu().profile.measured
    path.unlink()
    path.mkdir()
    assert not the_cpu().profile.measured
    assert dispatch.sum(np.ones(3)) == 3


def test_a_folder_that_cannot_be_made_never_breaks_a_call(cache):
    cache.write_text("a file is in the way")
    assert not the_cpu().profile.measured
    assert dispatch.sum(np.ones(3)) == 3
    with pytest.raises(FileExistsError):
        store.save(the_cpu(), DISTRIBUTION, PROFILE)


def test_stored_profiles_can_be_switched_off(cache, monkeypatch):
    store.save(the_cpu(), DISTRIBUTION, PROFILE)
    monkeypatch.setenv("DISPATCH_CALIBRATE", "0")
    assert not the_cpu().profile.measured


def test_two_hundred_processes_that_save_at_once_leave_a_valid_file(cache):
    """They are forks, so that a start costs little; each reads what is there, whole, before and after it writes."""
    code = f"""
        import math, os, sys
        from dispatch.backend import Device, Profile
        from dispatch.hardware import store
        device, distribution = Device("cpu:0", "cpu", "some processor", driver="1.0"), {DISTRIBUTION!r}
        versions = store._versions(distribution)
        store._versions = lambda distribution: versions
        store.save(device, distribution, Profile(1.0, 1.0, 1.0, 1.0, 1.0))
        gate, opening = os.pipe()
        children = []
        for number in range(200):
            child = os.fork()
            if child == 0:
                os.close(opening)
                os.read(gate, 1)  # until the parent closes it
                whole = store.load(device, distribution) is not None
                store.save(device, distribution, Profile(*[float(number + 2)] * 5))
                os._exit(0 if whole and store.load(device, distribution) is not None else 1)
            children.append(child)
        os.close(opening)
        sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 0
    profile = store.load(DEVICE, DISTRIBUTION)
    assert profile.call_seconds == profile.dense_rate >= 2.0
    assert len(list(cache.iterdir())) == 1
