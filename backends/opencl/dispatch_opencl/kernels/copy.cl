// Elements from one walk through memory to another, byte by byte, as either may be where no type is aligned.

__kernel void copy(long count, long item, long ndim, __global const long *axes, __global const uchar *from,
                   long from_start, __global uchar *to, long to_start)
{
    for (long i = get_global_id(0); i < count * item; i += get_global_size(0)) {
        long index = i / item, source = from_start + i % item, target = to_start + i % item;
        for (long d = ndim - 1; d >= 0; d--) {
            __global const long *axis = axes + 3 * d;
            long step = index % axis[0];
            index /= axis[0];
            source += step * axis[1];
            target += step * axis[2];
        }
        to[target] = from[source];
    }
}
