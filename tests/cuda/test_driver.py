"""Numba and cuda-core as they are on a driver without a device: what the other stand-ins for one replace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")

from dispatch_cuda.devices import toolkit_version

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="there is no C compiler for a Linux driver")
@pytest.mark.skipif(not toolkit_version(), reason="CUDA's compiler is not installed")
@pytest.mark.timeout(300)
def test_on_a_driver_without_a_device(tmp_path):
    source, library = HERE / "on_driver" / "driver.c", tmp_path / "libcuda.so.1"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source, "-ldl"], check=True
    )
    environment = os.environ | {
        "LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "DRIVER_LOG": str(tmp_path / "log"),
        "DRIVER_ARRAYS_ON": "0",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-W", "error", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, str(HERE / "on_driver")], env=environment, cwd=HERE.parents[1], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]
    assert " passed" in result.stdout
    assert result.stderr == "", "what is left at the end of the process is given back in silence"
