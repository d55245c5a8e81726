// From raw sums to the result: times the factor, plus the initial value, cast, to its place.
//
// Given by build options: ACC and T, the types of the raw sums and of the result's elements; HALF, is T float16; OP, the
// type of the sum, to which it is cast first, where that rounds; TRUTH, is the sum or the result boolean; PAIRS, are
// numbers complex, real and imaginary parts following each other.

__kernel void finish(long count, long ndim, __global const long *axes, __global const ACC *raw, ACC factor, ACC real,
                     ACC imaginary, __global T *out, long start)
{
    for (long i = get_global_id(0); i < count; i += get_global_size(0)) {
        long at = start, index = i;
#if PAIRS
        long part = index % 2;
        index /= 2;
        at += part;
#endif
        for (long d = ndim - 1; d >= 0; d--) {
            at += index % axes[2 * d] * axes[2 * d + 1];
            index /= axes[2 * d];
        }
        ACC x = raw[i] * factor;
#if PAIRS
        x += part ? imaginary : real;
#else
        x += real;
#endif
#ifdef OP
        x = (OP)x;
#endif
#if TRUTH
        x = x != 0;
#endif
#if HALF
        vstore_half((float)x, at, out);
#else
        out[at] = (T)x;
#endif
    }
}
