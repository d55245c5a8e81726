// Products with blocks of vectors, for either distribution of work: what is the same for both.
//
// A block is n rows of `vecs` VECs; what is behind its last column is zero. Partial sums of chunks of rows are stored
// one after another and added up by `fold`, always in the same order.

// out = sum of the chunks' partial sums, one SUM an item.
__kernel void fold(long chunks, long sums, __global const WORD *partial, __global WORD *out)
{
    long s = get_global_id(0);
    if (s >= sums)
        return;
    SUM acc = SUM_LOAD(partial + s * SUM_WORDS);
    for (long c = 1; c < chunks; c++)
        acc = sum_sum(acc, SUM_LOAD(partial + (c * sums + s) * SUM_WORDS));
    SUM_STORE(acc, out + s * SUM_WORDS);
}

// The rows of this item: a range of them on a CPU, every so many on a GPU.
#if ITEMS == 1
#define FOR_ROWS(r, n) \
    for (long per = ((n) + get_global_size(0) - 1) / get_global_size(0), r = get_global_id(0) * per, \
              stop = min((long)(n), r + per); r < stop; r++)
#else
#define FOR_ROWS(r, n) for (long r = get_global_id(0); r < (n); r += get_global_size(0))
#endif

// out[:, j] = X[:, indices[j]]
__kernel void columns(long n, long x_vecs, __global const REAL *X, long count, __global const int *indices,
                      long out_vecs, __global REAL *out)
{
    long width = out_vecs * LANES;
    FOR_ROWS (r, n) {
        __global const REAL *x = X + r * x_vecs * LANES;
        __global REAL *o = out + r * width;
        for (long j = 0; j < width / PARTS; j++)
            for (int part = 0; part < PARTS; part++)
                o[j * PARTS + part] = j < count ? x[indices[j] * PARTS + part] : 0;
    }
}

// out = X in another precision; rows have `from` and `to` reals.
__kernel void convert(long n, long from, __global const SOURCE *X, long to, __global REAL *out)
{
    FOR_ROWS (r, n)
        for (long j = 0; j < to; j++)
            out[r * to + j] = j < from ? (REAL)X[r * from + j] : 0;
}

// R = AX - BX diag(theta), and of every chunk of rows the sums of the squares of its columns. A group takes one chunk
// of one VEC of columns.
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void residual(long n, long chunk, long vecs, __global const REAL *AX, __global const REAL *BX,
              __global const REAL *theta, __global REAL *R, __global WORD *partial)
{
    long j = get_group_id(1), first = get_group_id(0) * chunk, last = min(n, first + chunk);
    VEC t = LOAD(theta + j * LANES);
    SUM acc = SUM_ZERO;
    for (long r = first + get_local_id(0); r < last; r += ITEMS) {
        long at = (r * vecs + j) * LANES;
        VEC v = LOAD(AX + at) - LOAD(BX + at) * t;
        STORE(v, R + at);
        acc = sum_squares(acc, v);
    }
#if ITEMS > 1
    __local SUM tree[ITEMS];
    uint l = get_local_id(0);
    tree[l] = acc;
    for (uint width = ITEMS / 2; width; width >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (l < width)
            tree[l] = sum_sum(tree[l], tree[l + width]);
    }
    if (l)
        return;
    acc = tree[0];
#endif
    SUM_STORE(acc, partial + (get_group_id(0) * vecs + j) * SUM_WORDS);
}
