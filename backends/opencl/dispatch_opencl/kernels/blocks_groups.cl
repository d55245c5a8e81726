// Products with blocks of vectors on a GPU: neighbouring items take neighbouring VECs of a row, then the next row, so
// that memory is read in whole segments.

// VEC j of row r of the product of a sparse matrix with X, over the stored elements first, first + step, ...
inline VEC row_product(__global const OFFSET *indptr, __global const int *indices, __global const REAL *data,
                       __global const REAL *X, long vecs, long j, long r, uint first, uint step)
{
    VEC acc = (VEC)(0);
    for (OFFSET k = indptr[r] + first; k < indptr[r + 1]; k += step)
        acc = multiply_add(acc, data + k * PARTS, LOAD(X + (indices[k] * vecs + j) * LANES));
    return acc;
}

// The same by all items of a group together, for long rows; the result is item 0's.
inline VEC long_row_product(__local VEC *tree, __global const OFFSET *indptr, __global const int *indices,
                            __global const REAL *data, __global const REAL *X, long vecs, long j, long r)
{
    uint l = get_local_id(0);
    tree[l] = row_product(indptr, indices, data, X, vecs, j, r, l, GROUP);
    for (uint width = GROUP / 2; width; width >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (l < width)
            tree[l] += tree[l + width];
    }
    return l ? (VEC)(0) : tree[0];
}

// Y = A X for the rows that are listed.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void spmm(long count, __global const int *rows, __global const OFFSET *indptr, __global const int *indices,
          __global const REAL *data, long vecs, __global const REAL *X, __global REAL *Y)
{
    long i = get_global_id(0) / vecs, j = get_global_id(0) % vecs;
    if (i >= count)
        return;
    long r = rows[i];
    STORE(row_product(indptr, indices, data, X, vecs, j, r, 0, 1), Y + (r * vecs + j) * LANES);
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void spmm_long(long count, __global const int *rows, __global const OFFSET *indptr, __global const int *indices,
               __global const REAL *data, long vecs, __global const REAL *X, __global REAL *Y)
{
    __local VEC tree[GROUP];
    long r = rows[get_group_id(0)], j = get_group_id(1);
    VEC acc = long_row_product(tree, indptr, indices, data, X, vecs, j, r);
    if (get_local_id(0) == 0)
        STORE(acc, Y + (r * vecs + j) * LANES);
}

inline void chebyshev_vec(VEC product, long vecs, __global const REAL *scalars, __global REAL *R,
                          __global const REAL *D, __global const REAL *Y, __global REAL *D_next, __global REAL *Y_next,
                          long j, long r)
{
    __global const REAL *s = scalars + j * LANES;
    long at = (r * vecs + j) * LANES;
    VEC d = LOAD(D + at), residual = LOAD(R + at) - product + LOAD(s) * d;
    VEC next = LOAD(s + vecs * LANES) * d + LOAD(s + 2 * vecs * LANES) * residual;
    STORE(residual, R + at);
    STORE(next, D_next + at);
    STORE(LOAD(Y + at) + next, Y_next + at);
}

// R -= (A - theta) D;  D' = a D + b R;  Y' = Y + D', for the rows that are listed; `scalars` has rows
// theta, a and b for every step.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void chebyshev(long count, __global const int *rows, __global const OFFSET *indptr, __global const int *indices,
               __global const REAL *data, long vecs, long step,
               __global const REAL *scalars, __global REAL *R,
               __global const REAL *D, __global const REAL *Y, __global REAL *D_next, __global REAL *Y_next)
{
    long i = get_global_id(0) / vecs, j = get_global_id(0) % vecs;
    if (i >= count)
        return;
    long r = rows[i];
    VEC product = row_product(indptr, indices, data, D, vecs, j, r, 0, 1);
    chebyshev_vec(product, vecs, scalars + step * 3 * vecs * LANES, R, D, Y, D_next, Y_next, j, r);
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void chebyshev_long(long count, __global const int *rows, __global const OFFSET *indptr, __global const int *indices,
                    __global const REAL *data, long vecs, long step,
               __global const REAL *scalars, __global REAL *R,
                    __global const REAL *D, __global const REAL *Y, __global REAL *D_next, __global REAL *Y_next)
{
    __local VEC tree[GROUP];
    long r = rows[get_group_id(0)], j = get_group_id(1);
    VEC product = long_row_product(tree, indptr, indices, data, D, vecs, j, r);
    if (get_local_id(0) == 0)
        chebyshev_vec(product, vecs, scalars + step * 3 * vecs * LANES, R, D, Y, D_next, Y_next, j, r);
}

// Items of a group make ACROSS VECs of DOWN rows of the Gram matrix, each over every SLICES-th row of the blocks. The host
// says how many: in small groups fewer than in others.
#define SLICES (GROUP / (DOWN * ACROSS))

// The Gram matrix X^H Y of each chunk of rows.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void gram(long n, long chunk, long x_vecs, __global const REAL *X, long y_vecs, __global const REAL *Y,
          __global WORD *partial)
{
    __local SUM tree[GROUP];
    long rows = x_vecs * LANES / PARTS, first = get_group_id(0) * chunk, last = min(n, first + chunk);
    uint l = get_local_id(0), slice = l / (DOWN * ACROSS);
    long i = get_group_id(1) * DOWN + l % (DOWN * ACROSS) / ACROSS, j = get_group_id(2) * ACROSS + l % ACROSS;
    SUM acc = SUM_ZERO;
    if (i < rows && j < y_vecs)
        for (long r = first + slice; r < last; r += SLICES)
            acc = sum_conjugate_product(acc, X + r * x_vecs * LANES + i * PARTS, LOAD(Y + (r * y_vecs + j) * LANES));
    tree[l] = acc;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (slice || i >= rows || j >= y_vecs)
        return;
    for (uint s = 1; s < SLICES; s++)
        acc = sum_sum(acc, tree[l + s * DOWN * ACROSS]);
    SUM_STORE(acc, partial + ((get_group_id(0) * rows + i) * y_vecs + j) * SUM_WORDS);
}

inline VEC product(VEC acc, __global const REAL *x, long p, __global const REAL *C, long q_vecs)
{
    for (long i = 0; i < p; i++)
        acc = multiply_add(acc, x + i * PARTS, LOAD(C + i * q_vecs * LANES));
    return acc;
}

// out (+)= X0 C0 + X1 C1 + X2 C2, for blocks of p0, p1, p2 columns and the rows of C in that order.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void combine(long n, long chunk, long q_vecs, __global REAL *out, long accumulate,
             long p0, long v0, __global const REAL *X0, long p1, long v1, __global const REAL *X1,
             long p2, long v2, __global const REAL *X2, __global const REAL *C)
{
    for (long at = get_global_id(0); at < n * q_vecs; at += get_global_size(0)) {
        long r = at / q_vecs, j = at % q_vecs;
        VEC acc = accumulate ? LOAD(out + at * LANES) : (VEC)(0);
        __global const REAL *c = C + j * LANES;
        acc = product(acc, X0 + r * v0 * LANES, p0, c, q_vecs);
        c += p0 * q_vecs * LANES;
        acc = product(acc, X1 + r * v1 * LANES, p1, c, q_vecs);
        c += p1 * q_vecs * LANES;
        acc = product(acc, X2 + r * v2 * LANES, p2, c, q_vecs);
        STORE(acc, out + at * LANES);
    }
}
