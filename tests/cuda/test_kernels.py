"""Every kernel compiles for every GPU, and the compiler has made of it what was meant."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")

from dispatch_cuda.devices import toolkit_version

if not toolkit_version():
    pytest.skip("CUDA's compiler is not installed", allow_module_level=True)

from tests.cuda.kernels import KERNELS, compiled

SPARED = r"-gathered|-(1|256)$|-(2|4|8|16)-int32$|-int64$"
"""Variants that differ from others in a constant or in addressing; `make check-cuda-kernels` has them all."""

NAMES = [name for name in KERNELS if not re.search(SPARED, name)] + [
    "rows-float32-single-vectors-1", "rows-float32-single-vectors-256", "rows-float64-gathered-32",
    "columns-float64-gathered", "spmm-float64-1-int64", "chebyshev_long-complex128-int64",
]  # fmt: skip


def count(pattern, ptx):
    return len(re.findall(pattern, ptx))


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel(name):
    """Nothing in local memory, no calls, no atomics; vectors where they are promised, single precision where it is."""
    kind = name.split("-")[0]
    single = "float32" in name or "complex64" in name
    for ptx in compiled(name).values():
        assert "__local_depot" not in ptx
        assert not count(r"\bcall\b", ptx)
        assert not count(r"\b(atom|red)\.", ptx)
        assert not count(r"div\.\S*f64", ptx)
        if "-vectors" in name:
            # Eight in flight, or with a mask two, or one of bytes; and one at a time for the rest.
            depth = 8 if "-masked" not in name else 1 if "int8" in name else 2
            assert count(r"ld\.global\.nc\.L1::no_allocate\.v4\.u32", ptx) >= depth + 1
        if "-single" in name and "float32" in name:
            # A tree in single precision, and one addition in double precision for all of it.
            assert not count(r"(mul|fma|sub)\S*\.f64", ptx)
        if kind in ("spmm", "chebyshev", "spmm_long", "chebyshev_long", "combine", "residual"):
            assert count(r"ld\.global\S*\.v4\.f32" if single else r"ld\.global\S*\.v2\.f64", ptx) >= 2
            assert count(r"st\.global\.v4\.f32" if single else r"st\.global\.v2\.f64", ptx) >= 1
        if kind in ("spmm", "chebyshev", "spmm_long", "chebyshev_long", "combine") and single:
            assert ".f64" not in ptx
