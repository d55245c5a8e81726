"""Every kernel of the CUDA backend with the types that it is launched with, to be compiled without a device."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
from dispatch_cuda import kernels as package
from dispatch_cuda.kernels import blocks, dense, finish, gram, making, spmm, sums
from numba.cuda import types

from tests.cuda import ptx

CAPABILITIES = [(7, 5), (8, 0), (9, 0), (10, 0)]
THREADS = 256
I64 = types.int64


def array(dtype):
    return types.Array(getattr(types, np.dtype(dtype).name), 1, "C")


def elements(char, *, single=False, masked=False):
    dtype = np.dtype(char)
    return sums.Elements(dtype, False, single, dtype.kind == "f", masked)


def sum_signature(parts, columns):
    arguments = [array(parts.dtype), I64, array(np.uint8), *[I64] * 3, array(np.int64), *[I64] * (10 if columns else 6)]
    return (*arguments, array(np.float64 if parts.floating else np.int64))


SUMS = [elements(char) for char in ("b", "B", "h", "H", "i", "I", "l", "d")] + [
    elements("e", single=True), elements("f", single=True), elements("f"), elements("d", masked=True),
    elements("f", single=True, masked=True), elements("b", masked=True),
]  # fmt: skip


def sum_kernels():
    for parts in SUMS:
        name = f"{parts.dtype.name}{'-single' * parts.single}{'-masked' * parts.masked}"
        for vectorised in (True, False):
            way = "vectors" if vectorised else "gathered"
            for team in (1, 32, THREADS):
                kernel = sums.rows(parts, vectorised, team, THREADS)
                yield f"rows-{name}-{way}-{team}", kernel, sum_signature(parts, False)
            yield f"columns-{name}-{way}", sums.columns(parts, vectorised, THREADS), sum_signature(parts, True)


def block_kernels():
    for char in "fdFD":
        dtype, name = np.dtype(char), np.dtype(char).name
        block, real, wide = array(dtype), array(dtype.char.lower()), array(np.result_type(dtype, np.float64))
        for offsets in (np.int32, np.int64):
            matrix = (array(offsets), array(np.int32), block)
            for team in spmm.TEAMS if offsets is np.int32 else (1,):
                head, tail = (I64, I64, *matrix, I64), (real, *[block] * 5)
                yield f"spmm-{name}-{team}-{offsets.__name__}", spmm.spmm(dtype, team, THREADS), (*head, block, block)
                yield (
                    f"chebyshev-{name}-{team}-{offsets.__name__}",
                    spmm.chebyshev(dtype, team, THREADS),
                    (*head, *tail),
                )
            head = (array(np.int32), *matrix, I64)
            yield f"spmm_long-{name}-{offsets.__name__}", spmm.spmm_long(dtype, THREADS), (*head, block, block)
            yield f"chebyshev_long-{name}-{offsets.__name__}", spmm.chebyshev_long(dtype, THREADS), (*head, *tail)
        for side in gram.SIDES:
            signature = (I64, I64, I64, I64, block, I64, I64, block, wide)
            yield f"gram-{name}-{side}", gram.gram(dtype, side, THREADS), signature
        for side in dense.SIDES:
            signature = (I64, I64, I64, block, I64, block, block)
            yield f"dense-{name}-{side}", dense.dense(dtype, side, THREADS), signature
        inputs = [I64, I64, block] * 3
        yield f"combine-{name}", blocks.combine(dtype, THREADS), (I64, I64, block, types.boolean, *inputs, block)
        signature = (I64, I64, I64, block, block, real, block, array(np.float64))
        yield f"residual-{name}", blocks.residual(dtype, THREADS), signature
        signature = (I64, I64, block, I64, array(np.int32), I64, block)
        yield f"take_columns-{name}", blocks.columns(dtype, THREADS), signature
    for char in "dD":
        kind = array(np.dtype(char))
        yield f"fold-{np.dtype(char).name}", gram.fold(np.dtype(char), THREADS), (I64, I64, kind, kind)


def finishing_kernels():
    for char in "bBhHiIlLefd":
        dtype = np.dtype(char)
        wide = np.dtype(np.float64 if dtype.kind == "f" else np.int64)
        number = getattr(types, wide.name)
        signature = (array(wide), I64, I64, number, types.boolean, number, number, number, I64, I64, I64)
        yield f"finish-{dtype.name}", finish.finish(dtype, False, THREADS), (*signature, array(np.int64), array(dtype))


KERNELS = {
    name: (kernel, signature) for name, kernel, signature in [*sum_kernels(), *block_kernels(), *finishing_kernels()]
}


def every_name():
    """Return the names of the kernels of the package, whether they are listed here or not."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return set(making.MAKERS)


def compiled(name, capabilities=CAPABILITIES):
    """Return the PTX of a kernel for each compute capability."""
    kernel, signature = KERNELS[name]
    return ptx.compiled(kernel.py_func, signature, capabilities)
