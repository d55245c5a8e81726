"""Backends that crash, hang, lie or break, each in a process of its own, and the lines that come of it."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import dispatch
from dispatch.cli import doctor, main
from dispatch.examination import examine

WORKING = """
import os, signal, time
import dispatch
import numpy as np

class Plugin(dispatch.Backend):
    name = {name!r}
    def probe(self):
        return [dispatch.Device({name!r} + ":0", "gpu", "plugged in")]
    def supports(self, call, device):
        return True if call.operation == "sum" else "it only adds"
    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        {body}

backend = Plugin()
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin where the processes that the doctor starts find it, too."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, body, code=WORKING):
        module = f"plugin_{name}"
        (tmp_path / f"{module}.py").write_text(code.replace("{name!r}", repr(name)).replace("{body}", body))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[dispatch.backends]\n{name} = {module}:backend\n")

        dispatch.refresh()

    return install


def examined(capsys, *arguments):
    code = main(["doctor", "--json", *arguments])
    document = json.loads(capsys.readouterr().out)
    assert document["well"] == (code == 0)
    return code, {finding["device"]: finding for finding in document["findings"]}


def test_the_cpu_is_well(capsys):
    code, findings = examined(capsys, "cpu")
    assert code == 0
    assert findings["cpu:0"]["verdict"] == "well"
    assert findings["cpu:0"]["reason"].startswith("sum ")
    assert ", eigsh " in findings["cpu:0"]["reason"]


BODIES = {
    "well": ("return np.sum(a)", "well", "sum ", ""),
    "segfault": (
        "print('about to crash', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
        "crashed",
        "sum of float64 on segfault:0: the process was ended by SIGSEGV: about to crash",
        "update or reinstall the driver and the packages of this backend; until then do without it: "
        "DISPATCH_DISABLE=segfault",
    ),
    "illegal": (
        "os.kill(os.getpid(), signal.SIGILL)",
        "crashed",
        "sum of float64 on illegal:0: the process was ended by SIGILL",
        "it uses instructions that this processor lacks: install a build that is made for it; "
        "until then do without it: DISPATCH_DISABLE=illegal",
    ),
    "exits": (
        "os._exit(7)",
        "crashed",
        "sum of float64 on exits:0: the process ended with code 7",
        "update or reinstall the driver and the packages of this backend; until then do without it: "
        "DISPATCH_DISABLE=exits",
    ),
    "lies": (
        "return np.sum(a) + 1",
        "broken",
        "WrongResultError: the sum of 0 to 1000 is 500501.0, expected 500500",
        "",
    ),
    "raises": ("raise OSError('no such queue')", "broken", "sum of float64: OSError: no such queue", ""),
}


@pytest.mark.parametrize(
    ("name", "body", "verdict", "reason", "remedy"), [(n, *b) for n, b in BODIES.items()], ids=BODIES
)
def test_what_comes_of_a_backend(install, capsys, name, body, verdict, reason, remedy):
    install(name, body)
    code, findings = examined(capsys, name)
    finding = next(iter(findings.values()))
    assert finding["verdict"] == verdict
    assert reason in finding["reason"]
    assert finding["remedy"].startswith(remedy)
    assert code == (0 if verdict == "well" else 1)


def test_a_backend_that_hangs_is_given_up(install, capsys):
    install("hangs", "time.sleep(600)")
    code, findings = examined(capsys, "hangs", "--timeout", "4")
    assert code == 1
    assert findings["hangs"]["verdict"] == "hung"
    assert findings["hangs"]["reason"] == "sum of float64 on hangs:0: no end after 4 s"
    assert findings["hangs"]["remedy"] == "do without it: DISPATCH_DISABLE=hangs; or allow more: --timeout"


@pytest.mark.parametrize("method", ["supports", "cost"])
def test_a_backend_that_hangs_when_it_is_asked_about_a_call_is_broken(monkeypatch, method):
    class Hanging(dispatch.Backend):
        name = "hanging"

        def probe(self):
            return [dispatch.Device("hanging:0")]

        def supports(self, call, device):
            return True

        def cost(self, call, device):
            return 1.0

    setattr(Hanging, method, lambda self, call, device: threading.Event().wait())
    monkeypatch.setattr("dispatch.promptness.PROMPT", 0.2)
    monkeypatch.setattr("dispatch.promptness.GIVEN_UP", 0.2)
    told = []
    with dispatch.register(Hanging()):
        examine("hanging", lambda **fields: told.append(fields))
    assert told[-2:] == [
        {"step": "questions about small calls"},
        {
            "verdict": "broken",
            "device": "hanging",
            "reason": f"its {method}() has taken 0.2 s to answer about a small sum, expected far less than 0.2 s: "
            "every automatic choice waits for it; decide on what the call says, and look up the rest in probe()",
            "remedy": "undo its registration",
        },
    ]


ENDS = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "the process was ended by SIGSEGV",
    "os.abort()": "the process was ended by SIGABRT",
    "os._exit(7)": "the process ended with code 7",
}


@pytest.mark.parametrize(("body", "end"), ENDS.items(), ids=ENDS)
def test_a_plugin_that_crashes_at_import_takes_nothing_with_it(install, capsys, body, end):
    install("early", "", f"import os, signal\n{body}\n")
    code, findings = examined(capsys, "early")
    assert code == 1
    assert findings["early"]["reason"] == f"import of its plugin: {end}"
    assert findings["early"]["remedy"].endswith("do without it: DISPATCH_DISABLE=early")


def test_a_command_that_a_plugin_crashes_says_in_which_file(install):
    install("early", "", "import os\nos.abort()\n")
    command = [sys.executable, "-m", "dispatch", "list"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGABRT
    assert ended.stderr.startswith("Fatal Python error: Aborted")
    assert 'plugin_early.py", line 2 in <module>' in ended.stderr
    without = os.environ | {"DISPATCH_DISABLE": "early"}
    listed = subprocess.run(command, env=without, capture_output=True, text=True, check=True)
    assert "early  plugin-early 1.0  unavailable: disabled by DISPATCH_DISABLE" in listed.stdout


def test_a_plugin_that_cannot_be_imported_is_broken(install, capsys):
    install("missing", "", "import a_module_that_nobody_has\n")
    code, findings = examined(capsys, "missing")
    assert code == 1
    assert findings["missing"]["verdict"] == "broken"
    assert "No module named 'a_module_that_nobody_has'" in findings["missing"]["reason"]


def test_a_plugin_that_cannot_judge_a_call_is_broken(install, capsys):
    install(
        "confused",
        "return 0",
        WORKING.replace('return True if call.operation == "sum" else "it only adds"', "return 1 / 0"),
    )
    code, findings = examined(capsys, "confused")
    assert code == 1
    assert findings["confused:0"]["verdict"] == "broken"
    assert findings["confused:0"]["reason"].startswith("sum of float64: its plugin raised ZeroDivisionError")
    assert findings["confused:0"]["remedy"]


def test_hardware_that_is_not_there_is_no_fault(install, capsys):
    absent = WORKING.replace("        return [dispatch.Device", "        {body}\n        return [dispatch.Device")
    install("absent", "raise dispatch.BackendUnavailableError('no device', 'plug one in')", absent)
    code, findings = examined(capsys, "absent")
    assert code == 0
    assert findings["absent"] == {
        "device": "absent", "verdict": "unavailable", "reason": "no device", "remedy": "plug one in"
    }  # fmt: skip


def test_hardware_that_cannot_be_used_is_a_fault(install, capsys):
    present = WORKING.replace("        return [dispatch.Device", "        {body}\n        return [dispatch.Device")
    install(
        "present", "raise dispatch.BackendUnavailableError('old driver', 'update it', hardware_present=True)", present
    )
    code, findings = examined(capsys, "present")
    assert code == 1
    assert findings["present"]["verdict"] == "broken"


@pytest.mark.filterwarnings("default::dispatch.BackendWarning")
def test_a_variable_that_is_not_obeyed_is_a_finding(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_examined", lambda entry, seconds: [])
    monkeypatch.setenv("DISPATCH_BAKEND", "cuda")
    monkeypatch.setenv("DISPATCH_BACKEND", "cpu:")
    code, findings = examined(capsys)
    assert code == 1
    assert findings["DISPATCH_BAKEND"] == {
        "device": "DISPATCH_BAKEND", "verdict": "broken", "reason": "dispatch reads no such variable",
        "remedy": "did you mean DISPATCH_BACKEND?",
    }  # fmt: skip
    assert findings["DISPATCH_BACKEND"]["reason"].startswith("environment variable DISPATCH_BACKEND: backend 'cpu:'")
    assert examined(capsys, "cpu") == (0, {})  # asked about one backend, it speaks of that one


def test_a_name_that_nobody_has(capsys):
    assert main(["doctor", "cpo"]) == 3
    assert "unknown backend 'cpo'; there is cpu" in capsys.readouterr().err


def test_the_table_is_for_people(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_examined", lambda entry, seconds: [doctor.Finding("cpu:0", "hung", "why", "what")])
    assert main(["doctor", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["device", "verdict", "reason", "remedy"],
        ["cpu:0", "hung", "why", "what"],
    ]
