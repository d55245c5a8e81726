"""Who is told about each iteration: the history, the progress bar and the caller's callback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import Iteration


@contextlib.contextmanager
def observer(
    problem: EigenProblem, present: Callable[[Iteration], Iteration], history: list[Iteration]
) -> Iterator[Callable[[Iteration], bool]]:
    """Give a function that records a state, shows it on the bar and to the callback, and returns whether to stop.

    `present` turns the solver's state, in the scale of its arithmetic, into one in the scale of the problem.
    """
    with contextlib.ExitStack() as stack:
        bar = None
        if problem.progress:
            from tqdm import tqdm

            bar = stack.enter_context(tqdm(total=problem.k, desc="eigsh", unit="pair"))

        def observe(state: Iteration) -> bool:
            state = present(state)
            # The history keeps what the callback sees.
            for array in (state.ritz_values, state.residual_norms):
                array.flags.writeable = False
            history.append(state)
            if bar is not None:
                bar.n = state.converged
                bar.set_postfix(iteration=state.iteration, residual=f"{state.residual_norms.max():.1e}")
            return problem.callback is not None and bool(problem.callback(state))

        yield observe
