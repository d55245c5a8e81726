"""The front end of `sum`, shared by all backends: from the arguments to one plan, from raw sums to NumPy's result.

A backend calls `prepare` with the arguments of `Backend.sum`. The `Reduction` that comes back says in which dtype
elements are added and in which they should be accumulated, and describes the walk through memory in canonical form
(`Layout`): whatever the axes and strides were, what is left is a short alternation of kept and reduced groups, almost
always one of these, outermost first:

=============  =====================================================
reduced        a full sum
kept, reduced  sums along the inner axis: one a row
reduced, kept  sums along the outer axis: one a column
K, R, K        sums along a middle axis: columns, once an outer index
=============  =====================================================

The backend computes the *raw sums*: one for each kept index in the order of the groups, without ``initial`` and the
layout's ``factor``, in the accumulator's dtype. `Reduction.finish` makes NumPy's result of them on the host; a device
does the same with `Reduction.destination`.

A device whose kernels add up one group a launch describes each launch as a `Pass`; one that cannot hold the operand
takes it in slabs (`dispatch.reduction.slabs`).

All of it works from shapes, strides and dtypes: an array of any library will do, and no element is touched.
"""

from dispatch.reduction.arguments import prepare
from dispatch.reduction.dtypes import accumulator_dtype, operation_dtype, real_part
from dispatch.reduction.layout import Group, Layout
from dispatch.reduction.passes import Pass
from dispatch.reduction.reduction import Reduction

__all__ = ["Group", "Layout", "Pass", "Reduction", "accumulator_dtype", "operation_dtype", "prepare", "real_part"]
