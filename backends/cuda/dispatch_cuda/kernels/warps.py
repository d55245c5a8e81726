"""Sums over the threads of a warp, a part of one, or a block: always by the same tree."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import cuda

from dispatch_cuda.kernels.vectors import device

WARP = 32
ALL = 0xFFFFFFFF


def warp_sum(width: int) -> Any:
    """Return a function that adds a number of each of `width` neighbouring threads, a power of two up to a warp.

    The first of them gets the sum. All threads of the warp have to call it together.
    """
    half = width // 2

    @device
    def total(x):
        step = half
        while step > 0:
            x = x + cuda.shfl_down_sync(ALL, x, step)
            step >>= 1
        return x

    return total


@cache
def team_sum(team: int, threads: int, dtype: Any) -> Any:
    """Return a function that adds a number of each thread of a team: one thread, a part of a warp, or the whole block.

    The first of the team gets the sum. All threads of the warp, or of the block, have to call it together.
    """
    if team == 1:
        return device(lambda x: x)
    within = warp_sum(min(team, WARP))
    if team <= WARP:
        return within
    if team != threads:
        raise AssertionError(f"a team is a part of a warp or a block of {threads} threads, not {team} threads")
    warps = threads // WARP
    between = warp_sum(1 << (warps - 1).bit_length())

    @device
    def total(x):
        parts = cuda.shared.array(warps, dtype)
        x = within(x)
        t = cuda.threadIdx.x
        cuda.syncthreads()  # nobody still reads what an earlier call has left here
        if t % WARP == 0:
            parts[t // WARP] = x
        cuda.syncthreads()
        if t < WARP:
            x = between(parts[t] if t < warps else dtype(0))
        return x

    return total
