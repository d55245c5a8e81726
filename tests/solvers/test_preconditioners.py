"""What is done to residuals: every choice gives the right answer, and "auto" chooses by the evidence."""

import importlib.util

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import dispatch
from dispatch.solvers import factors, multigrid
from dispatch.solvers.factor_cost import FactorCost
from dispatch.solvers.inverses import SingularShiftError

from .problems import components, laplacian, random_symmetric
from .test_eigsh import check

needs_pyamg = pytest.mark.skipif(importlib.util.find_spec("pyamg") is None, reason="pyamg is not installed")
NAMES = [None, "none", "jacobi", "chebyshev", "chebyshev-jacobi", "factors", pytest.param("amg", marks=needs_pyamg)]


def scaled_laplacian(*sizes, spread=3.0):
    """Return a Laplacian scaled by log-normal numbers from both sides: its diagonal varies by orders of magnitude."""
    A, _ = laplacian(*sizes)
    D = sp.diags_array(np.exp(spread * np.random.default_rng(0).standard_normal(A.shape[0]) / 2))
    return sp.csr_array(D @ A @ D)


def mass(*sizes):
    M = sp.csr_array(np.ones((1, 1)))
    for n in sizes:
        M = sp.kron(
            M, sp.diags_array([np.full(n - 1, 1 / 6), np.full(n, 4 / 6), np.full(n - 1, 1 / 6)], offsets=[-1, 0, 1])
        )
    return sp.csr_array(M)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("name", NAMES)
def test_named_ones_are_right(name, dtype):
    A, spectrum = laplacian(20, 21)
    # The limit of iterations is given, so that LAPACK does not take over.
    w, v, info = dispatch.eigsh(A.astype(dtype), k=6, which="SA", preconditioner=name, maxiter=1000, return_info=True)
    check(A.astype(dtype), w, v, spectrum, 6, "SA", 64 * np.finfo(dtype).eps)
    assert info.preconditioner.startswith(name or "none")
    assert info.reason == "asked for"


@pytest.mark.parametrize("name", NAMES)
def test_named_ones_are_right_for_a_singular_matrix_with_a_zero_row(name):
    graph = components(6, 100)
    A = sp.csr_array(sp.block_diag([graph, sp.csr_array((1, 1))]))
    w, v = dispatch.eigsh(A, k=9, which="SA", preconditioner=name)
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 9, "SA", 1e-13)
    assert np.count_nonzero(abs(w) < 1e-12) == 7


@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_named_ones_are_right_for_a_pencil(name):
    A, M = laplacian(18, 19)[0], mass(18, 19)
    w, v = dispatch.eigsh(A, k=4, M=M, which="SA", preconditioner=name)
    check(A, w, v, scipy.linalg.eigvalsh(A.toarray(), M.toarray()), 4, "SA", 1e-12, M)


@pytest.mark.parametrize("name", ["chebyshev-jacobi", "amg"])
def test_those_for_the_low_end_are_refused_elsewhere(name):
    A, _ = laplacian(20, 21)
    with pytest.raises(ValueError, match=f"preconditioner '{name}' approximates the inverse of A, .* which is 'LA'"):
        dispatch.eigsh(A, k=4, which="LA", preconditioner=name)
    with pytest.raises(ValueError, match=f"preconditioner '{name}' needs the elements of A, and A is an operator"):
        dispatch.eigsh(sla.aslinearoperator(A), k=4, which="SA", preconditioner=name)
    with pytest.raises(ValueError, match=f"preconditioner '{name}' needs a diagonal without negative elements"):
        dispatch.eigsh(random_symmetric(400), k=4, which="SA", preconditioner=name)


def test_auto_chooses_by_the_evidence(monkeypatch):
    def chosen(A, **arguments):
        arguments = {"which": "SA", "maxiter": 400, **arguments}
        info = dispatch.eigsh(A, k=4, return_info=True, tol=1e-6, **arguments)[2]
        name, reason = info.preconditioner.split("(")[0], info.reason.split("; its convergence was slow")[0]
        # What is said before the run is what is done in it.
        plan = dispatch.explain("eigsh", A, k=4, **arguments).plan
        assert plan.startswith(f"LOBPCG for {arguments['which']}, preconditioner {name}: {reason}")
        foretold = "; factors take over where convergence is slow and they cost less" in plan
        assert foretold or "factors" not in info.preconditioner
        return name, reason

    A, _ = laplacian(20, 21)
    assert chosen(A) == ("chebyshev", "any matrix whose products are all that is known")
    assert chosen(A, which="LM")[0] == "chebyshev"
    assert chosen(sla.aslinearoperator(A))[0] == "chebyshev"
    assert chosen(sp.eye_array(500).tocsr()) == ("none", "A is a multiple of the identity")
    assert chosen(A, M=mass(20, 21)) == ("chebyshev-jacobi", "a generalized problem")
    assert chosen(A, M=mass(20, 21), which="LA")[0] == "jacobi"
    name, reason = chosen(scaled_laplacian(20, 21))
    assert name == "chebyshev-jacobi"
    assert reason.startswith("the diagonal of A varies by a factor of")
    if multigrid.available():
        monkeypatch.setattr("dispatch.solvers.preconditioner_choice.WORTH_A_HIERARCHY", 100)
        name, reason = chosen(scaled_laplacian(20, 21))
        assert name == "amg"
        assert reason.endswith("and A is like the matrix of a mesh")
        monkeypatch.setattr("dispatch.solvers.preconditioner_choice.available", lambda: False)
        assert chosen(scaled_laplacian(20, 21))[0] == "chebyshev-jacobi"


@needs_pyamg
@pytest.mark.parametrize("error", [ValueError("array must not contain infs"), IndexError("7"), MemoryError()])
def test_auto_goes_on_where_multigrid_fails(error, monkeypatch):
    def fail(*_, **__):
        raise error

    A = scaled_laplacian(20, 21)
    monkeypatch.setattr("dispatch.solvers.preconditioner_choice.WORTH_A_HIERARCHY", 100)
    monkeypatch.setattr("pyamg.smoothed_aggregation_solver", fail)
    w, v, info = dispatch.eigsh(A, k=4, which="SA", return_info=True)
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 4, "SA", 1e-13)
    assert info.preconditioner.startswith("chebyshev-jacobi")
    assert (
        f"PyAMG found no hierarchy for A ({type(error).__name__}: {str(error) or '(without a message)'})" in info.reason
    )
    with pytest.raises(ValueError, match=r"preconditioner 'amg' cannot be set up: .*; use 'chebyshev-jacobi'"):
        dispatch.eigsh(A, k=4, which="SA", preconditioner="amg")


def test_multigrid_without_pyamg_says_what_to_install(monkeypatch):
    monkeypatch.setattr("dispatch.solvers.preconditioner_choice.available", lambda: False)
    with pytest.raises(
        ModuleNotFoundError, match=r"preconditioner 'amg' needs PyAMG: pip install 'array-dispatch\[amg\]'"
    ):
        dispatch.eigsh(laplacian(20, 21)[0], k=4, which="SA", preconditioner="amg")


@needs_pyamg
def test_a_dense_hierarchy_is_given_up(monkeypatch):
    monkeypatch.setattr("dispatch.solvers.preconditioner_choice.WORTH_A_HIERARCHY", 100)
    monkeypatch.setattr("dispatch.solvers.preconditioner_choice.DENSE_HIERARCHY", 1.0)
    info = dispatch.eigsh(scaled_laplacian(20, 21), k=4, which="SA", return_info=True)[2]
    assert info.preconditioner.startswith("chebyshev-jacobi")
    assert "but its multigrid hierarchy stores 1." in info.reason


@needs_pyamg
def test_multigrid_serves_complex_matrices_and_refuses_what_pyamg_cannot_take():
    A, spectrum = laplacian(30, 31)
    phase = sp.diags_array(np.exp(1j * np.random.default_rng(0).uniform(0, 6, 930)))
    B = sp.csr_array(phase @ A @ phase.conj())
    w, v, info = dispatch.eigsh(B, k=4, which="SA", preconditioner="amg", return_info=True)
    check(B, w, v, spectrum, 4, "SA", 1e-13)
    assert (info.method, info.preconditioner) == ("lobpcg", "amg")
    indefinite = sp.csr_array(A - 3 * sp.eye_array(930))
    w, v, info = dispatch.eigsh(indefinite, k=4, M=mass(30, 31), which="SA", return_info=True)
    assert info.preconditioner.startswith("chebyshev-jacobi")
    exact = scipy.linalg.eigvalsh(indefinite.toarray(), mass(30, 31).toarray())
    check(indefinite, w, v, exact, 4, "SA", 1e-12, mass(30, 31))
    large = sp.csr_array(laplacian(80, 81)[0] - 3 * sp.eye_array(6480))
    with pytest.raises(ValueError, match="preconditioner 'amg' cannot be set up: PyAMG found no hierarchy for A"):
        dispatch.eigsh(large, k=4, M=mass(80, 81), which="SA", preconditioner="amg")


def test_bad_scaling_costs_few_iterations():
    A = scaled_laplacian(40, 41, spread=6.0)
    assert A.diagonal().max() / A.diagonal().min() > 1e6
    w, v, info = dispatch.eigsh(A, k=6, which="SA", return_info=True)
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 6, "SA", 1e-13)
    assert info.method == "lobpcg"
    assert info.iterations <= 40


def test_a_cluster_far_from_zero_moves_the_shift():
    # The wanted values agree to four digits; the diagonal varies by a million.
    rng = np.random.default_rng(0)
    diagonal = np.r_[1 + 1e-5 * np.arange(1, 41), np.logspace(0.5, 6, 760)]
    B = 1e-3 * random_symmetric(800, density=0.005)
    A = sp.csr_array(sp.diags_array(rng.permutation(diagonal)) + B @ B.T)
    w, v, info = dispatch.eigsh(A, k=6, which="SA", return_info=True)
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 6, "SA", 1e-13)
    assert info.method == "lobpcg"


@needs_pyamg
def test_multigrid_leaves_the_random_state_alone_and_repeats_itself():
    A, _ = laplacian(40, 41)
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    first = dispatch.eigsh(A, k=4, which="SA", preconditioner="amg")
    assert np.random.random() == expected
    second = dispatch.eigsh(A, k=4, which="SA", preconditioner="amg")
    assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


@needs_pyamg
def test_multigrid_needs_few_iterations_whatever_the_size():
    counts = [
        dispatch.eigsh(laplacian(n, n)[0], k=4, which="SA", tol=1e-8, preconditioner="amg", return_info=True)[
            2
        ].iterations
        for n in (20, 40, 80)
    ]
    assert max(counts) <= 14


@needs_pyamg
def test_multigrid_finds_a_singular_end_in_single_precision():
    # Rounding errors of a null vector that has been found are amplified by each cycle: they must not cover the rest.
    A, spectrum = laplacian(24, 41)
    graph = sp.csr_array(A - sp.diags_array(np.asarray(A.sum(axis=1)).ravel())).astype(np.float32)
    w, v, info = dispatch.eigsh(graph, k=10, which="SA", preconditioner="amg", return_info=True)
    check(graph, w, v, np.linalg.eigvalsh(graph.toarray().astype(np.float64)), 10, "SA", 1e-5)
    assert info.iterations <= 8


def low_end_within_a_millionth(n=400):
    """Return a matrix whose low end is a path's, on top of one, within 1e-6 of the norm; and its spectrum."""
    path, _ = laplacian(n)
    A = sp.csr_array(sp.block_diag([path + sp.eye_array(n), 1e6 * (path + sp.eye_array(n))]))
    return A, np.linalg.eigvalsh(A.toarray())


def test_a_slow_filter_gives_way_to_factors_that_cost_less():
    A, spectrum = low_end_within_a_millionth()
    w, v, info = dispatch.eigsh(A, k=10, which="SA", return_info=True)
    check(A, w, v, spectrum, 10, "SA", 1e-13)
    assert info.method == "lobpcg"
    assert info.iterations <= 30
    assert info.preconditioner.startswith("chebyshev-jacobi(")
    assert info.preconditioner.endswith("), then factors")
    assert "; its convergence was slow, and factors of about " in info.reason
    assert " elements take less time than the " in info.reason


@pytest.mark.parametrize("obstacle", ["dear", "large", "singular"])
def test_a_slow_filter_goes_on_without_factors(obstacle, monkeypatch):
    def fail(C):
        raise SingularShiftError("no pivot")

    cost = FactorCost(1e20 if obstacle == "large" else 1e5, 1e20 if obstacle == "dear" else 1e5, 8)
    if obstacle == "singular":
        monkeypatch.setattr(factors, "SparseFactors", fail)
    monkeypatch.setattr(factors, "factor_cost", lambda problem: cost)
    A, spectrum = low_end_within_a_millionth()
    w, v, info = dispatch.eigsh(A, k=4, which="SA", tol=1e-3, return_info=True)
    np.testing.assert_allclose(w, spectrum[:4], rtol=1e-3)
    assert info.preconditioner.startswith("chebyshev-jacobi(")
    assert "factors" not in info.preconditioner + info.reason


def test_factors_are_refused_where_there_are_none():
    A = laplacian(300)[0]
    with pytest.raises(ValueError, match="preconditioner 'factors' needs the elements of A, and A is an operator"):
        dispatch.eigsh(sla.aslinearoperator(A), k=4, which="SA", preconditioner="factors")
    with pytest.raises(ValueError, match="preconditioner 'factors' approximates the inverse of A, which serves"):
        dispatch.eigsh(A, k=4, which="LA", preconditioner="factors")
    with pytest.raises(ValueError, match="preconditioner 'factors' needs a sparse A, and a sparse M if there is one"):
        dispatch.eigsh(A.toarray(), k=4, which="SA", preconditioner="factors")


@pytest.mark.parametrize("shift", [0.05, 3.0])
@pytest.mark.parametrize("name", ["auto", "chebyshev-jacobi", pytest.param("amg", marks=needs_pyamg)])
def test_negative_eigenvalues_are_found_where_the_diagonal_is_positive(name, shift):
    A, spectrum = laplacian(30, 31)
    A = sp.csr_array(A - sp.diags_array(np.full(930, shift)))
    w, v, info = dispatch.eigsh(A, k=6, which="SA", preconditioner=name, return_info=True)
    check(A, w, v, spectrum - shift, 6, "SA", 1e-13)
    assert info.method == "lobpcg"


@pytest.mark.parametrize("k", [5, 10])
def test_an_eigenvalue_far_out_does_not_hide_the_others(k):
    # A matrix without negative elements has one: rounding errors of its eigenvector, amplified, covered all else.
    A = sp.random_array((3000, 3000), density=0.01, rng=np.random.default_rng(0), format="csr")
    A = sp.csr_array(A + A.T)
    w, v, info = dispatch.eigsh(A, k, which="LA", maxiter=30, return_info=True)
    assert info.method == "lobpcg"
    np.testing.assert_allclose(w, sla.eigsh(A, k, which="LA", return_eigenvectors=False), rtol=1e-10)


@pytest.mark.parametrize("generalized", [False, True])
@pytest.mark.parametrize("largest", [0.0, 1e-12])
def test_a_diagonal_that_says_nothing_of_the_matrix(largest, generalized):
    # Rows scaled by it would overflow, or dwarf all others.
    n = 500
    A = 9 * random_symmetric(n, density=0.02)
    A = sp.csr_array(A - sp.diags_array(A.diagonal() - largest * (np.arange(n) == 3)))
    M = sp.diags_array(np.linspace(1, 2, n)).tocsr() if generalized else None
    spectrum = scipy.linalg.eigvalsh(A.toarray(), M.toarray() if generalized else None)
    w, v = dispatch.eigsh(A, 4, M, which="SA", preconditioner="chebyshev-jacobi")
    check(A, w, v, spectrum, 4, "SA", 1e-12, M)


@needs_pyamg
def test_a_hierarchy_that_is_not_finite_is_none():
    n = 500
    A = random_symmetric(n, density=0.02)
    A = sp.csr_array(A - sp.diags_array(A.diagonal()))
    words = "preconditioner 'amg' cannot be set up: .*A is far from positive semidefinite.*; use 'chebyshev-jacobi'"
    with pytest.raises(ValueError, match=words):
        dispatch.eigsh(A, 4, sp.diags_array(np.linspace(1, 2, n)), which="SA", preconditioner="amg")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_diagonal_of_zeros_is_no_preconditioner(dtype):
    A, _ = laplacian(18, 19)
    A.setdiag(0)
    M = sp.diags_array(np.linspace(1, 2, A.shape[0])).tocsr()
    w, _, info = dispatch.eigsh(A.astype(dtype), 3, M.astype(dtype), which="LA", return_info=True)
    assert info.preconditioner == "jacobi"
    expected = scipy.linalg.eigh(A.toarray(), M.toarray(), eigvals_only=True)[-3:]
    np.testing.assert_allclose(w, expected, rtol=100 * np.finfo(dtype).eps)


def test_a_few_small_elements_of_the_diagonal_are_no_bad_scaling():
    A = random_symmetric(1000, density=0.01)
    A = sp.csr_array(A - sp.diags_array(A.diagonal()))
    few = np.where(np.arange(1000) % 17 == 0, np.linspace(1e-4, 0.5, 1000), 0.0)
    A = sp.csr_array(A + sp.diags_array(few))
    w, v, info = dispatch.eigsh(A, 4, which="SA", return_info=True)
    assert info.preconditioner.startswith("chebyshev(")
    assert (info.method, info.iterations < 20) == ("lobpcg", True)
    check(A, w, v, np.linalg.eigvalsh(A.toarray()), 4, "SA", 1e-13)
    scale = sp.diags_array(np.logspace(0, 3, 1000))
    assert "preconditioner chebyshev-jacobi" in dispatch.explain("eigsh", scale @ A @ scale, k=4, which="SA").plan
