// Numbers, real or complex, single or double, and vectors of them. Put before every other file of this folder.
//
// Given by build options: FP64 (has the device double precision), GROUP (items of a work-group); for the files of the
// eigensolver also REAL (float or double), DOUBLE (is it double) and COMPLEX (are elements pairs of reals).
//
// No fast-math option is ever given: error-free transformations below rely on exact rounding.

#if FP64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif

#ifdef REAL

// Index type of row pointers, and the precision to convert from; kernels that have neither are built with any.
#ifndef OFFSET
#define OFFSET int
#endif
#ifndef SOURCE
#define SOURCE REAL
#endif

// A VEC is 32 bytes, a whole number of elements; complex elements are interleaved pairs. It is loaded through a pointer
// and not by vload, which some compilers for CPUs do not inline; the rows of blocks are aligned for that.
#if DOUBLE
#define LANES 4
typedef double4 VEC;
#define ROTATE(v) ((VEC)(-(v).s1, (v).s0, -(v).s3, (v).s2))
#else
#define LANES 8
typedef float8 VEC;
#define ROTATE(v) ((VEC)(-(v).s1, (v).s0, -(v).s3, (v).s2, -(v).s5, (v).s4, -(v).s7, (v).s6))
#endif

#define LOAD(p) (*(__global const VEC *)(p))
#define STORE(v, p) (*(__global VEC *)(p) = (v))

// PARTS reals make an element; ROTATE multiplies each complex element by the imaginary unit.
#if COMPLEX
#define PARTS 2
#else
#define PARTS 1
#endif

// acc + s v, for one element s at p and a vector v of elements.
inline VEC multiply_add(VEC acc, __global const REAL *p, VEC v)
{
#if COMPLEX
    return acc + p[0] * v + p[1] * ROTATE(v);
#else
    return acc + p[0] * v;
#endif
}

// A SUM accumulates products in double precision; without fp64, in pairs of singles, hi + lo, with every rounding error
// kept (T. J. Dekker, Numer. Math. 18, 1971; the product's by fma). Stored, it takes 8 bytes a lane.
#if FP64
#define WORD double
#if DOUBLE
typedef double4 SUM;
#define WIDEN(v) (v)
#else
typedef double8 SUM;
#define WIDEN(v) convert_double8(v)
#endif
#define SUM_ZERO ((SUM)(0))
#define SUM_WORDS LANES
inline SUM sum_product(SUM acc, REAL s, VEC v) { return acc + (WORD)s * WIDEN(v); }
inline SUM sum_squares(SUM acc, VEC v) { return acc + WIDEN(v) * WIDEN(v); }
inline SUM sum_sum(SUM a, SUM b) { return a + b; }
#else
#define WORD float
typedef struct { float8 hi, lo; } SUM;
#define SUM_ZERO ((SUM){(float8)(0), (float8)(0)})
#define SUM_WORDS (2 * LANES)
inline SUM sum_sum(SUM a, SUM b)
{
    float8 s = a.hi + b.hi, z = s - a.hi;
    float8 e = (a.hi - (s - z)) + (b.hi - z) + a.lo + b.lo;
    float8 t = s + e;
    return (SUM){t, e - (t - s)};
}
inline SUM sum_product(SUM acc, float s, float8 v)
{
    float8 p = s * v;
    return sum_sum(acc, (SUM){p, fma((float8)(s), v, -p)});
}
inline SUM sum_squares(SUM acc, float8 v)
{
    float8 p = v * v;
    return sum_sum(acc, (SUM){p, fma(v, v, -p)});
}
#endif

#define SUM_LOAD(p) (*(__global const SUM *)(p))
#define SUM_STORE(v, p) (*(__global SUM *)(p) = (v))

// acc + conj(x) y, for one element x at p and a vector y of elements.
inline SUM sum_conjugate_product(SUM acc, __global const REAL *p, VEC y)
{
#if COMPLEX
    return sum_product(sum_product(acc, p[0], y), -p[1], ROTATE(y));
#else
    return sum_product(acc, p[0], y);
#endif
}

#endif
