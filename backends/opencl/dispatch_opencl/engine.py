"""`OpenCLEngine`: the eigensolver's primitives as kernels; blocks and matrices stay on the device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.devices import PooledBuffer
from dispatch.solvers import BlockEngine, Small
from dispatch_opencl.block import Arithmetic, Block
from dispatch_opencl.operators import DenseMatrix, SparseMatrix
from dispatch_opencl.runtime import Runtime

CHUNKS = {True: 64, False: 512}
"""Chunks of rows whose sums are taken apart, on devices that stream and on those with groups. The number of rows and
the kind of device alone decide, so that results do not depend on how many cores there are."""

LEAST_ROWS = 512
"""Rows of a chunk at least."""

GRAM_TILE = (16, 4)
"""Rows of a Gram matrix, and VECs of each, that a work-group makes; fewer where it has fewer items."""

BLOCKS_A_LAUNCH = 3
"""Blocks that one kernel combines."""


class OpenCLEngine(BlockEngine):
    """Blocks are buffers of the device's pool. Nothing waits for the device but `gram`, `residual` and `download`."""

    def __init__(self, n: int, dtype: np.dtype[Any], runtime: Runtime) -> None:
        super().__init__(n, dtype)
        self._runtime = runtime
        self._arithmetic = Arithmetic(self.dtype, runtime.traits.fp64)
        self._streams = runtime.traits.streams
        self._items = 1 if self._streams else runtime.traits.group
        across = min(GRAM_TILE[1], self._items)
        self._tile = min(GRAM_TILE[0], self._items // across), across
        self._writes: list[Any] = []
        """Copies to the device that may be under way; the events keep their host arrays alive."""

    def upload(self, host: NDArray[Any]) -> Block:
        """Return a block with the elements of the host array."""
        block = self._new(*host.shape)
        self._write(block.memory, self._arithmetic.rows(host))
        return block

    def download(self, X: Block) -> NDArray[Any]:
        """Return the block as a new host array."""
        host = np.empty((X.n, self._arithmetic.padded(X.p)), self.dtype)
        self._read(host, X.memory)
        return np.ascontiguousarray(host[:, : X.p])

    def operator(self, matrix: csr_array | NDArray[Any] | LinearOperator) -> Any:
        """Put the matrix on the device; on one that computes on the host's memory, without a copy."""
        if isinstance(matrix, LinearOperator):
            return matrix
        if isinstance(matrix, csr_array):
            return SparseMatrix(self._runtime, matrix, self.dtype)
        return DenseMatrix(matrix.shape, self._runtime.wrap(self._arithmetic.rows(matrix)))

    def apply(self, A: Any, X: Block) -> Block:
        """Return ``A X``."""
        if isinstance(A, LinearOperator):
            return self._apply_on_host(A, X)
        if isinstance(A, DenseMatrix):
            result = self._new(A.shape[0], X.p)
            columns = (A.shape[1], self._arithmetic.vecs(A.shape[1]), A.memory)
            self._combine(result, [columns], X.memory, accumulate=False)
            return result
        result = self._new(A.shape[0], X.p)
        self._over_rows("spmm", A, X.vecs, X.memory, result.memory)
        return result

    def gram(self, X: Block, Y: Block) -> Small:
        """Return ``Xᴴ Y``: sums over chunks of rows in double precision, then over the chunks in their order."""
        chunk, chunks = self._chunks(X.n)
        rows = self._arithmetic.padded(X.p)
        kernel = self._kernel(self._own_file, "gram")
        down, across = self._tile
        tiles = (1, 1) if self._streams else (-(-rows // down), -(-Y.vecs // across))
        partial = self._runtime.allocate(chunks * rows * Y.vecs * self._arithmetic.sum_bytes())
        self._runtime.launch(
            kernel, (chunks * self._items, *tiles), (self._items, 1, 1),
            X.n, chunk, X.vecs, X.memory, Y.vecs, Y.memory, partial,
        )  # fmt: skip
        return self._folded(partial, chunks, rows * Y.vecs).view(self.small_dtype).reshape(rows, -1)[: X.p, : Y.p]

    def combine(self, blocks: Sequence[Block], coefficients: Sequence[Small]) -> Block:
        """Return ``Σ X_j C_j``, up to three blocks in one pass."""
        result = self._new(blocks[0].n, coefficients[0].shape[1])
        for first in range(0, len(blocks), BLOCKS_A_LAUNCH):
            some = slice(first, first + BLOCKS_A_LAUNCH)
            C = self._small(self._arithmetic.rows(np.concatenate(list(coefficients[some]))))
            columns = [(X.p, X.vecs, X.memory) for X in blocks[some]]
            self._combine(result, columns, C, accumulate=first > 0)
        return result

    def columns(self, X: Block, indices: Sequence[int] | NDArray[np.intp]) -> Block:
        """Return a copy of the columns."""
        chosen = np.asarray(indices, np.int32)
        result = self._new(X.n, len(chosen))
        kernel = self._kernel("blocks.cl", "columns")
        arguments = (X.n, X.vecs, X.memory, result.p, self._small(chosen), result.vecs, result.memory)
        self._runtime.launch(kernel, (self._chunks(X.n)[1] * self._items,), (self._items,), *arguments)
        return result

    def residual(self, AX: Block, BX: Block, theta: Small) -> tuple[Block, NDArray[np.float64]]:
        """Return ``AX - BX diag(θ)`` and the norms of its columns, in one pass."""
        chunk, chunks = self._chunks(AX.n)
        R = self._new(AX.n, AX.p)
        partial = self._runtime.allocate(chunks * R.vecs * self._arithmetic.sum_bytes())
        scalars = self._small(self._arithmetic.scalars(theta))
        self._runtime.launch(
            self._kernel("blocks.cl", "residual"), (chunks * self._items, R.vecs), (self._items, 1),
            R.n, chunk, R.vecs, AX.memory, BX.memory, scalars, R.memory, partial,
        )  # fmt: skip
        squares = self._folded(partial, chunks, R.vecs).reshape(-1, self._arithmetic.parts).sum(axis=1)
        return R, np.sqrt(squares[: R.p])

    def chebyshev_step(
        self, A: Any, theta: Small, a: Small, b: Small, R: Block, D: Block, Y: Block
    ) -> tuple[Block, Block, Block]:
        """Take the step in one pass over the matrix and the blocks."""
        if not isinstance(A, SparseMatrix):
            return super().chebyshev_step(A, theta, a, b, R, D, Y)
        return self._chebyshev_step(A, self._small(self._arithmetic.scalars(theta, a, b)), 0, R, D, Y)

    def chebyshev_iteration(
        self, A: Any, theta: Small, steps: Sequence[tuple[Small, Small]], R: Block, D: Block
    ) -> Block:
        """Take the steps one after another without the host, in single precision, since half the bytes move."""
        if not isinstance(A, SparseMatrix):
            general: Block = super().chebyshev_iteration(A, theta, steps, R, D)
            return general
        single = self._single
        matrix = A if single is self else A.converted(self._runtime, single.dtype)
        R, D = (single.converted(X, self) for X in (R, D))
        Y = D
        scalars = single._small(single._arithmetic.scalars(*(x for a, b in steps for x in (theta, a, b))))
        for number in range(len(steps)):
            R, D, Y = single._chebyshev_step(matrix, scalars, number, R, D, Y)
        return self.converted(Y, single)

    @cached_property
    def _single(self) -> OpenCLEngine:
        """The engine for blocks of the same length in single precision."""
        if self._arithmetic.real == np.float32:
            return self
        return OpenCLEngine(self.n, np.dtype({"d": np.float32, "D": np.complex64}[self.dtype.char]), self._runtime)

    def converted(self, X: Block, other: OpenCLEngine) -> Block:
        """Return a block of another engine's as one of this one's."""
        if other is self:
            return X
        result = self._new(X.n, X.p)
        source = "double" if other._arithmetic.real == np.float64 else "float"
        kernel = self._kernel("blocks.cl", "convert", (f"-DSOURCE={source}",))
        widths = (X.vecs * other._arithmetic.lanes, result.vecs * self._arithmetic.lanes)
        arguments = (X.n, widths[0], X.memory, widths[1], result.memory)
        self._runtime.launch(kernel, (self._chunks(X.n)[1] * self._items,), (self._items,), *arguments)
        return result

    def _chebyshev_step(
        self, A: SparseMatrix, scalars: PooledBuffer, number: int, R: Block, D: Block, Y: Block
    ) -> tuple[Block, Block, Block]:
        following = self._new(D.n, D.p)
        updated = self._new(D.n, D.p) if Y is D else Y
        blocks = (R.memory, D.memory, Y.memory, following.memory, updated.memory)
        self._over_rows("chebyshev", A, D.vecs, number, scalars, *blocks)
        return R, following, updated

    @property
    def _own_file(self) -> str:
        return "blocks_streams.cl" if self._streams else "blocks_groups.cl"

    def _kernel(self, file: str, name: str, options: tuple[str, ...] = ()) -> Any:
        own = (f"-DITEMS={self._items}", f"-DDOWN={self._tile[0]}", f"-DACROSS={self._tile[1]}")
        return self._runtime.kernel(file, name, (*self._arithmetic.options, *own, *options))

    def _chunks(self, n: int) -> tuple[int, int]:
        """Return the rows of a chunk and the number of chunks."""
        rows = max(LEAST_ROWS, -(-n // CHUNKS[self._streams]))
        return rows, -(-n // rows)

    def _new(self, n: int, p: int) -> Block:
        vecs = self._arithmetic.vecs(p)
        return Block(
            self._runtime.allocate(n * vecs * self._arithmetic.lanes * self._arithmetic.real.itemsize), n, p, vecs
        )

    def _small(self, host: NDArray[Any]) -> PooledBuffer:
        memory = self._runtime.allocate(host.nbytes)
        self._write(memory, host)
        return memory

    def _write(self, memory: PooledBuffer, host: NDArray[Any]) -> None:
        self._writes.append(self._runtime.write(memory, host))

    def _read(self, host: NDArray[Any], memory: PooledBuffer) -> None:
        self._runtime.read(host, memory)
        self._writes.clear()

    def _folded(self, partial: PooledBuffer, chunks: int, sums: int) -> NDArray[np.float64]:
        total = self._runtime.allocate(sums * self._arithmetic.sum_bytes())
        items = -(-sums // self._items) * self._items
        self._runtime.launch(self._kernel("blocks.cl", "fold"), (items,), (self._items,), chunks, sums, partial, total)
        raw = np.empty(sums * self._arithmetic.sum_bytes(), np.uint8)
        self._read(raw, total)
        return self._arithmetic.sums(raw)

    def _combine(
        self, result: Block, columns: Sequence[tuple[int, int, Any]], C: PooledBuffer, accumulate: bool
    ) -> None:
        # Absent blocks have no columns; some buffer has to stand for them.
        filled = [*columns, *[(0, 0, C)] * (BLOCKS_A_LAUNCH - len(columns))]
        chunk, chunks = self._chunks(result.n)
        self._runtime.launch(
            self._kernel(self._own_file, "combine"), (chunks * self._items,), (self._items,),
            result.n, chunk, result.vecs, result.memory, int(accumulate), *(x for block in filled for x in block), C,
        )  # fmt: skip

    def _over_rows(self, name: str, A: SparseMatrix, vecs: int, *blocks: Any) -> None:
        """Launch a kernel that goes through the rows of a sparse matrix, by the variant that fits them."""
        matrix = (A.indptr, A.indices, A.data)
        if self._streams:
            kernel = self._kernel(self._own_file, name, A.options)
            self._runtime.launch(kernel, (A.items,), (1,), A.bounds, *matrix, vecs, *blocks)
            return
        if A.short:
            count, rows = A.short
            items = -(-count * vecs // self._items) * self._items
            kernel = self._kernel(self._own_file, name, A.options)
            self._runtime.launch(kernel, (items,), (self._items,), count, rows, *matrix, vecs, *blocks)
        if A.long:
            count, rows = A.long
            kernel = self._kernel(self._own_file, f"{name}_long", A.options)
            shape = ((count * self._items, vecs), (self._items, 1))
            self._runtime.launch(kernel, *shape, count, rows, *matrix, vecs, *blocks)

    def _apply_on_host(self, A: LinearOperator, X: Block) -> Block:
        return self.upload(np.asarray(A.matmat(self.download(X))))
