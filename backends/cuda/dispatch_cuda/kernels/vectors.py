"""Vectors of 16 bytes: moved in one transaction, and computed with lane by lane.

Numba knows no vectors, so a vector is a tuple of its lanes. What is the same for every lane is written out by a few
generators of functions, since a loop over the lanes of a tuple would go through memory. The functions are kept, since
Numba needs longer for them than for the kernels that call them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

BYTES = 16
"""Bytes of a vector: the most that one thread moves at once."""

STREAM = "ld.global.nc.L1::no_allocate"
"""Reads what no thread writes while the kernel runs, and what is read only once."""


def lanes_of(dtype: np.dtype[Any]) -> int:
    """Return how many elements a vector has."""
    return BYTES // dtype.itemsize


def device(function: Callable[..., Any]) -> Any:
    """Return a function that kernels call; the compiler inlines it."""
    return cuda.jit(device=True)(function)


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Return the address of element i of an array, and the type of its elements in registers."""
    element = signature.args[0].dtype
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    size = context.get_abi_sizeof(context.get_data_type(element))
    word = ir.IntType(64)
    address = builder.add(builder.ptrtoint(array.data, word), builder.mul(arguments[1], word(size)))
    return address, context.get_data_type(element)


def _pack(builder: Any, vector: Any) -> Any:
    lanes = vector.type.count
    return cgutils.pack_array(builder, [builder.extract_element(vector, ir.IntType(32)(k)) for k in range(lanes)])


def _real(element: Any) -> Any:
    """Return the type of the real and imaginary parts of a floating-point type; of a real one, itself."""
    return element.underlying_float if isinstance(element, types.Complex) else element


def _loader(read_only: bool, whole: bool) -> Any:
    """Return the intrinsic function of an array and an index that reads a vector, or one element where not `whole`.

    `read_only` promises that nothing writes to the array while the kernel runs; the load goes the way for such data.
    """

    def loaded(typingctx: Any, a: Any, i: Any) -> Any:
        parts = a.dtype.bitwidth // _real(a.dtype).bitwidth
        count = BYTES * 8 // a.dtype.bitwidth if whole else 1

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, _ = _address(context, builder, signature, arguments)
            reals = ir.VectorType(context.get_data_type(_real(a.dtype)), count * parts)
            pointer = builder.inttoptr(address, reals.as_pointer(addrspace=1))
            vector = builder.load(pointer, align=count * a.dtype.bitwidth // 8)
            if read_only:
                vector.set_metadata("invariant.load", builder.module.add_metadata([]))
            elements = [builder.extract_element(vector, ir.IntType(32)(k)) for k in range(reals.count)]
            if parts == 2:
                elements = [_complex(context, builder, a.dtype, *elements[k : k + 2]) for k in range(0, 2 * count, 2)]
            return cgutils.pack_array(builder, elements) if whole else elements[0]

        return (types.UniTuple(a.dtype, count) if whole else a.dtype)(a, types.int64), generate

    return intrinsic(loaded)


load = _loader(read_only=False, whole=True)
"""Reads the vector of an array that begins at an element on a boundary of 16 bytes; floating-point types only."""

fetch = _loader(read_only=True, whole=True)
"""The same of an array that nothing writes to."""

fetch_one = _loader(read_only=True, whole=False)
"""Reads an element of an array that nothing writes to: of a floating-point type, or integers of 32 or 64 bits."""


def _complex(context: Any, builder: Any, dtype: Any, real: Any, imaginary: Any) -> Any:
    number = context.make_complex(builder, dtype)
    number.real, number.imag = real, imaginary
    return number._getvalue()


@intrinsic
def store(typingctx: Any, a: Any, i: Any, x: Any) -> Any:
    """Write a vector to `a` from element i on, a boundary of 16 bytes; floating-point types only."""
    parts = a.dtype.bitwidth // _real(a.dtype).bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, _ = _address(context, builder, signature, arguments)
        reals = ir.VectorType(context.get_data_type(_real(a.dtype)), x.count * parts)
        vector = ir.Constant(reals, ir.Undefined)
        for k in range(reals.count):
            number = builder.extract_value(arguments[2], k // parts)
            if parts == 2:
                number = builder.extract_value(number, k % 2)
            vector = builder.insert_element(vector, number, ir.IntType(32)(k))
        builder.store(vector, builder.inttoptr(address, reals.as_pointer(addrspace=1)), align=BYTES)
        return context.get_dummy_value()

    return types.void(a, types.int64, x), generate


@cache
def stream(nbytes: int) -> Any:
    """Return the function of an array and an index that reads the vector of so many bytes, 2 to 16, as `STREAM` does.

    It begins at that element, on a boundary of its size.
    """
    word, count = ir.IntType(8 * min(nbytes, 4)), max(nbytes // 4, 1)
    names = [f"${k}" for k in range(count)]
    operands = f"{{{', '.join(names)}}}" if count > 1 else names[0]
    assembly = f"{STREAM}{f'.v{count}' * (count > 1)}.u{word.width} {operands}, [${count}];"
    constraints = ",".join([*["=h" if word.width == 16 else "=r"] * count, "l"])
    results = ir.LiteralStructType([word] * count) if count > 1 else word

    @intrinsic
    def streamed(typingctx: Any, a: Any, i: Any) -> Any:
        size = 2 if a.dtype == types.float16 else a.dtype.bitwidth // 8
        result = types.UniTuple(a.dtype, nbytes // size)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, element = _address(context, builder, signature, arguments)
            # In assembly, because the compiler would split a vector of bytes into several loads.
            words = builder.call(
                ir.InlineAsm(ir.FunctionType(results, [address.type]), assembly, constraints), [address]
            )
            vector = ir.Constant(ir.VectorType(word, count), ir.Undefined)
            for k in range(count):
                part = builder.extract_value(words, k) if count > 1 else words
                vector = builder.insert_element(vector, part, ir.IntType(32)(k))
            return _pack(builder, builder.bitcast(vector, ir.VectorType(element, signature.return_type.count)))

        return result(a, types.int64), generate

    return streamed


def _written(source: str, **names: Any) -> Any:
    """Return the device function that `source` defines as `function`."""
    exec(source, names)
    return device(names["function"])


@cache
def lanewise(function: Any, lanes: int, operands: int) -> Any:
    """Return a function of vectors that applies a device function of as many numbers to each lane."""
    names = ", ".join(f"x{n}" for n in range(operands))
    results = "".join(f"f({', '.join(f'x{n}[{k}]' for n in range(operands))}), " for k in range(lanes))
    return _written(f"def function({names}): return ({results})", f=function)


@cache
def gather(lanes: int) -> Any:
    """Return a function of an array, an index and a step: the vector of the elements that are `step` apart."""
    elements = "".join(f"a[i + {k} * step], " for k in range(lanes))
    return _written(f"def function(a, i, step): return ({elements})")


@cache
def gather_some(lanes: int) -> Any:
    """Return the same with a count from 1 on: lanes behind it repeat the last element."""
    elements = "".join(f"a[i + min({k}, count - 1) * step], " for k in range(lanes))
    return _written(f"def function(a, i, step, count): return ({elements})")


@cache
def first(lanes: int) -> Any:
    """Return a function that keeps the first `count` lanes of a vector and fills the others."""
    elements = "".join(f"x[{k}] if {k} < count else filling, " for k in range(lanes))
    return _written(f"def function(x, count, filling): return ({elements})")


@cache
def scatter(lanes: int) -> Any:
    """Return a function that writes a vector to consecutive elements of an array."""
    statements = "; ".join(f"a[i + {k}] = x[{k}]" for k in range(lanes))
    return _written(f"def function(a, i, x): {statements}")


@cache
def splat(lanes: int) -> Any:
    """Return a function of a number: the vector of it."""
    return _written(f"def function(x): return ({'x, ' * lanes})")


@cache
def across(function: Any, lanes: int) -> Any:
    """Return a function that combines the lanes of a vector by a tree."""
    return _written(f"def function(x): return {_tree([f'x[{k}]' for k in range(lanes)])}", f=function)


def _tree(terms: list[str]) -> str:
    while len(terms) > 1:
        terms = [
            f"f({', '.join(terms[k : k + 2])})" if k + 1 < len(terms) else terms[k] for k in range(0, len(terms), 2)
        ]
    return terms[0]
