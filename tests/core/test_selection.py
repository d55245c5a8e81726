"""Who runs a call: strict by name, in order of a list, cheapest under auto; and every reason is kept."""

import contextlib
import logging
import sys

import numpy as np
import pytest

import dispatch
from dispatch.operations.sum import NO_VALUE, call_of

ONES = np.ones(3)


class DeviceArray:
    """An array of some accelerator library, known to a backend by its qualified name only."""

    shape = (3,)
    dtype = np.dtype(float)
    nbytes = 24


class DeviceSubclass(DeviceArray):
    pass


class ForeignArray(DeviceArray):
    """Refused by the CPU backend."""

    __cuda_array_interface__ = {}


OWN = f"{DeviceArray.__module__}.DeviceArray"


def test_auto_takes_the_lowest_cost(register):
    register("dear", cost=2e-9)
    register("cheap", cost=1e-9)
    assert dispatch.sum(ONES) == "cheap:0"


def test_cost_depends_on_the_call(register):
    register("mine", cost=lambda call, device: 1e-9 if call.nbytes > 4096 else 1.0)
    assert dispatch.sum(ONES) == 3
    assert dispatch.sum(np.ones(1000)) == "mine:0"
    assert dispatch.sum(ONES) == 3


def test_cost_depends_on_the_other_arguments(register):
    def cost(call, device):
        out, dtype = call.arguments.get("out"), call.arguments.get("dtype")
        return 1e-9 if dtype is np.float32 or "where" in call.arguments or getattr(out, "dtype", None) == "f4" else 1.0

    register("mine", cost=cost)
    for _ in range(2):  # decided, then remembered
        assert dispatch.sum(ONES) == dispatch.sum(ONES, dtype=np.float64) == dispatch.sum(ONES, out=np.empty(())) == 3
        assert dispatch.sum(ONES, dtype=np.float32) == "mine:0"
        assert dispatch.sum(ONES, out=np.empty((), np.float32)) == "mine:0"
        assert dispatch.sum(ONES, where=ONES > 0) == "mine:0"


def test_equal_costs_go_to_the_host(register):
    cpu = dispatch.explain("sum", ONES, backend="cpu").chosen.seconds
    register("aaa", cost=cpu)
    register("zzz", cost=cpu)
    assert dispatch.sum(ONES) == 3


def test_a_backend_without_estimates_runs_last(register):
    register("mine", cost=float("inf"))
    assert dispatch.sum(ONES) == 3
    assert dispatch.sum(ONES, backend="mine") == "mine:0"


def test_auto_passes_over_what_does_not_support_the_call(register, caplog):
    register("mine", cost=0.0, supports="no float64 here")
    with caplog.at_level(logging.DEBUG, logger="dispatch"):
        assert dispatch.sum(ONES) == 3
    assert "no float64 here" in caplog.text


def test_a_name_is_strict(register):
    register("mine", supports="no float64 here")
    with pytest.raises(dispatch.UnsupportedCallError) as caught:
        dispatch.sum(ONES, backend="mine")
    assert str(caught.value) == ("sum: nothing that backend='mine' allows can run this call: mine:0: no float64 here")
    (attempt,) = caught.value.attempts
    assert (attempt.backend, attempt.reason, attempt.remedy) == ("mine:0", "no float64 here", "")


def test_an_unavailable_name_is_strict(register):
    register("mine", probe=dispatch.BackendUnavailableError("no driver", "install it"))
    with pytest.raises(dispatch.BackendUnavailableError, match="mine: no driver -> install it") as caught:
        dispatch.sum(ONES, backend="mine")
    (attempt,) = caught.value.attempts
    assert (attempt.backend, attempt.reason, attempt.remedy) == ("mine", "no driver", "install it")


def test_a_list_is_tried_in_order_and_every_attempt_is_kept(register):
    register("first", probe=dispatch.BackendUnavailableError("no driver", "install it"))
    register("second", supports="no float64 here")
    register("third", cost=1e9)
    assert dispatch.sum(ONES, backend="first,second,third,cpu") == "third:0"
    with pytest.raises(dispatch.UnsupportedCallError) as caught:
        dispatch.sum(ONES, backend="first,second")
    assert [(attempt.backend, attempt.reason) for attempt in caught.value.attempts] == [
        ("first", "no driver"),
        ("second:0", "no float64 here"),
    ]


def test_a_list_may_end_in_auto(register):
    register("first", supports="no float64 here")
    assert dispatch.sum(ONES, backend="first,auto") == 3
    register("second", cost=1e9)
    assert dispatch.sum(ONES, backend="second,auto") == "second:0"


def test_an_unknown_name_is_refused_even_behind_one_that_could_run():
    with pytest.raises(dispatch.UnknownBackendError, match=r"backend='cpu,cpo': .* did you mean 'cpu'\?") as caught:
        dispatch.sum(ONES, backend="cpu,cpo")
    assert caught.value.attempts[0].backend == "cpo"
    assert isinstance(caught.value, ValueError)


def test_devices_by_index(register):
    register("mine", devices=3, cost=lambda call, device: 9 - float(device.name[-1]))
    assert dispatch.sum(ONES, backend="mine:1") == "mine:1"
    assert dispatch.sum(ONES, backend="mine") == "mine:2"
    with pytest.raises(
        dispatch.BackendUnavailableError, match="mine:3: no such device -> there is mine:0, mine:1, mine:2"
    ):
        dispatch.sum(ONES, backend="mine:3")


def test_an_object_needs_no_registration(register):
    kind = type(register("registered"))
    assert dispatch.sum(ONES, backend=kind("mine")) == "mine:0"
    with dispatch.use(kind("other")):
        assert dispatch.sum(ONES) == "other:0"
    dispatch.set_default(kind("third"))
    assert dispatch.sum(ONES) == "third:0"


def test_a_simulator_runs_only_by_name(register):
    register("sim", kind="simulator", cost=0.0)
    assert dispatch.sum(ONES) == 3
    assert dispatch.sum(ONES, backend="sim") == "sim:0"
    simulator = next(c for c in dispatch.explain("sum", ONES).candidates if c.name == "sim:0")
    assert simulator.reason == "a simulator runs only when it is asked for by name"


def test_a_device_array_stays_with_its_owner(register):
    register("owner", cost=1e9, array_types=(OWN,))
    register("other", cost=0.0)
    assert dispatch.sum(DeviceArray()) == "owner:0"
    assert dispatch.sum(DeviceSubclass()) == "owner:0"
    assert dispatch.sum(ONES) == "other:0"
    with pytest.raises(dispatch.UnsupportedCallError, match="which lives on owner, and is never copied silently"):
        dispatch.sum(DeviceArray(), backend="other")
    assert dispatch.sum(DeviceArray(), backend="other,auto") == "owner:0"


@pytest.mark.parametrize("setting", ["use", "set_default", "DISPATCH_BACKEND"])
def test_what_is_asked_for_comes_before_the_type_of_the_input(register, monkeypatch, setting):
    register("owner", cost=1e9, array_types=(OWN,))
    register("other", cost=0.0)

    def ask(name):
        if setting == "set_default":
            dispatch.set_default(name)
        elif setting == "DISPATCH_BACKEND":
            monkeypatch.setenv("DISPATCH_BACKEND", name)
            dispatch.refresh()
        return dispatch.use(name) if setting == "use" else contextlib.nullcontext()

    with ask("other"):
        assert dispatch.sum(ONES) == "other:0"
        with pytest.raises(dispatch.UnsupportedCallError, match=rf"{setting}.*'other'.*which lives on owner"):
            dispatch.sum(DeviceArray())
        assert dispatch.sum(DeviceArray(), backend="auto") == "owner:0"
    with ask("owner"):
        assert dispatch.sum(DeviceArray()) == dispatch.sum(ONES) == "owner:0"


def test_a_device_array_whose_owner_cannot_run_is_not_copied(register):
    register("owner", array_types=(OWN,), probe=dispatch.BackendUnavailableError("driver lost", "reboot"))
    with pytest.raises(dispatch.UnsupportedCallError, match="owner: driver lost -> reboot"):
        dispatch.sum(DeviceArray())


def test_an_out_on_the_device_of_the_array_may_be_known_by_the_interface_alone():
    class Known:
        shape, dtype = (3,), np.dtype("f")
        __cuda_array_interface__ = {"shape": (3,), "typestr": "<f4", "data": (0, False), "version": 3}

    class Readable(Known):
        def __array__(self, dtype=None, copy=None):
            raise TypeError("it is on a device")

    assert call_of(Readable(), 0, None, Known(), False, NO_VALUE, NO_VALUE).operation == "sum"
    with pytest.raises(TypeError, match=r"out is a .*Known on a CUDA device, and a is not; copy one"):
        call_of(np.ones(3), 0, None, Known(), False, NO_VALUE, NO_VALUE)


def test_the_cpu_does_not_take_cuda_arrays():
    with pytest.raises(dispatch.UnsupportedCallError, match="on a CUDA device and is never copied silently"):
        dispatch.sum(ForeignArray())


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.parametrize("method", ["supports", "cost"])
def test_a_backend_that_cannot_judge_a_call_is_passed_over(register, caplog, method, error):
    def broken(call, device):
        raise error("bug")

    register("mine", **{method: broken})
    assert dispatch.sum(ONES) == 3
    assert dispatch.sum(np.ones(5)) == 5
    assert caplog.text.count(f"backend 'mine' failed to judge a call of sum: {error.__name__}: bug") == 1
    assert "Traceback" not in caplog.text
    with pytest.raises(
        dispatch.UnsupportedCallError, match=f"its plugin raised {error.__name__}: bug -> undo its registration"
    ):
        dispatch.sum(ONES, backend="mine")


@pytest.mark.parametrize("method", ["supports", "cost"])
def test_ctrl_c_is_not_a_plugins_fault(register, method):
    def interrupted(call, device):
        raise KeyboardInterrupt

    register("mine", **{method: interrupted})
    with pytest.raises(KeyboardInterrupt):
        dispatch.sum(ONES)


class Unprintable:
    def __repr__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("cost", ["5", 1j, np.ones(2), None, True, float("nan"), -1.0, Unprintable()], ids=type)
def test_an_estimate_that_is_no_time_is_the_plugins_fault(register, cost):
    register("mine", cost=lambda call, device: cost)
    assert dispatch.sum(ONES) == 3
    with pytest.raises(dispatch.UnsupportedCallError, match="its plugin raised"):
        dispatch.sum(ONES, backend="mine")


@pytest.mark.parametrize("answer", [None, False, np.True_, 1, Unprintable()], ids=type)
def test_an_answer_that_is_no_reason_is_the_plugins_fault(register, answer):
    register("mine", supports=lambda call, device: answer)
    assert dispatch.sum(ONES) == 3
    with pytest.raises(dispatch.UnsupportedCallError, match="its plugin raised"):
        dispatch.sum(ONES, backend="mine")


def test_a_backend_without_the_operation_is_passed_over_and_refuses(register):
    class Empty(dispatch.Backend):
        name = "empty"

        def probe(self):
            return [dispatch.Device("empty:0", "gpu", "empty")]

        def supports(self, call, device):
            return True

        def cost(self, call, device):
            return 0.0

    with dispatch.register(Empty()):
        assert dispatch.sum(ONES) == 3
        assert dispatch.eigsh(np.eye(3), 1, return_eigenvectors=False) == 1
        for operation, arguments in (("sum", (ONES,)), ("eigsh", (np.eye(3), 1))):
            with pytest.raises(dispatch.UnsupportedCallError, match=f"empty:0: it has no {operation}") as caught:
                getattr(dispatch, operation)(*arguments, backend="empty")
            assert caught.value.attempts[0].backend == "empty:0"


SIMILAR_CALLS = [
    ((ONES,), {}),
    ((ONES, 0), {}),
    ((ONES, -1), {}),
    ((np.ones((3, 1)),), {}),
    ((np.ones(4),), {}),
    ((ONES,), {"initial": 5}),
    ((ONES,), {"keepdims": True}),
    ((ONES,), {"dtype": np.float32}),
    ((ONES.astype(np.int8),), {}),
    (([1.0, 2.0, 3.0],), {}),
]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "particular",
    [
        lambda call, device: True if "axis" not in call.arguments else "no axis",
        lambda call, device: True if "initial" not in call.arguments else "no initial",
        lambda call, device: True if "keepdims" not in call.arguments else "no keepdims",
        lambda call, device: True if "dtype" not in call.arguments else "no dtype",
        lambda call, device: True if call.shape == (3,) else "only three",
        lambda call, device: True if call.dtype == float else "only float64",
    ],
)
def test_a_kept_decision_is_for_calls_that_are_alike(register, particular, order):
    register("mine", cost=0.0, supports=particular)
    for args, kwargs in SIMILAR_CALLS[::order] * 2:
        chosen = dispatch.explain("sum", *args, **kwargs).chosen.name
        ran = dispatch.sum(*args, **kwargs)
        assert (ran if isinstance(ran, str) else "cpu:0") == chosen


def test_a_plugin_that_cannot_say_what_it_owns_breaks_no_call_of_others(register, caplog):
    def broken(kind):
        raise OSError("no driver")

    register("owner", array_types=(OWN,))
    register("other").owns = broken
    for _ in range(2):
        assert dispatch.sum(DeviceArray()) == "owner:0"
    assert dispatch.sum(DeviceArray(), backend="owner") == "owner:0"
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["backend 'other' failed to say whether it owns a DeviceArray: OSError: no driver"]


def test_decisions_for_device_arrays_are_kept_where_their_residence_is_known(register):
    asked = []

    def supports(call, device):
        asked.append(call.operand)
        return True if device.name.endswith(str(call.operand.on)) else "it lives elsewhere"

    class Placed(DeviceArray):
        def __init__(self, on):
            self.on = on

    owner = register("owner", devices=2, supports=supports, array_types=(OWN,))
    first, second = Placed(0), Placed(1)
    for _ in range(2):
        assert (dispatch.sum(first), dispatch.sum(second)) == ("owner:0", "owner:1")
    assert len(asked) == 8
    owner.residence = lambda array: array.on
    for _ in range(3):
        assert (dispatch.sum(first), dispatch.sum(second)) == ("owner:0", "owner:1")
        assert len(asked) == 12
    with pytest.raises(dispatch.UnsupportedCallError, match="it lives elsewhere"):
        dispatch.sum(first, backend="owner:1")
    dispatch.sum(first, where=np.True_)
    assert len(asked) > 13
    owner.residence = lambda array: []
    assert dispatch.sum(second) == "owner:1"
    for error in (RuntimeError, SystemExit):

        def broken(array, error=error):
            raise error("bug")

        owner.residence = broken
        assert dispatch.sum(second) == "owner:1"


def test_a_backend_prepares_sums_that_are_alike_once(register):
    asked = []

    def prepare_sum(a, axis, dtype, out, keepdims, initial, where, *, device):
        asked.append((a.shape, a.strides, axis))
        return lambda a, axis, dtype, out, keepdims, initial, where: (device.name, a[0, 0], axis)

    register("planner").prepare_sum = prepare_sum
    a = np.arange(6.0).reshape(2, 3)
    with dispatch.use("planner"):
        assert dispatch.sum(a, axis=1) == ("planner:0", 0, 1)
        assert dispatch.sum(a + 1, axis=1) == ("planner:0", 1, 1)
        assert len(asked) == 1
        for call in (
            lambda: dispatch.sum(a.copy("F"), axis=1),
            lambda: dispatch.sum(a, axis=True),
            lambda: dispatch.sum(a, axis=1, initial=0),
            lambda: dispatch.sum(a, axis=1, out=np.zeros(2)),
            lambda: dispatch.sum(a, axis=1, out=np.zeros(4)[::2]),
            lambda: dispatch.sum(a, axis=1, where=np.ones((2, 3), bool)),
            lambda: dispatch.sum(a, axis=1, where=np.ones((1, 3), bool)),
        ):
            before = len(asked)
            call()
            call()
            assert len(asked) == before + 1


def test_kept_decisions_are_bounded():
    from dispatch.operations.sum import MOST_ROUTES
    from dispatch.registry import registry

    for n in range(MOST_ROUTES + 10):
        dispatch.sum(np.empty((n, 0)))
    assert len(registry.table().routes) <= MOST_ROUTES


def test_a_simulator_may_be_named_behind_auto(register):
    register("sim", kind="simulator", cost=0.0)
    assert dispatch.sum(ONES, backend="auto,sim") == 3
    with pytest.raises(dispatch.UnsupportedCallError, match="a simulator runs only when it is asked for by name"):
        dispatch.sum(ForeignArray(), backend="auto")
    assert dispatch.sum(ForeignArray(), backend="auto,sim") == "sim:0"


@pytest.mark.parametrize("base", [np.ndarray, "LinearOperator"], ids=str)
def test_a_class_derived_from_a_host_type_asks_nobody(site, base):
    from scipy.sparse.linalg import LinearOperator

    site.install("mine", "raise SystemExit('imported')")
    if base is np.ndarray:
        operand = np.ones(3).view(type("Mine", (np.ndarray,), {}))
        assert dispatch.sum(operand, backend="cpu") == 3
    else:
        kind = type("Mine", (LinearOperator,), {"_matvec": lambda self, x: x})
        assert dispatch.eigsh(kind(float, (300, 300)), 1, backend="cpu", return_eigenvectors=False) == pytest.approx(1)
    assert "plugin_mine" not in sys.modules


def test_an_error_inside_a_computation_is_not_retried_elsewhere(register):
    backend = register("mine", cost=0.0)

    def fail(*args, **kwargs):
        raise MemoryError("device is full")

    backend.sum = fail
    with pytest.raises(MemoryError, match="device is full"):
        dispatch.sum(ONES)


def test_unusable_hardware_warns_once(register):
    register("mine", probe=dispatch.BackendUnavailableError("driver too old", "update it", hardware_present=True))
    message = "hardware for the backend 'mine' is present but cannot be used: driver too old (update it)"
    with pytest.warns(dispatch.BackendWarning) as caught:
        assert dispatch.sum(ONES) == 3
    assert [str(warning.message) for warning in caught] == [message]
    assert caught[0].filename == __file__
    assert dispatch.sum(np.ones(100)) == 100  # warnings are errors here: a second one would fail


def test_an_explanation_neither_warns_nor_uses_the_warning_up(register):
    register("mine", probe=dispatch.BackendUnavailableError("driver too old", "update it", hardware_present=True))
    assert dispatch.explain("sum", ONES).chosen.name == "cpu:0"
    with pytest.warns(dispatch.BackendWarning, match="driver too old"):
        dispatch.sum(ONES)


def test_absent_hardware_does_not_warn(register):
    register("mine", probe=dispatch.BackendUnavailableError("no such hardware"))
    assert dispatch.sum(ONES) == 3


@pytest.mark.parametrize("backend", [None, "auto", "cpu", "a,b,cpu", "b,auto", "c:1", "a", "zzz"])
@pytest.mark.parametrize("array", [ONES, np.ones(1000), [1, 2], DeviceArray()])
def test_explain_agrees_with_what_runs(register, backend, array):
    register("a", supports="never")
    register("b", cost=lambda call, device: 1e-9 if call.nbytes > 4096 else 1.0)
    register("c", devices=2, cost=1e9, array_types=(OWN,))
    decision = dispatch.explain("sum", array, backend=backend)
    if decision.error is not None:
        with pytest.raises(type(decision.error)) as caught:
            dispatch.sum(array, backend=backend)
        assert str(caught.value) == str(decision.error)
        assert decision.chosen is None
    else:
        ran = dispatch.sum(array, backend=backend)
        assert decision.chosen.name == (ran if isinstance(ran, str) else "cpu:0")


def test_explanation_is_readable_and_plain(register):
    register("a", supports="never")
    decision = dispatch.explain("sum", ONES, backend="a,cpu")
    lines = str(decision).splitlines()
    assert lines[0] == "sum: runs on cpu:0 (backend='a,cpu')"
    assert lines[1].split() == ["candidate", "device", "verdict", "estimate", "rates", "reason"]
    assert lines[2].split() == ["a:0", "fake", "a", "0", "unsupported", "-", "-", "never"]
    assert lines[3].startswith("  cpu:0 ")
    assert " chosen " in lines[3]
    plain = decision.to_dict()
    assert plain["chosen"] == "cpu:0"
    assert plain["error"] is None
    assert [candidate["verdict"] for candidate in plain["candidates"]] == ["unsupported", "chosen"]
    failed = dispatch.explain("sum", ONES, backend="a")
    assert str(failed).startswith("sum: raises UnsupportedCallError (backend='a')")
    assert failed.to_dict()["error"].startswith("UnsupportedCallError: sum: nothing that")


def test_an_explanation_of_a_typo_says_what_was_meant():
    assert str(dispatch.explain("sum", ONES, backend="cpo")) == (
        "sum: raises UnknownBackendError (backend='cpo'): backend='cpo': unknown backend 'cpo': did you mean 'cpu'?"
    )


def test_the_solvers_name_is_no_backend():
    for call in (lambda: dispatch.use("lobpcg"), lambda: dispatch.sum(ONES, backend="lobpcg,cpu")):
        with pytest.raises(dispatch.UnknownBackendError, match="accepted by eigsh alone, as the whole of backend="):
            call()


def test_explain_refuses_other_operations_and_wrong_arguments():
    with pytest.raises(ValueError, match="operation is 'max', expected 'sum' or 'eigsh'"):
        dispatch.explain("max", ONES)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        dispatch.explain("sum")


WRONG = {
    "axis": (ONES, dict(axis=9)),
    "axis twice": (np.ones((2, 2)), dict(axis=(0, 0))),
    "axis of text": (ONES, dict(axis="x")),
    "axis of a list": ([[1, 2], [3, 4]], dict(axis=2)),
    "dtype": (ONES, dict(dtype="nonsense")),
    "out": (ONES, dict(out=np.ones(2))),
    "initial": (ONES, dict(initial=[1, 2])),
    "where": (ONES, dict(where=np.ones(2, bool))),
    "elements": (np.array("abc"), {}),
}


@pytest.mark.parametrize(("a", "arguments"), WRONG.values(), ids=WRONG)
def test_explain_refuses_what_sum_refuses(a, arguments):
    with pytest.raises((TypeError, ValueError)) as refused:
        dispatch.sum(a, **arguments)
    with pytest.raises(type(refused.value)):
        dispatch.explain("sum", a, **arguments)


def test_explain_leaves_to_sum_what_only_its_elements_tell():
    objects = np.array([1, "a"], object)
    assert dispatch.explain("sum", objects).chosen.name == "cpu:0"
    with pytest.raises(TypeError):
        dispatch.sum(objects)


@pytest.mark.parametrize("name", ["gpu", "tpu", "numpy", "tensorflow"])
def test_a_name_that_is_no_typo_gets_the_list_and_no_guess(name):
    with pytest.raises(dispatch.UnknownBackendError) as caught:
        dispatch.sum(ONES, backend=name)
    assert str(caught.value).startswith(f"backend='{name}': unknown backend '{name}': there is cpu, cuda, opencl")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("inf"), "-"),
        (0.0, "0 ns"),
        (3e-8, "30 ns"),
        (1.5e-6, "1.5 µs"),
        (0.25, "250 ms"),
        (90.0, "90 s"),
    ],
)
def test_estimates_for_people(seconds, text):
    from dispatch.decision import format_seconds

    assert format_seconds(seconds) == text
