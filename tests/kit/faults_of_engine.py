"""Faults of the primitives of `BlockEngine`."""

import numpy as np
from dispatch_cpu.engine import CpuEngine, SparseOperator
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from tests.kit.fault import fault


@fault("test_upload_takes_a_copy")
class UploadShares(CpuEngine):
    """A block is the host array that it came from."""

    def upload(self, host):
        return np.ascontiguousarray(host, self.dtype)


@fault("test_a_block_comes_back_as_it_was")
class UploadOfColumns(CpuEngine):
    """A host array in columns is read as if it were in rows."""

    def upload(self, host):
        return super().upload(host.ravel("K").reshape(host.shape) if host.flags.f_contiguous else host)


@fault("test_a_block_comes_back_as_it_was")
class DownloadWidened(CpuEngine):
    """`download` returns double precision, whatever the blocks are."""

    def download(self, X):
        return X.astype(self.small_dtype)


@fault("test_a_block_comes_back_as_it_was")
class DownloadPadded(CpuEngine):
    """`download` returns the columns that fill up a block to a multiple of four."""

    def download(self, X):
        return np.concatenate([X, np.zeros((len(X), -X.shape[1] % 4), X.dtype)], axis=1)


@fault("test_a_block_comes_back_as_it_was")
class BlocksInSinglePrecision(CpuEngine):
    """Blocks are kept in single precision."""

    def upload(self, host):
        return super().upload(host.astype(np.result_type(np.float32 if self.dtype.kind == "f" else np.complex64)))


@fault("test_columns")
class ColumnsOffByOne(CpuEngine):
    """`columns` counts from one."""

    def columns(self, X, indices):
        return super().columns(X, np.asarray(indices, int) - 1)


@fault("test_columns")
class ColumnsSorted(CpuEngine):
    """`columns` takes them in ascending order."""

    def columns(self, X, indices):
        return super().columns(X, np.sort(np.asarray(indices, int)))


@fault("test_columns")
class ColumnsOnce(CpuEngine):
    """`columns` takes each of them once."""

    def columns(self, X, indices):
        return super().columns(X, list(dict.fromkeys(np.asarray(indices, int))))


@fault("test_columns", among="float32")
class ColumnsOf64(CpuEngine):
    """`columns` counts to 64 and begins again."""

    def columns(self, X, indices):
        return super().columns(X, np.asarray(indices, int) % 64)


@fault("test_gram", among="float32")
class GramOf5000Rows(CpuEngine):
    """`gram` adds up the first 5000 rows alone."""

    def gram(self, X, Y):
        return super().gram(X[:5000], Y[:5000])


@fault("test_gram", among="float32")
class GramOf128Columns(CpuEngine):
    """`gram` computes the products of the first 128 columns alone."""

    def gram(self, X, Y):
        G = super().gram(X, Y)
        G[128:] = 0
        return G


@fault("test_gram", among="complex64")
class GramNotConjugated(CpuEngine):
    """`gram` returns ``Xᵀ Y``."""

    def gram(self, X, Y):
        return super().gram(X.conj(), Y)


@fault("test_gram")
class GramTransposed(CpuEngine):
    """`gram` returns ``Yᴴ X`` where both blocks have as many columns."""

    def gram(self, X, Y):
        return super().gram(Y, X) if X.shape == Y.shape else super().gram(X, Y)


@fault("test_gram")
class GramInSinglePrecision(CpuEngine):
    """`gram` adds up in the precision of the blocks."""

    def gram(self, X, Y):
        return (X.conj().T @ Y).astype(self.small_dtype)


@fault("test_gram")
class GramInTheBlocksDtype(CpuEngine):
    """`gram` returns the dtype of the blocks."""

    def gram(self, X, Y):
        return super().gram(X, Y).astype(self.dtype)


@fault("test_gram")
class GramWithoutTheLastRow(CpuEngine):
    """`gram` leaves out what does not fill a pair of rows."""

    def gram(self, X, Y):
        even = len(X) // 2 * 2
        return super().gram(X[:even], Y[:even])


@fault("test_grams")
class GramsOfTheFirstBlock(CpuEngine):
    """`grams` takes the first block of the first pair for each of them."""

    def grams(self, pairs):
        return [self.gram(pairs[0][0], Y) for _, Y in pairs]


@fault("test_gram_of_a_block_with_itself")
class GramUpperHalf(CpuEngine):
    """`gram` of a block with itself fills only the upper triangle."""

    def gram(self, X, Y):
        return np.triu(super().gram(X, Y)) if X is Y else super().gram(X, Y)


@fault("test_combine", among="float64")
class CombineInPlace(CpuEngine):
    """`combine` writes into the first block."""

    def combine(self, blocks, coefficients):
        result = super().combine(blocks, coefficients)
        if result.shape == blocks[0].shape:
            blocks[0][:] = result
        return result


@fault("test_combine", among="float64")
class CombineOfColumns(CpuEngine):
    """`combine` reads coefficients in columns as if they were in rows."""

    def combine(self, blocks, coefficients):
        return super().combine(blocks, [np.ravel(c, "K").reshape(np.shape(c)) for c in coefficients])


@fault("test_combine_takes_one_block_twice")
class CombineEachBlockOnce(CpuEngine):
    """`combine` counts a block once that stands in two places."""

    def combine(self, blocks, coefficients):
        terms = {id(X): (X, C) for X, C in zip(blocks, coefficients, strict=True)}.values()
        return super().combine([X for X, _ in terms], [C for _, C in terms])


@fault("test_combine", among="float64")
class CombineTransposed(CpuEngine):
    """`combine` takes square coefficients transposed."""

    def combine(self, blocks, coefficients):
        return super().combine(blocks, [C.T if C.shape[0] == C.shape[1] else C for C in map(np.asarray, coefficients)])


@fault("test_combine", among="complex64")
class CombineConjugated(CpuEngine):
    """`combine` conjugates the coefficients."""

    def combine(self, blocks, coefficients):
        return super().combine(blocks, [np.conj(C) for C in coefficients])


@fault("test_combine", among="float64")
class CombineThreeAtMost(CpuEngine):
    """`combine` leaves out the fourth block."""

    def combine(self, blocks, coefficients):
        return super().combine(blocks[:3], coefficients[:3])


@fault("test_combine", among="float64")
class CombineFourAtMost(CpuEngine):
    """`combine` leaves out the fifth block."""

    def combine(self, blocks, coefficients):
        return super().combine(blocks[:4], coefficients[:4])


@fault("test_combine", among="float64")
class CombineOf5000Rows(CpuEngine):
    """`combine` computes the first 5000 rows alone."""

    def combine(self, blocks, coefficients):
        result = super().combine(blocks, coefficients)
        result[5000:] = 0
        return result


@fault("test_combine", among="float64")
class CombineSixteenColumns(CpuEngine):
    """`combine` computes the first 32 columns alone."""

    def combine(self, blocks, coefficients):
        result = super().combine(blocks, coefficients)
        result[:, 32:] = 0
        return result


@fault("test_results_of_primitives_stay")
class CombineIntoOneBuffer(CpuEngine):
    """The next `combine` overwrites the result of the last."""

    def combine(self, blocks, coefficients):
        result = super().combine(blocks, coefficients)
        buffers = vars(self).setdefault("buffers", {})
        buffer = buffers.setdefault(result.shape, result)
        buffer[:] = result
        return buffer


class Apply(CpuEngine):
    """Products that a fault changes by the kind of the matrix."""

    def apply(self, A, X):
        if isinstance(A, LinearOperator):
            return self.of_operator(A, X)
        return self.of_sparse(A.matrix, X) if isinstance(A, SparseOperator) else self.of_dense(A, X)

    def of_sparse(self, A, X):
        return super().apply(SparseOperator(A), X)

    def of_dense(self, A, X):
        return super().apply(A, X)

    def of_operator(self, A, X):
        return super().apply(A, X)


@fault("test_apply_a_sparse_matrix")
class SparseTransposed(Apply):
    """Columns are taken for rows: right for symmetric matrices, wrong for Hermitian ones."""

    def of_sparse(self, A, X):
        return super().of_sparse(csr_array(A.T) if A.shape[0] == A.shape[1] else A, X)


@fault("test_apply_a_sparse_matrix", among="complex64")
class SparseConjugated(Apply):
    """The elements of a sparse matrix are conjugated."""

    def of_sparse(self, A, X):
        return super().of_sparse(A.conj(), X)


@fault("test_apply_a_sparse_matrix")
class SparseWithoutTheLastRow(Apply):
    """The last row of the product is not computed."""

    def of_sparse(self, A, X):
        Y = super().of_sparse(A, X)
        Y[-1] = 0
        return Y


@fault("test_apply_a_sparse_matrix", among="float64")
class ApplyTo5000Rows(Apply):
    """The first 5000 rows of the product alone are computed."""

    def of_sparse(self, A, X):
        Y = super().of_sparse(A, X)
        Y[5000:] = 0
        return Y


@fault("test_apply_a_sparse_matrix", among="float64")
class ApplyTo128Columns(Apply):
    """The first 128 columns of the product alone are computed."""

    def of_sparse(self, A, X):
        Y = super().of_sparse(A, X)
        Y[:, 128:] = 0
        return Y


@fault("test_apply_a_sparse_matrix", among="float64")
class LongRowsCut(Apply):
    """No more than 256 elements of a row are added."""

    def of_sparse(self, A, X):
        A = A.tolil()
        A[abs(A).sign().sum(axis=1) > 256, 256:] = 0
        return super().of_sparse(csr_array(A).astype(self.dtype), X)


@fault("test_apply_a_sparse_matrix")
class EmptyRowsKeepWhatWasThere(Apply):
    """Rows without elements are not written."""

    def of_sparse(self, A, X):
        Y = super().of_sparse(A, X)
        Y[np.diff(A.indptr) == 0] = 1
        return Y


@fault("test_apply_a_matrix_with_wide_indices")
class WideIndicesCut(Apply):
    """The halves of 64-bit indices are read as two indices."""

    def of_sparse(self, A, X):
        if A.indices.dtype == np.int64:
            A = csr_array((A.data, A.indices.view(np.int32)[: A.nnz], A.indptr), shape=A.shape)
        return super().of_sparse(A, X)


@fault("test_apply_a_rectangular_matrix")
class EveryMatrixIsSquare(Apply):
    """A product has as many rows as the problem."""

    def of_sparse(self, A, X):
        Y = np.zeros((max(self.n, A.shape[0]), X.shape[1]), self.dtype)
        Y[: A.shape[0]] = super().of_sparse(A, X)
        return Y


@fault("test_apply_a_dense_matrix")
class DenseColumnsAsRows(Apply):
    """A dense matrix in columns is read as if it were in rows."""

    def of_dense(self, A, X):
        return super().of_dense(A if A.flags.c_contiguous else A.T, X)


@fault("test_apply_an_operator")
class OperatorOneByOne(Apply):
    """An operator is applied to one vector at a time."""

    def of_operator(self, A, X):
        return np.concatenate([super(OperatorOneByOne, self).of_operator(A, x[:, None]) for x in X.T], axis=1)


@fault("test_apply_an_operator")
class OperatorMadeFinite(Apply):
    """NaN in the product of an operator counts as zero."""

    def of_operator(self, A, X):
        return np.nan_to_num(super().of_operator(A, X))


@fault("test_residual")
class ResidualOfTheWrongSign(CpuEngine):
    """`residual` returns ``AX + BX diag(θ)``."""

    def residual(self, AX, BX, theta):
        return super().residual(AX, BX, -theta)


@fault("test_residual")
class NormsOfTheWrongBlock(CpuEngine):
    """`residual` returns the norms of ``AX``."""

    def residual(self, AX, BX, theta):
        return super().residual(AX, BX, theta)[0], np.linalg.norm(AX, axis=0).astype(np.float64)


@fault("test_residual")
class NormsSquared(CpuEngine):
    """`residual` returns the squares of the norms."""

    def residual(self, AX, BX, theta):
        R, norms = super().residual(AX, BX, theta)
        return R, norms**2


@fault("test_residual")
class NormsInSinglePrecision(CpuEngine):
    """`residual` returns norms in the precision of the blocks."""

    def residual(self, AX, BX, theta):
        R, norms = super().residual(AX, BX, theta)
        return R, norms.astype(self.dtype.char.lower())


@fault("test_residual_and_norms")
class NormsOfTheFirstBlockForEach(CpuEngine):
    """`residual_and_norms` returns the norms of the first block for each of them."""

    def residual_and_norms(self, AX, BX, theta, blocks):
        return super().residual_and_norms(AX, BX, theta, [blocks[0]] * len(blocks) if blocks else [])


@fault("test_a_residual_of_zero")
class ZeroOverZero(CpuEngine):
    """A residual of zero has a norm that is NaN."""

    def residual(self, AX, BX, theta):
        R, norms = super().residual(AX, BX, theta)
        with np.errstate(all="ignore"):
            return R, norms * (norms / norms)


@fault("test_chebyshev_step")
class ChebyshevCoefficients(CpuEngine):
    """`chebyshev_step` takes ``a`` for ``b``."""

    def chebyshev_step(self, A, theta, a, b, R, D, Y):
        return super().chebyshev_step(A, theta, b, a, R, D, Y)


@fault("test_chebyshev_step")
class ChebyshevShift(CpuEngine):
    """`chebyshev_step` adds the shift."""

    def chebyshev_step(self, A, theta, a, b, R, D, Y):
        return super().chebyshev_step(A, -theta, a, b, R, D, Y)


@fault("test_chebyshev_step")
class ChebyshevIterate(CpuEngine):
    """`chebyshev_step` adds the old direction to the iterate."""

    def chebyshev_step(self, A, theta, a, b, R, D, Y):
        old = Y + D
        R, D, _ = super().chebyshev_step(A, theta, a, b, R, D, Y)
        return R, D, old


@fault("test_chebyshev_step")
class ChebyshevInPlace(CpuEngine):
    """`chebyshev_step` writes the direction where the iterate still is."""

    def chebyshev_step(self, A, theta, a, b, R, D, Y):
        R, following, _ = super().chebyshev_step(A, theta, a, b, R, D, Y)
        D[:] = following
        return R, D, Y + D


@fault("test_chebyshev_iteration")
class ChebyshevDirectionReturned(CpuEngine):
    """`chebyshev_iteration` returns the last direction."""

    def chebyshev_iteration(self, A, theta, steps, R, D):
        for a, b in steps:
            R, D, _ = self.chebyshev_step(A, theta, a, b, R, D, D)
        return D


@fault("test_chebyshev_iteration")
class ChebyshevOneStepShort(CpuEngine):
    """`chebyshev_iteration` leaves out the last step."""

    def chebyshev_iteration(self, A, theta, steps, R, D):
        return super().chebyshev_iteration(A, theta, steps[:-1], R, D)


@fault("test_the_same_arguments_give_the_same_bits")
class GramInRandomOrder(CpuEngine):
    """`gram` adds rows in an order that changes from call to call."""

    def gram(self, X, Y):
        order = np.random.default_rng().permutation(len(X))
        return super().gram(X[order], Y[order])
