// Sums over one group of axes; the host calls these kernels until no reduced group is left. What a launch leaves over are
// sums of chunks: `totals`, which is in every program, adds up few of them, and `rows` or `columns`, built for sums, many.
//
// Given by build options: T, the elements' type in memory; HALF, is it float16, and TRUTH, is it boolean; OP, the type that each is cast to
// first, where that rounds; ACC, the type of the sums, and FLOATING, is it a floating-point type; COND, the signed integer
// type of its size; RESULT, what they are cast to at the end; LANES, elements of a vector; CONTIGUOUS, are the elements of
// a vector neighbours, in the mask, too; MASKED, is there a mask; STREAMS, the distribution of work; COOPERATE, do the
// items of a group share a row; COLUMNS, which of the two kernels to build, as only one is wanted at a time; STRIPE,
// vectors of columns that an item walks side by side.
//
// Accuracy: a vector of sums adds up to 16 vectors by a tree of depth 5 and then adds the result to a pair hi + lo in which
// no rounding error is lost (D. E. Knuth, TAOCP 2, 4.2.2, theorem B). For n elements of precision u, the error of a sum is
// thus bounded by some ten u times the sum of the absolute values, whatever n is. Nothing depends on how many items there
// are.

#define PASTE(a, b) a##b
#define VECTOR(type, lanes) PASTE(type, lanes)
#define CONVERT_TO(type) VECTOR(VECTOR(convert_, type), LANES)

typedef VECTOR(ACC, LANES) SUMS;
typedef VECTOR(COND, LANES) CONDITION;

// Adding -0.0 changes nothing, not even the sign of zero.
#if FLOATING
#define NEUTRAL ((ACC)-0.0f)
#else
#define NEUTRAL ((ACC)0)
#endif

#if LANES == 8
#define GATHER(type, p, s) ((VECTOR(type, LANES))((p)[0], (p)[s], (p)[2 * (s)], (p)[3 * (s)], (p)[4 * (s)], \
                                                  (p)[5 * (s)], (p)[6 * (s)], (p)[7 * (s)]))
#define GATHER_HALF(p, s) ((float8)(vload_half(0, p), vload_half(s, p), vload_half(2 * (s), p), \
                                    vload_half(3 * (s), p), vload_half(4 * (s), p), vload_half(5 * (s), p), \
                                    vload_half(6 * (s), p), vload_half(7 * (s), p)))
#else
#define GATHER(type, p, s) ((VECTOR(type, LANES))((p)[0], (p)[s], (p)[2 * (s)], (p)[3 * (s)]))
#define GATHER_HALF(p, s) ((float4)(vload_half(0, p), vload_half(s, p), vload_half(2 * (s), p), \
                                    vload_half(3 * (s), p)))
#endif

// Vectors at any address. vload is not inlined by some compilers for CPUs, so Clang gets a pointer.
#ifdef __clang__
#if !HALF
typedef VECTOR(T, LANES) LOOSE __attribute__((aligned(sizeof(T))));
#endif
typedef VECTOR(uchar, LANES) LOOSE_MASK __attribute__((aligned(1)));
typedef VECTOR(ACC, LANES) LOOSE_SUMS __attribute__((aligned(sizeof(ACC))));
typedef VECTOR(RESULT, LANES) LOOSE_RESULTS __attribute__((aligned(sizeof(RESULT))));
#define LOAD_SUMS(p) (*(__global const LOOSE_SUMS *)(p))
#define STORE_SUMS(v, p) (*(__global LOOSE_SUMS *)(p) = (v))
#define STORE_RESULTS(v, p) (*(__global LOOSE_RESULTS *)(p) = CONVERT_TO(RESULT)(v))
#define NEIGHBOURS(p) (*(__global const LOOSE *)(p))
#define MASK_NEIGHBOURS(p) (*(__global const LOOSE_MASK *)(p))
#else
#define LOAD_SUMS(p) VECTOR(vload, LANES)(0, p)
#define STORE_SUMS(v, p) VECTOR(vstore, LANES)(v, 0, p)
#define STORE_RESULTS(v, p) VECTOR(vstore, LANES)(CONVERT_TO(RESULT)(v), 0, p)
#define NEIGHBOURS(p) VECTOR(vload, LANES)(0, p)
#define MASK_NEIGHBOURS(p) VECTOR(vload, LANES)(0, p)
#endif

// A boolean counts once, whatever bits are set in its byte.
#if TRUTH
#define COUNTED(v, type) min(v, (type)(1))
#else
#define COUNTED(v, type) (v)
#endif

// Where to read: elements, and the mask, which may be absent; strides of both in elements.
typedef struct {
    __global const T *a;
    __global const uchar *m;
} PLACE;

typedef struct {
    long a, m;
} STRIDE;

inline PLACE moved(PLACE place, STRIDE stride, long steps)
{
    return (PLACE){place.a + stride.a * steps, place.m + stride.m * steps};
}

// One element, or nothing where the mask says so.
inline ACC element(PLACE place)
{
#if MASKED
    if (!place.m[0])
        return NEUTRAL;
#endif
#if HALF
    return (ACC)vload_half(0, place.a);
#elif defined(OP)
    return (ACC)(OP)COUNTED(place.a[0], uchar);
#else
    return (ACC)COUNTED(place.a[0], uchar);
#endif
}

// LANES elements.
inline SUMS elements(PLACE place, STRIDE lane)
{
#if HALF && CONTIGUOUS
    SUMS x = CONVERT_TO(ACC)(VECTOR(vload_half, LANES)(0, place.a));
#elif HALF
    SUMS x = CONVERT_TO(ACC)(GATHER_HALF(place.a, lane.a));
#else
#if CONTIGUOUS
    VECTOR(T, LANES) v = NEIGHBOURS(place.a);
#else
    VECTOR(T, LANES) v = GATHER(T, place.a, lane.a);
#endif
#ifdef OP
    SUMS x = CONVERT_TO(ACC)(CONVERT_TO(OP)(COUNTED(v, VECTOR(uchar, LANES))));
#else
    SUMS x = CONVERT_TO(ACC)(COUNTED(v, VECTOR(uchar, LANES)));
#endif
#endif
#if MASKED
#if CONTIGUOUS
    VECTOR(uchar, LANES) m = MASK_NEIGHBOURS(place.m);
#else
    VECTOR(uchar, LANES) m = GATHER(uchar, place.m, lane.m);
#endif
    x = select((SUMS)(NEUTRAL), x, CONVERT_TO(COND)(m) != 0);
#endif
    return x;
}

#if FLOATING
typedef struct {
    SUMS hi, lo;
} RUNNING;

#define START ((RUNNING){(SUMS)(NEUTRAL), (SUMS)(NEUTRAL)})

inline RUNNING added(RUNNING sum, SUMS x)
{
    SUMS s = sum.hi + x, z = s - sum.hi;
    return (RUNNING){s, sum.lo + ((sum.hi - (s - z)) + (x - z))};
}

// hi + lo; but where hi has overflowed lo means nothing, and -0.0 must stay what it is.
inline SUMS value(RUNNING sum) { return select(sum.hi + sum.lo, sum.hi, isinf(sum.hi) | (sum.lo == 0)); }
#else
typedef SUMS RUNNING;
#define START ((SUMS)(0))
inline RUNNING added(RUNNING sum, SUMS x) { return sum + x; }
inline SUMS value(RUNNING sum) { return sum; }
#endif

// Where sums go: as they are, for the next launch or the host; or, `last`, as results, with an initial value of zero added.
inline void store(__global ACC *out, long i, ACC x, long last)
{
    if (last)
        ((__global RESULT *)out)[i] = (RESULT)(x + (ACC)0);
    else
        out[i] = x;
}

// Loops that seldom run, or shortly: unrolled and vectorized they would be nothing but work for the compiler, for which
// first calls wait.
#ifdef __clang__
#define PLAIN_LOOP _Pragma("clang loop vectorize(disable) unroll(disable)")
#else
#define PLAIN_LOOP
#endif

// Vectors that are added up before their sum is added to the running one. Across rows on a CPU they are few, since each is
// in a row of its own: lines of the cache that lie a power of two apart drive each other out.
#if STREAMS && COLUMNS
#define DEPTH 4
#else
#define DEPTH 16
#endif

// Cores are told what they will read soon: along a row AHEAD bytes before, across rows the next block. Of vectors that
// share a line of the cache, the first one asks for it. It is asked for into the second cache, since the first one has
// fewer requests under way than the memory takes time for.
#if STREAMS && defined(__clang__) && !defined(NO_PREFETCH)
#define PREFETCH(p) __builtin_prefetch((const void *)(ulong)(p), 0, 2)
#else
#define PREFETCH(p)
#endif
#define AHEAD 16384
#define LINE 64
#define VECTOR_SIZE (LANES * (int)sizeof(T))
#define IN_A_LINE (CONTIGUOUS && LINE > VECTOR_SIZE ? LINE / VECTOR_SIZE : 1)

// The sum of DEPTH vectors, `step` apart. Every `every`-th asks for the one `ahead` steps later.
inline SUMS block(PLACE place, STRIDE lane, STRIDE step, const int ahead, const int every)
{
    SUMS chains[4];
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
        if (k % every == 0)
            PREFETCH(moved(place, step, k + ahead).a);
        SUMS x = elements(moved(place, step, k), lane);
        chains[k % 4] = k < 4 ? x : chains[k % 4] + x;
    }
    return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

// The sums of `count` vectors, `step` apart.
inline RUNNING walked(RUNNING sum, PLACE place, STRIDE lane, STRIDE step, long count, const int ahead, const int every)
{
    long i = 0;
    for (; i + DEPTH <= count; i += DEPTH)
        sum = added(sum, block(moved(place, step, i), lane, step, ahead, every));
    if (i < count) {
        SUMS rest = elements(moved(place, step, i), lane);
        for (i++; i < count; i++)
            rest += elements(moved(place, step, i), lane);
        sum = added(sum, rest);
    }
    return sum;
}

inline ACC across(SUMS v)
{
#if LANES == 8
    VECTOR(ACC, 4) w = v.lo + v.hi;
#else
    VECTOR(ACC, 4) w = v;
#endif
    VECTOR(ACC, 2) x = w.lo + w.hi;
    return x.x + x.y;
}

// The first element that belongs to an outer index, which counts in C order over `ndim` axes. `axes` has three numbers
// for each: extent, and stride in the elements and in the mask.
inline PLACE outer_place(PLACE place, long index, long ndim, __global const long *axes)
{
    for (long d = ndim - 1; d >= 0; d--) {
        __global const long *axis = axes + 3 * d;
        place = moved(place, (STRIDE){axis[1], axis[2]}, index % axis[0]);
        index /= axis[0];
    }
    return place;
}

// The tasks of this item, or of its group: a range of them, or every so many.
#if STREAMS
#define FOR_TASKS(t, tasks) \
    for (long per = ((tasks) + get_global_size(0) - 1) / get_global_size(0), t = get_global_id(0) * per, \
              stop = min((long)(tasks), t + per); t < stop; t++)
#elif COOPERATE
#define FOR_TASKS(t, tasks) for (long t = get_group_id(0); t < (tasks); t += get_num_groups(0))
#else
#define FOR_TASKS(t, tasks) for (long t = get_global_id(0); t < (tasks); t += get_global_size(0))
#endif

#if COLUMNS == 0
// Sums of rows: out[row, c] is the sum of chunk c of n elements, `stride` apart.
__kernel void rows(__global const T *a, long a_start, __global const uchar *m, long m_start,
                   __global const long *axes, long ndim, long outer, long n, long a_stride, long m_stride, long chunk, __global ACC *out,
                   long out_start, long last)
{
    long chunks = (n + chunk - 1) / chunk;
    STRIDE one = {CONTIGUOUS ? 1 : a_stride, CONTIGUOUS ? 1 : m_stride};
    PLACE start = {a + a_start, m + m_start};
#if COOPERATE
    __local ACC tree[GROUP];
    uint item = get_local_id(0), items = GROUP;
#else
    uint item = 0, items = 1;
#endif
    STRIDE step = {one.a * LANES * items, one.m * LANES * items};
    FOR_TASKS (t, outer * chunks) {
        long first = t % chunks * chunk, count = min(chunk, n - first), vectors = count / LANES;
        PLACE place = moved(outer_place(start, t / chunks, ndim, axes), one, first);
        long mine = (vectors + items - 1 - item) / items;
        RUNNING sum = walked(START, moved(place, one, (long)item * LANES), one, step, mine,
                             AHEAD / VECTOR_SIZE, IN_A_LINE);
        ACC total = across(value(sum));
        for (long i = vectors * LANES + item; i < count; i += items)
            total += element(moved(place, one, i));
#if COOPERATE
        tree[item] = total;
        for (uint width = GROUP / 2; width; width >>= 1) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (item < width)
                tree[item] += tree[item + width];
        }
        if (item == 0)
            store(out, out_start + t, tree[0], last);
        barrier(CLK_LOCAL_MEM_FENCE);
#else
        store(out, out_start + t, total, last);
#endif
    }
}
#else
// Sums of columns: out[index, c, j] is the sum over chunk c of n rows in column j of m. Of a further row behind the last
// there are only the first `ragged` columns.
__kernel void columns(__global const T *a, long a_start, __global const uchar *m, long m_start,
                      __global const long *axes, long ndim, long outer, long n, long a_stride, long m_stride, long chunk, long width,
                      long a_lane, long m_lane, long ragged, __global ACC *out, long out_start, long last)
{
    long chunks = max((n + chunk - 1) / chunk, 1L), stripes = (width + STRIPE * LANES - 1) / (STRIPE * LANES);
    STRIDE row = {a_stride, m_stride}, lane = {CONTIGUOUS ? 1 : a_lane, CONTIGUOUS ? 1 : m_lane};
    PLACE start = {a + a_start, m + m_start};
    FOR_TASKS (t, outer * chunks * stripes) {
        long c = t / stripes % chunks, first = c * chunk, count = min(chunk, n - first);
        long j = t % stripes * (STRIPE * LANES), end = min(width, j + STRIPE * LANES), vectors = (end - j) / LANES;
        PLACE place = moved(outer_place(start, t / stripes / chunks, ndim, axes), row, first);
        long o = out_start + t / stripes * width;
        long more = c == chunks - 1 ? ragged : 0;
        RUNNING sums[STRIPE];
        for (int v = 0; v < vectors; v++)
            sums[v] = START;
        // By blocks of rows: each is read along the stripe before the next.
        for (long r = 0; r < count; r += DEPTH)
            for (int v = 0; v < vectors; v++)
                sums[v] = walked(sums[v], moved(moved(place, row, r), lane, j + v * LANES), lane, row,
                                 min((long)DEPTH, count - r), DEPTH, 1);
        for (int v = 0; v < vectors; v++) {
            long at = j + v * LANES;
            PLACE behind = moved(place, row, count);
            if (more >= at + LANES)
                sums[v] = added(sums[v], elements(moved(behind, lane, at), lane));
            if (last)
                STORE_RESULTS(value(sums[v]) + (SUMS)0, (__global RESULT *)out + o + at);
            else
                STORE_SUMS(value(sums[v]), out + o + at);
            // There is no such row in front of the last launch's chunks.
            PLAIN_LOOP
            for (int k = 0; more < at + LANES && k < more - at; k++)
                out[o + at + k] += element(moved(behind, lane, at + k));
        }
        // Columns that do not fill a vector, one at a time, the lanes along the rows.
        PLAIN_LOOP
        for (j += vectors * LANES; j < end; j++) {
            PLACE top = moved(place, lane, j);
            RUNNING sum = START;
            ACC total = NEUTRAL;
            PLAIN_LOOP
            for (long r = 0; r < count; r += DEPTH) {
                ACC rest = NEUTRAL;
                PLAIN_LOOP
                for (long k = r; k < min(r + DEPTH, count); k++)
                    rest += element(moved(top, row, k));
                SUMS x = (SUMS)(NEUTRAL);
                x.s0 = rest;
                sum = added(sum, x);
            }
            if (j < more)
                total = element(moved(top, row, count));
            store(out, o + j, across(value(sum)) + total, last);
        }
    }
}
#endif

// Sums over chunks, which one of the other kernels has stored: out[i, j] is the sum of a[i, c, j] over c < n.
// On a CPU LANES of them at a time.
__kernel void totals(__global const ACC *a, long outer, long n, long width, __global ACC *out, long out_start, long last)
{
#if STREAMS
    long vectors = width / LANES, rest = width % LANES;
    FOR_TASKS (t, outer * vectors) {
        long index = t / vectors, j = t % vectors * LANES, o = out_start + index * width + j;
        RUNNING sum = START;
        for (long c = 0; c < n; c++)
            sum = added(sum, LOAD_SUMS(a + (index * n + c) * width + j));
        if (last)
            STORE_RESULTS(value(sum) + (SUMS)0, (__global RESULT *)out + o);
        else
            STORE_SUMS(value(sum), out + o);
    }
#else
    long rest = width;
#endif
    for (long k = get_global_id(0); k < outer * rest; k += get_global_size(0)) {
        long index = k / rest, j = width - rest + k % rest, i = index * width + j;
        __global const ACC *p = a + index * n * width + j;
        ACC sum = p[0];
#if FLOATING
        ACC lost = 0;
        for (long c = 1; c < n; c++) {
            ACC x = p[c * width], s = sum + x, z = s - sum;
            lost += (sum - (s - z)) + (x - z);
            sum = s;
        }
        if (!isinf(sum) && lost != 0)
            sum += lost;
#else
        for (long c = 1; c < n; c++)
            sum += p[c * width];
#endif
        store(out, out_start + i, sum, last);
    }
}
