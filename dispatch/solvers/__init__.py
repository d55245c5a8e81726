"""The eigensolver, written once over the primitives of `BlockEngine`; every backend that has these has `eigsh`."""

from dispatch.solvers.arguments import prepare
from dispatch.solvers.engine import Block, BlockEngine, Operator, Small
from dispatch.solvers.problem import EigenProblem
from dispatch.solvers.result import EigshInfo, EigshResult, Iteration, NoConvergence
from dispatch.solvers.solve import solve

__all__ = [
    "Block",
    "BlockEngine",
    "EigenProblem",
    "EigshInfo",
    "EigshResult",
    "Iteration",
    "NoConvergence",
    "Operator",
    "Small",
    "prepare",
    "solve",
]
