"""Who serves the sums of a test: NumPy, unless the test asks for the compiled kernels."""

import pytest
from dispatch_cpu import compilation, kernels
from dispatch_cpu.recipes import Key

from dispatch.registry import registry


def pytest_itemcollected(item):
    """Have one test process compile all the kernels: two would compile them twice, and wait for each other."""
    if "compiled" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("compiled-kernels"))


def take_as_large(monkeypatch):
    """Have all arrays summed as large ones are."""
    monkeypatch.setattr("dispatch_cpu.row_sums.Jobs.is_for_one_thread", False)
    monkeypatch.setattr("dispatch_cpu.numpy_sums.BELOW", {})
    forget_plans()


def forget_plans():
    """Have it planned anew who sums an array."""
    registry.table().routes.clear()


@pytest.fixture(autouse=True)
def _nothing_compiles_unasked(request, monkeypatch):
    with kernels._loading:  # what a test elsewhere began to load; Numba sets `warnings` back, for all threads
        pass
    if not {"compiled", "compiler"} & set(request.fixturenames):
        monkeypatch.setattr(kernels, "find", lambda name, recipe, result, masked: None)
        forget_plans()


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
    forget_plans()


@pytest.fixture
def nothing_is_small(monkeypatch):
    """The arrays of the test are summed as large ones are."""
    take_as_large(monkeypatch)
    forget_plans()
