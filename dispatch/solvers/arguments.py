"""Check the arguments of `eigsh` and bring them to one form: all that can be said without a product with the matrix."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from dispatch.caller import warn_caller
from dispatch.devices import is_foreign, on_cuda
from dispatch.errors import shortened
from dispatch.solvers.checks import Checked, check_finite, check_indices
from dispatch.solvers.problem import WORKING_DTYPE, EigenProblem, Mode, Operand, Which


def prepare(
    A: Any,
    k: int,
    M: Any,
    sigma: float | None,
    which: Which,
    v0: Any,
    ncv: int | None,
    maxiter: int | None,
    tol: float,
    return_eigenvectors: bool,
    Minv: Any,
    OPinv: Any,
    mode: Mode,
    rng: Any,
    preconditioner: Any,
    callback: Callable[[Any], Any] | None,
    progress: bool,
) -> EigenProblem:
    """Return the problem that the arguments of `dispatch.eigsh` state.

    Only types, shapes and ranges are looked at, so that it costs little and the decision about a call can be explained
    without running it; the values of the matrices are checked when the problem is solved.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, its value, what was expected and what to do.
    """
    given, A = A, as_operand("A", A)
    n = A.shape[0]
    M = None if M is None else _same_shape("M", as_operand("M", M), n)
    dtype = _working_dtype(A, M)
    if which not in get_args(Which):
        raise ValueError(f"which is {which!r}, expected one of {', '.join(get_args(Which))}")
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(get_args(Mode))}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback is {callback!r}, expected a function of an Iteration, or None")
    whole = _whole_spectrum(k, n, A, M)
    k = n if whole else operator.index(k)
    if whole:
        # As in SciPy: there is nothing to choose from, and LAPACK's order is ascending.
        sigma = ncv = Minv = OPinv = None
        which, mode = "LA", "normal"
    _check_transformation(M, sigma, mode, Minv, OPinv)
    return EigenProblem(
        A=_convert("A", A, dtype),
        M=None if M is None else _convert("M", M, dtype),
        n=n,
        dtype=dtype,
        k=k,
        which=which,
        sigma=None if sigma is None else _finite("sigma", sigma),
        mode="normal" if sigma is None else mode,
        OPinv=_inverse("OPinv", OPinv, n, dtype),
        Minv=_inverse("Minv", Minv, n, dtype),
        v0=_start(v0, n, dtype),
        ncv=_basis_size(ncv, k),
        maxiter=_iterations(maxiter),
        tol=max(_finite("tol", tol), 0.0),
        return_eigenvectors=bool(return_eigenvectors),
        rng=_generator(rng),
        preconditioner=_preconditioner(preconditioner, n, dtype),
        callback=callback,
        progress=bool(progress),
        given=given,
    )


def as_operand(name: str, matrix: Any) -> Operand:
    """Return a square matrix as sparse rows, as a dense array, or as an operator, whichever it is by nature."""
    operand: Operand
    if issparse(matrix):
        if len(matrix.shape) != 2:
            raise ValueError(f"{name} has shape {matrix.shape}, expected a square matrix (n, n) with n >= 1")
        check_indices(name, matrix)
        operand = _csr(matrix)
    elif isinstance(matrix, LinearOperator):
        operand = matrix
    elif hasattr(matrix, "shape") and hasattr(matrix, "matvec"):
        operand = aslinearoperator(matrix)
    elif hasattr(matrix, "shape") and hasattr(matrix, "matmat"):
        # SciPy's operators are made of a product with a vector.
        product = matrix.matmat
        operand = LinearOperator(
            matrix.shape,
            matvec=lambda x: product(x.reshape(-1, 1)),
            matmat=product,
            dtype=getattr(matrix, "dtype", None),
        )
    else:
        _check_on_host(name, matrix)
        if np.ma.is_masked(matrix):
            raise ValueError(f"{name} has masked elements, expected a matrix without gaps: fill them first")
        try:
            operand = np.asarray(matrix)
        except ValueError as error:
            raise ValueError(f"{name} is not a matrix: {error}") from None
        if operand.ndim == 0 and not hasattr(matrix, "shape"):
            raise TypeError(
                f"{name} is {shortened(repr(matrix), 80)}, expected a square matrix: an array, a sparse matrix, lists "
                "of numbers, or a LinearOperator"
            )
    if len(operand.shape) != 2 or operand.shape[0] != operand.shape[1] or operand.shape[0] == 0:
        raise ValueError(f"{name} has shape {tuple(operand.shape)}, expected a square matrix (n, n) with n >= 1")
    return operand


def _check_on_host(name: str, array: Any) -> None:
    if on_cuda(array):
        raise TypeError(
            f"{name} is a {type(array).__qualname__} on a CUDA device, expected one on the host: eigsh copies nothing "
            "from a device in silence, and returns arrays of the host; copy it there first"
        )
    if is_foreign(array):
        raise TypeError(
            f"{name} is a {type(array).__module__}.{type(array).__qualname__}, which NumPy cannot read, expected "
            "one on the host; copy it there first"
        )


def _same_shape(name: str, operand: Operand, n: int) -> Operand:
    if operand.shape != (n, n):
        raise ValueError(f"{name} has shape {tuple(operand.shape)}, expected ({n}, {n}), the shape of A")
    return operand


def _working_dtype(A: Operand, M: Operand | None) -> np.dtype[Any]:
    operands = {"A": A, "M": M}
    types = {name: np.dtype(of.dtype) for name, of in operands.items() if of is not None and of.dtype is not None}
    for name, dtype in types.items():
        if dtype.kind not in "biufc":
            raise TypeError(f"{name} has dtype {dtype}, expected a numeric one: convert it with {name}.astype(float)")
        if dtype.kind in "fc" and dtype.char not in WORKING_DTYPE:
            raise ValueError(
                f"{name} has dtype {dtype}, expected float32, float64, complex64 or complex128: convert it"
            )
    given = types.values()
    together = np.result_type(*(WORKING_DTYPE.get(d.char, np.float64) if d.kind in "biu" else d for d in given))
    return np.dtype(WORKING_DTYPE[together.char])


def _csr(matrix: Any) -> csr_array:
    """Return the rows of a sparse matrix; integers become floats first, so that duplicates add up without overflow."""
    if matrix.format in ("coo", "csr", "csc") and matrix.dtype.kind in "biu":
        matrix = matrix.astype(np.float64)
    return csr_array(matrix)


def _whole_spectrum(k: Any, n: int, A: Operand, M: Operand | None) -> bool:
    """Check k, and return whether it asks for all eigenvalues."""
    k = _integer("k", k)
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 <= k < n = {n}")
    if k < n:
        return False
    # As SciPy: a dense matrix can be solved whole, for a sparse one that would be a surprise.
    if not isinstance(A, np.ndarray) or isinstance(M, LinearOperator):
        raise TypeError(
            f"k is {k}, expected k < n = {n} for a sparse matrix or an operator; "
            "for the whole spectrum use scipy.linalg.eigh(A.toarray())"
        )
    warn_caller(f"k = {k} >= n = {n}: the whole spectrum is computed, with scipy.linalg.eigh", RuntimeWarning)
    return True


def _check_transformation(M: Operand | None, sigma: float | None, mode: str, Minv: Any, OPinv: Any) -> None:
    if sigma is not None:
        if Minv is not None:
            raise ValueError("Minv is given with sigma, which has no use for it; leave Minv out")
        if mode != "normal" and sigma == 0:
            raise ValueError(f"sigma is 0, and mode {mode!r} then maps every eigenvalue to 1; use mode 'normal'")
        return
    if mode != "normal":
        warn_caller(f"mode is {mode!r}, and sigma is not given: it has no effect", UserWarning)
    if OPinv is not None:
        raise ValueError("OPinv is given without sigma; it is the inverse of A - sigma M: give sigma too")
    if Minv is not None and M is None:
        raise ValueError("Minv is given without M; give M too")


def _finite(name: str, value: Any) -> float:
    wrong = TypeError(f"{name} is {value!r}, expected a real number")
    # float() would read text, and NumPy's complex numbers without their imaginary parts.
    if isinstance(value, (str, bytes)) or (np.iscomplexobj(value) and np.any(np.imag(value))):
        raise wrong
    try:
        value = np.real(value) if np.iscomplexobj(value) else value
        number = float(value)
    except (TypeError, ValueError):
        raise wrong from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, expected a finite number")
    return number


def _iterations(maxiter: Any) -> int | None:
    if maxiter is None:
        return None
    # Limits are written as 1e4, and SciPy takes that.
    whole = isinstance(maxiter, (float, np.floating)) and float(maxiter).is_integer()
    number = int(maxiter) if whole else _integer("maxiter", maxiter)
    if number < 1:
        raise ValueError(f"maxiter is {number}, expected at least 1")
    return number


def _integer(name: str, value: Any) -> int:
    wrong = TypeError(f"{name} is {value!r}, expected an integer")
    if isinstance(value, bool):
        raise wrong
    try:
        return operator.index(value)
    except TypeError:
        raise wrong from None


def _basis_size(ncv: int | None, k: int) -> int | None:
    if ncv is None:
        return None
    size = _integer("ncv", ncv)
    if size <= k:
        raise ValueError(f"ncv is {size}, expected more than k = {k}")
    return size


def _generator(rng: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(0 if rng is None else rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng is {rng!r}, expected a seed, a numpy.random.Generator or None: {error}") from None


def _inverse(name: str, inverse: Any, n: int, dtype: np.dtype[Any]) -> LinearOperator | None:
    if inverse is None:
        return None
    try:
        inverse = aslinearoperator(inverse)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {inverse!r}, expected a matrix or a LinearOperator") from None
    if inverse.shape != (n, n):
        raise ValueError(f"{name} has shape {inverse.shape}, expected ({n}, {n}), the shape of A")
    if dtype.kind != "c" and inverse.dtype is not None and np.dtype(inverse.dtype).kind == "c":
        raise ValueError(f"{name} is complex and the problem is real: take {name}.real if its imaginary part is zero")
    return Checked(name, inverse, dtype)


def _start(v0: Any, n: int, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    if v0 is None:
        return None
    _check_on_host("v0", v0)
    start = np.asarray(v0)
    if start.shape == (1, n):
        start = start.ravel()  # SciPy takes a row, too
    if start.ndim not in (1, 2) or start.shape[0] != n or start.size == 0:
        raise ValueError(f"v0 has shape {start.shape}, expected ({n},) or ({n}, m): one start vector or m of them")
    if start.dtype.kind not in "biufc":
        raise TypeError(f"v0 has dtype {start.dtype}, expected a numeric one")
    if np.iscomplexobj(start) and dtype.kind != "c":
        if start.imag.any():
            raise ValueError("v0 is complex and A is real: a real problem starts from real vectors, such as v0.real")
        start = start.real
    if not np.isfinite(start).all():
        raise ValueError("v0 contains NaN or infinity, expected finite numbers")
    columns = start.reshape(n, -1).astype(np.result_type(dtype, np.float64))
    # Only the directions matter: squares of what is huge or tiny would leave the range of numbers.
    sizes = abs(columns).max(axis=0)
    return np.asarray(columns / np.where(sizes > 0.0, sizes, 1.0), dtype)


def _preconditioner(preconditioner: Any, n: int, dtype: np.dtype[Any]) -> Any:
    if preconditioner is None:
        return None
    if callable(preconditioner) and not hasattr(preconditioner, "shape"):
        operator = LinearOperator((n, n), matvec=preconditioner, matmat=preconditioner, dtype=dtype)
        return Checked("preconditioner", operator, dtype)
    if isinstance(preconditioner, str):
        if preconditioner not in PRECONDITIONERS:
            raise ValueError(
                f"preconditioner is {preconditioner!r}, expected one of {', '.join(map(repr, PRECONDITIONERS))}, None, "
                "a matrix, a LinearOperator or a function of a block of residuals"
            )
        return preconditioner
    operand = _same_shape("preconditioner", as_operand("preconditioner", preconditioner), n)
    if dtype.kind != "c" and operand.dtype is not None and np.dtype(operand.dtype).kind == "c":
        raise ValueError("preconditioner is complex and A is real: a real problem takes a real one")
    if not isinstance(operand, LinearOperator):
        check_finite("preconditioner", operand.data if isinstance(operand, csr_array) else operand)
    return _convert("preconditioner", operand, dtype)


PRECONDITIONERS = ("auto", "none", "jacobi", "chebyshev", "chebyshev-jacobi", "amg", "factors")
"""The preconditioners that can be asked for by name."""


def _convert(name: str, operand: Operand, dtype: np.dtype[Any]) -> Operand:
    if isinstance(operand, LinearOperator):
        return Checked(name, operand, dtype)
    if isinstance(operand, csr_array):
        converted = operand.astype(dtype, copy=False)
        if not converted.has_canonical_format:
            converted = converted.copy()
            converted.sum_duplicates()
        return converted
    return np.ascontiguousarray(operand, dtype=dtype)
