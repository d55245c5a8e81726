"""What `sigma` and `which` ask for, where transformed eigenvalues round to one number: against fractions."""

from fractions import Fraction

import numpy as np
import pytest

import dispatch


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
