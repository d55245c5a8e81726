// From raw sums to the result: times the factor, plus the initial value, cast, to its place.
//
// Given by build options: ACC and T, the types of the raw sums and of the result's elements; FLOATING, is ACC a
// floating-point type; HALF, is T float16; WRAP, the bits of T where it is an integer type; OP, the type of the sum, to
// which it is cast first, where that rounds, and ROUND_HALF, is that type float16; TRUTH, is the sum or the result
// boolean; PAIRS, are raw sums complex, real and imaginary parts following each other; PARTS, numbers of an element of
// the result, 2 where that is complex.

#if HALF || ROUND_HALF
// To float16 with one rounding: what float32 does not hold is marked in its last bit, which float16 is too short for.
inline float narrowed(ACC x)
{
    float near = (float)x;
#if FLOATING
    if (fabs((ACC)near) > fabs(x))
        near = as_float(as_uint(near) - 1);
    if (near != x)
        near = as_float(as_uint(near) | 1);
#endif
    return near;
}
#endif

#if ROUND_HALF
inline ACC rounded(ACC x)
{
    ushort bits;
    vstore_half(narrowed(x), 0, (__private half *)&bits);
    return (ACC)vload_half(0, (__private half *)&bits);
}
#elif defined(OP)
#define rounded(x) ((ACC)(OP)(x))
#else
#define rounded(x) (x)
#endif

inline ACC value(ACC raw, ACC factor, ACC initial)
{
    ACC x = raw * factor;
    x += initial;  // a statement of its own, so that no compiler fuses the two
    return rounded(x);
}

// A cast to T. Of a floating-point number that T does not hold C leaves open what it gives, so it is said here: it wraps
// around, and what the wider type does not hold, or is no number, is that type's least number, as on x86-64.
#if FLOATING && defined(WRAP)
inline int whole(ACC x) { return fabs(x) < (ACC)2147483648.0f ? (int)x : INT_MIN; }
inline long whole_long(ACC x) { return fabs(x) < (ACC)9223372036854775808.0f ? (long)x : LONG_MIN; }
inline T cast(ACC x)
{
#if WRAP < 32 || (WRAP == 32 && !UNSIGNED)
    return (T)whole(x);
#elif WRAP == 64 && UNSIGNED
    const ACC half_way = (ACC)9223372036854775808.0f;
    return x >= half_way ? (T)whole_long(x - half_way) ^ (T)LONG_MIN : (T)whole_long(x);
#else
    return (T)whole_long(x);
#endif
}
#else
#define cast(x) ((T)(x))
#endif

__kernel void finish(long count, long ndim, __global const long *axes, __global const ACC *raw, ACC factor, ACC real,
                     ACC imaginary, __global T *out, long start)
{
    for (long i = get_global_id(0); i < count; i += get_global_size(0)) {
        long index = i / PARTS, part = i % PARTS, at = start + part;
#if PAIRS
        ACC x = value(raw[2 * index + part], factor, part ? imaginary : real);
#else
        ACC x = part ? (ACC)0 : value(raw[index], factor, real);
#endif
#if TRUTH && PAIRS
        x = x != 0 || value(raw[2 * index + 1], factor, imaginary) != 0;
#elif TRUTH
        x = x != 0;
#endif
        for (long d = ndim - 1; d >= 0; d--) {
            at += index % axes[2 * d] * axes[2 * d + 1];
            index /= axes[2 * d];
        }
#if HALF
        vstore_half(narrowed(x), at, out);
#else
        out[at] = cast(x);
#endif
    }
}
