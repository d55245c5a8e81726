"""`Plan`: what of a sum follows from the layout of its operand, found out once for all calls that are alike."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from dispatch.reduction import Group, Reduction, prepare, real_part
from dispatch.reduction.layout import contiguous_strides
from dispatch_opencl.runtime import Runtime
from dispatch_opencl.summation import Launch, Summation

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""

PLANS_KEPT = 1024


class Plan:
    """A sum with its arguments checked, on one device.

    Parameters
    ----------
    runtime : Runtime
        The device.
    reduction : Reduction
        The sum.

    Attributes
    ----------
    reduction : Reduction
        The sum.
    summation : Summation
        Its launches.
    groups : tuple of Group
        Its walk.
    alignment : int
        Bytes of which the place of an operand must be a multiple.
    template : pyopencl.array.Array or None
        What a new result on the device is like.
    """

    def __init__(self, runtime: Runtime, reduction: Reduction) -> None:
        self.reduction = reduction
        self.summation = Summation(runtime, reduction)
        self.groups: tuple[Group, ...] = reduction.real_groups()
        self.alignment = self.summation.element.itemsize
        self.template: Any = None

    @cached_property
    def result_strides(self) -> tuple[int, ...]:
        """Strides of a new result: in the order of the operand's memory where that is C or Fortran order.

        PyOpenCL cannot copy arrays of any other order to the host; their sums are in C order.
        """
        shape, itemsize = self.reduction.shape, self.reduction.dtype.itemsize
        strides = self.reduction.result_strides(itemsize)
        steps = [stride for extent, stride in zip(shape, strides, strict=True) if extent > 1]
        in_order = sorted(steps)
        return strides if steps in (in_order, in_order[::-1]) else contiguous_strides(shape, itemsize)

    @cached_property
    def direct(self) -> bool:
        """Whether the last launch can write a new result at once."""
        return self.writes(self.reduction.dtype, self.result_strides)

    @cached_property
    def only_launch(self) -> Launch | None:
        """The launch that writes a new result, where there is nothing else to do, as for few elements."""
        if self.reduction.count == 0 or self.reduction.sums == 0 or not self.direct:
            return None
        if any(group.strides[0] % self.alignment for group in self.reduction.layout.groups):
            return None
        launches = self.summation.launches(self.groups, self.summation.result)
        return launches[0] if len(launches) == 1 else None

    def writes(self, dtype: np.dtype[Any], strides: tuple[int, ...]) -> bool:
        """Return whether the last launch can write the result at once: where nothing is left to do but the cast."""
        reduction = self.reduction
        # A zero with its sign: adding -0.0 would be another sum.
        plain = reduction.initial is not None and not np.signbit([reduction.initial.real, reduction.initial.imag]).any()
        if not (plain and reduction.initial == 0 and reduction.layout.factor == 1 and dtype == reduction.dtype):
            return False
        if self.summation.result != real_part(dtype) or (dtype.kind == "c") != (reduction.operand.kind == "c"):
            return False
        offset, axes = reduction.destination(strides)
        return offset == 0 and len(axes) <= 1 and all(stride == dtype.itemsize for _, stride in axes)


def plan_of(runtime: Runtime, a: Any, arguments: tuple[Any, ...]) -> Plan:
    """Return the plan for ``sum(a, *arguments)``; that of an earlier call, where nothing else than memory differs."""
    key = _key(a, arguments)
    if key is None:
        return Plan(runtime, prepare(a, *arguments))
    plan: Plan | None = runtime.plans.get(key)
    if plan is None:
        plan = Plan(runtime, prepare(a, *arguments))
        if len(runtime.plans) >= PLANS_KEPT:
            runtime.plans.clear()
        runtime.plans[key] = plan
    return plan


def _key(a: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return all that a plan rests on; None where the call brings arrays or values of its own."""
    axis, dtype, out, keepdims, initial, where = arguments
    if out is not None or initial is not NO_VALUE or where is not NO_VALUE or type(keepdims) is not bool:
        return None
    # As a key True is 1, and as an axis it is an error.
    if not (axis is None or type(axis) is int or (type(axis) is tuple and all(type(i) is int for i in axis))):
        return None
    # Equal dtypes may be different types of C, and give results of these.
    if dtype is not None:
        dtype = np.dtype(dtype)
        dtype = (dtype, dtype.char)
    return type(a), a.dtype, a.dtype.char, a.shape, a.strides, axis, dtype, keepdims
