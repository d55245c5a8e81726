"""What `sigma` and `which` ask for, where transformed eigenvalues round to one number: against fractions."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import dispatch
from dispatch.solvers import shift_invert


def exactly_wanted(values, k, sigma, mode, which):
    """Return the k values whose transformed ones are wanted, computed without rounding; none of these is infinite."""
    s, exact = Fraction(sigma), [Fraction(float(value)) for value in values]
    numerator = {"normal": lambda x: 1, "cayley": lambda x: x + s, "buckling": lambda x: x}[mode]
    ascending = sorted((numerator(x) / (x - s), float(x)) for x in exact)
    size = sorted(ascending, key=lambda pair: abs(pair[0]))
    low = k // 2
    wanted = {
        "SA": ascending[:k],
        "LA": ascending[-k:],
        "BE": ascending[:low] + ascending[len(exact) - (k - low) :],
        "SM": size[:k],
        "LM": size[-k:],
    }[which]
    return np.sort([value for _, value in wanted])


def spectrum(n, mode, dtype=np.float64):
    """Return distinct eigenvalues of about one in size, all positive for buckling, which needs a definite A."""
    values = np.random.default_rng(0).uniform(0.1, 1.0, n)
    return (values if mode == "buckling" else values * np.where(np.arange(n) % 2, 1, -1)).astype(dtype)


@pytest.mark.parametrize("sigma", [1e-17, -1e-17, 1e-9, -1e-9, 0.3, -0.3, 1e9, -1e9, 1e15])
@pytest.mark.parametrize("mode", ["normal", "cayley", "buckling"])
def test_the_order_by_lapack(mode, sigma):
    values = spectrum(60, mode)
    for which in ("LM", "SM", "LA", "SA", "BE"):
        w = dispatch.eigsh(np.diag(values), 5, sigma=sigma, mode=mode, which=which)[0]
        np.testing.assert_allclose(w, exactly_wanted(values, 5, sigma, mode, which), rtol=1e-12, err_msg=which)


def separated(n, mode):
    """Return distinct eigenvalues, five at each end apart from the rest, so that few iterations find them."""
    values = np.r_[np.linspace(0.1, 0.2, 5), np.linspace(1, 2, n - 10), np.linspace(3, 4, 5)]
    return values if mode == "buckling" else values * np.where(np.arange(n) % 2, 1, -1)


@pytest.mark.parametrize("sigma", [1e-17, -1e-9, 1e9])
@pytest.mark.parametrize("mode", ["normal", "cayley", "buckling"])
@pytest.mark.parametrize("generalized", [False, True], ids=["standard", "generalized"])
def test_the_order_by_iteration(generalized, mode, sigma):
    values = separated(300, mode)
    A, M = sp.diags_array(values).tocsr(), sp.eye_array(300).tocsr() if generalized else None
    for which in ("LM", "SM", "LA", "SA", "BE"):
        w, v, info = dispatch.eigsh(A, 3, M, sigma=sigma, mode=mode, which=which, return_info=True)
        np.testing.assert_allclose(w, exactly_wanted(values, 3, sigma, mode, which), rtol=1e-12, err_msg=which)
        assert np.linalg.norm(A @ v - v * w, axis=0).max() < 1e-12 * np.linalg.norm(v, axis=0).min()
        if sigma < 1.0 and which in ("LA", "SA", "BE"):
            assert info.method == "lobpcg"


@pytest.mark.parametrize("mode", ["cayley", "buckling"])
def test_the_order_in_single_precision(mode):
    values = separated(300, mode).astype(np.float32)
    for sigma in (1e-9, -1e-4):
        for which in ("LM", "SM", "LA", "BE"):
            w = dispatch.eigsh(sp.diags_array(values).tocsr(), 3, sigma=sigma, mode=mode, which=which)[0]
            np.testing.assert_allclose(w, exactly_wanted(values, 3, sigma, mode, which), rtol=1e-5, err_msg=which)


def test_sizes_that_are_nearly_one_beside_others_that_are_not():
    # By one eigenvalue near the shift the iteration cannot know that the others are all the same to it.
    values = separated(300, "buckling")
    values[0] = 3e-6
    w, _, info = dispatch.eigsh(sp.diags_array(values).tocsr(), 3, sigma=1e-6, mode="cayley", return_info=True)
    np.testing.assert_allclose(w, exactly_wanted(values, 3, 1e-6, "cayley", "LM"), rtol=1e-9)
    assert info.method == "lobpcg"


def test_a_shift_that_hides_the_order_is_refused_where_lapack_is_no_help(monkeypatch):
    values = separated(300, "buckling")
    monkeypatch.setattr(shift_invert, "RESCUE_BELOW", 200)
    A = sp.diags_array(values).tocsr()
    with pytest.raises(ValueError, match=r"sigma is 1e\+09, so far .* give a sigma of at most 3\.3e\+04 in"):
        dispatch.eigsh(A, 3, sigma=1e9, mode="buckling")
    for sigma, tol in ((3e4, 0), (1e7, 1e-6)):
        w = dispatch.eigsh(A, 3, sigma=sigma, mode="buckling", tol=tol)[0]
        np.testing.assert_allclose(w, exactly_wanted(values, 3, sigma, "buckling", "LM"), rtol=max(tol, 1e-10))
