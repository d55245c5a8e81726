"""The table of known backends: lazy, isolated from what plugins do wrong, and safe to change."""

import dataclasses
import gc
import os
import re
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import dispatch
from dispatch.environment import VARIABLES
from dispatch.registry import registry

ONES = np.ones(3)


def row(name):
    return next(backend for backend in dispatch.backends() if backend.name == name)


def test_disabled_is_never_imported_but_explained(site, monkeypatch):
    monkeypatch.setenv("DISPATCH_DISABLE", " Mine , nobody")
    site.install("mine", "raise SystemExit('imported')")
    with pytest.warns(dispatch.BackendWarning) as caught:
        assert dispatch.sum(ONES) == 3
    assert row("mine").reason == "disabled by DISPATCH_DISABLE"
    assert row("mine").remedy == "take mine out of DISPATCH_DISABLE"
    with pytest.raises(dispatch.BackendUnavailableError, match="disabled by DISPATCH_DISABLE"):
        dispatch.sum(ONES, backend="mine")
    assert "plugin_mine" not in sys.modules
    (problem,) = dispatch.backends().problems
    assert (problem.source, problem.reason) == ("DISPATCH_DISABLE", "it names 'nobody', which no plugin provides")
    assert re.fullmatch(r"correct the name: there is cpu, cuda, .*mine.*", problem.remedy)
    assert [str(warning.message) for warning in caught] == [str(problem)]


def test_a_backend_named_first_does_not_import_the_others(site):
    site.install("mine")
    assert dispatch.sum(ONES, backend="cpu") == 3
    assert "plugin_mine" not in sys.modules
    assert dispatch.sum(ONES, backend="cpu,mine") == 3
    assert "plugin_mine" not in sys.modules
    assert dispatch.sum(ONES, backend="mine") == "mine:0"


def test_a_backend_that_people_expect_says_how_to_get_it(site, monkeypatch):
    monkeypatch.setattr("dispatch.registry.INSTALLED_BY", {"hip": "pip install 'array-dispatch[hip]'"})
    dispatch.refresh()
    assert row("hip").remedy == "pip install 'array-dispatch[hip]'"
    with pytest.raises(dispatch.BackendUnavailableError, match="not installed"):
        dispatch.sum(ONES, backend="hip")
    site.install("hip")
    assert dispatch.sum(ONES, backend="hip") == "hip:0"


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_not_obeyed_and_said_so(monkeypatch, register, text):
    monkeypatch.setenv("DISPATCH_PROBE_TIMEOUT", text)
    reason = f"it is {text!r}, expected a finite number of seconds above 0; 10 is used"
    with pytest.warns(dispatch.BackendWarning) as caught:
        assert dispatch.sum(ONES, backend="cpu") == 3
    assert [str(w.message) for w in caught] == [f"DISPATCH_PROBE_TIMEOUT: {reason} -> correct it, or unset it"]
    assert caught[0].filename == __file__
    (problem,) = dispatch.backends().problems
    assert (problem.source, problem.reason) == ("DISPATCH_PROBE_TIMEOUT", reason)


MISSPELT = {
    "DISPATCH_BAKEND": "DISPATCH_BACKEND",
    "dispatch_backend": "DISPATCH_BACKEND",
    "DISPACH_BACKEND": "DISPATCH_BACKEND",
    "DISPATCH_DISABLED": "DISPATCH_DISABLE",
    "DISPATCH_CACHEDIR": "DISPATCH_CACHE_DIR",
    "DISPATCH_CALIBRATED": "DISPATCH_CALIBRATE",
    "DISPATCH_PROBE_TIME_OUT": "DISPATCH_PROBE_TIMEOUT",
}


@pytest.mark.skipif(os.name == "nt", reason="variables there have no case")
@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
def test_a_misspelt_variable_is_told_of_once(monkeypatch, name, meant):
    monkeypatch.setenv(name, "cuda")
    with pytest.warns(dispatch.BackendWarning) as caught:
        assert dispatch.sum(ONES) == 3
    told = f"{name}: dispatch reads no such variable -> did you mean {meant}?"
    assert [(str(warning.message), warning.filename) for warning in caught] == [(told, __file__)]
    assert dispatch.sum(ONES) == 3  # warnings are errors here
    assert list(map(str, dispatch.backends().problems)) == [told]


def test_a_cache_that_cannot_be_a_folder_is_told_of(monkeypatch, tmp_path):
    monkeypatch.setenv("DISPATCH_CACHE_DIR", str(tmp_path / "new" / "folder"))
    assert dispatch.sum(ONES) == 3  # warnings are errors here
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("DISPATCH_CACHE_DIR", f"{file}/cache")
    dispatch.refresh()
    told = f"DISPATCH_CACHE_DIR: it is '{file}/cache', but {file} is no folder that can be written to -> correct it"
    with pytest.warns(dispatch.BackendWarning, match=re.escape(told)):
        assert dispatch.sum(ONES) == 3


@pytest.mark.parametrize("name", ["DISPATCH_FOO", "DISPATCH_BACKEND_URL", "DISPATCH_TABLE", "DISPATCH_CACHE_TTL"])
def test_a_variable_of_somebody_else_is_left_alone(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert dispatch.sum(ONES) == 3  # warnings are errors here
    assert dispatch.backends().problems == ()


def test_every_variable_that_is_read_is_known():
    """Of one that is not, nobody would be told that they have misspelt it."""
    package = Path(dispatch.__file__).parent
    sources = [path.read_text("utf-8") for path in package.rglob("*.py") if path.name != "environment.py"]
    read = {name for source in sources for name in re.findall(r"""environ[.a-z]*[(\[]["'](DISPATCH_\w+)""", source)}
    assert read | {"DISPATCH_DISABLE"} == set(VARIABLES)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nonsense", "DISPATCH_BACKEND='nonsense': unknown backend 'nonsense': there is cpu, cuda"),
        ("cpo", "DISPATCH_BACKEND='cpo': unknown backend 'cpo': did you mean 'cpu'?"),
        (",", "environment variable DISPATCH_BACKEND: backend ',': '' is neither a backend ('cpu')"),
    ],
)
def test_a_setting_that_names_nobody_is_in_the_inventory(monkeypatch, value, reason):
    monkeypatch.setenv("DISPATCH_BACKEND", value)
    dispatch.refresh()
    (problem,) = dispatch.backends().problems
    assert problem.source == "DISPATCH_BACKEND"
    assert problem.reason.startswith(reason)


def test_disabling_takes_any_case(site, monkeypatch):
    monkeypatch.setenv("DISPATCH_DISABLE", "MINE")
    site.install("mine", "raise SystemExit('imported')")
    assert row("mine").reason == "disabled by DISPATCH_DISABLE"


def test_equal_objects_are_not_mistaken_for_each_other_and_do_not_outlive_their_use(register):
    @dataclasses.dataclass(frozen=True)
    class Equal(type(register("other"))):
        tag: str = dataclasses.field(compare=False)
        name = "equal"
        _cost, _supports, _probe, _devices, _kind, probes = 1.0, True, None, 1, "gpu", property(lambda self: 0)

        def probe(self):
            return [dispatch.Device("equal:0", "gpu", "one")]

        def sum(self, *arguments, device):
            return self.tag

    first, second = Equal("first"), Equal("second")
    assert first == second
    assert dispatch.sum(ONES, backend=first) == "first"
    assert dispatch.sum(ONES, backend=second) == "second"
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None


def test_register_and_undo(register):
    register("mine")
    assert dispatch.sum(ONES, backend="mine") == "mine:0"
    undo = dispatch.register(type(registry.table().entries["mine"].backend())("other"))
    assert row("other").distribution is None
    undo()
    undo()  # a second undo does nothing
    with pytest.raises(dispatch.UnknownBackendError, match="'other'"):
        dispatch.sum(ONES, backend="other")
    assert dispatch.sum(ONES, backend="mine") == "mine:0"


def test_a_registration_is_a_context_manager(register):
    kind = type(register("first"))
    with dispatch.register(kind("mine")):
        assert dispatch.sum(ONES, backend="mine") == "mine:0"
    with pytest.raises(dispatch.UnknownBackendError):
        dispatch.sum(ONES, backend="mine")


def test_a_late_undo_does_not_remove_a_successor(register):
    kind = type(register("first"))
    undo = dispatch.register(kind("mine"))
    undo()
    with dispatch.register(kind("mine")):
        undo()
        assert dispatch.sum(ONES, backend="mine") == "mine:0"


def test_a_name_that_is_taken_cannot_be_registered(register):
    kind = type(register("mine"))
    with pytest.raises(ValueError, match="'cpu' is already provided by array-dispatch-cpu; give yours another name"):
        dispatch.register(kind("cpu"))
    with pytest.raises(ValueError, match="'mine' is already provided by the program that registered it"):
        dispatch.register(kind("mine"))


@pytest.mark.parametrize("value", ["cpu", None, dispatch.Backend])
def test_only_backend_objects_can_be_registered(value):
    with pytest.raises(TypeError, match=r"expected an instance of dispatch\.Backend"):
        dispatch.register(value)


def test_refresh_probes_again_and_keeps_registered_backends(register):
    backend = register("mine")
    for times in (1, 2):
        assert dispatch.sum(ONES, backend="mine") == "mine:0"
        assert dispatch.sum(ONES, backend="mine") == "mine:0"
        assert backend.probes == times
        dispatch.refresh()


def test_a_new_backend_is_seen_by_calls_whose_decision_was_kept(register):
    assert dispatch.sum(ONES) == 3
    undo = dispatch.register(type(register("dear", cost=1e9))("cheap", cost=0.0))
    assert dispatch.sum(ONES) == "cheap:0"
    undo()
    assert dispatch.sum(ONES) == 3


def test_an_unregistered_object_is_probed_once(register):
    backend = type(register("other"))("mine")
    assert {dispatch.sum(ONES, backend=backend) for _ in range(3)} == {"mine:0"}
    assert backend.probes == 1


def test_many_threads_probe_once(register):
    backend = register("mine")
    barrier = threading.Barrier(8)
    results = []

    def call():
        barrier.wait()
        results.append(dispatch.sum(ONES, backend="mine"))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["mine:0"] * 8
    assert backend.probes == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_blocked_by_a_lock_that_another_thread_held():
    entry = registry.table().entries["cpu"]
    held, release = threading.Event(), threading.Event()

    def hold():
        with registry._lock, entry._lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        dispatch.refresh()
        os._exit(0 if dispatch.sum(ONES) == 3 else 1)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_inventory_is_readable_and_plain():
    inventory = dispatch.backends()
    assert "cpu  array-dispatch-cpu" in str(inventory)
    assert len(inventory) == len(list(inventory)) == len(inventory.to_dict()["backends"])
    assert inventory[0] == next(iter(inventory))
    assert inventory.to_dict()["problems"] == []
