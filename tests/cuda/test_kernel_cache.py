"""Compiled kernels on disk: found by the next process, and by nobody for whom they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")

from dispatch_cuda.devices import toolkit_version

if not toolkit_version():
    pytest.skip("CUDA's compiler is not installed", allow_module_level=True)

from dispatch_cuda.kernels import cache
from dispatch_cuda.kernels.blocks import columns
from numba.cuda import types

from tests.cuda import stub_device

BLOCK = types.Array(types.float32, 1, "C")
SIGNATURE = (types.int64, types.int64, BLOCK, types.int64, types.Array(types.int32, 1, "C"), types.int64, BLOCK)


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DISPATCH_CACHE_DIR", str(tmp_path))
    stub_device.install(monkeypatch.setattr, (9, 0))
    yield
    columns.cache_clear()


def found(threads=256, signature=SIGNATURE):
    """Whether a kernel comes from the disk that no earlier call has left in memory."""
    columns.cache_clear()
    kernel = columns(np.dtype(np.float32), threads)
    assert kernel.compile(signature).entry_name
    return bool(kernel._cache_hits)


CHILD = """
import sys
from numba.cuda import dispatcher
from numba.cuda.cudadrv import nvvm
from tests.cuda import stub_device, test_kernel_cache

def compiles(*arguments, **options):
    raise AssertionError("it is compiled anew")

stub_device.install(setattr, (9, 0))
dispatcher.compile_cuda = nvvm.compile_ir = compiles
assert test_kernel_cache.found()
"""


def test_the_next_process_does_not_compile():
    assert not found()
    assert found()
    result = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_what_decides_the_machine_code_is_told_apart(monkeypatch):
    """Specialisation, signature, options, device, sources, and the versions of what compiles."""
    assert not found()
    assert not found(threads=128)
    double = types.Array(types.float64, 1, "C")
    assert not found(signature=tuple(double if kind is BLOCK else kind for kind in SIGNATURE))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "SOURCES", "others")
        assert not found()
    for capability in ((8, 0), (7, 5)):
        with monkeypatch.context() as patch:
            stub_device.install(patch.setattr, capability)
            assert not found()
    for name in ("numba-cuda", "numba", "llvmlite"):
        with monkeypatch.context() as patch:
            patch.setattr(cache, "_version", lambda asked, name=name: asked == name)
            cache._compilers.cache_clear()
            assert not found()
    cache._compilers.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("NUMBA_CUDA_LOG_LEVEL", "error")
        assert not found()
    assert found()


def test_the_sources_are_those_of_every_kernel(tmp_path, monkeypatch):
    """A kernel calls functions of other modules than its own."""
    folder = Path(cache.__file__).parent
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or b"")
    compiled = compile(Path(cache.__file__).read_text(), cache.__file__, "exec")
    exec(compiled, {"__package__": cache.__package__, "__name__": "reloaded"})
    assert set(read) == {path.name for path in folder.glob("*.py")}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(1000)], ids=["empty", "short", "zeros"])
def test_a_damaged_file_is_replaced(tmp_path, damage):
    assert not found()
    (file,) = (tmp_path / "cuda-kernels").iterdir()
    file.write_bytes(damage)
    assert not found()
    assert found()


def test_a_file_of_what_is_no_kernel_is_replaced(monkeypatch):
    monkeypatch.setattr("numba.cuda.serialize.dumps", lambda kernel: b"no pickle")
    assert not found()
    monkeypatch.undo()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners")
def test_what_somebody_else_has_left_is_not_loaded(monkeypatch):
    assert not found()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat_result([0, 0, 0, 0, 4712, *[0] * 5]))
    assert not found()


@pytest.mark.parametrize("place", ["a file", "a link that leads nowhere"])
def test_a_folder_that_cannot_be_made_never_breaks_a_call(tmp_path, monkeypatch, place):
    path = tmp_path / "place"
    path.write_text("") if place == "a file" else path.symlink_to(tmp_path / "missing" / "folder")
    monkeypatch.setenv("DISPATCH_CACHE_DIR", str(path))
    assert not found()
    assert not found()


def test_a_full_disk_never_breaks_a_call_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert not found()
    assert list((tmp_path / "cuda-kernels").iterdir()) == []
    assert not found()
    assert found()
