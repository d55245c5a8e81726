"""What a call is estimated to take on a device: bytes over bandwidths, products over rates, and latencies.

The estimates rank the devices for a call. Everything that takes the same time on every device, such as LAPACK on the
small matrices, is therefore rough, and what differs between them is measured: see `dispatch.hardware.measurement`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dispatch.hardware.profile import Profile

if TYPE_CHECKING:
    from dispatch.operations.call import Call
    from dispatch.solvers import EigenProblem

ITERATIONS = 12
"""Iterations of a typical solution."""

PRIMITIVES = 12
"""Primitives in an iteration, beside the steps of the filter."""

DENSE_PRODUCTS = 12
"""Gram matrices and combinations in an iteration, in products of a block and the whole basis."""

FILTER_VECTORS = 5
"""Elements of blocks that a step of a filter reads or writes for each row and vector, beside those of the matrix."""

HOST_FLOPS = 4e9
"""Operations a second of LAPACK, and of a caller's operator, on the host: the same whichever device is chosen."""

HOST_SECONDS = 2e-4
"""What the host adds to each iteration: the same whichever device is chosen."""


def estimate(call: Call, profile: Profile, memory: int | None, *, resident: bool) -> float:
    """Return the estimated seconds of a call.

    Parameters
    ----------
    call : Call
        What is to be run.
    profile : Profile
        How fast the device is.
    memory : int or None
        Bytes of its memory, if known. What cannot fit, and cannot be streamed, is estimated at infinity.
    resident : bool
        Whether the operand is on the device already.
    """
    if call.operation == "sum":
        return _sum_seconds(call, profile, resident)
    problem: EigenProblem = call.arguments["problem"]
    return _eigsh_seconds(problem, call.nbytes, profile, memory)


def _sum_seconds(call: Call, profile: Profile, resident: bool) -> float:
    dtype = "float64" if call.dtype is None else "int8" if call.dtype.kind == "b" else call.dtype.name.lstrip("u")
    measured = None if resident else profile.bandwidths.get(dtype)
    if measured is not None:
        return profile.call_seconds + call.nbytes / measured
    transfer = 0.0 if resident else call.nbytes / profile.upload_bandwidth
    return profile.call_seconds + call.nbytes / profile.read_bandwidth + transfer


def _eigsh_seconds(problem: EigenProblem, nbytes: int, profile: Profile, memory: int | None) -> float:
    from scipy.sparse.linalg import LinearOperator

    from dispatch.solvers.dense import dense_is_better
    from dispatch.solvers.polynomial_preconditioners import filter_degree
    from dispatch.solvers.start import carried

    n, kept = problem.n, carried(problem)
    if dense_is_better(problem, kept):
        return profile.call_seconds + n**3 / HOST_FLOPS  # LAPACK on the host, whichever device is asked
    basis = 3 * kept
    block_bytes = n * kept * problem.dtype.itemsize
    if memory is not None and nbytes + 6 * block_bytes > memory:
        return math.inf
    # Complex products take four real ones. Single precision moves half the bytes.
    arithmetic = (4 if problem.dtype.kind == "c" else 1) * (0.5 if problem.dtype.char in "fF" else 1)
    elements = problem.stored + FILTER_VECTORS * n
    there_and_back = block_bytes / profile.upload_bandwidth + block_bytes / profile.download_bandwidth
    on_host = isinstance(problem.A, LinearOperator) or problem.sigma is not None
    if on_host:  # a product on the host, or with factors that are there, in each step
        steps = 1
        products = 2 * problem.stored * kept / HOST_FLOPS + there_and_back
    else:
        steps = 1 + (filter_degree(problem, kept) if problem.preconditioner is not None else 0)
        products = steps * arithmetic * elements * kept / profile.spmm_rate
    dense = DENSE_PRODUCTS * arithmetic * n * kept * basis / profile.dense_rate
    host = HOST_SECONDS + 10 * basis**3 / HOST_FLOPS
    launches = (PRIMITIVES + steps) * profile.launch_seconds
    return (
        profile.call_seconds
        + nbytes / profile.upload_bandwidth
        + there_and_back
        + ITERATIONS * (launches + products + dense + host)
    )
