"""What the catalogue of faults is made of: copies of the CPU backend, each with one promise broken.

`faults_of_*.py` fill the catalogue, `test_every_fault_is_found.py` holds the conformance kit to it.
"""

import numpy as np
from dispatch_cpu.backend import CpuBackend
from dispatch_cpu.engine import CpuEngine

import dispatch

NO_VALUE = np._NoValue


class Copy(CpuBackend):
    """The CPU backend under another name, else as it is: what every fault is a change to."""

    name = "copy"
    engine = CpuEngine

    def probe(self):
        return tuple(dispatch.Device(f"copy:{index}", "cpu", "a copy of cpu:0") for index in range(2))

    # Its own plans of sums would go round the `sum` that a fault replaces.
    prepare_sum = dispatch.Backend.prepare_sum

    def block_engine(self, problem, *, device):
        return self.engine(problem)


class Fault:
    """A backend with one thing wrong, and the tests of the kit one of which must fail.

    The kit as a whole has these tests; they are named, and `among` (pytest's ``-k``) chooses from their parameters, so
    that not all of it has to run for every fault.
    """

    def __init__(self, backend, what, tests, among, declared):
        self.backend = backend
        self.what = what
        self.tests = tests
        self.among = among
        self.declared = declared


FAULTS: dict[str, Fault] = {}
"""The catalogue, by the names of the classes."""


DECLARED: dict[str, object] = {}
"""What the backend under test is declared to do, where that is not everything."""


def fault(*tests, among="", **declared):
    """Enter a class, a `Copy` or a `CpuEngine`, into the catalogue under its name; its docstring says what is wrong."""

    def enter(kind):
        backend = type(kind.__name__, (Copy,), {"engine": kind}) if issubclass(kind, CpuEngine) else kind
        assert kind.__name__ not in FAULTS
        FAULTS[kind.__name__] = Fault(backend, kind.__doc__, tests, among, declared)
        return kind

    return enter
