"""`dispatch.eigsh` beside `scipy.sparse.linalg.eigsh`, over small problems and all arguments."""

import warnings

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dispatch


@st.composite
def calls(draw):
    n = draw(st.integers(4, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    complex_ = draw(st.booleans())
    A = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if complex_ else 0)
    A = A + A.conj().T
    arguments = {"k": draw(st.integers(2, n - 2)), "which": draw(st.sampled_from(["LM", "SM", "LA", "SA", "BE"]))}
    assume(not (complex_ and arguments["which"] == "BE"))
    if draw(st.booleans()):
        B = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if complex_ else 0)
        arguments["M"] = B @ B.conj().T + n * np.eye(n)
    if draw(st.booleans()):
        arguments["sigma"] = draw(st.floats(-2, 2).filter(lambda s: abs(s) > 0.01))
        if not complex_:
            arguments["mode"] = draw(st.sampled_from(["normal", "cayley"]))
    arguments["v0"] = rng.standard_normal(n)
    if not complex_:
        arguments["return_eigenvectors"] = draw(st.booleans())
    form = draw(st.sampled_from([np.asarray, sp.csr_array, sp.coo_matrix, sla.aslinearoperator]))
    return form(A), arguments, A


@settings(max_examples=120, deadline=None, derandomize=True)
@given(calls())
def test_values_and_their_order_are_scipys(call):
    A, arguments, dense = call
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = sla.eigsh(dense, ncv=len(dense), tol=0, **arguments)
    except (sla.ArpackError, sla.ArpackNoConvergence):
        assume(False)
    ours = dispatch.eigsh(A, **arguments)
    if not arguments.get("return_eigenvectors", True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7 * abs(theirs).max())
        return
    # SciPy leaves the values of complex matrices in no order; ours ascend.
    np.testing.assert_allclose(ours[0], np.sort(theirs[0]), rtol=0, atol=1e-7 * abs(theirs[0]).max())
    M = arguments.get("M", np.eye(len(dense)))
    residuals = np.linalg.norm(dense @ ours[1] - M @ ours[1] * ours[0], axis=0)
    assert residuals.max() <= 1e-10 * (np.linalg.norm(dense, 2) + np.linalg.norm(M, 2) * abs(ours[0]).max())
