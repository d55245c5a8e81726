// Products with blocks of vectors on the cores of a CPU: each work-item, a group by itself, streams through a range of
// rows and keeps a tile of results in registers.

#define TILE 4
#if TILE * PARTS > LANES
#define SIDE (LANES / PARTS)
#else
#define SIDE TILE
#endif

// Rows of `bounds[g]` to `bounds[g + 1]`, which hold about equally many stored elements, are item g's.

// `count` VECs of a row of the product of a sparse matrix with X, from the VEC `j` on.
__attribute__((always_inline))
inline void row_product(VEC *acc, const int count, __global const OFFSET *indptr, __global const int *indices,
                        __global const REAL *data, __global const REAL *X, long vecs, long j, long r)
{
    for (OFFSET k = indptr[r]; k < indptr[r + 1]; k++) {
        __global const REAL *x = X + (indices[k] * vecs + j) * LANES;
#pragma unroll
        for (int t = 0; t < count; t++)
            acc[t] = multiply_add(acc[t], data + k * PARTS, LOAD(x + t * LANES));
    }
}

__attribute__((always_inline))
inline void spmm_row(const int count, __global const OFFSET *indptr, __global const int *indices,
                     __global const REAL *data, __global const REAL *X, __global REAL *Y, long vecs, long j, long r)
{
    VEC acc[TILE];
#pragma unroll
    for (int t = 0; t < count; t++)
        acc[t] = (VEC)(0);
    row_product(acc, count, indptr, indices, data, X, vecs, j, r);
#pragma unroll
    for (int t = 0; t < count; t++)
        STORE(acc[t], Y + (r * vecs + j + t) * LANES);
}

// Y = A X
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void spmm(__global const long *bounds, __global const OFFSET *indptr, __global const int *indices,
          __global const REAL *data, long vecs, __global const REAL *X, __global REAL *Y)
{
    long g = get_group_id(0);
    for (long r = bounds[g]; r < bounds[g + 1]; r++) {
        long j = 0;
        for (; j + TILE <= vecs; j += TILE)
            spmm_row(TILE, indptr, indices, data, X, Y, vecs, j, r);
        switch (vecs - j) {
        case 3: spmm_row(3, indptr, indices, data, X, Y, vecs, j, r); break;
        case 2: spmm_row(2, indptr, indices, data, X, Y, vecs, j, r); break;
        case 1: spmm_row(1, indptr, indices, data, X, Y, vecs, j, r); break;
        }
    }
}

__attribute__((always_inline))
inline void chebyshev_row(const int count, __global const OFFSET *indptr, __global const int *indices,
                          __global const REAL *data, long vecs, __global const REAL *scalars, __global REAL *R,
                          __global const REAL *D, __global const REAL *Y, __global REAL *D_next, __global REAL *Y_next,
                          long j, long r)
{
    VEC acc[TILE];
#pragma unroll
    for (int t = 0; t < count; t++)
        acc[t] = (VEC)(0);
    row_product(acc, count, indptr, indices, data, D, vecs, j, r);
#pragma unroll
    for (int t = 0; t < count; t++) {
        __global const REAL *s = scalars + (j + t) * LANES;
        long at = (r * vecs + j + t) * LANES;
        VEC d = LOAD(D + at), residual = LOAD(R + at) - acc[t] + LOAD(s) * d;
        VEC next = LOAD(s + vecs * LANES) * d + LOAD(s + 2 * vecs * LANES) * residual;
        STORE(residual, R + at);
        STORE(next, D_next + at);
        STORE(LOAD(Y + at) + next, Y_next + at);
    }
}

// R -= (A - theta) D;  D' = a D + b R;  Y' = Y + D'. `scalars` has rows theta, a and b for every step.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void chebyshev(__global const long *bounds, __global const OFFSET *indptr, __global const int *indices,
               __global const REAL *data, long vecs, long step,
               __global const REAL *scalars, __global REAL *R,
               __global const REAL *D, __global const REAL *Y, __global REAL *D_next, __global REAL *Y_next)
{
    long g = get_group_id(0);
    scalars += step * 3 * vecs * LANES;
    for (long r = bounds[g]; r < bounds[g + 1]; r++) {
        long j = 0;
        for (; j + TILE <= vecs; j += TILE)
            chebyshev_row(TILE, indptr, indices, data, vecs, scalars, R, D, Y, D_next, Y_next, j, r);
        switch (vecs - j) {
        case 3: chebyshev_row(3, indptr, indices, data, vecs, scalars, R, D, Y, D_next, Y_next, j, r); break;
        case 2: chebyshev_row(2, indptr, indices, data, vecs, scalars, R, D, Y, D_next, Y_next, j, r); break;
        case 1: chebyshev_row(1, indptr, indices, data, vecs, scalars, R, D, Y, D_next, Y_next, j, r); break;
        }
    }
}

// Adds to SIDE rows and `count` VECs of a chunk's Gram matrix what the rows first to last of X and Y give.
__attribute__((always_inline))
inline void gram_tile(const int count, __global const REAL *X, long x_vecs, __global const REAL *Y, long y_vecs,
                      long first, long last, __global WORD *G)
{
    SUM acc[SIDE][2];
#pragma unroll
    for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int t = 0; t < count; t++)
            acc[i][t] = SUM_LOAD(G + (i * y_vecs + t) * SUM_WORDS);
    for (long r = first; r < last; r++) {
        __global const REAL *x = X + r * x_vecs * LANES;
#pragma unroll
        for (int t = 0; t < count; t++) {
            VEC y = LOAD(Y + (r * y_vecs + t) * LANES);
#pragma unroll
            for (int i = 0; i < SIDE; i++)
                acc[i][t] = sum_conjugate_product(acc[i][t], x + i * PARTS, y);
        }
    }
#pragma unroll
    for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int t = 0; t < count; t++)
            SUM_STORE(acc[i][t], G + (i * y_vecs + t) * SUM_WORDS);
}

#define STRIP 64

// The Gram matrix X^H Y of each chunk of rows, by strips of rows that stay in the first cache.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gram(long n, long chunk, long x_vecs, __global const REAL *X, long y_vecs, __global const REAL *Y,
          __global WORD *partial)
{
    long rows = x_vecs * LANES / PARTS, first = get_group_id(0) * chunk, last = min(n, first + chunk);
    __global WORD *G = partial + get_group_id(0) * rows * y_vecs * SUM_WORDS;
    for (long s = 0; s < rows * y_vecs; s++)
        SUM_STORE(SUM_ZERO, G + s * SUM_WORDS);
    for (; first < last; first += STRIP) {
        long end = min(last, first + STRIP);
        for (long i = 0; i < rows; i += SIDE) {
            __global const REAL *x = X + i * PARTS;
            __global WORD *g = G + i * y_vecs * SUM_WORDS;
            long j = 0;
            for (; j + 2 <= y_vecs; j += 2)
                gram_tile(2, x, x_vecs, Y + j * LANES, y_vecs, first, end, g + j * SUM_WORDS);
            if (j < y_vecs)
                gram_tile(1, x, x_vecs, Y + j * LANES, y_vecs, first, end, g + j * SUM_WORDS);
        }
    }
}

// Adds the product of `rows` rows of X, p columns, with `count` VECs of the matrix C to acc.
__attribute__((always_inline))
inline void combine_tile(VEC acc[4][2], const int rows, const int count, __global const REAL *x, long p, long x_vecs,
                         __global const REAL *C, long q_vecs)
{
    for (long i = 0; i < p; i++) {
#pragma unroll
        for (int t = 0; t < count; t++) {
            VEC c = LOAD(C + (i * q_vecs + t) * LANES);
#pragma unroll
            for (int r = 0; r < rows; r++)
                acc[r][t] = multiply_add(acc[r][t], x + r * x_vecs * LANES + i * PARTS, c);
        }
    }
}

__attribute__((always_inline))
inline void combine_rows(const int rows, const int count, long r, long j, long q_vecs, __global REAL *out,
                         int accumulate, long p0, long v0, __global const REAL *X0, long p1, long v1,
                         __global const REAL *X1, long p2, long v2, __global const REAL *X2, __global const REAL *C)
{
    VEC acc[4][2];
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int t = 0; t < count; t++)
            acc[i][t] = accumulate ? LOAD(out + ((r + i) * q_vecs + j + t) * LANES) : (VEC)(0);
    C += j * LANES;
    combine_tile(acc, rows, count, X0 + r * v0 * LANES, p0, v0, C, q_vecs);
    C += p0 * q_vecs * LANES;
    combine_tile(acc, rows, count, X1 + r * v1 * LANES, p1, v1, C, q_vecs);
    C += p1 * q_vecs * LANES;
    combine_tile(acc, rows, count, X2 + r * v2 * LANES, p2, v2, C, q_vecs);
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int t = 0; t < count; t++)
            STORE(acc[i][t], out + ((r + i) * q_vecs + j + t) * LANES);
}

#define COMBINE(rows, count) \
    combine_rows(rows, count, r, j, q_vecs, out, accumulate, p0, v0, X0, p1, v1, X1, p2, v2, X2, C)

// out (+)= X0 C0 + X1 C1 + X2 C2, for blocks of p0, p1, p2 columns and the rows of C in that order.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void combine(long n, long chunk, long q_vecs, __global REAL *out, long accumulate,
             long p0, long v0, __global const REAL *X0, long p1, long v1, __global const REAL *X1,
             long p2, long v2, __global const REAL *X2, __global const REAL *C)
{
    long r = get_group_id(0) * chunk, last = min(n, r + chunk);
    for (; r + 4 <= last; r += 4) {
        long j = 0;
        for (; j + 2 <= q_vecs; j += 2)
            COMBINE(4, 2);
        if (j < q_vecs)
            COMBINE(4, 1);
    }
    for (; r < last; r++)
        for (long j = 0; j < q_vecs; j++)
            COMBINE(1, 1);
}
