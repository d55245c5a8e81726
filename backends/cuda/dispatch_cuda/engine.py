"""`CudaEngine`: the eigensolver's primitives as kernels; blocks and matrices stay on the device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers import BlockEngine, EigenProblem, Small
from dispatch_cuda.block import Arithmetic, Block
from dispatch_cuda.memory import DeviceMemory
from dispatch_cuda.operators import DenseMatrix, SparseMatrix
from dispatch_cuda.runtime import Runtime

CHUNKS, LEAST_CHUNKS, LEAST_ROWS = 512, 8, 512
"""Chunks of rows whose sums are taken apart, most and least, and rows of one at least. The shapes alone decide, so that
results do not depend on the device."""

BLOCKS_A_LAUNCH = 3
"""Blocks that one kernel combines."""


class CudaEngine(BlockEngine):
    """Blocks are pieces of the device's pool. Nothing waits for the device but `gram`, `residual` and the transfers."""

    def __init__(self, problem: EigenProblem, runtime: Runtime) -> None:
        super().__init__(problem.n, problem.dtype)
        self._runtime = runtime
        self._arithmetic = Arithmetic(problem.dtype)
        self._threads = runtime.threads

    def upload(self, host: NDArray[Any]) -> Block:
        """Return a block with the elements of the host array."""
        block = self._new(*host.shape)
        self._runtime.write(block.memory, self._arithmetic.rows(host))
        self._runtime.synchronize()  # from page-locked memory the copy may still be under way
        return block

    def download(self, X: Block) -> NDArray[Any]:
        """Return the block as a new host array."""
        host = self._runtime.read(X.memory).reshape(X.n, X.row)
        return np.ascontiguousarray(host[:, : X.p])

    def operator(self, matrix: csr_array | NDArray[Any] | LinearOperator) -> Any:
        """Put the matrix on the device."""
        if isinstance(matrix, LinearOperator):
            return matrix
        if isinstance(matrix, csr_array):
            return SparseMatrix(self._runtime, matrix, self.dtype)
        rows = self._arithmetic.rows(matrix)
        memory = self._runtime.constant(rows)
        self._runtime.synchronize()
        return DenseMatrix(matrix.shape, rows.shape[1], memory)

    def apply(self, A: Any, X: Block) -> Block:
        """Return ``A X``."""
        if isinstance(A, LinearOperator):
            return self._apply_on_host(A, X)
        result = self._new(A.shape[0], X.p)
        if isinstance(A, DenseMatrix):
            self._apply_dense(A, X, result)
        else:
            self._over_rows("spmm", A, X.vecs, X.memory, result.memory)
        return result

    def gram(self, X: Block, Y: Block) -> Small:
        """Return ``Xᴴ Y``: sums over chunks of rows in double precision, then over the chunks in a fixed order."""
        return self.grams([(X, Y)])[0]

    def grams(self, pairs: Sequence[tuple[Block, Block]]) -> list[Small]:
        """Return the Gram matrices of some pairs, which come to the host in one copy."""
        ends = np.cumsum([0, *(X.p * Y.p for X, Y in pairs)])
        places = [slice(begin, end) for begin, end in pairwise(ends)]
        total = self._runtime.allocate(int(ends[-1]), self._arithmetic.wide)
        with self._runtime.active():
            for (X, Y), place in zip(pairs, places, strict=True):
                self._gram_into(X, Y, total.array[place])
        sums = self._runtime.read(total)
        return [sums[place].reshape(X.p, Y.p) for (X, Y), place in zip(pairs, places, strict=True)]

    def combine(self, blocks: Sequence[Block], coefficients: Sequence[Small]) -> Block:
        """Return ``Σ X_j C_j``, up to three blocks in one pass."""
        result = self._new(blocks[0].n, coefficients[0].shape[1])
        for first in range(0, len(blocks), BLOCKS_A_LAUNCH):
            some = slice(first, first + BLOCKS_A_LAUNCH)
            C = self._runtime.constant(self._arithmetic.rows(np.concatenate(list(coefficients[some]))))
            columns = [(X.p, X.row, X.memory) for X in blocks[some]]
            self._combine(result, columns, C, accumulate=first > 0)
        return result

    def columns(self, X: Block, indices: Sequence[int] | NDArray[np.intp]) -> Block:
        """Return a copy of the columns."""
        from dispatch_cuda.kernels.blocks import columns

        result = self._new(X.n, len(indices))
        chosen = self._runtime.constant(np.asarray(indices, np.int32))
        self._runtime.launch(
            columns(self.dtype, self._threads), self._blocks(X.n * result.row),
            X.n, X.row, X.memory, result.p, chosen, result.row, result.memory,
        )  # fmt: skip
        return result

    def residual(self, AX: Block, BX: Block, theta: Small) -> tuple[Block, NDArray[np.float64]]:
        """Return ``AX - BX diag(θ)`` and the norms of its columns, in one pass."""
        R, (norms,) = self.residual_and_norms(AX, BX, theta, ())
        return R, norms

    def residual_and_norms(
        self, AX: Block, BX: Block, theta: Small, blocks: Sequence[Block]
    ) -> tuple[Block, list[NDArray[np.float64]]]:
        """Return the same, and the norms of the columns of other blocks, which come to the host in one copy."""
        wide = self._arithmetic.wide
        ends = np.cumsum([AX.row, *(X.p * X.p * wide.itemsize // 8 for X in blocks)])
        places = [slice(begin, end) for begin, end in pairwise(ends)]
        squares = self._runtime.allocate(int(ends[-1]), np.float64)
        with self._runtime.active():
            R = self._residual_into(AX, BX, theta, squares.array[: AX.row])
            for X, place in zip(blocks, places, strict=True):
                self._gram_into(X, X, squares.array[place].view(wide))
        host = self._runtime.read(squares)
        norms = [np.sqrt(host[: R.p])]
        for X, place in zip(blocks, places, strict=True):
            norms.append(np.sqrt(np.diag(host[place].view(wide).reshape(X.p, X.p)).real))
        return R, norms

    def chebyshev_step(
        self, A: Any, theta: Small, a: Small, b: Small, R: Block, D: Block, Y: Block
    ) -> tuple[Block, Block, Block]:
        """Take the step in one pass over the matrix and the blocks."""
        if not isinstance(A, SparseMatrix):
            return super().chebyshev_step(A, theta, a, b, R, D, Y)
        following = self._new(D.n, D.p)
        updated = self._new(D.n, D.p) if Y is D else Y
        scalars = self._runtime.constant(self._arithmetic.scalars(theta, a, b))
        self._over_rows("chebyshev", A, D.vecs, scalars, R.memory, D.memory, Y.memory, following.memory, updated.memory)
        return R, following, updated

    def _residual_into(self, AX: Block, BX: Block, theta: Small, squares: Any) -> Block:
        """Return ``AX - BX diag(θ)``, and enqueue the squares of the norms of its columns, padded to whole vectors."""
        from dispatch_cuda.kernels.blocks import residual

        chunk, chunks = _chunks(AX.n)
        R = self._new(AX.n, AX.p)
        partial = self._runtime.allocate(chunks * R.row, np.float64)
        scalars = self._runtime.constant(self._arithmetic.scalars(theta))
        self._runtime.launch(
            residual(self.dtype, self._threads), (chunks, -(-R.vecs // self._threads)),
            R.n, chunk, R.vecs, AX.memory, BX.memory, scalars, R.memory, partial,
        )  # fmt: skip
        self._fold(partial, chunks, R.row, squares)
        return R

    def _new(self, n: int, p: int) -> Block:
        vecs = self._arithmetic.vecs(p)
        row = vecs * self._arithmetic.lanes
        return Block(self._runtime.allocate(n * row, self.dtype), n, p, vecs, row)

    def _blocks(self, threads: int) -> int:
        return -(-threads // self._threads)

    def _gram_into(self, X: Block, Y: Block, sums: Any) -> None:
        from dispatch_cuda.kernels import gram

        fitting = [side for side in gram.SIDES if (side // 2) ** 2 <= self._threads]
        side = _least(fitting, max(X.p, Y.p))
        tiles = (-(-X.p // side), -(-Y.p // side))
        chunk, chunks = _chunks(X.n, tiles[0] * tiles[1])
        partial = self._runtime.allocate(chunks * X.p * Y.p, self._arithmetic.wide)
        self._runtime.launch(
            gram.gram(self.dtype, side, self._threads), (chunks, *tiles),
            X.n, chunk, X.p, X.row, X.memory, Y.p, Y.row, Y.memory, partial,
        )  # fmt: skip
        self._fold(partial, chunks, X.p * Y.p, sums)

    def _fold(self, partial: DeviceMemory, chunks: int, count: int, sums: Any) -> None:
        """Enqueue the `count` sums over chunks."""
        from dispatch_cuda.kernels.gram import fold

        kernel = fold(partial.array.dtype, self._threads)
        self._runtime.launch(kernel, -(-count // 32), chunks, count, partial, sums)

    def _combine(self, result: Block, columns: Sequence[tuple[int, int, Any]], C: Any, accumulate: bool) -> None:
        from dispatch_cuda.kernels import blocks

        # Absent blocks have no columns; some array has to stand for them.
        filled = [*columns, *[(0, 0, C)] * (BLOCKS_A_LAUNCH - len(columns))]
        self._runtime.launch(
            blocks.combine(self.dtype, self._threads), self._blocks(-(-result.n // blocks.ROWS) * result.vecs),
            result.n, result.vecs, result.memory, accumulate, *(x for block in filled for x in block), C,
        )  # fmt: skip

    def _apply_dense(self, A: DenseMatrix, X: Block, result: Block) -> None:
        from dispatch_cuda.kernels import dense

        side = _least([side for side in dense.SIDES if dense.GROUPS * side <= self._threads], X.vecs)
        self._runtime.launch(
            dense.dense(self.dtype, side, self._threads), (-(-result.n // dense.ROWS), -(-X.vecs // side)),
            result.n, X.n, A.row, A.memory, X.vecs, X.memory, result.memory,
        )  # fmt: skip

    def _over_rows(self, name: str, A: SparseMatrix, vecs: int, *arrays: Any) -> None:
        """Launch a kernel that goes through the rows of a sparse matrix, and its variant for long rows."""
        from dispatch_cuda.kernels import spmm

        kernel = getattr(spmm, name)(self.dtype, A.team, self._threads)
        self._runtime.launch(
            kernel, self._blocks(A.shape[0] * vecs * A.team), A.shape[0], A.most, *A.arrays, vecs, *arrays
        )
        if A.long is not None:
            kernel = getattr(spmm, f"{name}_long")(self.dtype, self._threads)
            self._runtime.launch(kernel, (A.long_rows, vecs), A.long, *A.arrays, vecs, *arrays)

    def _apply_on_host(self, A: LinearOperator, X: Block) -> Block:
        Y = np.asarray(A.matmat(self.download(X)))
        if Y.shape != (A.shape[0], X.p):
            raise ValueError(f"the operator returned shape {Y.shape} for a block of shape {(X.n, X.p)}")
        if not np.isfinite(Y).all():
            raise ValueError("the operator returned NaN or infinity for a finite block of vectors")
        return self.upload(Y)


def _chunks(n: int, tiles: int = 1) -> tuple[int, int]:
    """Return the rows of a chunk and the number of chunks, fewer where each is worked on by many blocks."""
    rows = max(LEAST_ROWS, -(-n // max(CHUNKS // tiles, LEAST_CHUNKS)))
    return rows, -(-n // rows)


def _least(sides: Sequence[int], width: int) -> int:
    """Return the least of the sides that has room for so many, or the largest."""
    return next((side for side in sides if side >= width), sides[-1])
