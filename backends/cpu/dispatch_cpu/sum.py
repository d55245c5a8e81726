"""`sum` on the host: NumPy where it is as accurate and as fast, otherwise sums of rows in chunks over all cores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dispatch.reduction import Reduction, prepare
from dispatch_cpu import kernels, recipes, row_sums, summation
from dispatch_cpu.parallel import run_over_rows

NO_VALUE: Any = np._NoValue
"""NumPy's mark for an argument that was left out."""

PACKED = 1 << 16
"""Elements that are copied into one buffer, about, where no kernel can walk the strides."""


def sum_array(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    """Return ``numpy.sum`` of a plain ndarray, as accurate as the documentation says."""
    if dtype is None and out is None and initial is NO_VALUE and where is NO_VALUE:
        char, size = a.dtype.char, a.size
        if (
            char == "f"
            and 0 < size < VECTOR
            and (axis is None or (a.ndim == 1 and type(axis) is int and axis in (0, -1)))
            and keepdims is False
            and a.flags.c_contiguous
        ):
            result = _sum_vector(a)
            if result is not None:
                return result
        if size < SMALL or (
            size < UNHURRIED.get(char, 0) and (a.ndim == 1 or _adds_accurately(a, axis, char, masked=False))
        ):
            return _sum_small(a, axis, keepdims)
        if type(axis) is int or axis is None:
            key = (a.shape, a.strides, a.dtype.num, a.dtype.isnative, axis, keepdims)
            route = _routes.get(key)
            if route is None:
                if len(_routes) >= ROUTES:
                    _routes.clear()
                route = _routes[key] = _route(a, axis, keepdims)
            if route:
                result = route.take(a)
                if result is not None:
                    return result
    elif _numpy_is_accurate(a, axis, dtype, out, where):
        mask = True if where is NO_VALUE else where
        return np.add.reduce(a, axis, dtype, out, keepdims, initial, mask)  # type: ignore[call-overload]
    elif _is_only_stored(a, dtype, out, initial, where):
        sums = sum_array(a, axis, None, None, keepdims, NO_VALUE, NO_VALUE)
        if sums.shape == out.shape:
            np.copyto(out, sums)
            return out
    return _sum_any(a, axis, dtype, out, keepdims, initial, where)


SMALL = 2048
"""Elements below which NumPy is called, in a wider dtype where there is one."""

VECTOR = 1 << 16
"""Elements below which a float32 vector has a kernel that costs little to call."""

PATIENCE = 64
"""How many sums of a few float32 elements a process takes before it asks for that kernel."""

UNHURRIED = dict.fromkeys("?bBhHiIlLqQ", 1 << 14) | {"d": 1 << 20, "D": 1 << 19}
"""Elements, by character of the dtype, below which no kernel is faster where NumPy adds accurately in that dtype."""

ROUTES = 4096
"""How many layouts are remembered."""

WIDER: dict[str, Any] = {"e": np.float64, "f": np.float64, "F": np.complex128}
"""The dtypes in which NumPy adds a few elements, by character."""

_routes: dict[Any, Any] = {}

_small_vectors = itertools.count()


def _sum_vector(a: NDArray[np.float32]) -> np.float32 | None:
    """Return the sum of all elements of a C-contiguous array; None where it is not finite."""
    vector = a if a.ndim == 1 else a.reshape(-1)
    if not (a.dtype.isnative and a.flags.aligned):
        vector = vector.astype(np.float32)
    kernel = _routes.get("vector")
    if kernel is None and (a.size >= SMALL or next(_small_vectors) >= PATIENCE):
        kernel = kernels.find(*recipes.VECTOR)
        if kernel is not None:
            _routes["vector"] = kernel
    if kernel is None:
        double = np.dtype(np.float64)
        total = summation.sum_rows(vector.reshape(1, -1, 1), double, double).item() + 0.0
    else:
        total = kernel(vector)
    return np.float32(total) if total - total == 0 else None


def _is_only_stored(a: NDArray[Any], dtype: Any, out: Any, initial: Any, where: Any) -> bool:
    """Whether the sum is what it would be without `out`, which takes it as it is."""
    return (
        type(out) is np.ndarray
        and out.flags.writeable
        and a.dtype.char in "efdFD"
        and out.dtype.char == a.dtype.char
        and dtype is None
        and initial is NO_VALUE
        and where is NO_VALUE
    )


def _numpy_is_accurate(a: NDArray[Any], axis: Any, dtype: Any, out: Any, where: Any) -> bool:
    """Whether the sum is of a few elements, and NumPy adds them as accurately in the operation's own dtype."""
    if a.size >= SMALL or not (out is None or type(out) is np.ndarray):
        return False
    char = (a if dtype is None and out is None else out).dtype.char if dtype is None else np.dtype(dtype).char
    return _adds_accurately(a, axis, char, where is not NO_VALUE)


def _adds_accurately(a: NDArray[Any], axis: Any, char: str, masked: bool) -> bool:
    """Whether NumPy adds exactly, at most `SERIAL` elements, or in pairs: along the innermost axis in memory alone."""
    if char not in "dD":
        return char not in "efF"
    if type(axis) is int and -a.ndim <= axis < a.ndim:
        return (a.strides[axis] == a.itemsize and not masked) or a.shape[axis] <= summation.SERIAL
    return (axis is None and a.flags.forc and not masked) or a.size <= summation.SERIAL


def _sum_small(a: NDArray[Any], axis: Any, keepdims: Any) -> Any:
    """Return the sum of a few elements by NumPy."""
    char = a.dtype.char
    if char in WIDER:
        total = np.add.reduce(a, axis, WIDER[char], None, keepdims)  # type: ignore[call-overload]
        narrow = a.dtype.type
        return total.astype(narrow) if type(total) is np.ndarray else narrow(total)
    if not (a.ndim == 1 or _adds_accurately(a, axis, char, masked=False)):
        # NumPy adds in pairs only along the innermost axis in memory.
        if a.ndim == 2 and type(axis) is int and -2 <= axis < 2 and type(keepdims) is bool:
            total = np.add.reduce(np.ascontiguousarray(a.T if axis in (0, -2) else a), 1)
            return np.expand_dims(total, axis) if keepdims else total
        return _sum_any(a, axis, None, None, keepdims, NO_VALUE, NO_VALUE)
    return np.add.reduce(a, axis, None, None, keepdims)  # type: ignore[call-overload]


class _Route:
    """What was decided for a layout that one kernel can sum in one pass."""

    __slots__ = ("arguments", "c_contiguous", "direct", "element", "jobs", "kernel", "result", "shape", "total", "type")

    def __init__(self, jobs: row_sums.Jobs, reduction: Reduction, c_contiguous: bool) -> None:
        self.jobs = jobs
        self.kernel: Any = None
        self.c_contiguous = c_contiguous
        self.element = None if reduction.operand == jobs.recipe.element else jobs.recipe.element
        self.arguments = (*jobs.geometry, 0, jobs.count, *jobs.recipe.carriers)
        self.result = jobs.result
        self.direct = jobs.count <= jobs.a_task and jobs.shape[1] == 1
        self.shape = reduction.shape
        # Unsigned and complex sums are views of what the kernel writes.
        kind, itemsize = reduction.dtype.kind, np.dtype(jobs.result).itemsize
        self.total = np.dtype(f"{kind}{itemsize * (2 if kind == 'c' else 1)}") if kind in "uc" else None
        self.type = reduction.dtype.type

    def take(self, a: NDArray[Any]) -> Any:
        """Return the sum of `a`, or None if the kernel is not ready or the elements are not aligned."""
        kernel = self.kernel
        if kernel is None:
            kernel = self.kernel = self.jobs.find_kernel(masked=False)
        if kernel is None or not a.flags.aligned:
            return None
        x = a.reshape(-1) if self.c_contiguous else a.T.reshape(-1)
        if self.element is not None:
            x = x.view(self.element)
        x.flags.writeable = False
        jobs = self.jobs
        if self.direct:
            sums = np.empty(jobs.shape, self.result)
            strange = kernel(x, None, *self.arguments, sums)
        else:
            sums, strange = jobs.run(kernel, x, None)
        if strange:
            _report(sums, a)
        if jobs.shape[1] > 1:
            sums += 0  # the sum starts from 0, so it is never -0.0
        if self.total is not None:
            sums = sums.view(self.total)
        if not self.shape:
            return self.type(sums.item())
        return sums.reshape(self.shape).astype(self.type, copy=False)


def _route(a: NDArray[Any], axis: Any, keepdims: Any) -> _Route | Literal[False]:
    """Return the route for arrays like `a`: contiguous in either order, summed in one pass, the result in C order."""
    if not a.flags.forc:
        return False
    try:
        reduction = prepare(a, axis, None, None, keepdims)
    except (TypeError, ValueError):
        return False
    pattern, kept = reduction.layout.pattern, reduction.layout.kept
    if not _is_ours(reduction) or not _reads(a.dtype, reduction.dtype) or pattern not in ("R", "KR", "RK", "KRK"):
        return False
    if list(kept) != sorted(kept) or reduction.layout.factor != 1:
        return False
    extents = [group.extent for group in reduction.layout.groups]
    steps = [group.strides[0] for group in reduction.layout.groups]
    if pattern[-1] == "R":
        extents, steps = [*extents, 1], [*steps, 0]
    if pattern[0] == "R":
        extents, steps = [1, *extents], [0, *steps]
    jobs = in_place_jobs(tuple(extents), tuple(steps), a.dtype, recipes.recipe(a.dtype), finished=True)
    return False if jobs is None else _Route(jobs, reduction, a.flags.c_contiguous)


def _sum_any(a: NDArray[Any], axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    try:
        reduction = prepare(a, axis, dtype, out, keepdims, initial, where)
    except (TypeError, ValueError, OverflowError):
        reduction = None
    if reduction is None or not _is_ours(reduction):
        # Here are the errors too: NumPy words them.
        return np.sum(a, axis, dtype, out, keepdims, initial, where)
    raw = raw_sums(a, reduction)
    if raw.dtype.kind in "fc" and not np.isfinite(raw).all():
        _report(raw, a)
    return reduction.finish(raw)


def _is_ours(reduction: Reduction) -> bool:
    """Whether there is something to add, in an accumulator of ours, into a plain array."""
    return (
        reduction.accumulator is not None
        and reduction.dtype != np.bool_
        and "R" in reduction.layout.pattern
        and reduction.count * reduction.sums > 0
        and (reduction.out is None or (type(reduction.out) is np.ndarray and reduction.out.flags.writeable))
        and (reduction.where is None or isinstance(reduction.where, np.ndarray))
    )


def raw_sums(a: NDArray[Any], reduction: Reduction) -> NDArray[Any]:
    """Return the raw sums of `reduction`, in its accumulator's dtype."""
    layout = reduction.layout
    extents = [group.extent for group in layout.groups]
    elements = _view(a, layout.offsets[0], a.dtype, extents, [group.strides[0] for group in layout.groups])
    mask = None
    if reduction.where is not None:
        steps = [group.strides[1] for group in layout.groups]
        mask = _view(reduction.where, layout.offsets[1], np.dtype(np.bool_), extents, steps)
    reduced = [group.reduced for group in layout.groups]
    dtype = reduction.dtype
    while True:
        # The innermost reduced group is summed; what is kept inside it are columns.
        rows = len(reduced) - 1 - reduced[::-1].index(True)
        inner = rows == len(reduced) - 1
        others = [group for group in range(len(reduced)) if group != rows and (inner or group < len(reduced) - 1)]
        order = [*others, rows] if inner else [*others, rows, len(reduced) - 1]
        elements = elements.transpose(order)
        mask = None if mask is None else mask.transpose(order)
        if inner:
            elements = elements[..., None]
            mask = None if mask is None else mask[..., None]
        sums = _sum_rows(elements, mask, dtype)
        reduced = [reduced[group] for group in others] + ([] if inner else [False])
        if not any(reduced):
            return sums
        elements, mask, dtype = sums[..., 0] if inner else sums, None, sums.dtype


class _Memory:
    """A description of memory that NumPy makes an array of; it keeps alive what the memory belongs to."""

    def __init__(self, owner: NDArray[Any], offset: int, dtype: np.dtype[Any], shape: Any, strides: Any) -> None:
        self.owner = owner
        data = (owner.__array_interface__["data"][0] + offset, True)
        self.__array_interface__ = {
            "version": 3,
            "data": data,
            "typestr": dtype.str,
            "shape": tuple(shape),
            "strides": tuple(strides),
        }


def _view(owner: NDArray[Any], offset: int, dtype: np.dtype[Any], shape: Any, strides: Any) -> NDArray[Any]:
    """Return a read-only array over the owner's memory, `offset` bytes after its first element."""
    return np.asarray(_Memory(owner, offset, dtype, shape, strides))


def _sum_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums over the last axis but one of `x`, its elements cast to `dtype`."""
    direct = _sum_in_place(x, mask, dtype)
    if direct is not None:
        return direct
    if dtype.kind in "iu" and kernels.find("sum_rows", recipes.recipe(dtype), "i8", masked=False) is None:
        return np.asarray(np.add.reduce(x, -2, _total(dtype), where=True if mask is None else mask))
    sums = np.empty((*x.shape[:-2], x.shape[-1]), _total(dtype))
    if x.shape[-2] * x.shape[-1] <= PACKED:
        pieces = list(_pieces(x.shape[:-2], x.shape[-2] * x.shape[-1]))

        def take(first: int, last: int) -> None:
            for piece in pieces[first:last]:
                packed = _pack(x[piece], None if mask is None else mask[piece], dtype)
                packed = packed.reshape(-1, *packed.shape[-2:])
                sums[piece] = _as(row_sums.sum_packed(packed), sums.dtype).reshape(sums[piece].shape)

        _run_over_rows(take, len(pieces), 1)
        return sums
    chunk = row_sums.chunk_rows(x.shape[-2], x.shape[-1] * (2 if dtype.kind == "c" else 1), 8)
    for index in np.ndindex(x.shape[:-2]):
        sums[index] = _sum_long(x[index], None if mask is None else mask[index], dtype, chunk)
    return sums


def _sum_long(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any], chunk: int) -> NDArray[Any]:
    """Return the sums over the rows of a (rows, width) array, packed a chunk at a time."""
    rows, width = x.shape
    partial = np.empty((1, -(-rows // chunk), width), _total(dtype))

    def take(first: int, last: int) -> None:
        packed = _pack(x[first:last], None if mask is None else mask[first:last], dtype)
        partial[0, first // chunk] = _as(row_sums.sum_packed(packed[None]), partial.dtype)[0]

    _run_over_rows(take, rows, chunk)
    total: NDArray[Any] = summation.sum_neighbours(partial)[0]
    return total


def _run_over_rows(take: Callable[[int, int], None], rows: int, chunk: int) -> None:
    """Call `take` for ranges of rows on all cores, with the caller's `numpy.errstate`, which is a thread's own."""
    settings: Any = {**np.geterr(), "call": np.geterrcall()}

    def take_as_caller(first: int, last: int) -> None:
        with np.errstate(**settings):
            take(first, last)

    run_over_rows(take_as_caller, rows, chunk)


def _sum_in_place(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return the sums by a kernel that reads `x` where it is; None if dtype, strides or alignment do not allow it."""
    if not x.flags.aligned or x.ndim > 3 or not _reads(x.dtype, dtype):
        return None
    recipe = recipes.recipe(x.dtype)
    extents, steps = (1,) * (3 - x.ndim) + x.shape, (0,) * (3 - x.ndim) + x.strides
    if mask is not None and not _is_parallel(mask, x):
        return None
    jobs = in_place_jobs(extents, steps, x.dtype, recipe)
    kernel = None if jobs is None else jobs.find_kernel(masked=mask is not None)
    if jobs is None or kernel is None:
        return None
    element = np.dtype(recipe.element)
    length = 1 + sum((n - 1) * step for n, step in zip(extents, steps, strict=True)) // element.itemsize
    length += x.dtype.kind == "c"
    span = _view(x, 0, element, (length,), (element.itemsize,))
    over = None if mask is None else _view(mask, 0, mask.dtype, (length,), (1,))
    sums, _ = jobs.run(kernel, span, over)
    return _as(sums, _total(dtype)).reshape(*x.shape[:-2], x.shape[-1])


def _is_parallel(mask: NDArray[np.bool_], x: NDArray[Any]) -> bool:
    """Whether the mask has the strides of `x`, in elements."""
    steps = zip(mask.strides, x.strides, x.shape, strict=True)
    return x.dtype.kind != "c" and all(m * x.itemsize == s for m, s, n in steps if n > 1)


def in_place_jobs(
    extents: tuple[int, ...],
    steps: tuple[int, ...],
    dtype: np.dtype[Any],
    recipe: recipes.Recipe,
    *,
    finished: bool = False,
) -> row_sums.Jobs | None:
    """Return the jobs for (outer, rows, width) elements, strides in bytes; None for lanes of no even spacing."""
    size = np.dtype(recipe.element).itemsize
    outer, rows, width = extents
    if any(step % size for step, n in zip(steps, extents, strict=True) if n > 1):
        return None
    outer_step, row_step, column_step = (step // size for step in steps)
    if dtype.kind == "c":
        if width > 1 and column_step != 2:
            return None
        width, column_step = 2 * width, 1
    if not (width == 1 or row_step == width * column_step or summation.lanes(width) == 1):
        return None
    return row_sums.plan_jobs(
        outer, rows, width, (outer_step, row_step, column_step), recipe, threads=True, finished=finished
    )


def _reads(element: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether the kernel for `element` gives the sum in which each element is cast to `dtype` first."""
    if not element.isnative:
        return False
    if element == dtype:
        return True
    widened = element.kind == dtype.kind and dtype.itemsize == 2 * element.itemsize and element.itemsize > 2
    return (element.kind in "biu" and dtype.kind in "iu") or (element.kind in "fc" and widened)


def _total(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64 if dtype.kind == "f" else np.int64)


def _as(sums: NDArray[Any], total: np.dtype[Any]) -> NDArray[Any]:
    """Return sums of pairs as complex numbers."""
    return sums.view(total) if total.kind == "c" and sums.dtype.kind == "f" else sums


def _pieces(outer: tuple[int, ...], each: int) -> Iterator[tuple[Any, ...]]:
    """Return indices that split the outer axes into pieces of about `PACKED` elements."""
    if not outer or prod(outer) * each <= PACKED:
        yield ()
        return
    inside = prod(outer[1:]) * each
    if inside >= PACKED:
        for i in range(outer[0]):
            for piece in _pieces(outer[1:], each):
                yield (i, *piece)
        return
    step = PACKED // inside
    for start in range(0, outer[0], step):
        yield (slice(start, start + step),)


def _pack(x: NDArray[Any], mask: NDArray[np.bool_] | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a contiguous copy of `x`, cast, with what changes no sum where the mask is False."""
    packed = np.empty(x.shape, dtype.newbyteorder("="))
    if mask is None:
        np.copyto(packed, x, casting="unsafe")
        return packed
    packed.fill(complex(-0.0, -0.0) if dtype.kind == "c" else -0.0 if dtype.kind == "f" else 0)
    np.copyto(packed, x, casting="unsafe", where=mask)
    return packed


def _report(raw: NDArray[Any], a: NDArray[Any]) -> None:
    """Signal overflow, or infinities of both signs, as NumPy does it: by `numpy.errstate`.

    A sum that is not finite is reported only if it need not have been: NaN and infinity pass through in silence.
    """
    finite, has_nan = True, False
    for chunk in np.nditer(a, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=1 << 16):
        finite = finite and bool(np.isfinite(chunk).all())
        has_nan = has_nan or bool(np.isnan(chunk).any())
    if finite:
        np.add.reduce(np.full(2, np.finfo(np.float64).max))
    elif not has_nan and np.isnan(raw).any():
        np.add.reduce(np.array([np.inf, -np.inf]))
