"""The table of known backends: lazy, isolated from what plugins do wrong, and safe to change."""

import dataclasses
import gc
import json
import os
import sys
import threading
import weakref

import numpy as np
import pytest

import dispatch
from dispatch.registry import registry

ONES = np.ones(3)


def row(name):
    return next(backend for backend in dispatch.backends() if backend.name == name)


BAD_PLUGINS = {
    "raises at import": ("raise OSError('libmine.so is missing')", "OSError: libmine.so is missing"),
    "exits at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "is no backend": ("backend = 42", "provides 42, expected an instance of dispatch.Backend"),
    "has no such attribute": ("other = 1", "AttributeError: module 'plugin_mine' has no attribute 'backend'"),
    "another API version": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'; api_version=99\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "it was written for plugin API 99; this core has 1",
    ),
    "another name": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='other'\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "its entry point is named 'mine' but its backend 'other'",
    ),
    "no device": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "probe() returned the devices [], expected mine:0, mine:1 and so on",
    ),
    "devices of another name": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return [dispatch.Device('gpu:0'), 7]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() returned the devices ['gpu:0', '7'], expected mine:0",
    ),
    "raises in probe": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): raise KeyError('driver')\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() raised KeyError: 'driver'",
    ),
    "hangs in probe": (
        "import dispatch, time\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): time.sleep(60)\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe(): no answer after 0.2 s",
    ),
    "hangs at import": ("import time; time.sleep(60)", "importing its plugin: no answer after 0.2 s"),
}


@pytest.mark.parametrize(("code", "reason"), BAD_PLUGINS.values(), ids=BAD_PLUGINS.keys())
def test_a_bad_plugin_ends_in_its_own_row(site, monkeypatch, code, reason):
    if "no answer" in reason:
        monkeypatch.setenv("DISPATCH_PROBE_TIMEOUT", "0.2")
    # A module that hangs holds its import lock for good, so it gets a name that no other test uses.
    site.install("mine", code, distribution="hanging" if reason.startswith("importing") else None)
    assert dispatch.sum(ONES) == 3  # auto passes over it
    bad = row("mine")
    assert not bad.available
    assert reason in bad.reason
    assert "plugin-mine" in bad.remedy or "DISPATCH_DISABLE=mine" in bad.remedy
    assert row("cpu").available
    with pytest.raises(dispatch.BackendUnavailableError, match="mine") as caught:
        dispatch.sum(ONES, backend="mine")
    assert reason in caught.value.attempts[0].reason
    assert caught.value.attempts[0].remedy == bad.remedy


def test_the_reason_that_a_plugin_gives_is_passed_on(site):
    site.install(
        "mine",
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): raise dispatch.BackendUnavailableError('no driver', 'install the driver')\n"
        "  def supports(self, call, device): return True\nbackend = B()",
    )
    assert (row("mine").reason, row("mine").remedy) == ("no driver", "install the driver")


def test_two_plugins_of_one_name_are_both_refused(site):
    site.install("mine", distribution="first-maker")
    site.install("mine", distribution="second-maker", version="2.0")
    contested = row("mine")
    assert not contested.available
    assert "first-maker 1.0 (first_maker:backend)" in contested.reason
    assert "second-maker 2.0 (second_maker:backend)" in contested.reason
    assert contested.remedy == "uninstall all but one of them"
    assert not {"first_maker", "second_maker"} & sys.modules.keys()
    assert dispatch.sum(ONES) == 3


def test_disabled_is_never_imported_but_explained(site, monkeypatch):
    monkeypatch.setenv("DISPATCH_DISABLE", " Mine , nobody")
    site.install("mine", "raise SystemExit('imported')")
    assert dispatch.sum(ONES) == 3
    assert row("mine").reason == "disabled by DISPATCH_DISABLE"
    assert row("mine").remedy == "take mine out of DISPATCH_DISABLE"
    with pytest.raises(dispatch.BackendUnavailableError, match="disabled by DISPATCH_DISABLE"):
        dispatch.sum(ONES, backend="mine")
    assert "plugin_mine" not in sys.modules
    (problem,) = dispatch.backends().problems
    assert (problem.source, problem.reason) == ("DISPATCH_DISABLE", "it names 'nobody', which no plugin provides")


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
    problem = f"DISPATCH_PROBE_TIMEOUT is {text!r}, expected a finite number of seconds above 0; 10 is used"
    with pytest.warns(dispatch.BackendWarning) as caught:
        assert dispatch.sum(ONES, backend="cpu") == 3
    assert {str(warning.message) for warning in caught} == {problem}
    assert {warning.filename for warning in caught} == {__file__}
    dispatch.refresh()
    with pytest.warns(dispatch.BackendWarning):
        problems = dispatch.backends().problems
    assert [(p.source, p.reason) for p in problems] == [("DISPATCH_PROBE_TIMEOUT", problem)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nonsense", "DISPATCH_BACKEND='nonsense': unknown backend 'nonsense': did you mean one of cpu"),
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


UNSPEAKABLE = ["MyGPU", "my.gpu", "café", "auto", "lobpcg", "cpu:0", "", "a b", None]


@pytest.mark.parametrize("name", UNSPEAKABLE)
def test_a_backend_that_could_not_be_asked_for_is_refused(register, name):
    kind = type(register("other"))
    for call in (lambda b: dispatch.register(b), lambda b: dispatch.sum(ONES, backend=b), lambda b: dispatch.use(b)):
        with pytest.raises(ValueError, match=r"the name of FakeBackend is .*, expected lower-case letters"):
            call(kind(name))


@pytest.mark.parametrize("name", ["MyGPU", "my.gpu", "auto"])
def test_a_plugin_that_could_not_be_asked_for_is_reported_and_never_imported(site, name):
    site.install(name, "raise SystemExit('imported')", distribution="maker")
    assert dispatch.sum(ONES) == 3
    (problem,) = dispatch.backends().problems
    assert problem.source == "maker 1.0 (maker:backend)"
    assert problem.reason == f"its entry point {name!r} is no name by which a backend can be asked for"


def test_a_backend_of_another_api_version_is_not_registered(register):
    backend = type(register("other"))("mine")
    backend.api_version = 99
    with pytest.raises(ValueError, match="'mine' cannot be registered: it was written for plugin API 99"):
        dispatch.register(backend)


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


BROKEN_ANSWERS = {
    "a reason that is an exception": ("raise dispatch.BackendUnavailableError(OSError('no /dev/dri'))", "no /dev/dri"),
    "an error that cannot be shown": (
        "class E(Exception):\n      def __str__(self): raise ZeroDivisionError\n    raise E",
        "probe() raised E: (its message cannot be shown)",
    ),
    "memory of NumPy's type": (
        "import numpy; return [dispatch.Device('mine:0', memory=numpy.int64(5))]",
        "expected a kind of cpu, gpu, accelerator, simulator, a description that is a string, and the memory as an int",
    ),
    "an unknown kind": ("return [dispatch.Device('mine:0', 'toaster')]", "kind='toaster'"),
}


@pytest.mark.parametrize(("body", "reason"), BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_odd_answers_of_a_probe_end_in_its_row(site, body, reason):
    site.install(
        "mine",
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        f"  def probe(self):\n    {body}\n  def supports(self, call, device): return True\nbackend = B()",
    )
    assert dispatch.sum(ONES) == 3
    assert reason in row("mine").reason
    json.dumps(dispatch.backends().to_dict())


@pytest.mark.parametrize("types", [None, "numpy.ndarray", (3,)])
def test_array_types_that_are_no_names_end_in_its_row(site, types):
    site.install(
        "mine",
        f"import dispatch\nclass B(dispatch.Backend):\n  name='mine'; array_types={types!r}\n"
        "  def probe(self): return [dispatch.Device('mine:0')]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
    )
    assert "expected a tuple of qualified names" in row("mine").reason


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
