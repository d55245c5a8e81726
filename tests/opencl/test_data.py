"""Where data are: in the host's own memory, on their way, in the pool, on the device; and what of programs is kept."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pyopencl as cl
import pytest
import scipy.sparse as sp
from dispatch_opencl import host_sum
from dispatch_opencl.engine import OpenCLEngine
from dispatch_opencl.operators import balanced_rows, split_by_length
from dispatch_opencl.runtime import Runtime

import dispatch

from ..solvers.problems import laplacian
from ..solvers.test_preconditioners import needs_pyamg
from .conftest import guise


@pytest.fixture
def made(monkeypatch):
    """Return the buffers that are made, each as its flags and the address of the host's memory for it, or None."""
    made = []

    class Noted(cl.Buffer):
        def __init__(self, context, flags, size=0, hostbuf=None):
            super().__init__(context, flags, size, hostbuf=hostbuf)
            made.append((flags, None if hostbuf is None else hostbuf.ctypes.data))

    monkeypatch.setattr(cl, "Buffer", Noted)
    return made


@pytest.fixture
def steps(monkeypatch):
    """Return the names of what is done with a device, in order; copies with their bytes."""
    steps = []

    def note(name, method):
        def noted(self, *arguments):
            sizes = [a.nbytes for a in arguments if isinstance(a, np.ndarray)]
            steps.append((name, *sizes) if name in ("write", "read") else name)
            return method(self, *arguments)

        monkeypatch.setattr(Runtime, name, noted)

    for name in ("wrap", "launch", "flush", "write", "read"):
        note(name, getattr(Runtime, name))
    return steps


def at(address, n):
    """Return n float32 ones that begin so many bytes behind a multiple of 64."""
    raw = np.empty(4 * n + 128, np.uint8)
    ones = raw[-raw.ctypes.data % 64 + address :][: 4 * n].view(np.float32)
    ones[:] = 1
    return ones


@pytest.mark.parametrize(
    ("unified", "address", "flag"),
    [
        (True, 16, cl.mem_flags.USE_HOST_PTR),
        (True, 4, cl.mem_flags.COPY_HOST_PTR),
        (False, 16, cl.mem_flags.COPY_HOST_PTR),
    ],
)
def test_a_host_array_is_the_buffer_itself_where_memory_is_shared_and_it_is_aligned(made, unified, address, flag):
    backend = guise(unified=unified)
    backend.probe()
    a = at(address, 100_000)
    assert dispatch.sum(a, backend=backend) == 100_000
    assert (cl.mem_flags.READ_ONLY | flag, a.ctypes.data) in made
    assert [address for _, address in made if address is not None] == [a.ctypes.data]  # and nothing else is sent


def test_a_matrix_is_the_buffer_itself_where_memory_is_shared(made):
    backend = guise()
    backend.probe()
    A = sp.csr_array(laplacian(40, 41)[0])
    OpenCLEngine(A.shape[0], A.dtype, backend.runtime("opencl:0")).operator(A)
    own = {address for flags, address in made if flags & cl.mem_flags.USE_HOST_PTR}
    assert own >= {array.ctypes.data for array in (A.data, A.indices, A.indptr)}


@pytest.mark.parametrize("unified", [True, False])
def test_the_next_slab_is_on_its_way_while_one_is_added_up(monkeypatch, steps, unified):
    backend = guise(unified=unified)
    backend.probe()
    a = np.ones(5 * 50_000, np.float32)
    monkeypatch.setattr(host_sum, "slab_bytes", lambda runtime: 4 * 50_000)
    assert dispatch.sum(a, backend=backend) == a.size
    transfers = [step if step == "wrap" else "read" for step in steps if step == "wrap" or step[0] == "read"]
    # The host asks for sums only when the next slab has been sent and its sum has begun.
    assert transfers == ["wrap", "wrap", *["read", "wrap"] * 3, "read", "read"]
    for place, step in enumerate(steps):
        if step[0] == "read":
            assert steps[place - 1] == "flush" or steps[place - 1][0] == "read"


def test_a_second_call_takes_its_memory_from_the_pool(made):
    backend = guise()
    backend.probe()
    a = np.ones((300, 700), np.float32)
    for call in range(3):
        before = len(made)
        dispatch.sum(a, 0, backend=backend)
        assert len(made) - before == 1 or call == 0  # the operand


@pytest.mark.parametrize("preconditioner", ["jacobi", "chebyshev", pytest.param("amg", marks=needs_pyamg)])
def test_blocks_stay_on_the_device(steps, preconditioner):
    backend = guise(kind="gpu", streams=False, group=64, unified=False)
    backend.probe()
    A = laplacian(60, 61)[0]
    marks = []
    with contextlib.suppress(dispatch.NoConvergence):
        dispatch.eigsh(
            A,
            4,
            which="SA",
            tol=1e-6,
            maxiter=30,
            preconditioner=preconditioner,
            callback=lambda state: marks.append(len(steps)),
            backend=backend,
        )
    between = steps[marks[0] : marks[-1]]
    copies = [step for step in between if step[0] in ("read", "write")]
    assert len(marks) > 3
    assert copies
    assert all(nbytes < 8 * A.shape[0] for _, nbytes in copies), max(copies)


@pytest.mark.parametrize(
    ("lengths", "long"),
    [([3] * 1000, []), ([3] * 999 + [500], [999]), ([3] * 999 + [63], []), ([100] * 50, list(range(50)))],
    ids=["short rows", "one long row", "one row that is not long enough", "long rows"],
)
def test_the_lengths_of_rows_decide_whether_a_group_shares_them(lengths, long):
    alone, shared = split_by_length(np.r_[0, np.cumsum(lengths)])
    assert list(shared) == long
    assert sorted([*alone, *shared]) == list(range(len(lengths)))


@pytest.mark.parametrize("lengths", [[3] * 1000, [0] * 500 + [9] * 500, [5000] + [1] * 999])
def test_the_cores_of_a_cpu_get_rows_with_equally_many_elements(lengths):
    work = np.r_[0, np.cumsum(lengths)] + np.arange(len(lengths) + 1)
    bounds = balanced_rows(np.r_[0, np.cumsum(lengths)], 32)
    assert (bounds[0], bounds[-1]) == (0, len(lengths))
    shares = np.diff(work[bounds])
    assert shares.sum() == work[-1]
    assert shares.max() <= work[-1] / 32 + max(lengths) + 1


def test_compiled_programs_are_kept_on_the_disk(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "POCL_CACHE_DIR": str(tmp_path / "pocl")}
    environment.pop("PYOPENCL_NO_CACHE", None)
    code = "import dispatch, numpy as np; dispatch.sum(np.ones(1000), backend='opencl')"
    written = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        programs = [path for path in tmp_path.rglob("*") if path.suffix in (".so", ".bc") or path.name == "binary"]
        written.append({path: path.stat().st_mtime_ns for path in programs})
    assert written[0]
    assert written[0] == written[1]
