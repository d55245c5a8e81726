"""`sum`: NumPy's meaning on every dtype, axis and layout, at least pairwise accuracy, the same bits every time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dispatch
from dispatch.operations.call import describe
from dispatch.reduction import operation_dtype
from dispatch.testing.base import Conformance, random_array
from dispatch.testing.comparison import assert_near, assert_same
from dispatch.testing.process import process_left_alone
from dispatch.testing.reference import allowed_error, exact_sum, sum_of_sizes, unit_roundoff

ALL_DTYPES = "?bBhHiIlLqQefdFD"

AXES: list[tuple[tuple[int, ...], Any]] = [
    ((1,), None),
    ((1000,), 0),
    ((70001,), None),
    ((300, 40), 0),
    ((300, 40), -1),
    ((300, 40), np.int64(1)),
    ((3, 20000), 1),
    ((20000, 3), 0),
    ((20000, 3), 1),
    ((7, 300, 5), 1),
    ((7, 300, 5), (0, 2)),
    ((4, 5, 6, 7), (1, -1)),
    ((4, 5, 6, 7), (0, 1)),
    ((4, 5, 6, 7), None),
    ((2, 3, 4, 2, 3), (0, 3)),
    ((2, 3, 4, 2, 3, 5), (1, 4)),
    ((4, 5), ()),
    ((), None),
    ((), 0),
    ((0,), None),
    ((0, 4), 0),
    ((4, 0), 0),
    ((1, 1, 9, 1), 2),
]
"""Shapes and axes: each shape of a reduction after axes are merged, few and many groups, and nothing at all."""

LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "contiguous": lambda a: a,
    "in columns": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "every third row": lambda a: np.repeat(a, 3, axis=0)[::3],
    "a part of each row": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
    "off alignment": lambda a: np.concatenate([a[:1], a])[1:],
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "read only": lambda a: _read_only(a),
}
"""Views with the elements of an array in other places."""


def _read_only(a: NDArray[Any]) -> NDArray[Any]:
    view = a.view()
    view.flags.writeable = False
    return view


def _described(a: NDArray[Any], arguments: dict[str, Any]) -> str:
    """Return the call in words, with what a failure may depend on and without the elements of the mask."""
    words = [f"{name}={value!r}" for name, value in arguments.items() if name != "where"]
    if "where" in arguments:
        mask = arguments["where"]
        words.append(f"where of shape {np.shape(mask)} and strides {getattr(mask, 'strides', ())}")
    described = f"sum of {a.dtype} of shape {a.shape} and strides {a.strides}"
    return f"{described} with {', '.join(words)}" if words else described


class SumConformance(Conformance):
    """`dispatch.sum` on the backend under test, against `numpy.sum` and exact sums."""

    @pytest.fixture(params=ALL_DTYPES, ids=lambda char: np.dtype(char).name + f"-{char}")
    def sum_dtype(self, request: pytest.FixtureRequest) -> np.dtype[Any]:
        """Return a dtype that is declared; one that is not must be refused, and the test ends."""
        if "sum" not in self.operations:
            pytest.skip("not declared")
        if request.param not in self.sum_dtypes:
            ones = np.ones(10, request.param)
            self.refused(lambda: dispatch.sum(ones, backend=self.backend), f"sum of {ones.dtype}")
            pytest.skip("not declared, and refused")
        return np.dtype(str(request.param))

    def check_sum(self, a: NDArray[Any], on: str = "", **arguments: Any) -> None:
        """Assert that the sum is NumPy's in dtype, shape and value, and that array and mask are as they were.

        Integers are equal to the bit; finite floating-point sums as near to the exact sum as the contract says. It runs
        on the device `on`, by default on the first.
        """
        call = _described(a, arguments) + (f" on {on}" if on else "")
        where = arguments.get("where", True)
        before, marks = a.copy(), np.copy(where)
        with np.errstate(all="ignore"):  # overflow is part of the input
            expected = np.sum(a, **arguments)
            actual = dispatch.sum(a, **arguments, backend=on or self.backend)
        assert type(actual) is type(expected), f"{call} is a {type(actual).__name__}, not a {type(expected).__name__}"
        assert actual.dtype == expected.dtype, f"{call} has dtype {actual.dtype}, expected {expected.dtype}"
        assert actual.shape == expected.shape, f"{call} has shape {actual.shape}, expected {expected.shape}"
        np.testing.assert_array_equal(a, before, err_msg=f"{call}: the input was modified")
        np.testing.assert_array_equal(where, marks, err_msg=f"{call}: the mask was modified")
        if expected.dtype.kind in "fc":
            self._check_accuracy(call, actual, expected, a, **arguments)
        else:
            np.testing.assert_array_equal(actual, expected, err_msg=call)

    def _check_accuracy(
        self,
        call: str,
        actual: Any,
        expected: Any,
        a: NDArray[Any],
        *,
        axis: Any = None,
        initial: Any = 0,
        where: Any = True,
        **_: Any,
    ) -> None:
        dtype = expected.dtype
        with np.errstate(all="ignore"):
            elements = np.where(where, a.astype(dtype), dtype.type(0))
            start = dtype.type(initial)
        if np.isfinite(elements).all() and np.isfinite(expected).all():
            sums = exact_sum(elements, axis)
            exact = sums + start
            allowed = allowed_error(elements, axis, sums)
            if initial != 0:  # which is added last, and rounds once more
                allowed = allowed + unit_roundoff(dtype) * abs(exact)
            found = np.asarray(actual, exact.dtype).reshape(exact.shape)
            assert_near(call, found, exact, allowed * (1 + 1e-12))
            return
        # What is not finite has no exact reference: NumPy's own accuracy is the measure, in each part by itself.
        eps = float(np.finfo(dtype).eps)
        size = float(abs(elements[np.isfinite(elements)].astype(complex)).sum())
        for part in ("real", "imag"):
            found, right = getattr(actual, part), getattr(expected, part)
            np.testing.assert_allclose(found, right, rtol=32 * eps, atol=32 * eps * size, err_msg=call)

    @pytest.mark.parametrize(("shape", "axis"), AXES, ids=[f"{shape} over {axis!r}" for shape, axis in AXES])
    def test_every_axis(self, sum_dtype: np.dtype[Any], shape: tuple[int, ...], axis: Any) -> None:
        """Full, inner, outer and middle reductions; several axes; none; empty arrays; with and without keepdims."""
        a = random_array(sum_dtype, shape)
        self.check_sum(a, axis=axis)
        self.check_sum(a, axis=axis, keepdims=True)

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("shape", [(5000,), (40, 130), (9, 31, 17)], ids=str)
    def test_every_layout(self, sum_dtype: np.dtype[Any], shape: tuple[int, ...], layout: str) -> None:
        """Elements anywhere in memory: the sum sees the view, not what lies around it."""
        a = LAYOUTS[layout](random_array(sum_dtype, shape))
        for axis in (None, *range(a.ndim)):
            self.check_sum(a, axis=axis)

    def test_every_element_counts_once(self, sum_dtype: np.dtype[Any]) -> None:
        """Arrays of ones around the sizes that a kernel may be tiled by, where nothing is rounded."""
        large = () if sum_dtype.char == "e" else (75 * 4096,)  # a multiple of every tile
        for n in (1, 2, 3, 5, 15, 16, 17, 31, 33, 64, 65, 127, 255, 257, 1023, 1025, 2047, 2048, *large):
            ones = np.ones((n, 3), sum_dtype)
            for a, axis in ((ones[:, 0].copy(), 0), (ones, 0), (ones, 1), (np.ascontiguousarray(ones.T), 1)):
                if n not in large:  # where what follows says it all
                    self.check_sum(a, axis=axis)
                expected = np.sum(a, axis=axis)
                actual = dispatch.sum(a, axis=axis, backend=self.backend)
                assert_near(f"sum of ones of shape {a.shape} over axis {axis}", actual, expected, 0)

    def test_nothing_behind_an_array_is_read(self, sum_dtype: np.dtype[Any]) -> None:
        """Of an array that ends within memory that goes on, the last elements are the last ones, at any length."""
        poison = np.nan if sum_dtype.kind in "fc" else True if sum_dtype.kind == "b" else np.iinfo(sum_dtype).max
        memory = np.full(2**15, poison, sum_dtype)
        for length in sorted(2**power + more for power in (4, 6, 8, 10, 12, 14) for more in (1, 5, 77)):
            memory[:length] = 1
            a, marks = memory[:length], np.ones(memory.shape, bool)[:length]
            calls: tuple[dict[str, Any], ...] = ({}, {"where": marks})
            for arguments in calls:
                actual = dispatch.sum(a, **arguments, backend=self.backend)
                assert_near(_described(a, arguments), actual, length, 0 if sum_dtype.char != "e" else length / 2**11)

    def test_more_than_a_million_elements(self) -> None:
        """A long array is counted to its end, which fills no tile."""
        if "sum" not in self.operations:
            pytest.skip("not declared")
        a = np.ones(2**20 + 3, min(self.sum_dtypes, key=lambda char: (char in "e?", np.dtype(char).itemsize)))
        assert_near(_described(a, {}), dispatch.sum(a, backend=self.backend), a.size, 0)

    def test_the_other_byte_order(self, sum_dtype: np.dtype[Any]) -> None:
        """Elements in the byte order of other machines, such as a file holds them, are understood or refused."""
        a = random_array(sum_dtype, (30, 11)).astype(sum_dtype.newbyteorder())
        if a.dtype.isnative:
            pytest.skip("a byte has no order")
        try:
            dispatch.sum(a, backend=self.backend)
        except dispatch.UnsupportedCallError:
            self.refused(lambda: dispatch.sum(a, backend=self.backend), f"sum of {a.dtype}")
        else:
            for axis in (None, 0, 1):
                self.check_sum(a, axis=axis)

    def test_results_are_the_callers_own(self, sum_dtype: np.dtype[Any]) -> None:
        """A result can be written to, and shares memory neither with the input nor with the next result."""
        a = random_array(sum_dtype, (30, 11))
        for axis in (0, 1, ()):
            first = dispatch.sum(a, axis=axis, backend=self.backend)
            kept = first.copy()
            second = dispatch.sum(a[::-1] if axis == 1 else a, axis=axis, backend=self.backend)
            assert first.flags.writeable, f"the sum over axis={axis} is read-only"
            assert not np.may_share_memory(first, a), f"the sum over axis={axis} shares memory with the input"
            assert not np.may_share_memory(first, second), f"two sums over axis={axis} share memory"
            np.testing.assert_array_equal(first, kept, err_msg="the next call changed a result")
        a[:15] = a[15:]  # the same array with other elements
        self.check_sum(a, axis=0)

    def test_a_broadcast_axis(self, sum_dtype: np.dtype[Any]) -> None:
        """A stride of zero repeats elements."""
        a = np.broadcast_to(random_array(sum_dtype, (1, 30)), (50, 30))
        for axis in (None, 0, 1):
            self.check_sum(a, axis=axis)

    @pytest.mark.parametrize("target", ALL_DTYPES)
    def test_in_another_dtype(self, sum_dtype: np.dtype[Any], target: str) -> None:
        """`dtype` converts each element before it is added."""
        if target not in self.sum_dtypes:
            pytest.skip("not declared")
        if sum_dtype.kind == "c" and target not in "FD":
            pytest.skip("discards the imaginary part")
        a = np.asarray(random_array(np.int8, (30, 11)) % 7, sum_dtype)
        if sum_dtype.kind in "fc":
            a += sum_dtype.type(0.75)  # which an integer does not hold
        if sum_dtype.kind in "iu":
            a[1, 1] = np.iinfo(sum_dtype).max
        if sum_dtype.kind in "iu" and sum_dtype.itemsize >= 4:
            a[2, 2] = 2**24 + 1  # which float32 does not hold
        for axis in (None, 0, 1):
            self.check_sum(a, axis=axis, dtype=target)

    @pytest.mark.parametrize("target", "gGO")
    def test_what_numpy_alone_can_add(self, sum_dtype: np.dtype[Any], target: str) -> None:
        """Extended precision and objects, by `dtype` or `out`, are added as NumPy adds them, or refused."""
        if sum_dtype.kind == "c" and target == "g":
            pytest.skip("discards the imaginary part")
        a = np.ones((2, 3), sum_dtype)
        if sum_dtype.kind != "b":
            limits = np.iinfo(sum_dtype) if sum_dtype.kind in "iu" else np.finfo(sum_dtype)
            a[0] = min(2**53, int(limits.max))  # float64 does not hold 2**53 + 1
        if sum_dtype.kind == "c":
            a *= 1 + 1j
        for axis in (None, 0):
            expected = np.sum(a, axis=axis, dtype=target)
            for arguments in ({"dtype": target}, {"out": np.zeros(np.shape(expected), target)}):
                name = f"sum of {a.dtype} over axis={axis} with {next(iter(arguments))} of {np.dtype(target)}"

                def call(axis: Any = axis, arguments: Any = arguments) -> Any:
                    return dispatch.sum(a, axis=axis, **arguments, backend=self.backend)

                try:
                    actual = call()
                except dispatch.UnsupportedCallError:
                    self.refused(call, name)
                    continue
                assert "out" not in arguments or actual is arguments["out"], f"{name} is not out itself"
                if "dtype" in arguments:
                    assert type(actual) is type(expected), f"{name} is a {type(actual)}, not a {type(expected)}"
                np.testing.assert_array_equal(actual, expected, err_msg=name)

    def test_into_an_array(self, sum_dtype: np.dtype[Any]) -> None:
        """`out` is filled, whatever its strides, and returned itself."""
        a = random_array(sum_dtype, (30, 11))
        for axis in (None, 0, 1):
            expected = np.sum(a, axis=axis)
            room = np.zeros((*np.shape(expected), 2), expected.dtype)
            out = room[..., 0]
            assert dispatch.sum(a, axis=axis, out=out, backend=self.backend) is out
            np.testing.assert_array_equal(out, dispatch.sum(a, axis=axis, backend=self.backend))
            np.testing.assert_array_equal(room[..., 1], 0)
            b = a.copy()
            inside = b[0] if axis == 0 else b[:, 0] if axis == 1 else b[0, 0, ...]
            apart = dispatch.sum(a, axis=axis, out=inside.copy(), backend=self.backend)
            dispatch.sum(b, axis=axis, out=inside, backend=self.backend)
            np.testing.assert_array_equal(inside, apart, err_msg=f"`out` is a part of the array, axis={axis}")

    def test_into_an_array_of_another_dtype(self, sum_dtype: np.dtype[Any]) -> None:
        """`out` takes part in the dtype of the sum, which is then cast to that of `out`, as NumPy casts it."""
        small = np.asarray(np.arange(35).reshape(5, 7) % 4, sum_dtype)  # exact in every dtype, as are the sums
        if sum_dtype.kind in "fc":
            small += sum_dtype.type(0.75)
        if sum_dtype.kind == "c":
            small *= sum_dtype.type(1 - 1j)
        if sum_dtype.kind in "iu" and sum_dtype.itemsize > 1:
            small[2, 3] = 300  # which wraps around in 8 bits
        large = small.copy()
        if sum_dtype.kind in "fc":
            large[2, 3] = 2 / np.finfo(sum_dtype).eps  # with any other element, the sum needs a wider dtype
        for target in self.sum_dtypes:
            operation = operation_dtype(sum_dtype, None, np.dtype(target))
            widened = sum_dtype.kind in "fc" and np.finfo(operation).eps < np.finfo(sum_dtype).eps
            a = large if widened else small
            for axis in (None, 0):
                expected = np.zeros(() if axis is None else 7, target)
                out = expected.copy()
                call = _described(a, {"axis": axis}) + f" into an array of {out.dtype}"
                with warnings.catch_warnings(record=True) as theirs:
                    warnings.simplefilter("always")
                    np.sum(a, axis=axis, out=expected)
                with warnings.catch_warnings(record=True) as ours:
                    warnings.simplefilter("always")
                    try:
                        assert dispatch.sum(a, axis=axis, out=out, backend=self.backend) is out
                    except dispatch.UnsupportedCallError:
                        assert operation.char not in self.sum_dtypes, f"{call} is refused, which is declared"
                        continue
                np.testing.assert_array_equal(out, expected, err_msg=call)
                told, right = (any(w.category is np.exceptions.ComplexWarning for w in ws) for ws in (ours, theirs))
                assert told == right, f"{call} warns of a discarded imaginary part: {told}, expected {right}"

    def test_from_an_initial_value(self, sum_dtype: np.dtype[Any]) -> None:
        """`initial` is added last, in the dtype of the sum, also to nothing."""
        wide = 2**40 + 1 if sum_dtype.kind in "biu" else 1 / 3 + 0.7j if sum_dtype.kind == "c" else 1 / 3
        for shape in ((30, 11), (0, 11)):
            a = random_array(sum_dtype, shape)
            for axis in (None, 0, 1):
                self.check_sum(a, axis=axis, initial=3)
                self.check_sum(a, axis=axis, initial=wide)
        if sum_dtype.kind not in "fc":
            return
        ugly: list[complex] = [np.nan, -np.inf] + [complex(1, np.nan)] * (sum_dtype.kind == "c")
        # The sign of a sum of zeros is the library's own; that of a sum of nothing is the sign of `initial`.
        zeros: list[complex] = [-0.0] + [complex(-0.0, -0.0)] * (sum_dtype.kind == "c")
        for shape, values in (((30, 11), ugly), ((0, 11), ugly + zeros)):
            a = np.zeros(shape, sum_dtype)
            for initial in values:
                for axis in (None, 0, 1):
                    actual = dispatch.sum(a, axis=axis, initial=initial, backend=self.backend)
                    expected = np.sum(a, axis=axis, initial=initial)
                    assert_same(_described(a, {"axis": axis, "initial": initial}), actual, expected)

    def test_where(self, sum_dtype: np.dtype[Any]) -> None:
        """`where` chooses elements, broadcasts, and hides what it excludes, NaN or not."""
        a = random_array(sum_dtype, (30, 110))
        if sum_dtype.kind in "fc":
            a[3, 5] = np.nan
        masks = [np.random.default_rng(1).random(shape) < 0.5 for shape in ((30, 110), (110,), (30, 1), ())]
        masks[0][3, 5] = False
        for mask in masks:
            for axis in (None, 0, 1):
                self.check_sum(a, axis=axis, where=mask)
                self.check_sum(a, axis=axis, where=mask, initial=2)
        for layout in ("in columns", "reversed", "every second", "swapped axes"):
            for axis in (None, 0, 1):
                self.check_sum(a, axis=axis, where=LAYOUTS[layout](masks[0]))
                self.check_sum(LAYOUTS[layout](a), axis=axis, where=masks[0])
        for where in (True, np.True_, False):
            for axis in (None, 0, 1):
                self.check_sum(a[4:], axis=axis, where=where)
        for shape in ((15, 16, 17), (3, 4, 5, 60)):
            a, mask = random_array(sum_dtype, shape), np.random.default_rng(2).random(shape) < 0.5
            for axis in (None, 0, 1, -1):
                self.check_sum(a, axis=axis, where=mask)

    @pytest.mark.parametrize("dtype", [None, "?", "B", "f", "d"], ids=str)
    def test_booleans_of_any_bits(self, dtype: str | None) -> None:
        """A boolean, as a file or another library has left it, counts once, whatever the bits of its byte."""
        if "sum" not in self.operations or not {"?", dtype or "?"} <= set(self.sum_dtypes):
            pytest.skip("not declared")
        bits = np.random.default_rng(0).integers(0, 256, (40, 130), np.uint8)
        a = (bits * (bits % 3 > 0)).astype(np.uint8).view(bool)
        for view in (a, a.T, a[:, ::2]):
            for axis in (None, 0, 1):
                actual = dispatch.sum(view, axis=axis, dtype=dtype, backend=self.backend)
                expected = np.sum(view.view(np.uint8) != 0, axis=axis, dtype=dtype)
                np.testing.assert_array_equal(actual, expected, err_msg=f"axis={axis}")

    @pytest.mark.parametrize("char", "efdFD")
    def test_ugly_values(self, char: str) -> None:
        """NaN, infinities, signed zeros, subnormal and huge numbers."""
        if "sum" not in self.operations or char not in self.sum_dtypes:
            pytest.skip("not declared")
        dtype = np.dtype(char)
        info = np.finfo(dtype)
        rows = np.zeros((9, 100), dtype)
        rows[0, 17] = np.nan
        rows[1, 3] = np.inf
        rows[2, 3], rows[2, 99] = np.inf, -np.inf
        rows[3] = complex(-0.0, -0.0) if dtype.kind == "c" else -0.0
        rows[4] = info.smallest_subnormal if self.keeps_subnormals else info.tiny
        rows[5, 50], rows[5, 51] = info.max, -info.max
        rows[6] = info.max
        rows[7, ::2], rows[7, 1::2] = 1, -1
        rows[8, 17] = complex(1, np.nan) if dtype.kind == "c" else 1
        with np.errstate(all="ignore"):
            for axis, a in ((1, rows), (0, np.ascontiguousarray(rows.T))):
                actual, expected = dispatch.sum(a, axis=axis, backend=self.backend), np.sum(a, axis=axis)
                assert_same(_described(a, {"axis": axis}), actual, expected)
            for row in rows:
                assert_same(f"sum of {row}", dispatch.sum(row, backend=self.backend), np.sum(row))

    @pytest.mark.parametrize("char", "efdFD")
    def test_many_equal_terms_do_not_stall(self, char: str) -> None:
        """A running sum in one register stops growing at ``1/ε`` terms; the contract forbids it along any axis."""
        if "sum" not in self.operations or char not in self.sum_dtypes:
            pytest.skip("not declared")
        count = {"e": 60000}.get(char, 70000)
        tiny = np.finfo(char).eps / 4
        a = np.full((count, 2), tiny, char)
        a[0] = 1
        for array, axis in ((a, 0), (np.ascontiguousarray(a.T), 1), (a[:, :1].copy(), None)):
            self.check_sum(array, axis=axis)
        self.check_sum(a, axis=0, where=np.arange(count)[:, None] != 7)
        source = {"d": "f", "D": "F", "F": "D"}.get(char, "d")  # which holds the terms, too
        if source in self.sum_dtypes:
            self.check_sum(a.astype(source), axis=0, dtype=char)

    @pytest.mark.parametrize("char", "fF")
    def test_single_precision_is_accumulated_wider(self, char: str) -> None:
        """The halves of many elements cancel: rounded to float32, each would be off by more than all the rest."""
        if "sum" not in self.operations or char not in self.sum_dtypes:
            pytest.skip("not declared")
        values = np.random.default_rng(0).uniform(1, 2, (2**16, 5))
        values[2**15 :] *= -1
        a = np.asarray(values + 1j * values[::-1] if char == "F" else values, char)
        for array, axis in ((a, 0), (np.ascontiguousarray(a.T), 1), (a[:, 0].copy(), None)):
            exact, sizes = exact_sum(array, axis), sum_of_sizes(array, axis)
            actual = dispatch.sum(array, axis=axis, backend=self.backend)
            allowed = unit_roundoff(char) * (abs(exact) + sizes / 16)  # float32 throughout: 0.15 to 0.9 of the sizes
            assert_near(_described(array, {"axis": axis}), actual, exact, allowed)

    def test_the_same_input_gives_the_same_bits(self, sum_dtype: np.dtype[Any]) -> None:
        """Sums are deterministic, along every axis."""
        whole = random_array(sum_dtype, (2300, 133))
        part = whole[:300]
        target = "D" if sum_dtype.kind == "c" else "d"
        cases: list[tuple[np.ndarray[Any, Any], dict[str, Any]]] = [(whole, {}), (part, {"initial": 1})]
        cases.append((part, {"where": np.random.default_rng(1).random(part.shape) < 0.5}))
        cases += [(part, {"dtype": target})] if target in self.sum_dtypes else []
        for a, arguments in cases:
            # Two orders of a sum in pairs have the same bits one time in four; of many sums, never all.
            for axis, times in ((None, 16), (0, 3), (1, 3)):
                results = [dispatch.sum(a, axis=axis, **arguments, backend=self.backend) for _ in range(times)]
                call = _described(a, {"axis": axis, **arguments})
                assert len({np.asarray(result).tobytes() for result in results}) == 1, f"{call} changes"

    def test_device_arrays_stay_on_their_device(self, sum_dtype: np.dtype[Any]) -> None:
        """An array of the backend's own type gives one of that type, also where nobody asks for the backend."""
        for shape in ((300, 40), (0, 4)):
            a = random_array(sum_dtype, shape)
            array = self.to_device(a)
            for axis in (None, 0, 1):
                expected = dispatch.sum(a, axis=axis, backend=self.backend)
                actual = dispatch.sum(array, axis=axis)
                assert isinstance(actual, type(array))
                np.testing.assert_array_equal(self.to_host(actual), expected, strict=True)

    def test_it_leaves_the_process_alone(self, sum_dtype: np.dtype[Any], capfd: pytest.CaptureFixture[str]) -> None:
        """A sum prints nothing, and changes neither NumPy's handling of errors nor random numbers nor the environment.

        What compilers and drivers say is no different: a program's output is the program's.
        """
        a = random_array(sum_dtype, (30, 11))
        with process_left_alone("a sum", capfd):
            for axis in (None, 0, 1):
                dispatch.sum(a, axis=axis, backend=self.backend)

    def test_every_further_device(self) -> None:
        """Devices after the first one compute the same, in every dtype that they support."""
        if "sum" not in self.operations or len(self.devices()) == 1:
            pytest.skip("not declared, or one device alone")
        for device in self.devices()[1:]:
            for char in self.sum_dtypes:
                a = random_array(char, (300, 40))
                for axis in (None, 0, 1):
                    call = describe("sum", a, {} if axis is None else {"axis": axis})
                    if self.the_backend().supports(call, device) is True:
                        self.check_sum(a, axis=axis, on=device.name)

    def test_bad_arguments_raise_what_numpy_raises(self) -> None:
        """The same type of error, and no number."""
        if "sum" not in self.operations:
            pytest.skip("not declared")
        a = np.ones((3, 4), self.sum_dtypes[-1])
        cases: list[dict[str, Any]] = [
            {"axis": 2},
            {"axis": (0, 0)},
            {"axis": [0]},
            {"axis": 0.5},
            {"out": np.zeros(3)},
            {"axis": 0, "out": np.zeros(3, a.dtype)},
            {"axis": 0, "out": [0] * 4},
            {"axis": 0, "out": np.zeros(4, "S8")},
            {"axis": 0, "out": np.zeros(4, "M8[s]")},
            {"axis": 0, "out": _read_only(np.zeros(4, a.dtype))},
            {"where": np.ones((5, 4), bool)},
            {"where": np.ones((3, 4), int)},
            {"dtype": "S1"},
            {"dtype": "nonsense"},
            {"initial": "a"},
            {"keepdims": None},
        ]
        for arguments in cases:
            with pytest.raises(Exception) as theirs:  # noqa: PT011 - whichever it is
                np.sum(a, **arguments)
            with pytest.raises(type(theirs.value)):
                dispatch.sum(a, **arguments, backend=self.backend)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_it_is_numpys(self, data: st.DataObject) -> None:
        """Any small array, any arguments."""
        if "sum" not in self.operations:
            pytest.skip("not declared")
        char = data.draw(st.sampled_from(self.sum_dtypes))
        shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
        a = random_array(char, shape, seed=data.draw(st.integers(0, 99)))
        if a.ndim:
            a = a[data.draw(hnp.basic_indices(shape, allow_ellipsis=False))]
        a = np.asarray(a)
        arguments: dict[str, Any] = {"keepdims": data.draw(st.booleans())}
        arguments["axis"] = data.draw(
            st.none()
            | (hnp.valid_tuple_axes(a.ndim) if a.ndim else st.just(()))
            | (st.integers(-a.ndim, a.ndim - 1) if a.ndim else st.none())
        )
        if data.draw(st.booleans()):
            arguments["initial"] = data.draw(st.integers(0, 100))
        if data.draw(st.booleans()):
            arguments["where"] = (
                data.draw(hnp.arrays(bool, hnp.broadcastable_shapes(a.shape, max_dims=a.ndim, max_side=5)))
                if a.ndim
                else True
            )
            if np.broadcast_shapes(np.shape(arguments["where"]), a.shape) != a.shape:
                del arguments["where"]
        self.check_sum(a, **arguments)
