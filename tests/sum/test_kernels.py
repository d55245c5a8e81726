"""How compiled sums become ready: loaded in the background, compiled in another process, or given up."""

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import pytest
from dispatch_cpu import compilation, kernels
from dispatch_cpu.recipes import RECIPES, Key, all_keys, parse_key
from dispatch_cpu.sum_kernels import sum_short_rows

START = compilation.start
KEY = Key("sum_rows", RECIPES["f4"], "f4", masked=False)


@pytest.fixture
def compiler(monkeypatch):
    """A fresh process's state, no kernel on disk, and a compiler that only takes note."""

    class Compiler:
        def __init__(self):
            self.asked, self.on_disk, self.busy = [], set(), False

        def start(self, keys):
            if not self.busy:
                self.asked.append(list(keys))
            return not self.busy

        def call_once(self, key):
            if key not in self.on_disk:
                raise kernels.NotCompiledError
            return len

    made = Compiler()
    monkeypatch.setattr(kernels, "HEAD_START", 0.0)
    monkeypatch.setattr(kernels, "_ready", {})
    monkeypatch.setattr(kernels, "_wanted", {})
    monkeypatch.setattr(kernels, "call_once", made.call_once)
    monkeypatch.setattr(compilation, "start", made.start)
    return made


def look(key=KEY, *, hurry=True):
    """What a call finds, once the thread that it may have started is done."""
    if hurry and key in kernels._wanted:
        kernels._wanted[key] = kernels._wanted[key]._replace(due=0.0)
    found = kernels.find(*key)
    with kernels._loading:
        return found


def test_what_is_not_on_disk_is_compiled_once_and_found_later(compiler):
    assert look() is None
    assert compiler.asked == [[KEY]]
    assert look(hurry=False) is None  # the next look is due in a second
    assert compiler.asked == [[KEY]]
    compiler.on_disk.add(KEY)
    look()
    assert look() is len
    assert compiler.asked == [[KEY]]


def test_while_another_process_compiles_no_compiler_is_started(compiler):
    compiler.busy = True
    for _ in range(20):
        assert look() is None
    compiler.on_disk.add(KEY)
    look()
    assert look() is len
    assert compiler.asked == []


def test_pauses_between_looks_grow_to_a_minute(compiler):
    compiler.busy, pauses = True, []
    for _ in range(9):
        look()
        pauses.append(kernels._wanted[KEY].due - time.monotonic())
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60], abs=0.9)


def test_a_compiler_that_fails_is_given_up(compiler, caplog):
    for _ in range(8):
        assert look() is None
    assert compiler.asked == [[KEY]] * 3
    assert kernels._ready == {KEY: None}
    assert "no compiled sum for float32: the compiler failed; python -m " in caplog.text
    assert "dispatch_cpu.compilation tells why" in caplog.text


def test_where_numba_fails_numpy_serves(compiler, monkeypatch, caplog):
    def fail(key):
        raise ImportError("no numba here")

    monkeypatch.setattr(kernels, "call_once", fail)
    look()
    assert kernels._ready == {KEY: None}
    assert caplog.messages == ["dispatch_cpu: no compiled sum for float32: no numba here; NumPy takes its place"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("python", ["/usr/sbin/uwsgi", "", None])
def test_no_program_but_python_is_started(python, monkeypatch):
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(RuntimeError, match=f"{python or 'this program'} cannot be started as a Python interpreter"):
        compilation.start([KEY])


def test_a_frozen_program_is_not_started_again(compiler, monkeypatch, caplog):
    monkeypatch.setattr(compilation, "start", START)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    look()
    assert kernels._ready == {KEY: None}
    assert "cannot be started as a Python interpreter; NumPy takes its place" in caplog.text


def test_one_compiler_at_a_time(tmp_path, monkeypatch):
    from dispatch_cpu import sum_kernels

    class Stats:
        cache_path = str(tmp_path)

    class Dispatcher:
        stats = Stats

    started = []
    monkeypatch.setattr(sum_kernels, "sum_rows", Dispatcher)
    monkeypatch.setattr(compilation, "start_silently", lambda command, pass_fds: started.append((command, pass_fds)))
    with (tmp_path / "dispatch_cpu.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert compilation.start([KEY]) is False
    assert started == []
    assert compilation.start([KEY]) is True
    [(command, descriptors)] = started
    assert command[-2:] == ["--locked", "sum_rows:f4:f8:f8:f4:plain"]
    assert len(descriptors) == 1


def test_a_folder_without_locks_is_not_compiled_into(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RuntimeError, match=r"cannot be locked .*; set NUMBA_CACHE_DIR to a folder that can"):
        compilation.start([KEY])


def test_keys_are_passed_as_text():
    assert [parse_key(str(key)) for key in all_keys()] == all_keys()


def test_numba_is_kept_from_compiling_in_this_thread_alone():
    def one(x):
        return x + 1

    with kernels._nothing_compiles():
        with pytest.raises(kernels.NotCompiledError):
            numba.njit(one)(1)
        results = []
        thread = threading.Thread(target=lambda: results.append(numba.njit(one)(1)))
        thread.start()
        thread.join()
    assert results == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_waits_until_nothing_is_being_loaded(compiler, monkeypatch):
    loaded = threading.Event()

    def load(key):
        time.sleep(0.2)
        loaded.set()
        return len

    monkeypatch.setattr(kernels, "call_once", load)
    kernels.find(*KEY)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if loaded.is_set() and kernels.find(*KEY) is len and not kernels._loading.locked() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_thread_can_start_so_numpy_serves(compiler, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert kernels.find(*KEY) is None
    assert not kernels._loading.locked()


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


ASK = """
import threading, warnings, numpy as np, dispatch
from dispatch_cpu import kernels
from dispatch_cpu.recipes import RECIPES, Key
KEY = Key("sum_short_rows", RECIPES["f4"], RECIPES["f4"].result, masked=False)
a = np.arange(3000, dtype="f4").reshape(-1, 3)
filters = list(warnings.filters)
first = dispatch.sum(a, 1)
"""
IS_SAME = "(dispatch.sum(a, 1) == first).all()"


def test_a_program_may_end_while_its_kernel_is_compiled_and_the_next_one_has_it(tmp_path):
    folder = {"NUMBA_CACHE_DIR": str(tmp_path)}
    ended = run(ASK + "print(KEY in kernels._ready, len(threading.enumerate()))", **folder)
    assert (ended.stdout.split()[0], ended.stderr) == ("False", "")
    loaded = run(ASK + f"kernels.wait(); print(kernels._ready[KEY] is not None, {IS_SAME})", **folder)
    assert (loaded.stdout.split(), loaded.stderr) == (["True", "True"], "")


def test_what_was_compiled_of_earlier_sources_is_removed_before_it_is_written_over():
    compilation.compile_kernels([parse_key("sum_short_rows:i8:i8:i8:i8:plain")])
    folder, index = Path(sum_short_rows.stats.cache_path), sum_short_rows._cache._cache_file._index_name
    kept = set(folder.glob(index.replace("nbi", "*nbc")))
    stale = folder / index.replace("nbi", "999.nbc")
    stale.touch()
    compilation.remove_stale()
    assert kept
    assert set(folder.glob(index.replace("nbi", "*nbc"))) == kept


def test_a_kernel_of_other_dtypes_is_not_called(monkeypatch):
    class Other:
        overloads = {}

        def compile(self, types):
            pass

    monkeypatch.setattr("dispatch_cpu.sum_kernels.sum_rows", Other())
    with pytest.raises(RuntimeError, match="Numba loaded sum_rows for other dtypes than it was asked for"):
        kernels.call_once(KEY)


def test_without_a_cache_folder_numpy_serves(tmp_path):
    (tmp_path / "file").touch()
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": str(tmp_path / "file" / "folder"),
    }
    done = run(ASK + f"kernels.wait(); print(kernels._ready[KEY], {IS_SAME})", **nowhere)
    assert done.stdout.split() == ["None", "True"]
    assert "no compiled sum for float32: cannot cache function" in done.stderr
    assert "NumPy takes its place" in done.stderr


def test_where_the_processor_reads_no_float16_numpy_serves():
    code = ASK.replace("f4", "f2") + f"kernels.wait(); print(kernels._ready[KEY], {IS_SAME})"
    done = run(code, NUMBA_CPU_NAME="generic")
    assert done.stdout.split() == ["None", "True"]
    assert (
        "no compiled sum for float16: no instructions for float16 in this processor, or in NUMBA_CPU_NAME"
        in done.stderr
    )
