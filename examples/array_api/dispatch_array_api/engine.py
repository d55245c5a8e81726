"""`Engine`: the primitives of the eigensolver, in nothing but the array API."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from dispatch.solvers import BlockEngine
from dispatch_array_api.backend import to_host


class Engine(BlockEngine):
    """Blocks are the library's arrays."""

    def __init__(self, problem, xp, device):
        super().__init__(problem.n, problem.dtype)
        self.xp, self.device = xp, device

    def upload(self, host):
        """Return a block with the elements of a host array."""
        return self.xp.asarray(np.array(host, self.dtype, order="C"), device=self.device)

    def download(self, X):
        """Return the block as a host array."""
        return to_host(X)

    def operator(self, matrix):
        """Put the matrix on the device: dense as it is, sparse as padded rows."""
        if isinstance(matrix, LinearOperator):
            return matrix
        return PaddedRows(self, matrix) if isinstance(matrix, csr_array) else self.upload(matrix)

    def apply(self, A, X):
        """Return ``A X``; an operator of the caller's is applied on the host."""
        if isinstance(A, LinearOperator):
            return self.upload(A.matmat(self.download(X)))
        return A.times(X) if isinstance(A, PaddedRows) else self.xp.matmul(A, X)

    def gram(self, X, Y):
        """Return ``Xᴴ Y`` on the host, in double precision."""
        wide = getattr(self.xp, self.small_dtype.name)
        X, Y = self.xp.astype(X, wide), self.xp.astype(Y, wide)
        X = self.xp.conj(X) if self.dtype.kind == "c" else X
        return to_host(self.xp.matmul(self.xp.permute_dims(X, (1, 0)), Y))

    def combine(self, blocks, coefficients):
        """Return ``Σ X_j C_j``."""
        first, *others = (self.xp.matmul(X, self.upload(C)) for X, C in zip(blocks, coefficients, strict=True))
        for term in others:
            first = first + term
        return first

    def columns(self, X, indices):
        """Return the block of the given columns."""
        return self.xp.take(X, self.indices(indices), axis=1)

    def indices(self, host):
        """Return integers on the device."""
        return self.xp.asarray(np.asarray(host, np.int64), device=self.device)


class PaddedRows:
    """A sparse matrix as dense pieces: rows whose lengths have the same power of two above them, padded with zeros."""

    def __init__(self, engine, matrix):
        self.xp = engine.xp
        lengths = np.diff(matrix.indptr)
        widths = np.where(lengths > 0, 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(int), 1)
        order = np.argsort(widths, kind="stable")
        self.places = engine.indices(np.argsort(order))
        self.pieces = []
        for width in np.unique(widths):
            rows = np.flatnonzero(widths == width)
            inside = np.arange(width) < lengths[rows, None]
            stored = np.where(inside, matrix.indptr[rows, None] + np.arange(width), 0)
            columns = np.where(inside, matrix.indices[stored] if matrix.nnz else 0, 0)
            elements = engine.upload(np.where(inside, matrix.data[stored] if matrix.nnz else 0, 0).reshape(-1, 1))
            self.pieces.append((len(rows), int(width), engine.indices(columns.ravel()), elements))

    def times(self, X):
        """Return the product with a block: gather, multiply, sum, and put the rows back in their order."""
        xp, p, products = self.xp, X.shape[1], []
        for rows, width, columns, elements in self.pieces:
            terms = elements * xp.take(X, columns, axis=0)
            products.append(xp.sum(xp.reshape(terms, (rows, width, p)), axis=1, dtype=terms.dtype))
        return xp.take(xp.concat(products, axis=0), self.places, axis=0)
