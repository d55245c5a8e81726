"""Whatever a plugin does wrong ends in its own row: the other backends and the program go on."""

import json
import signal
import sys
import threading

import numpy as np
import pytest

import dispatch
from dispatch.solvers import EigshResult
from tests.core.hostile_plugins import BAD_PLUGINS, BROKEN_ANSWERS, UNSPEAKABLE

ONES = np.ones(3)


def row(name):
    return next(backend for backend in dispatch.backends() if backend.name == name)


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


def test_a_probe_may_generate_its_devices(site):
    site.install(
        "mine",
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return (dispatch.Device(f'mine:{i}') for i in range(2))\n"
        "  def supports(self, call, device): return True\nbackend = B()",
    )
    assert row("mine").available
    assert [device.name for device in row("mine").devices] == ["mine:0", "mine:1"]


def test_ctrl_c_still_ends_the_wait_for_a_plugin(register):
    """The signal arrives in the main thread, while the plugin's own goes on."""
    interrupted = threading.Event()

    class Waiting(type(register("other"))):
        def probe(self):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            interrupted.wait(5)
            return [dispatch.Device("waiting:0")]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have it ignored in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            dispatch.sum(ONES, backend=Waiting("waiting"))
    finally:
        signal.signal(signal.SIGINT, before)
        interrupted.set()


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
    with pytest.warns(
        dispatch.BackendWarning, match="^the backend 'mine' is present but cannot be used: .* all claim this name"
    ):
        assert dispatch.sum(ONES) == 3


def test_a_plugin_that_shadows_the_cpu_is_refused_with_it(site, register):
    site.install("cpu", "raise SystemExit('imported')", distribution="shadow")
    contested = row("cpu")
    assert not contested.available
    assert "array-dispatch-cpu" in contested.reason
    assert "shadow 1.0 (shadow:backend)" in contested.reason
    assert "shadow" not in sys.modules
    register("whoever")
    with pytest.warns(
        dispatch.BackendWarning, match="^the backend 'cpu' is present but cannot be used: .* all claim this name"
    ):
        assert dispatch.sum(ONES, backend="cpu,whoever") == "whoever:0"
    with pytest.raises(dispatch.BackendUnavailableError, match="all claim this name -> uninstall all but one of them"):
        dispatch.sum(ONES, backend="cpu")


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


def test_a_description_does_not_command_the_terminal(site):
    site.install(
        "mine",
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return [dispatch.Device('mine:0', description='a\\nGPU \\x1b[2J', driver='1\\r')]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
    )
    (device,) = row("mine").devices
    assert (device.description, device.driver) == ("a GPU \N{REPLACEMENT CHARACTER}[2J", "1 ")


@pytest.mark.parametrize("answer", ["", " \n"])
def test_a_refusal_without_a_reason_names_who_gives_none(site, answer):
    site.install(
        "mine",
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return [dispatch.Device('mine:0')]\n"
        f"  def supports(self, call, device): return {answer!r}\n"
        "  def sum(self, *arguments, device): return 0\nbackend = B()",
    )
    with pytest.raises(dispatch.UnsupportedCallError) as caught:
        dispatch.sum(ONES, backend="mine")
    (attempt,) = caught.value.attempts
    assert attempt.reason == f"plugin-mine gives no reason: supports() returned {answer!r}"
    assert attempt.remedy == "report it to the authors of plugin-mine"


@pytest.mark.parametrize("answer", [None, (1, 2), EigshResult(1, 2, None)], ids=["none", "a tuple", "no info"])
def test_what_is_no_result_of_eigsh_names_its_backend(register, answer):
    class Solving(type(register("other"))):
        def eigsh(self, problem, *, device):
            return answer

    with pytest.raises(TypeError) as caught:
        dispatch.eigsh(np.eye(3), 1, backend=Solving("mine"))
    assert str(caught.value) == (
        f"eigsh of the backend 'mine' returned {answer!r}, expected a dispatch.solvers.EigshResult with an EigshInfo; "
        "report it to its authors"
    )


@pytest.mark.parametrize("types", [None, "numpy.ndarray", (3,)])
def test_array_types_that_are_no_names_end_in_its_row(site, types):
    site.install(
        "mine",
        f"import dispatch\nclass B(dispatch.Backend):\n  name='mine'; array_types={types!r}\n"
        "  def probe(self): return [dispatch.Device('mine:0')]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
    )
    assert "expected a tuple of qualified names" in row("mine").reason
