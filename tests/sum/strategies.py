"""Arrays of every layout and arguments of every kind, for property tests of `sum`."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

INTEGERS = ["?", "b", "B", "h", "H", "i", "I", "q", "Q"]
FLOATS = ["e", "f", "d", "F", "D"]


@st.composite
def layouts(draw, base):
    """A view of the array `base`, in any of the ways in which NumPy makes views."""
    a = base
    if a.ndim:
        a = a.transpose(draw(st.permutations(range(a.ndim))))
        steps = st.sampled_from([1, 1, 1, 2, 3, -1, -2])
        a = a[tuple(slice(None, None, draw(steps)) for _ in range(a.ndim))]
    if draw(st.booleans()) and a.ndim < 4:
        repeated = draw(st.integers(0, a.ndim))
        shape = (*a.shape[:repeated], draw(st.integers(0, 4)), *a.shape[repeated:])
        a = np.broadcast_to(np.expand_dims(a, repeated), shape)
    return a


@st.composite
def arrays(draw, dtypes, max_dims=4, max_side=6):
    """An array of one of the dtypes, of any layout."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=max_dims, min_side=0, max_side=max_side))
    return draw(layouts(draw(hnp.arrays(dtype, shape))))


@st.composite
def axes_of(draw, a):
    """An `axis` argument that fits the array."""
    one = st.integers(-a.ndim, a.ndim - 1) if a.ndim else st.sampled_from([0, -1])
    some = st.sets(st.integers(0, max(a.ndim - 1, 0)), max_size=a.ndim).map(
        lambda chosen: tuple(i - a.ndim if draw(st.booleans()) else i for i in chosen)
    )
    return draw(st.none() | one | some)


@st.composite
def masks_of(draw, a):
    """A `where` argument that fits the array: of its shape, or one that broadcasts to it, in any layout."""
    lead = draw(st.integers(0, a.ndim))
    shape = tuple(n if draw(st.booleans()) else 1 for n in a.shape[lead:])
    mask = draw(hnp.arrays(bool, shape))
    return draw(st.sampled_from([mask, mask[::-1], mask.copy("F")])) if mask.ndim else mask
