"""The conformance kit in Numba's simulator, at sizes that it can do, in a process of its own.

Whether CUDA is simulated is settled when Numba is imported, so it cannot be changed in this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")

HERE = Path(__file__).parent
ENGINE = (
    "(gram or combine or residual or columns or comes_back or upload or apply or chebyshev or operator) "
    "and (2x1 or 7x3 or -12-1 or -12-5 or nan or zero or upload or twice) and (float32 or complex128)"
)
EIGSH = "D-SA or few_and_nearly_all or tiny or bad_matrices or small_eigsh"
SUM = "small_sum or bad_arguments or strided_views or where_initial or out_may or sums_of_nothing or scalar_of_the_host"
PLUGIN = "importing or devices or probe or answers or not_declared or does_not_own"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("selection", [EIGSH, f"({ENGINE}) or {SUM} or {PLUGIN}"], ids=["eigsh", "others"])
def test_in_the_simulator(selection):
    """The kernels as they are, with the warp shuffles and vectors that the simulator lacks filled in."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "DISPATCH_CUDA_TESTS": "simulator"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(HERE / "on_device"), "-k"]
    result = subprocess.run(
        [*command, selection], env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-6000:]
    assert " passed" in result.stdout
