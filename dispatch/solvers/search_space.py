"""`SearchSpace`: an M-orthonormal basis S in blocks, with A S, M S, and the projected matrix ``H = Sᴴ A S``.

The blocks are never copied into one: every product with S is a sum over its blocks. Nor is the last sweep of
orthonormalization carried out, which changes vectors by little: the basis is ``S = B K`` with blocks B that are
orthonormal but for rounding errors of the sweep before, and a small matrix K that is multiplied to whatever S is. The
Gram matrices of that sweep come from the device together with those that make H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dispatch.solvers.engine import Block, Small
from dispatch.solvers.orthonormalization import MOST_SWEEPS, next_sweep
from dispatch.solvers.pencil import Pencil


class SearchSpace:
    """Grows by residual blocks and is restarted to a few Ritz vectors."""

    H: Small
    _K: Small
    _B: list[Block]
    _AB: list[Block]
    _MB: list[Block]
    _sizes: list[int]
    """Columns of each of the blocks."""

    def __init__(self, pencil: Pencil) -> None:
        self._pencil = pencil
        self._engine = pencil.engine
        self._clear()

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return len(self.H)

    def extend(self, W: Block, p: int) -> int:
        """Add what the p vectors of `W` have outside the space, and return how many dimensions that is."""
        pencil, engine, noise = self._pencil, self._engine, 0.0
        for number in range(MOST_SWEEPS):
            MW, AW = pencil.apply_M(W), None
            pairs = [(W, MW), *((MB, W) for MB in self._MB)]
            if number > 0 or not self._B:
                # Most probably the last sweep.
                AW = pencil.apply_A(W, p)
                blocks = zip([*self._B, W], [*self._MB, MW], strict=True)
                pairs += [(pencil.test_block(B, MB), AW) for B, MB in blocks]
            G, *products = engine.grams(pairs)
            C = self._against_basis(products[: len(self._B)], p)
            sweep = next_sweep(pencil, G, C, noise)
            if AW is not None and sweep.settled:
                *cross, own = products[len(self._B) :]
                before = self.size
                self._append(W, AW, MW, sweep.T, C, self._against_basis(cross, p), own)
                return self.size - before
            p, noise = sweep.T.shape[1], sweep.noise
            if p == 0:
                break
            subtracted = self._rows(-self._K @ C @ sweep.T) if sweep.projects else []
            W = engine.combine([W, *self._B[: len(subtracted)]], [sweep.T, *subtracted])
        return 0

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
        B, AB = ([self._times(blocks, part) for part in coefficients] for blocks in (self._B, self._AB))
        self._MB = [self._times(self._MB, part) for part in coefficients] if self._pencil.generalized else list(B)
        self._B, self._AB = B, AB
        self._sizes = [part.shape[1] for part in coefficients]
        self._K = np.eye(self.size, dtype=self.H.dtype)

    def refresh(self) -> None:
        """Orthonormalize the basis anew and recompute its products, which rounding errors have moved away from it."""
        blocks = list(zip(self._B, self._sizes, strict=True))
        self._clear()
        for block, p in blocks:
            self.extend(block, p)

    def leading(self, count: int) -> tuple[Block, Block, Block]:
        """Return the first vectors of the block that the last restart put first: ``(X, A X, M X)``."""
        X, AX = (self._engine.columns(blocks[0], range(count)) for blocks in (self._B, self._AB))
        return X, AX, self._engine.columns(self._MB[0], range(count)) if self._pencil.generalized else X

    def vectors(self, C: Small) -> tuple[Block, Block, Block]:
        """Return ``X = S C`` with its products: ``(X, A X, M X)``."""
        X, AX = self._times(self._B, C), self._times(self._AB, C)
        return X, AX, self._times(self._MB, C) if self._pencil.generalized else X

    def _clear(self) -> None:
        self._B, self._AB, self._MB, self._sizes = [], [], [], []
        self._K = np.zeros((0, 0), self._engine.small_dtype)
        self.H = np.zeros((0, 0), self._engine.small_dtype)

    def _append(self, W: Block, AW: Block, MW: Block, T: Small, C: Small, cross: Small, own: Small) -> None:
        """Add the block ``W T - S (C T)``, given ``cross = Sᴴ A W`` and ``own = Wᴴ A W``."""
        size, (rows, columns) = self.size, np.add(self._K.shape, T.shape)
        H, K = np.zeros((columns, columns), self.H.dtype), np.zeros((rows, columns), self.H.dtype)
        H[:size, :size] = self.H
        H[:size, size:] = (cross - self.H @ C) @ T
        H[size:, :size] = H[:size, size:].conj().T
        mixed = cross.conj().T @ C
        block = T.conj().T @ (own - mixed - mixed.conj().T + C.conj().T @ self.H @ C) @ T
        H[size:, size:] = (block + block.conj().T) / 2
        K[: -len(T), :size] = self._K
        K[: -len(T), size:] = -self._K @ C @ T
        K[-len(T) :, size:] = T
        self.H, self._K = H, K
        self._B.append(W)
        self._AB.append(AW)
        self._MB.append(MW)
        self._sizes.append(len(T))

    def _against_basis(self, products: Sequence[Small], p: int) -> Small:
        """Return the products of S with p vectors, given those of its blocks."""
        result: Small = self._K.conj().T @ np.concatenate([np.zeros((0, p)), *products])
        return result

    def _rows(self, C: Small) -> list[Small]:
        """Return the coefficients of each block, given those of all."""
        return np.split(C, np.cumsum(self._sizes)[:-1]) if self._sizes else []

    def _times(self, blocks: Sequence[Block], C: Small) -> Block:
        return self._engine.combine(blocks, self._rows(self._K @ C))
