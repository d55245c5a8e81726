"""`sum` from many threads, after a fork, with any number of cores; what importing and calling start."""

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from dispatch_cpu import kernels, parallel, row_sums
from dispatch_cpu.recipes import RECIPES, RUN_FEW, Key

import dispatch

from .conftest import forget_plans

RNG = np.random.default_rng(11)
A = RNG.standard_normal((2050, 2050)).astype(np.float32)
ARGUMENTS = [{}, {"axis": 0}, {"axis": 1}, {"where": A > 0}, {"dtype": np.float64}]


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """The sums of `A` are large enough for threads."""
    monkeypatch.setattr(row_sums, "THREADED", A.nbytes // 2)
    forget_plans()


def sums():
    return [np.asarray(dispatch.sum(A, **arguments)).tobytes() for arguments in ARGUMENTS]


def test_many_threads_get_the_same_bits(compiled):
    expected, results = sums(), []
    threads = [threading.Thread(target=lambda: results.append(sums())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 6


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_the_number_of_cores_does_not_matter(compiled, cores, monkeypatch):
    expected = sums()
    parallel._after_fork()
    monkeypatch.setattr(parallel, "cores", lambda: cores)
    assert sums() == expected
    assert (parallel._pool is not None) == (cores > 1)
    parallel._after_fork()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_gets_the_same_bits(compiled):
    expected = sums()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if sums() == expected else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_and_small_sums_start_no_thread_and_load_no_compiler():
    code = """
import sys, threading, numpy as np, dispatch
for dtype in "?bifde": dispatch.sum(np.ones(1000, dtype))
dispatch.sum(np.ones((30, 30)), axis=0)
print(threading.active_count(), "numba" in sys.modules)
"""
    assert run(code).split() == ["1", "False"]


@pytest.mark.parametrize("read_only", [False, True])
def test_inputs_are_not_modified(compiled, read_only):
    a, mask = A.copy(), A > 0
    a.flags.writeable = mask.flags.writeable = not read_only
    dispatch.sum(a, where=mask)
    dispatch.sum(a, axis=0)
    np.testing.assert_array_equal(a, A)


def test_out_may_overlap_the_operand(compiled):
    a = np.arange(6000.0).reshape(2, 3000)
    expected = a.sum(axis=0)
    assert dispatch.sum(a, axis=0, out=a[0]) is not a
    np.testing.assert_array_equal(a[0], expected)


def test_a_few_small_sums_load_no_kernel(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "find", lambda *key: asked.append(key))
    monkeypatch.setattr(kernels, "_small_sums", itertools.count(1))
    for _ in range(64):
        assert dispatch.sum(np.ones(30, np.float32)) == 30
    assert asked == []
    assert dispatch.sum(np.ones(30, np.float32)) == 30
    assert asked[:2] == [Key("sum_short_rows", RECIPES["f4"], "f4", masked=False), RUN_FEW]
