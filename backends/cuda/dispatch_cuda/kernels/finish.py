"""From raw sums to the result in a device array: what `Reduction.finish` does on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import types

from dispatch_cuda.kernels.making import kernel
from dispatch_cuda.kernels.sums import place
from dispatch_cuda.kernels.vectors import device


@kernel("write_sums")
def finish(dtype: np.dtype[Any], boolean: bool, threads: int) -> Any:
    """Return the kernel ``out[...] = raw * factor + initial``, converted to a real dtype.

    Complex numbers are pairs of reals: raw sum i is part i % parts of number i // parts. Where the sums are `empty`,
    there are no raw sums, and `neutral` stands for each.
    """
    target = getattr(types, dtype.name)
    convert = device(lambda x: target(x != 0)) if boolean else device(lambda x: target(x))

    @cuda.jit
    def write_sums(raw, count, parts, factor, empty, neutral, real, imaginary, start, stride, more, axes, out):
        i = types.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        while i < count:
            number = i // parts
            part = i - number * parts
            x = neutral if empty else raw[i] * factor
            x = x + (imaginary if part else real)
            out[start + place(number, stride, more, axes, 1) + part] = convert(x)
            i += types.int64(cuda.gridDim.x) * threads

    return write_sums
