"""Faults of `sum`."""

import dataclasses
import functools
import os
import random
import warnings

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.kit.fault import NO_VALUE, Copy, fault


class Sum(Copy):
    """A copy whose sum is written with the arguments that most faults need."""

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        self.right = functools.partial(super().sum, device=device)
        return self.wrong(a, axis=axis, dtype=dtype, out=out, keepdims=keepdims, initial=initial, where=where)

    def wrong(self, a, **arguments):
        """Return what the faulty backend returns; `self.right` takes the same arguments and returns what is right."""
        raise NotImplementedError


def rows(a, axis):
    """Return the elements as rows, one a sum."""
    axes = tuple(range(a.ndim)) if axis is None else np.atleast_1d(axis) % max(a.ndim, 1)
    kept = [i for i in range(a.ndim) if i not in axes]
    return a.transpose(*kept, *(i for i in axes if i < a.ndim)).reshape(*(a.shape[i] for i in kept), -1)


def as_result(sums, like):
    """Return sums in the shape and type of a right result."""
    sums = np.asarray(sums).astype(like.dtype).reshape(like.shape)
    return sums[()] if isinstance(like, np.generic) else sums


def only(char, a, arguments):
    """Whether a call is a plain one of elements of some dtypes, along one axis or all."""
    plain = arguments["dtype"] is None and arguments["out"] is None and arguments["where"] is NO_VALUE
    return plain and a.dtype.char in char and a.size and arguments["axis"] != () and arguments["initial"] is NO_VALUE


# Accuracy and order


@fault("test_many_equal_terms_do_not_stall")
class OneAccumulator(Sum):
    """float32 is added one element after the other in one float32."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("f", a, arguments) or isinstance(arguments["axis"], tuple):
            return right
        return as_result(np.add.accumulate(rows(a, arguments["axis"]), axis=-1)[..., -1], right)


@fault("test_many_equal_terms_do_not_stall")
class HalfAccumulator(Sum):
    """float16 is accumulated in float16."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("e", a, arguments) or isinstance(arguments["axis"], tuple):
            return right
        return as_result(np.add.accumulate(rows(a, arguments["axis"]), axis=-1)[..., -1], right)


@fault("test_single_precision_is_accumulated_wider")
class SingleInSingle(Sum):
    """float32 is added pairwise in float32."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("f", a, arguments):
            return right
        axis = arguments["axis"]
        in_rows = np.ascontiguousarray(rows(a, tuple(axis) if isinstance(axis, tuple) else axis))
        return as_result(np.add.reduce(in_rows, axis=-1), right)


@fault("test_many_equal_terms_do_not_stall")
class OneAccumulatorWithAMask(Sum):
    """What a mask chooses of float32 is added one element after the other in one float32."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if arguments["where"] is NO_VALUE or a.dtype.char != "f" or arguments["axis"] != 0:
            return right
        return as_result(np.add.accumulate(np.where(arguments["where"], a, np.float32(0)), axis=0)[-1], right)


@fault("test_many_equal_terms_do_not_stall")
class OneAccumulatorOfAnotherDtype(Sum):
    """What is converted to float32 is added one element after the other in one float32."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if arguments["dtype"] is None or arguments["axis"] != 0 or right.dtype.char != "f" or not a.size:
            return right
        return as_result(np.add.accumulate(a.astype(np.float32), axis=0)[-1], right)


@fault("test_every_axis", among="float64")
class DoubleInSingle(Sum):
    """float64 is added in float32."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("d", a, arguments):
            return right
        return as_result(self.right(a.astype(np.float32), **arguments), right)


@fault("test_the_same_input_gives_the_same_bits", among="float64")
class RandomOrder(Sum):
    """Elements are added in an order that changes from call to call."""

    def wrong(self, a, **arguments):
        if arguments["axis"] is None and a.ndim and a.dtype.kind in "fc" and arguments["where"] is NO_VALUE:
            a = np.random.default_rng().permutation(a.ravel()).reshape(a.shape)
        return self.right(a, **arguments)


@fault("test_the_same_input_gives_the_same_bits", among="float64")
class RandomOrderOfMany(Sum):
    """More than 300000 elements are added in an order that changes from call to call."""

    def wrong(self, a, **arguments):
        if a.size > 300_000 and only("fd", a, arguments) and arguments["axis"] is None:
            a = np.random.default_rng().permutation(a.ravel()).reshape(a.shape)
        return self.right(a, **arguments)


@fault("test_the_same_input_gives_the_same_bits", among="float64")
class RandomOrderWithAMask(Sum):
    """What a mask chooses is added in an order that changes from call to call."""

    def wrong(self, a, **arguments):
        where = arguments["where"]
        if where is not NO_VALUE and a.dtype.kind in "fc" and arguments["axis"] is None and np.shape(where) == a.shape:
            order = np.random.default_rng().permutation(a.size)
            a, arguments["where"] = a.ravel()[order], np.ravel(where)[order]
        return self.right(a, **arguments)


@fault("test_the_same_input_gives_the_same_bits", among="float32")
class RandomOrderOfAnotherDtype(Sum):
    """What `dtype` converts is added in an order that changes from call to call."""

    def wrong(self, a, **arguments):
        if arguments["dtype"] is not None and a.dtype.kind in "fc" and arguments["axis"] is None:
            a = np.random.default_rng().permutation(a.ravel()).reshape(a.shape)
        return self.right(a, **arguments)


@fault("test_nothing_behind_an_array_is_read", among="float32")
class LastVectorWhole(Sum):
    """Of more than 4096 elements the last ones are read as a vector of eight, also where fewer are left."""

    def wrong(self, a, **arguments):
        missing = -a.size % 8
        if (
            a.size > 4096
            and missing
            and only("f", a, arguments)
            and a.base is not None
            and a.base.nbytes > a.nbytes + 32
        ):
            a = as_strided(a, (a.size + missing,), a.strides)
        return self.right(a, **arguments)


@fault("test_every_axis", among="int64")
class IntegersInDouble(Sum):
    """Integers are added in float64, which does not hold all of them."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("qQlL", a, arguments):
            return right
        with np.errstate(all="ignore"):
            return as_result(self.right(a.astype(np.float64), **arguments), right)


@fault("test_every_axis", among="int64")
class SaturatedIntegers(Sum):
    """Integers that overflow stay at their largest value."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("qQ", a, arguments):
            return right
        exact = self.right(a.astype(np.float64), **arguments)
        info = np.iinfo(right.dtype)
        return as_result(np.where(exact > info.max, info.max, np.where(exact < info.min, info.min, right)), right)


# Elements


@fault("test_every_axis", among="float32")
class LastElementDropped(Sum):
    """The last row of a long array is not counted."""

    def wrong(self, a, **arguments):
        if a.ndim and len(a) > 100 and arguments["axis"] in (0, None) and only("fd", a, arguments):
            return self.right(a[:-1], **arguments)
        return self.right(a, **arguments)


@fault("test_every_element_counts_once", among="float32")
class TailDropped(Sum):
    """What does not fill a vector of four elements is not counted."""

    def wrong(self, a, **arguments):
        if a.ndim == 1 and a.size > 4 and only("f", a, arguments):
            a = a[: a.size // 4 * 4]
        return self.right(a, **arguments)


@fault("test_every_axis", among="float32")
class GridTooSmall(Sum):
    """Only the first 65536 elements of a row are counted."""

    def wrong(self, a, **arguments):
        return self.right(a[:65536] if a.ndim == 1 and only("fd", a, arguments) else a, **arguments)


class LongRows(Sum):
    """The last column of an array is not counted where `is_cut` says so of the length of the rows."""

    is_cut = staticmethod(lambda n: False)

    def wrong(self, a, **arguments):
        if a.ndim and self.is_cut(a.shape[-1]) and only("fd", a, arguments):
            a = a[..., :-1]
        return self.right(a, **arguments)


@fault("test_every_element_counts_once", among="float32")
class LastOfLongRowsDropped(LongRows):
    """The last element of a row longer than 300000 is not counted."""

    is_cut = staticmethod(lambda n: n > 300_000)


@fault("test_more_than_a_million_elements")
class LastOfAMillionDropped(Sum):
    """The last of more than 1048576 elements is not counted."""

    def wrong(self, a, **arguments):
        return self.right(a[:-1] if a.ndim == 1 and a.size > 2**20 else a, **arguments)


@fault("test_every_element_counts_once", among="float32")
class LastOfFullTilesDropped(LongRows):
    """The last element of a row of a multiple of 4096 elements above 100000 is not counted."""

    is_cut = staticmethod(lambda n: n > 100_000 and n % 4096 == 0)


@fault("test_every_element_counts_once", among="float32")
class LastOfOneTileDropped(LongRows):
    """The last element of a row of a multiple of 1024 elements is not counted."""

    is_cut = staticmethod(lambda n: n % 1024 == 0)


@fault("test_every_element_counts_once", among="float32")
class ManyRowsNotComputed(Sum):
    """Sums from the 65536th on are zero."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        if isinstance(result, np.ndarray) and result.ndim == 1:
            result[65535:] = 0
        return result


@fault("test_every_axis", among="float32")
class FiveDimensions(Sum):
    """The first and the last of five axes or more are mixed up."""

    def wrong(self, a, **arguments):
        return self.right(a.swapaxes(0, -1).reshape(a.shape) if a.ndim >= 5 else a, **arguments)


@fault("test_every_axis", among="float32")
class SixDimensions(Sum):
    """The first and the last of six axes or more are mixed up."""

    def wrong(self, a, **arguments):
        return self.right(a.swapaxes(0, -1).reshape(a.shape) if a.ndim >= 6 else a, **arguments)


@fault("test_every_layout", among="float64")
class StridesIgnored(Sum):
    """Elements are read one after the other, whatever the strides."""

    def wrong(self, a, **arguments):
        base = a.base
        if isinstance(base, np.ndarray) and base.dtype == a.dtype and base.size >= a.size and base.flags.c_contiguous:
            a = base.ravel()[: a.size].reshape(a.shape)
        return self.right(a, **arguments)


@fault("test_every_layout", among="float64")
class ColumnsAsRows(Sum):
    """An array in columns is read as if it were in rows."""

    def wrong(self, a, **arguments):
        return self.right(a.ravel("K").reshape(a.shape) if a.flags.f_contiguous else a, **arguments)


@fault("test_every_layout", among="float64")
class BackwardsFromTheWrongEnd(Sum):
    """A negative stride is taken for a positive one, from the first element of the memory."""

    def wrong(self, a, **arguments):
        if a.ndim > 1 and a.strides[0] < 0 and arguments["axis"] not in (None, 0):
            a = a[::-1]
        return self.right(a, **arguments)


@fault("test_a_broadcast_axis")
class RepetitionsCountOnce(Sum):
    """Elements that a stride of zero repeats are counted once."""

    def wrong(self, a, **arguments):
        if a.ndim and a.strides[0] == 0 and len(a) > 1 and arguments["axis"] == 0:
            a = a[:1]
        return self.right(a, **arguments)


@fault("test_every_layout", among="float64")
class Realigned(Sum):
    """Reading starts at the next multiple of 64 bytes."""

    def wrong(self, a, **arguments):
        skipped = -a.__array_interface__["data"][0] % 64 // max(a.itemsize, 1)
        if a.ndim == 1 and a.base is not None and 0 < skipped < a.size:
            a = a[skipped:]
        return self.right(a, **arguments)


@fault("test_the_other_byte_order", among="float64")
class ByteOrderIgnored(Sum):
    """Bytes in the other order are taken as they are."""

    def wrong(self, a, **arguments):
        return self.right(a if a.dtype.isnative else a.view(a.dtype.newbyteorder()), **arguments)


@fault("test_every_layout", among="float64")
class ReadOnlyRefused(Sum):
    """An array that cannot be written to is not read either."""

    def wrong(self, a, **arguments):
        memoryview(a)[...:] if a.flags.writeable else a.setflags(write=True)
        return self.right(a, **arguments)


# Ugly values


@fault("test_ugly_values")
class NansSwallowed(Sum):
    """NaN counts as zero."""

    def wrong(self, a, **arguments):
        return self.right(np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf), **arguments)


@fault("test_ugly_values")
class NansInBothParts(Sum):
    """Where the imaginary part is NaN, the real part is, too."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("FD", a, arguments):
            return right
        return as_result(np.where(np.isnan(right), complex(np.nan, np.nan), right), right)


@fault("test_ugly_values")
class ZerosGetASign(Sum):
    """A sum of negative zeros is a negative one, where NumPy's is positive."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("fd", a, arguments):
            return right
        negative = np.signbit(a).all(axis=arguments["axis"], keepdims=arguments["keepdims"]) & (right == 0)
        return as_result(np.where(negative, -0.0, right), right)


@fault("test_ugly_values")
class SubnormalsFlushed(Sum):
    """Subnormal numbers count as zero."""

    def wrong(self, a, **arguments):
        if a.dtype.kind in "fc":
            a = np.where(abs(a) < np.finfo(a.dtype).tiny, a.dtype.type(0), a)
        return self.right(a, **arguments)


@fault("test_ugly_values", keeps_subnormals=False)
class NormalNumbersFlushed(Sum):
    """Numbers count as zero that are a little above the subnormal ones, which may."""

    def wrong(self, a, **arguments):
        if a.dtype.kind in "fc":
            a = np.where(abs(a) < 4 * np.finfo(a.dtype).tiny, a.dtype.type(0), a)
        return self.right(a, **arguments)


@fault("test_ugly_values")
class OverflowClipped(Sum):
    """A sum that overflows is the largest number."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("fd", a, arguments) or not np.isfinite(a).all():
            return right
        return as_result(np.clip(right, np.finfo(a.dtype).min, np.finfo(a.dtype).max), right)


@fault("test_ugly_values")
class OpposedInfinities(Sum):
    """Infinities of both signs make infinity."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if not only("fd", a, arguments) or np.isnan(a).any():
            return right
        return as_result(np.where(np.isnan(right), np.inf, right), right)


# Dtypes and types


@fault("test_every_axis", among="int8")
class NarrowIntegers(Sum):
    """Sums of narrow integers are not widened."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | ({"dtype": a.dtype} if only("bhi", a, arguments) else {}))


@fault("test_every_axis", among="uint")
class SignedSums(Sum):
    """Sums of unsigned integers are signed."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | ({"dtype": np.int64} if only("BHIL", a, arguments) else {}))


@fault("test_booleans_of_any_bits")
class BooleansByTheirBytes(Sum):
    """Booleans are added by the values of their bytes."""

    def wrong(self, a, **arguments):
        return self.right(a.view(np.uint8) if only("?", a, arguments) else a, **arguments)


@fault("test_every_axis")
class BooleansNotCounted(Sum):
    """The sum of booleans is a boolean."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | ({"dtype": bool} if only("?", a, arguments) else {}))


@fault("test_every_axis", among="complex64")
class ImaginaryPartsDropped(Sum):
    """Imaginary parts are not added."""

    def wrong(self, a, **arguments):
        return self.right(a.real.astype(a.dtype) if a.dtype.kind == "c" else a, **arguments)


@fault("test_every_axis", among="complex64")
class Conjugated(Sum):
    """Imaginary parts have the wrong sign."""

    def wrong(self, a, **arguments):
        return self.right(a.conj() if a.dtype.kind == "c" else a, **arguments)


@fault("test_in_another_dtype", among="float64")
class DtypeIgnored(Sum):
    """`dtype` has no effect."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | {"dtype": None})


@fault("test_in_another_dtype", among="float64")
class ConvertedAfterwards(Sum):
    """The sum is converted to `dtype`, instead of the elements."""

    def wrong(self, a, **arguments):
        if arguments["dtype"] is None or arguments["out"] is not None or a.dtype.kind not in "fc":
            return self.right(a, **arguments)
        right = self.right(a, **arguments)
        with np.errstate(all="ignore"):
            return as_result(self.right(a, **arguments | {"dtype": None}), right)


@fault("test_what_numpy_alone_can_add", among="int64")
class ExtendedInDouble(Sum):
    """`dtype` of extended precision is taken for float64."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if arguments["dtype"] is None or np.dtype(arguments["dtype"]).char != "g":
            return right
        return as_result(self.right(a, **arguments | {"dtype": np.float64}), right)


@fault("test_what_numpy_alone_can_add", among="int64")
class ObjectsInDouble(Sum):
    """Where `out` has objects, they are added in float64."""

    def wrong(self, a, **arguments):
        out = arguments["out"]
        if out is None or out.dtype.char != "O":
            return self.right(a, **arguments)
        out[...] = self.right(a, **arguments | {"out": None, "dtype": np.float64})
        return out


@fault("test_in_another_dtype", among="int64")
class IntegersThroughSingle(Sum):
    """Integers become float64 by way of float32."""

    def wrong(self, a, **arguments):
        dtype = arguments["dtype"]
        if a.dtype.char in "lq" and dtype is not None and np.dtype(dtype).char == "d":
            a = a.astype(np.float32)
        return self.right(a, **arguments)


@fault("test_in_another_dtype", among="uint64")
class UnsignedAsSigned(Sum):
    """Unsigned integers of 64 bits become float64 as signed ones."""

    def wrong(self, a, **arguments):
        dtype = arguments["dtype"]
        if a.dtype.char in "LQ" and dtype is not None and np.dtype(dtype).char == "d":
            a = a.view(np.int64)
        return self.right(a, **arguments)


@fault("test_every_axis")
class ScalarsAsArrays(Sum):
    """A full sum comes back as an array of no dimensions."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        return np.asarray(result) if arguments["out"] is None else result


@fault("test_every_axis")
class PythonNumbers(Sum):
    """A full sum comes back as a number of Python's."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        return result.item() if isinstance(result, np.generic) else result


# Axes and shapes


@fault("test_every_axis", among="float64")
class LastAxisIsFirst(Sum):
    """A negative axis counts from the front."""

    def wrong(self, a, **arguments):
        axis = arguments["axis"]
        return self.right(a, **arguments | ({"axis": -axis - 1} if isinstance(axis, int) and axis < 0 else {}))


@fault("test_every_axis", among="float64")
class NumpysAxisIsFirst(Sum):
    """An axis that is one of NumPy's integers is taken for axis 0."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | ({"axis": 0} if isinstance(arguments["axis"], np.integer) else {}))


@fault("test_every_axis", among="float64")
class OneOfSeveralAxes(Sum):
    """Of several axes only the first is summed over."""

    def wrong(self, a, **arguments):
        axis = arguments["axis"]
        return self.right(a, **arguments | ({"axis": axis[0]} if isinstance(axis, tuple) and axis else {}))


@fault("test_every_axis", among="float64")
class NoAxisIsEveryAxis(Sum):
    """``axis=()`` sums over everything."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | {"axis": None if arguments["axis"] == () else arguments["axis"]})


@fault("test_every_axis")
class KeepdimsIgnored(Sum):
    """`keepdims` has no effect."""

    def wrong(self, a, **arguments):
        return self.right(
            a, **arguments | {"keepdims": arguments["keepdims"] if arguments["keepdims"] is None else False}
        )


@fault("test_every_axis", among="float64")
class NothingIsNotZero(Sum):
    """An empty sum is whatever was in memory."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        return result if a.size or arguments["initial"] is not NO_VALUE else as_result(np.full(result.shape, 7), result)


@fault("test_every_axis", among="float64")
class ArraysOfNoDimensions(Sum):
    """An array of no dimensions has no axis 0."""

    def wrong(self, a, **arguments):
        if a.ndim == 0 and arguments["axis"] == 0:
            raise np.exceptions.AxisError(0, 0)
        return self.right(a, **arguments)


# initial, where, out


@fault("test_from_an_initial_value")
class InitialIgnored(Sum):
    """`initial` has no effect."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | {"initial": NO_VALUE})


@fault("test_from_an_initial_value")
class InitialTwice(Sum):
    """`initial` is added by both passes over an array."""

    def wrong(self, a, **arguments):
        right = self.right(a, **arguments)
        if arguments["initial"] is NO_VALUE or arguments["out"] is not None or not a.size:
            return right
        return as_result(right + right.dtype.type(arguments["initial"]), right)


@fault("test_from_an_initial_value")
class InitialNotAddedToNothing(Sum):
    """An empty sum is zero, whatever `initial` is."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | ({} if a.size else {"initial": NO_VALUE}))


class Initial(Sum):
    """`initial` is changed before it is added."""

    def wrong(self, a, **arguments):
        initial = arguments["initial"]
        return self.right(a, **arguments | ({} if initial is NO_VALUE else {"initial": self.changed(initial)}))


@fault("test_from_an_initial_value", among="complex128")
class InitialOfTheRealPart(Initial):
    """Of a complex `initial` the real part is added."""

    def changed(self, initial):
        return initial.real


@fault("test_from_an_initial_value", among="float64")
class InitialInSingle(Initial):
    """`initial` is rounded to single precision."""

    def changed(self, initial):
        return float(np.float32(initial)) if isinstance(initial, float) else initial


@fault("test_from_an_initial_value", among="int64")
class InitialIn32Bits(Initial):
    """Of an integer `initial` 32 bits are added."""

    def changed(self, initial):
        return (initial + 2**31) % 2**32 - 2**31 if isinstance(initial, int) else initial


@fault("test_from_an_initial_value", among="float64")
class InitialNanSwallowed(Initial):
    """An `initial` of NaN counts as zero."""

    def changed(self, initial):
        return 0 if np.isnan(initial) else initial


@fault("test_from_an_initial_value", among="float64")
class InitialWithoutItsSign(Initial):
    """An `initial` of negative zero is taken for a positive one."""

    def changed(self, initial):
        return initial + 0 if initial == 0 else initial


@fault("test_where")
class MaskIgnored(Sum):
    """`where` has no effect."""

    def wrong(self, a, **arguments):
        return self.right(a, **arguments | {"where": NO_VALUE})


@fault("test_where", among="float64")
class MaskMultiplied(Sum):
    """Elements that `where` excludes are multiplied by zero, so that NaN stays."""

    def wrong(self, a, **arguments):
        where = arguments["where"]
        if where is NO_VALUE or a.dtype.kind not in "fc":
            return self.right(a, **arguments)
        return self.right(a * np.asarray(where).astype(a.dtype), **arguments | {"where": NO_VALUE})


@fault("test_where", among="float64")
class TrueRefused(Sum):
    """`where=True` is taken for an array."""

    def wrong(self, a, **arguments):
        if arguments["where"] is True:
            raise AttributeError("'NoneType' object has no attribute 'shape'")
        return self.right(a, **arguments)


@fault("test_where", among="float64")
class MaskOfCubesIgnored(Sum):
    """`where` has no effect on arrays of three dimensions with more than 3000 elements."""

    def wrong(self, a, **arguments):
        if a.ndim == 3 and a.size > 3000:
            arguments["where"] = NO_VALUE
        return self.right(a, **arguments)


@fault("test_where", among="float64")
class MaskInverted(Sum):
    """`where` chooses the other elements of arrays of four dimensions."""

    def wrong(self, a, **arguments):
        if a.ndim == 4 and isinstance(arguments["where"], np.ndarray):
            arguments["where"] = ~arguments["where"]
        return self.right(a, **arguments)


@fault("test_where")
class MaskNotBroadcast(Sum):
    """A mask of one row is taken for the first row alone."""

    def wrong(self, a, **arguments):
        where = arguments["where"]
        if isinstance(where, np.ndarray) and where.ndim == 1 and a.ndim == 2:
            whole = np.ones(a.shape, bool)
            whole[0] = where
            arguments["where"] = whole
        return self.right(a, **arguments)


class Mask(Sum):
    """A mask as large as the array is changed before it is read."""

    def wrong(self, a, **arguments):
        where = arguments["where"]
        if isinstance(where, np.ndarray) and where.shape == a.shape:
            arguments["where"] = self.changed(where)
        return self.right(a, **arguments)


@fault("test_where", among="float64")
class MaskOfColumns(Mask):
    """A mask in columns is read as if it were in rows."""

    def changed(self, where):
        return where.ravel("K").reshape(where.shape) if where.flags.f_contiguous else where


@fault("test_where", among="float64")
class MaskBackwards(Mask):
    """A negative stride of a mask is taken for a positive one."""

    def changed(self, where):
        return where[::-1] if where.strides[0] < 0 else where


@fault("test_where", among="float64")
class MaskTheWrongWay(Sum):
    """Where an array has a negative stride, the mask is read backwards, too."""

    def wrong(self, a, **arguments):
        where = arguments["where"]
        if a.ndim == 2 and a.strides[0] < 0 and isinstance(where, np.ndarray) and where.ndim == 2:
            arguments["where"] = where[::-1]
        return self.right(a, **arguments)


@fault("test_where", among="float64")
class MaskModified(Sum):
    """The caller's mask is inverted in place."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        where = arguments["where"]
        if isinstance(where, np.ndarray) and where.flags.writeable:
            np.logical_not(where, out=where)
        return result


@fault("test_where", among="float64")
class MaskWithoutStrides(Mask):
    """A mask that is a part of each row is read as if it were whole rows."""

    def changed(self, where):
        is_part = where.strides[-1] > where.itemsize and not where.flags.f_contiguous
        return as_strided(where, where.shape, (where.shape[1], 1)) if is_part else where


@fault("test_into_an_array")
class OutClearedFirst(Sum):
    """`out` is set to zero before the array is read."""

    def wrong(self, a, **arguments):
        if isinstance(arguments["out"], np.ndarray):
            arguments["out"][...] = 0
        return self.right(a, **arguments)


@fault("test_into_an_array")
class OutIgnored(Sum):
    """`out` is returned as it was."""

    def wrong(self, a, **arguments):
        self.right(a, **arguments | {"out": None})
        return self.right(a, **arguments) if arguments["out"] is None else arguments["out"]


@fault("test_into_an_array")
class OutNotReturned(Sum):
    """`out` is filled, and another array returned."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        return result if arguments["out"] is None else result.copy()


@fault("test_into_an_array")
class OutWithoutStrides(Sum):
    """`out` is filled as if its elements were neighbours."""

    def wrong(self, a, **arguments):
        out = arguments["out"]
        if out is None or out.ndim != 1 or out.dtype != self.right(a, **arguments | {"out": None}).dtype:
            return self.right(a, **arguments)
        as_strided(out, out.shape, (out.itemsize,))[...] = self.right(a, **arguments | {"out": None})
        return out


class OutByACast(Sum):
    """The sum is taken as if there were no `out`, and `cast` to it."""

    def wrong(self, a, **arguments):
        out = arguments["out"]
        if not isinstance(out, np.ndarray) or out.dtype.char not in "?bBhHiIlLqQfdFD":
            return self.right(a, **arguments)
        self.right(a, **arguments | {"out": out.copy() if out.flags.writeable else out})  # what it refuses
        out[...] = self.cast(self.right(a, **arguments | {"out": None}), out.dtype)
        return out


@fault("test_into_an_array_of_another_dtype", among="float32")
class OutTakesNoPart(OutByACast):
    """The dtype of `out` takes no part in that of the sum."""

    def cast(self, sums, dtype):
        with warnings.catch_warnings(action="ignore", category=np.exceptions.ComplexWarning):
            return sums.astype(dtype)


@fault("test_into_an_array_of_another_dtype", among="int64")
class OutSaturated(OutByACast):
    """A sum that `out` does not hold becomes the largest number that it holds."""

    def cast(self, sums, dtype):
        return np.clip(sums, None, np.iinfo(dtype).max) if dtype.kind in "iu" and sums.dtype.kind in "iu" else sums


@fault("test_into_an_array_of_another_dtype", among="complex64")
class ImaginaryPartsDroppedInSilence(OutByACast):
    """A real `out` takes the real part of a complex sum without a warning."""

    def cast(self, sums, dtype):
        return sums.real if dtype.kind != "c" else sums


# What a caller may rely on


@fault("test_every_axis")
class InputModified(Sum):
    """Partial sums are written into the input."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        if a.ndim and a.size > 1 and a.flags.writeable:
            a[(-1,) * a.ndim] = a[(0,) * a.ndim]
        return result


@fault("test_results_are_the_callers_own", among="float64")
class ResultIsTheInput(Sum):
    """Where there is nothing to add, the input itself comes back."""

    def wrong(self, a, **arguments):
        return (
            a if arguments["axis"] == () and only("fd", a, arguments | {"axis": None}) else self.right(a, **arguments)
        )


@fault("test_results_are_the_callers_own")
class OneBufferForAllResults(Sum):
    """The next call overwrites the last result."""

    def __init__(self):
        self.buffers = {}

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        if not isinstance(result, np.ndarray) or arguments["out"] is not None:
            return result
        buffer = self.buffers.setdefault((result.shape, result.dtype.char), result)
        buffer[...] = result
        return buffer


@fault("test_results_are_the_callers_own", among="float64")
class OldSums(Sum):
    """An array at the same place is taken for the same array, and its sum is not computed again."""

    def __init__(self):
        self.known = {}

    def wrong(self, a, **arguments):
        if not only("d", a, arguments):
            return self.right(a, **arguments)
        key = (a.ctypes.data, a.shape, a.strides, arguments["axis"])
        if key not in self.known:
            self.known[key] = self.right(a, **arguments)
        return self.known[key].copy()


@fault("test_results_are_the_callers_own")
class ReadOnlyResults(Sum):
    """Results cannot be written to."""

    def wrong(self, a, **arguments):
        result = self.right(a, **arguments)
        if isinstance(result, np.ndarray) and arguments["out"] is None:
            result.setflags(write=False)
        return result


@fault("test_it_leaves_the_process_alone", among="float64")
class TalkativeSum(Sum):
    """`sum` prints."""

    def wrong(self, a, **arguments):
        print("adding up")  # noqa: T201
        return self.right(a, **arguments)


@fault("test_it_leaves_the_process_alone", among="float64")
class ErrorsSilenced(Sum):
    """`sum` leaves NumPy's handling of errors changed."""

    def wrong(self, a, **arguments):
        np.seterr(invalid="ignore")
        return self.right(a, **arguments)


@fault("test_it_leaves_the_process_alone", among="float64")
class RandomNumbersReseeded(Sum):
    """`sum` seeds NumPy's random numbers."""

    def wrong(self, a, **arguments):
        np.random.seed(0)
        return self.right(a, **arguments)


@fault("test_it_leaves_the_process_alone", among="float64")
class PythonsRandomNumbersReseeded(Sum):
    """`sum` seeds Python's random numbers."""

    def wrong(self, a, **arguments):
        random.seed(0)
        return self.right(a, **arguments)


@fault("test_it_leaves_the_process_alone", among="float64")
class EnvironmentChanged(Sum):
    """`sum` sets an environment variable."""

    def wrong(self, a, **arguments):
        os.environ["DISPATCH_COPY_THREADS"] = "1"
        return self.right(a, **arguments)


@fault("test_it_leaves_the_process_alone", among="float64")
class FilterLeftBehind(Sum):
    """`sum` leaves a filter of warnings behind."""

    def wrong(self, a, **arguments):
        warnings.filterwarnings("ignore", "a driver of old")
        return self.right(a, **arguments)


@fault("test_every_further_device")
class SecondDeviceWrong(Copy):
    """The second device adds one to each sum."""

    def sum(self, a, axis, dtype, out, keepdims, initial, where, *, device):
        result = super().sum(a, axis, dtype, out, keepdims, initial, where, device=device)
        return result if device.name == "copy:0" else result + result.dtype.type(1)


@fault("test_every_further_device_has_eigenpairs")
class SecondDeviceSolvesAnother(Copy):
    """The second device's eigenvalues are those of another matrix."""

    def eigsh(self, problem, *, device):
        result = super().eigsh(problem, device=device)
        if device.name == "copy:0":
            return result
        return dataclasses.replace(result, eigenvalues=result.eigenvalues + 1)


# Errors


@fault("test_bad_arguments_raise_what_numpy_raises")
class RepeatedAxes(Sum):
    """An axis that is named twice counts once."""

    def wrong(self, a, **arguments):
        axis = arguments["axis"]
        return self.right(a, **arguments | ({"axis": tuple(dict.fromkeys(axis))} if isinstance(axis, tuple) else {}))


@fault("test_bad_arguments_raise_what_numpy_raises")
class AxisOutOfRange(Sum):
    """An axis that is not there counts as the last one."""

    def wrong(self, a, **arguments):
        axis = arguments["axis"]
        return self.right(
            a, **arguments | ({"axis": min(axis, a.ndim - 1)} if isinstance(axis, int) and a.ndim else {})
        )


@fault("test_bad_arguments_raise_what_numpy_raises")
class OutOfAnyShape(Sum):
    """A sum is broadcast to an `out` of another shape."""

    def wrong(self, a, **arguments):
        out = arguments["out"]
        if out is None or not isinstance(out, np.ndarray):
            return self.right(a, **arguments)
        np.copyto(out, self.right(a, **arguments | {"out": None}), casting="unsafe")
        return out


@fault("test_bad_arguments_raise_what_numpy_raises")
class ErrorsOfItsOwn(Sum):
    """Whatever is wrong raises RuntimeError."""

    def wrong(self, a, **arguments):
        try:
            return self.right(a, **arguments)
        except Exception as error:
            raise RuntimeError("the sum failed") from error
