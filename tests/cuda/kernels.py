"""Every kernel of the CUDA backend with the types that it is launched with, to be compiled without a device."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import warnings

import numpy as np
from dispatch_cuda import kernels as package
from dispatch_cuda.kernels import blocks, dense, finish, gram, making, spmm, sums
from dispatch_cuda.summation import Summation, why_not
from numba.cuda import types

from dispatch.reduction import prepare
from dispatch.testing.sum import ALL_DTYPES
from tests.cuda import ptx

CAPABILITIES = [(7, 5), (8, 0), (9, 0), (10, 0)]
THREADS = 256
I64 = types.int64


def array(dtype):
    return types.Array(getattr(types, np.dtype(dtype).name), 1, "C")


def every_elements():
    """Return what kernels for sums are specialised by, for each dtype summed as each other, masked or not.

    A mask chooses what has been converted, so conversions are not asked for with masks, too.
    """
    found = set()
    for operand, operation in itertools.product(ALL_DTYPES, repeat=2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            reduction = prepare(np.ones(3, operand), None, operation, None, False, np._NoValue, np._NoValue)
        if not why_not(reduction.operand, reduction.dtype, reduction.accumulator):
            found |= {Summation(None, reduction).elements(masked) for masked in (False, True)}
    return sorted((parts for parts in found if not (parts.masked and converted(parts))), key=name_of)


def converted(parts):
    """Whether elements are brought to another kind of number, or a narrower type, before they are added."""
    return parts.boolean or (parts.floating and parts.dtype.kind != "f") or (parts.single and parts.dtype == np.float64)


def name_of(parts):
    """Return the name of a kernel for elements, without the way that it reads them."""
    double = parts.floating and parts.dtype.kind != "f" and not parts.single
    marks = {"bool": parts.boolean, "single": parts.single, "double": double}
    return "-".join([parts.dtype.name, *(mark for mark, given in marks.items() if given), *["masked"] * parts.masked])


def sum_signature(parts, columns):
    out = array(np.float64 if parts.floating else np.int64)
    mask = array(np.uint8) if parts.masked else out  # which stands for a mask that is not there
    return (array(parts.dtype), I64, mask, *[I64] * 3, array(np.int64), *[I64] * (10 if columns else 6), out)


def sum_kernels():
    for parts in every_elements():
        ways = {"vectors": (True, parts.masked), "gathered": (False, False)}
        if parts.masked:
            ways["marks-gathered"] = (True, False)
        for way, vectorised in ways.items():
            # Elements that are converted first differ in an instruction: one kernel stands for the others.
            for team in (1, 32, THREADS) if not converted(parts) else (32,) * vectorised[0]:
                kernel = sums.rows(parts, *vectorised, team, THREADS)
                yield f"rows-{name_of(parts)}-{way}-{team}", kernel, sum_signature(parts, False)
            if not converted(parts):
                kernel = sums.columns(parts, *vectorised, THREADS)
                yield f"columns-{name_of(parts)}-{way}", kernel, sum_signature(parts, True)


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
