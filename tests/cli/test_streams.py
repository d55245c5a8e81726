"""The standard streams: full disks, closed and ASCII streams, warnings, and plugins that print."""

import errno
import io
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import dispatch
from dispatch.cli import main
from dispatch.cli.exit_codes import FAILED, USAGE, exit_code


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(10))
    np.save("huge.npy", np.full(2, 1e308))


def shell(command, setting=""):
    """Run `dispatch` in a shell, with a variable set for it, and return its exit code, output and errors."""
    command = command.replace("dispatch", f"{setting} {sys.executable} -m dispatch", 1)
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


STREAMS = {
    "a full disk": ("dispatch sum a.npy > /dev/full", (1, "", "dispatch: error: [Errno 28] No space left on device\n")),
    "no stdout": ("dispatch sum a.npy >&-", (1, "", "dispatch: error: the standard output stream is closed\n")),
    "no stderr": ("dispatch sum a.npy 2>&-", (0, "45\non cpu:0 (automatic choice)\n", "")),
    "an error and no stderr": ("dispatch sum none.npy 2>&-", (2, "", "")),
    "no reader": ("set -o pipefail; dispatch list | head -0", (0, "", "")),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_that_fail(case):
    command, expected = STREAMS[case]
    assert shell(command) == expected


class Micro(dispatch.Backend):
    name = "micro"

    def probe(self):
        return [dispatch.Device("micro:0", description="a µ-controller")]

    def supports(self, call, device):
        return True


def test_what_ascii_lacks_is_printed_as_escapes(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with dispatch.register(Micro()):
        assert main(["list"]) == 0
    assert b"micro:0 (a \\xb5-controller)" in written.getvalue()


def test_a_full_disk_is_no_wrong_usage():
    assert exit_code(OSError(errno.ENOSPC, "No space left on device")) == FAILED
    assert exit_code(OSError(errno.EIO, "Input/output error")) == FAILED
    assert exit_code(OSError("10 requested and 0 written")) == FAILED  # NumPy's, without a number
    assert exit_code(FileNotFoundError(errno.ENOENT, "No such file or directory")) == USAGE


def test_a_warning_is_one_line_and_only_while_a_command_runs(capsys):
    shown = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.showwarning
        assert main(["sum", "huge.npy"]) == 0
        assert warnings.showwarning is before
    assert warnings.showwarning is shown
    printed = capsys.readouterr()
    assert printed.out.startswith("inf\n")
    assert printed.err == "dispatch: warning: overflow encountered in reduce\n"


PRINTING_PLUGIN = """
import dispatch
print("hello from the plugin")

class Plugin(dispatch.Backend):
    name = "printing"
    def probe(self):
        print("probing")
        return [dispatch.Device("printing:0")]
    def supports(self, call, device):
        return True
    def sum(self, *arguments, device):
        raise AssertionError("it was asked, not run")

backend = Plugin()
"""


@pytest.fixture
def printing_plugin(tmp_path, monkeypatch):
    """Install a plugin that prints while it is imported and probed."""
    info = tmp_path / "printing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: printing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dispatch.backends]\nprinting = printing_plugin:backend\n")
    module = tmp_path / "printing_plugin.py"
    module.write_text(PRINTING_PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    dispatch.refresh()
    yield module
    sys.modules.pop("printing_plugin", None)


@pytest.mark.usefixtures("printing_plugin")
@pytest.mark.parametrize("argv", [["list"], ["sum", "a.npy"], ["explain", "sum", "a.npy"]], ids=lambda argv: argv[0])
def test_what_a_plugin_prints_is_not_in_the_document(argv, capsys):
    assert main([*argv, "--json"]) == 0
    printed = capsys.readouterr()
    json.loads(printed.out)
    assert printed.err == "hello from the plugin\nprobing\n"


def test_what_c_and_other_programs_print_is_not_in_the_document(printing_plugin):
    """Neither what a plugin's child writes at once, nor what C holds back in a buffer, as it does for a pipe."""
    printing_plugin.write_text(
        "import ctypes, os\nos.system('echo a child')\nctypes.CDLL(None).puts(b'buffered by C')\n"
        + PRINTING_PLUGIN.replace('raise AssertionError("it was asked, not run")', "return os.system('echo summing')")
    )
    for command in ("list", "sum a.npy --backend printing"):
        setting = f"env -u PYTHONUNBUFFERED PYTHONPATH={printing_plugin.parent}${{PYTHONPATH:+:$PYTHONPATH}}"
        code, printed, errors = shell(f"dispatch {command} --json", setting)
        assert code == 0
        json.loads(printed)
        summing = ["summing"] if command.startswith("sum") else []
        expected = ["a child", "buffered by C", "hello from the plugin", "probing", *summing]
        assert sorted(errors.splitlines()) == sorted(expected)


@pytest.mark.usefixtures("printing_plugin")
def test_an_infinite_estimate_is_none(capsys):
    assert main(["explain", "sum", "a.npy", "--json", "--backend", "printing"]) == 0
    (candidate,) = json.loads(capsys.readouterr().out)["candidates"]
    assert candidate["verdict"] == "chosen"
    assert candidate["seconds"] is None
