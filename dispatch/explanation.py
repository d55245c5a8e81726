"""`dispatch.explain`: the decision that a call would take, without running it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from dispatch import context
from dispatch.decision import Decision
from dispatch.operations import eigsh as _eigsh
from dispatch.operations import sum as _sum
from dispatch.operations.call import bind
from dispatch.selection import explain_call


def explain(operation: Literal["sum", "eigsh"], /, *args: Any, **kwargs: Any) -> Decision:
    """Return the decision that ``dispatch.<operation>(*args, **kwargs)`` would take, and why, without running it.

    Parameters
    ----------
    operation : {"sum", "eigsh"}
        Name of the operation.
    *args, **kwargs
        Its arguments, ``backend=`` among them.

    Returns
    -------
    Decision
        Printing it shows a table of the candidates; `Decision.to_dict` gives plain values. A call that no backend can
        run is no error here: `Decision.error` has what the call would raise.

    Raises
    ------
    ValueError, TypeError
        When `operation` is not one of ours, or an argument is wrong: what `eigsh` would raise before its first product
        with an operator, which is not asked for one here; what `sum` would raise for a NumPy array. Elements, and the
        arguments of sums of anything else, are judged when it runs.

    Examples
    --------
    >>> import dispatch
    >>> dispatch.explain("sum", [1, 2, 3], backend="cpu").chosen.name
    'cpu:0'
    """
    if operation == "sum":
        arguments = bind(_sum.sum, args, kwargs)
        backend = arguments.pop("backend")
        arguments["a"] = a = _sum.as_operand(arguments["a"])
        call = _sum.call_of(**arguments)
        if type(a) is np.ndarray and not a.dtype.hasobject:  # what NumPy refuses of objects depends on them
            from dispatch.reduction import prepare  # not needed for `import dispatch`, which stays light

            prepare(**arguments)
    elif operation == "eigsh":
        arguments = bind(_eigsh.eigsh, args, kwargs)
        backend = _eigsh.hardware_of(arguments.pop("backend"))
        call = _eigsh.call_of(**arguments)
    else:
        raise ValueError(f"operation is {operation!r}, expected 'sum' or 'eigsh'")
    decision = explain_call(call, *context.in_force(backend))
    if operation == "sum":
        return decision
    from dispatch.solvers.plan import plan

    return replace(decision, plan=plan(call.arguments["problem"]))
