"""What `dispatch.trace` records, where it holds, and what the log says."""

import asyncio
import json
import logging
import threading

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch
from dispatch import tracing


def test_every_call_is_recorded_with_its_decision_and_its_time():
    a = np.ones(1000)
    dispatch.sum(a)  # decided and kept before
    A = sp.diags_array([[-1.0] * 299, [2.0] * 300, [-1.0] * 299], offsets=[-1, 0, 1], format="csr")
    with dispatch.trace() as log:
        assert dispatch.sum(a) == dispatch.sum(a) == 1000
        dispatch.sum([1, 2], backend="cpu")
        dispatch.eigsh(A, k=2)
    dispatch.sum(a)
    assert [call.decision.operation for call in log] == ["sum", "sum", "sum", "eigsh"]
    assert {call.device for call in log} == {"cpu:0"}
    assert [call.decision.source for call in log[:3]] == ["automatic choice"] * 2 + ["backend='cpu'"]
    assert all(call.seconds > 0 and call.estimate > 0 and not call.error for call in log)
    assert (log[0].shape, log[0].dtype, log[3].shape) == ((1000,), "float64", (300, 300))
    (call, *_) = json.loads(json.dumps(log.to_dict()))["calls"]
    assert (call["device"], call["shape"], call["decision"]["chosen"]) == ("cpu:0", [1000], "cpu:0")
    lines = str(log).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["operation", "shape", "dtype", "device", "took", "estimate", "source", "error"]
    assert lines[1].split()[:4] == ["sum", "1000", "float64", "cpu:0"]


def test_what_a_call_raises_is_recorded():
    with dispatch.trace() as log, pytest.raises(np.exceptions.AxisError):
        dispatch.sum(np.ones(3), axis=5)
    (call,) = log
    assert call.error == "AxisError: axis 5 is out of bounds for array of dimension 1"
    assert call.error in str(call)


def test_a_call_that_nobody_can_run_is_not_one():
    with dispatch.trace() as log, pytest.raises(dispatch.UnknownBackendError):
        dispatch.sum(np.ones(3), backend="cpo")
    assert len(log) == 0


def test_traces_nest_and_end():
    with dispatch.trace() as outer:
        dispatch.sum(np.ones(1))
        with dispatch.trace() as inner:
            dispatch.sum(np.ones(2))
        dispatch.sum(np.ones(3))
    dispatch.sum(np.ones(4))
    assert [call.shape for call in outer] == [(1,), (2,), (3,)]
    assert [call.shape for call in inner] == [(2,)]
    assert tracing.count == 0


def test_a_trace_ends_when_its_block_raises():
    with pytest.raises(ZeroDivisionError), dispatch.trace():
        raise ZeroDivisionError
    assert tracing.count == 0
    assert tracing._open.get() == ()


def test_a_trace_holds_in_its_own_context_only():
    barrier = threading.Barrier(2)
    logs = {}

    def work(size):
        with dispatch.trace() as log:
            barrier.wait()
            for _ in range(20):
                dispatch.sum(np.ones(size))
            barrier.wait()
        logs[size] = log

    threads = [threading.Thread(target=work, args=(size,)) for size in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {size: [call.shape for call in log] for size, log in logs.items()} == {1: [(1,)] * 20, 2: [(2,)] * 20}


def test_tasks_record_into_the_trace_that_they_were_created_in():
    async def work(size):
        await asyncio.sleep(0)
        dispatch.sum(np.ones(size))

    async def main():
        with dispatch.trace() as log:
            await asyncio.gather(work(1), work(2))
        return log

    assert sorted(call.shape for call in asyncio.run(main())) == [(1,), (2,)]


def test_nothing_is_looked_up_when_no_trace_is_open(monkeypatch):
    dispatch.sum(np.ones(5))
    monkeypatch.setattr(tracing, "observed", None)
    assert dispatch.sum(np.ones(5)) == 5


def test_the_log_says_the_same_of_every_call(caplog):
    dispatch.refresh()
    with caplog.at_level(logging.DEBUG, logger="dispatch"):
        dispatch.sum(np.ones(7))
        dispatch.sum(np.ones(7))
    lines = [record.getMessage() for record in caplog.records if record.name == "dispatch.tracing"]
    assert len(lines) == 2
    assert all(line.startswith("sum (7,) float64 took ") and " on cpu:0, estimated " in line for line in lines)
