"""The six lines of the tutorial, moved over by the import alone."""

import numpy as np
import pytest
import scipy.sparse

import dispatch
from dispatch import eigsh


def tutorial_matrix():
    A = np.random.default_rng(0).random((1000, 1000))
    A[A < 0.99] = 0
    return scipy.sparse.csr_matrix(A)


def test_sum():
    a = np.arange(1000000)
    assert dispatch.sum(a) == 499999500000
    assert dispatch.sum(a).dtype == np.int64


def test_eigsh():
    A = tutorial_matrix()
    A = (A + A.T) / 2
    eigenvalues, eigenvectors = eigsh(A, k=10, which="LM", backend="lobpcg")
    spectrum = np.linalg.eigvalsh(A.toarray())
    largest = np.sort(spectrum[np.argsort(-abs(spectrum))[:10]])
    np.testing.assert_allclose(eigenvalues, largest, rtol=1e-8)
    np.testing.assert_allclose(A @ eigenvectors, eigenvectors * eigenvalues, atol=1e-12 * abs(spectrum).max())


def test_its_own_matrix_is_not_symmetric_and_refused():
    with pytest.raises(ValueError, match=r"A is not symmetric: .* differ by 1, .* use \(A \+ A\.T\) / 2 .* or .*eigs"):
        eigsh(tutorial_matrix(), k=10, which="LM", backend="lobpcg")


def test_the_solvers_name_asks_for_no_hardware():
    A = tutorial_matrix() + tutorial_matrix().T
    with dispatch.use("cpu"):
        assert dispatch.explain("eigsh", A, backend="lobpcg").source == "backend='auto'"
