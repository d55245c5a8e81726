"""`eigsh` in many threads, after a fork, and interrupted."""

import gc
import os
import signal
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import scipy.sparse.linalg as sla
from dispatch_cpu import parallel

import dispatch

from .problems import laplacian

A, SPECTRUM = laplacian(60, 61)


def test_many_threads_get_the_same_bits():
    results = []

    def run():
        results.append(dispatch.eigsh(A, 5, which="SA")[0])

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(np.array_equal(result, results[0]) for result in results)
    np.testing.assert_allclose(results[0], SPECTRUM[:5], rtol=1e-11)


def test_helpers_that_find_no_thread_keep_no_block_alive(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 4)
    busy, free = threading.Barrier(parallel._threads()._max_workers + 1), threading.Event()
    blockers = [parallel._threads().submit(lambda: (busy.wait(), free.wait())) for _ in range(busy.parties - 1)]
    busy.wait()
    try:
        block = np.zeros(8)
        alive = weakref.ref(block)

        def kernel(start, stop, block=block):
            block[start:stop] += 1

        parallel.run_over_rows(kernel, 8, 2)
        assert (block == 1).all()
        del kernel, block
        assert alive() is None
    finally:
        free.set()
        for blocker in blockers:
            blocker.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_its_own_threads():
    expected = dispatch.eigsh(A, 5, which="SA")[0]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if np.array_equal(dispatch.eigsh(A, 5, which="SA")[0], expected) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_interrupt_leaves_a_process_that_works():
    # A shell may have started this process with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(state):
        if state.iteration == 3:
            signal.raise_signal(signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            dispatch.eigsh(A, 5, which="SA", callback=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    np.testing.assert_allclose(dispatch.eigsh(A, 5, which="SA")[0], SPECTRUM[:5], rtol=1e-11)


@pytest.mark.parametrize("arguments", [dict(which="SA"), dict(which="LM"), dict(sigma=0.0), dict(which="SA", M=2 * A)])
def test_an_interrupt_ends_a_run_at_once_and_leaves_nothing_behind(arguments):
    n, m = A.shape[0], 5 + 3
    # A shell may have started this process with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    products = 0

    def product(X):
        nonlocal products
        products += 1
        if products == 9:
            signal.raise_signal(signal.SIGINT)
        return A @ X

    operator = sla.LinearOperator(A.shape, matvec=product, matmat=product, dtype=float)
    dispatch.eigsh(sla.aslinearoperator(A), 5, tol=1e-2, backend="cpu", **arguments)  # loads what it needs
    threads, errors = threading.enumerate(), np.geterr()
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            dispatch.eigsh(operator, 5, backend="cpu", **arguments)
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        signal.signal(signal.SIGINT, before)
    assert products == 9
    assert (threading.enumerate(), np.geterr()) == (threads, errors)
    assert left < n * m * 8 / 2  # less than a block


def test_the_whole_spectrum_warning_points_at_the_caller():
    with pytest.warns(RuntimeWarning, match="the whole spectrum is computed") as caught:
        dispatch.eigsh(np.eye(2), 2)
    assert caught[0].filename == __file__
