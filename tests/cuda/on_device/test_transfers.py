"""Host arrays on their way to the device: the driver may read them after the call that sends them."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from dispatch_cuda import CudaBackend, runtime
from numba.cuda.cudadrv import driver


@pytest.fixture
def device():
    backend = CudaBackend()
    backend.probe()
    return backend.runtime("cuda:0")


@pytest.mark.parametrize("writable", [True, False], ids=["", "read-only"])
@pytest.mark.parametrize("wait", ["synchronize", "read"])
def test_what_is_sent_stays_until_the_host_has_waited(monkeypatch, device, wait, writable):
    sent, send = [], driver.host_to_device

    def noted(memory, host, *arguments, **options):
        sent.append(weakref.ref(host if host.base is None else host.base))
        send(memory, host, *arguments, **options)

    monkeypatch.setattr(driver, "host_to_device", noted)
    host = np.arange(100.0)
    host.flags.writeable = writable
    memory = device.constant(host)
    del host
    (reference,) = sent
    assert reference() is not None
    if wait == "synchronize":
        device.synchronize()
    else:
        np.testing.assert_array_equal(device.read(memory), np.arange(100.0))
    assert reference() is None


def test_no_more_than_so_many_are_kept(monkeypatch, device):
    monkeypatch.setattr(runtime, "MOST_SENT", 3)
    waits = []
    monkeypatch.setattr(device.stream, "synchronize", lambda: waits.append(1))
    for _ in range(8):
        device.constant(np.zeros(5))
    assert len(waits) == 2
