"""Every call from many threads, from asyncio tasks, and in child processes: the same bits as alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import dispatch
from dispatch.discovery import discover
from dispatch.testing.base import Conformance, random_array
from dispatch.testing.matrices import laplacian

CHILD_SECONDS = 120
"""After which a child process is held to hang."""

FORKED = {
    1: "got an error that is no RuntimeError",
    2: "computed other bits than its parent",
    3: "got a RuntimeError that does not speak of the fork",
    -14: "hung",  # SIGALRM
}
"""What became of a forked child, by its exit status."""


class ConcurrencyConformance(Conformance):
    """Calls at the same time, and after a fork."""

    def jobs(self) -> list[tuple[Any, ...]]:
        """Return calls of different sizes: operation, operand and keyword arguments."""
        jobs: list[tuple[Any, ...]] = []
        if "sum" in self.operations:
            a = random_array(self.sum_dtypes[-1], (300, 1000))
            jobs += [("sum", a, {}), ("sum", a, {"axis": 0}), ("sum", a, {"axis": 1}), ("sum", a[:2, :3], {})]
        if "eigsh" in self.operations:
            A = laplacian(20, 21)[0].astype(self.eigsh_dtypes[0])
            jobs += [("eigsh", A, {"k": 3, "which": "SA", "return_eigenvectors": False})]
        return jobs

    def run(self, job: tuple[Any, ...]) -> bytes:
        """Return the bits of a job's result."""
        return _run((self.backend, job))

    def test_many_threads(self) -> None:
        """Sixty-four threads at once, with different calls."""
        jobs = self.jobs()
        alone = [self.run(job) for job in jobs]
        with ThreadPoolExecutor(64) as pool:
            together = list(pool.map(self.run, jobs * 16))
        assert together == alone * 16, "calls from many threads gave other bits than each alone"

    def test_tasks_with_requests_of_their_own(self) -> None:
        """Asyncio tasks that ask for the backend each in its own context."""
        jobs = self.jobs()
        alone = [self.run(job) for job in jobs]

        async def task(job: tuple[Any, ...]) -> bytes:
            operation, operand, arguments = job
            with dispatch.use(self.backend):
                await asyncio.sleep(0)
                result = await asyncio.to_thread(getattr(dispatch, operation), operand, **arguments)
            return np.asarray(result).tobytes()

        async def all_tasks() -> list[bytes]:
            return list(await asyncio.gather(*(task(job) for job in jobs * 4)))

        assert asyncio.run(all_tasks()) == alone * 4

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_forked_child_works_or_says_why_not(self) -> None:
        """After a fork the child computes the same, or gets a clear error; it never hangs and never crashes."""
        jobs = self.jobs()
        alone = [self.run(job) for job in jobs]
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_SECONDS)
            code = 1
            try:
                code = 0 if [self.run(job) for job in jobs] == alone else 2
            except RuntimeError as error:
                code = 0 if "fork" in str(error) else 3
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, f"a forked child {FORKED.get(code, f'ended with {signal.strsignal(-code) or code}')}"
        assert [self.run(job) for job in jobs] == alone, "the fork disturbed its parent"

    def test_a_spawned_child_gets_the_same_bits(self) -> None:
        """A fresh process gives the same results as this one."""
        if all(plugin.name != self.backend for plugin in discover()[0]):
            pytest.skip(f"{self.backend} is registered in this process alone")
        # A view arrives in the child as an array of its own, whose elements may be added in another order.
        jobs: list[tuple[Any, ...]] = pickle.loads(pickle.dumps(self.jobs()))
        alone = [self.run(job) for job in jobs]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map_async(_run, [(self.backend, job) for job in jobs]).get(CHILD_SECONDS) == alone


def _run(work: tuple[str, tuple[Any, ...]]) -> bytes:
    backend, (operation, operand, arguments) = work
    return np.asarray(getattr(dispatch, operation)(operand, **arguments, backend=backend)).tobytes()
