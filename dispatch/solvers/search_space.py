"""`SearchSpace`: an M-orthonormal basis S in blocks, with A S, M S, and the projected matrix ``H = Sᴴ A S``.

The blocks are never copied into one: every product with S is a sum over its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dispatch.solvers.engine import Block, Small
from dispatch.solvers.orthonormalization import orthonormalize
from dispatch.solvers.pencil import Pencil


class SearchSpace:
    """Grows by residual blocks and is restarted to a few Ritz vectors."""

    def __init__(self, pencil: Pencil) -> None:
        self._pencil = pencil
        self._engine = pencil.engine
        self._S: list[Block] = []
        self._AS: list[Block] = []
        self._MS: list[Block] = []
        self._sizes: list[int] = []
        self.H: Small = np.zeros((0, 0), self._engine.small_dtype)

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return sum(self._sizes)

    def extend(self, W: Block, p: int) -> int:
        """Add what the p vectors of `W` have outside the space, and return how many dimensions that is."""
        W, MW, p = orthonormalize(self._pencil, W, p, list(zip(self._S, self._MS, strict=True)))
        if p:
            self._append(W, self._pencil.apply_A(W, p), MW, p)
        return p

    def fill(self, size: int, random_block: Callable[[int], Block]) -> None:
        """Add random vectors up to a dimension, or as many as there are in the range of M."""
        while self.size < size and self.extend(random_block(size - self.size), size - self.size):
            pass

    def restart(self, coefficients: Sequence[Small]) -> None:
        """Replace the space by its subspace ``S [C_0 C_1 …]``, a block for each matrix of orthonormal columns."""
        coefficients = [C for C in coefficients if C.shape[1]]
        C = np.concatenate(coefficients, axis=1)
        H = C.conj().T @ self.H @ C
        self.H = (H + H.conj().T) / 2
        S, AS = ([self._times(blocks, part) for part in coefficients] for blocks in (self._S, self._AS))
        self._MS = [self._times(self._MS, part) for part in coefficients] if self._pencil.generalized else list(S)
        self._S, self._AS = S, AS
        self._sizes = [part.shape[1] for part in coefficients]

    def refresh(self) -> None:
        """Orthonormalize the basis anew and recompute its products, which rounding errors have moved away from it."""
        blocks = list(zip(self._S, self._sizes, strict=True))
        self._S, self._AS, self._MS, self._sizes = [], [], [], []
        self.H = np.zeros((0, 0), self._engine.small_dtype)
        for block, p in blocks:
            self.extend(block, p)

    def leading(self, count: int) -> tuple[Block, Block, Block]:
        """Return the first `count` vectors of the first block, with their products: ``(X, A X, M X)``."""
        X, AX = (self._engine.columns(blocks[0], range(count)) for blocks in (self._S, self._AS))
        return X, AX, self._engine.columns(self._MS[0], range(count)) if self._pencil.generalized else X

    def vectors(self, C: Small) -> tuple[Block, Block, Block]:
        """Return ``X = S C`` with its products: ``(X, A X, M X)``."""
        X, AX = self._times(self._S, C), self._times(self._AS, C)
        return X, AX, self._times(self._MS, C) if self._pencil.generalized else X

    def _append(self, W: Block, AW: Block, MW: Block, p: int) -> None:
        blocks = zip([*self._S, W], [*self._MS, MW], strict=True)
        *cross, own = self._engine.grams([(self._pencil.test_block(S, MS), AW) for S, MS in blocks])
        size = self.size
        H = np.zeros((size + p, size + p), self.H.dtype)
        H[:size, :size] = self.H
        if cross:
            H[:size, size:] = np.concatenate(cross)
            H[size:, :size] = H[:size, size:].conj().T
        H[size:, size:] = (own + own.conj().T) / 2
        self.H = H
        self._S.append(W)
        self._AS.append(AW)
        self._MS.append(MW)
        self._sizes.append(p)

    def _times(self, blocks: Sequence[Block], C: Small) -> Block:
        rows = np.split(C, np.cumsum(self._sizes)[:-1])
        return self._engine.combine(blocks, rows)
