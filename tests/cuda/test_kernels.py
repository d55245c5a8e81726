"""Every kernel compiles for every GPU, and the compiler has made of it what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="the CUDA plugin is not installed")

from dispatch_cuda.devices import toolkit_version

if not toolkit_version():
    pytest.skip("CUDA's compiler is not installed", allow_module_level=True)

from dispatch_cuda import kernels as package

from tests.cuda.kernels import KERNELS, compiled, every_elements, every_name, name_of

SPARED = r"-gathered|^rows.*-(1|256)$|^columns.*-masked|-(2|4|8|16)-int32$|-int64$"
"""Variants that differ from others in a constant or in addressing; `make check-cuda-kernels` has them all."""

NAMES = [name for name in KERNELS if not re.search(SPARED, name)] + [
    "rows-float32-single-vectors-1", "rows-float32-single-vectors-256", "rows-float64-gathered-32",
    "rows-int8-masked-gathered-32", "columns-float64-gathered", "columns-float32-single-masked-vectors",
    "rows-float32-single-masked-marks-gathered-32", "spmm-float64-1-int64", "chebyshev_long-complex128-int64",
]  # fmt: skip


SPARSE = ("spmm", "chebyshev", "spmm_long", "chebyshev_long")


def test_no_kernel_is_left_out():
    """Each kernel of the package is listed, and so compiled, by the name that it has there."""
    assert {kernel.py_func.__name__ for kernel, _ in KERNELS.values()} == every_name()
    assert {KERNELS[name][0].py_func.__name__ for name in NAMES} == every_name()


def test_every_kernel_of_the_sources_is_made_by_the_decorator():
    """One that is not would be neither listed nor kept on disk."""
    for path in sorted(Path(package.__file__).parent.glob("*.py")):
        source = path.read_text()
        made = re.findall(r'@kernel\("(\w+)"\)\ndef ', source)
        assert re.findall(r"    @cuda\.jit\n    def (\w+)\(", source) == made, path.name
        assert len(re.findall(r"cuda\.jit", source)) == len(made) + (path.name == "vectors.py"), path.name


def test_every_dtype_is_compiled_in_some_way():
    assert {name_of(parts) for parts in every_elements()} == {
        re.sub(r"^rows-|-vectors-32$", "", name) for name in NAMES if re.fullmatch(r"rows-.*-vectors-32", name)
    }


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
            if "-masked" in name:
                # The marks of a vector in a word; those of the last elements, which are no whole vector, one by one.
                lanes = 16 // np.dtype(name.split("-")[1]).itemsize
                word = {2: "u16", 4: "u32", 8: r"v2\.u32", 16: r"v4\.u32"}[lanes]
                words = count(rf"ld\.global\.nc\.L1::no_allocate\.{word}", ptx)
                assert words >= (depth + 1) * (2 if lanes == 16 else 1)
                assert count(r"ld\.global\.u8", ptx) <= lanes * (2 if "uint8" in name else 1)
        if "-single" in name and "float64" not in name:
            # A tree in single precision, and one addition in double precision for all of it.
            assert not count(r"(mul|fma|sub)\S*\.f64", ptx)
        if kind in (*SPARSE, "dense", "combine", "residual"):
            assert count(r"ld\.global\S*\.v4\.f32" if single else r"ld\.global\S*\.v2\.f64", ptx) >= 2
            assert count(r"st\.global\.v4\.f32" if single else r"st\.global\.v2\.f64", ptx) >= 1
        if kind in SPARSE:
            # Vectors, indices and elements the read-only way: nothing writes to them while the kernel runs.
            vector, element = (r"v4\.f32", r"(v2\.)?f32") if single else (r"v2\.f64", r"(v2\.)?f64")
            assert count(rf"ld\.global\.nc\.{vector}", ptx) >= 5
            assert count(r"ld\.global\.nc\.[us]32", ptx) >= 5
            assert count(rf"ld\.global\.nc\.{element}\b", ptx) >= 5
        if kind in (*SPARSE, "dense", "combine") and single:
            assert ".f64" not in ptx
