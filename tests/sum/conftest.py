"""Who serves the sums of a test: NumPy, unless the test asks for the compiled kernels."""

import pytest
from dispatch_cpu import compilation, few_elements, kernels
from dispatch_cpu.recipes import Key


def take_as_large(monkeypatch):
    """Have all arrays summed as large ones are."""
    for module in ("few_elements", "sum"):
        monkeypatch.setattr(f"dispatch_cpu.{module}.MOST", 0)
        monkeypatch.setattr(f"dispatch_cpu.{module}.NUMPY_BELOW", {})
    forget_routes(monkeypatch)


def forget_routes(monkeypatch):
    """Have it planned anew who sums an array."""
    monkeypatch.setattr("dispatch_cpu.sum._routes", {})
    few_elements.few_routes.clear()


@pytest.fixture(autouse=True)
def _nothing_compiles_unasked(request, monkeypatch):
    if not {"compiled", "compiler"} & set(request.fixturenames):
        monkeypatch.setattr(kernels, "find", lambda name, recipe, result, masked: None)
        forget_routes(monkeypatch)


@pytest.fixture(scope="session")
def _session_kernels():
    return {}


@pytest.fixture
def compiled(monkeypatch, _session_kernels):
    """Every kernel that is asked for is there at once."""

    def find(name, recipe, result, masked):
        key = (name, recipe, result, masked)
        if key not in _session_kernels:
            with compilation.only_compiler():
                _session_kernels[key] = kernels.call_once(Key(*key))
        return _session_kernels[key]

    monkeypatch.setattr(kernels, "find", find)
    monkeypatch.setattr(kernels, "is_worth_loading", lambda: True)
    forget_routes(monkeypatch)


@pytest.fixture
def nothing_is_small(monkeypatch):
    """The arrays of the test are summed as large ones are."""
    take_as_large(monkeypatch)
    forget_routes(monkeypatch)
