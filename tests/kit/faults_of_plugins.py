"""Faults of what a plugin says, of how it is imported, and of calls at the same time."""

import os
import threading
import time
import warnings

import numpy as np

import dispatch
from tests.kit.fault import Copy, fault

SLOW = 0.4
"""Seconds that `cost` takes; `test_every_fault_is_found.py` lowers the limit below it."""

# What it says


@fault("test_its_metadata")
class ArrayTypesWithoutModules(Copy):
    """Array types are named without their modules."""

    array_types = ("Array",)


@fault("test_its_devices")
class DevicesWithoutDescriptions(Copy):
    """A device has no description."""

    def probe(self):
        return (dispatch.Device("copy:0", "cpu"),)


@fault("test_its_devices")
class DevicesThatChange(Copy):
    """`probe` returns another number of devices each time."""

    probes = 0

    def probe(self):
        self.probes += 1
        return tuple(dispatch.Device(f"copy:{index}", "cpu", "a copy") for index in range(self.probes))


@fault("test_probe_has_no_side_effects")
class TalkativeProbe(Copy):
    """`probe` prints."""

    def probe(self):
        print("looking for devices")  # noqa: T201
        return super().probe()


@fault("test_probe_has_no_side_effects")
class ProbeSetsVariables(Copy):
    """`probe` sets an environment variable."""

    def probe(self):
        os.environ["DISPATCH_COPY_PROBES"] = str(int(os.environ.get("DISPATCH_COPY_PROBES", "0")) + 1)
        return super().probe()


@fault("test_probe_has_no_side_effects")
class ProbeSilencesWarnings(Copy):
    """`probe` leaves a filter of warnings behind."""

    def probe(self):
        warnings.filterwarnings("ignore", "a driver of old")
        return super().probe()


@fault("test_its_answers_about_calls")
class CheaperTheLarger(Copy):
    """The estimate falls as the array grows."""

    def cost(self, call, device):
        return 1.0 / (1 + call.nbytes)


@fault("test_its_answers_about_calls")
class NegativeCost(Copy):
    """The estimate is negative."""

    def cost(self, call, device):
        return -1.0 + 1e-12 * call.nbytes


@fault("test_its_answers_about_calls")
class CostIsNoNumber(Copy):
    """The estimate is NaN."""

    def cost(self, call, device):
        return float("nan")


@fault("test_its_answers_about_calls")
class SupportsHangs(Copy):
    """`supports` never answers."""

    def supports(self, call, device):
        threading.Event().wait()


@fault("test_its_answers_about_calls")
class CostTakesLong(Copy):
    """`cost` computes for a second."""

    def cost(self, call, device):
        time.sleep(SLOW)
        return super().cost(call, device)


@fault("test_its_answers_about_calls")
class SupportsIsNotTrue(Copy):
    """`supports` answers 1."""

    def supports(self, call, device):
        return 1


@fault("test_its_answers_about_calls", operations=frozenset())
class SupportsExits(Copy):
    """`supports` ends the program."""

    def supports(self, call, device):
        raise SystemExit("no licence")


@fault("test_every_axis", "test_every_arithmetic_and_end", sum_dtypes="fdFD")
class RefusesWithoutAReason(Copy):
    """`supports` answers with an empty reason."""

    def supports(self, call, device):
        return True if call.operation == "eigsh" or call.dtype.char in "fdFD" else ""


@fault("test_every_axis", among="int8", sum_dtypes="fdFD")
class SupportsTooManyDtypes(Copy):
    """Dtypes that are not declared are accepted."""


@fault("test_every_arithmetic_and_end", among="F-SA", eigsh_dtypes="fd")
class SupportsTooManyArithmetics(Copy):
    """Arithmetics that are not declared are accepted."""


@fault("test_an_operation_that_is_not_declared_is_refused", operations=frozenset({"sum"}))
class SupportsTooMuch(Copy):
    """An operation that is not declared is accepted."""


@fault("test_every_axis", among="float16")
class SupportsTooLittle(Copy):
    """float16 is declared, and refused."""

    def supports(self, call, device):
        return "it has no float16" if call.operation == "sum" and call.dtype == np.float16 else True


@fault("test_every_axis", among="float16")
class ClaimsWithoutSupport(Copy):
    """float16 is accepted, and fails."""

    def sum(self, a, *arguments, device):
        if a.dtype == np.float16:
            raise KeyError("no kernel for float16")
        return super().sum(a, *arguments, device=device)


@fault("test_what_it_does_not_own_is_left_where_it_is")
class TakesWhatItDoesNotOwn(Copy):
    """A device array of somebody else's is copied to the host."""

    def supports(self, call, device):
        return True


# Calls at the same time


@fault("test_many_threads")
class OperandOnTheBackend(Copy):
    """The operand of a call is kept on the backend, for all threads."""

    def sum(self, a, *arguments, device):
        self.operand = a
        time.sleep(1e-4)
        return super().sum(self.operand, *arguments, device=device)


@fault("test_many_threads")
class OneThreadAtATime(Copy):
    """A second thread is turned away."""

    def __init__(self):
        self.lock = threading.Lock()

    def sum(self, *arguments, device):
        if not self.lock.acquire(blocking=False):
            raise RuntimeError("the device is busy")
        try:
            time.sleep(1e-4)
            return super().sum(*arguments, device=device)
        finally:
            self.lock.release()


@fault("test_many_threads", "test_tasks_with_requests_of_their_own")
class ForOneThreadAlone(Copy):
    """Calls work in the thread that made the first one."""

    thread = None

    def sum(self, *arguments, device):
        self.thread = self.thread or threading.get_ident()
        if threading.get_ident() != self.thread:
            raise RuntimeError("the context belongs to another thread")
        return super().sum(*arguments, device=device)


@fault("test_a_forked_child_works_or_says_why_not")
class WrongAfterAFork(Copy):
    """A forked child computes nothing, and says nothing."""

    def __init__(self):
        self.process = os.getpid()

    def sum(self, a, *arguments, device):
        return super().sum(a if os.getpid() == self.process else a * 0, *arguments, device=device)


@fault("test_a_forked_child_works_or_says_why_not")
class UnclearAfterAFork(Copy):
    """A forked child gets an error that does not speak of the fork."""

    def __init__(self):
        self.process = os.getpid()

    def sum(self, *arguments, device):
        if os.getpid() != self.process:
            raise RuntimeError("CL_INVALID_CONTEXT")
        return super().sum(*arguments, device=device)


@fault("test_a_forked_child_works_or_says_why_not")
class HangsAfterAFork(Copy):
    """A forked child waits for a thread that its parent had."""

    def __init__(self):
        self.process = os.getpid()

    def sum(self, *arguments, device):
        if os.getpid() != self.process:
            threading.Event().wait()
        return super().sum(*arguments, device=device)


# Installed: what shows only in another process

PREAMBLE = "import os, numpy as np, dispatch\nfrom dispatch_cpu.backend import CpuBackend\n"
COPY = """
class Copy(CpuBackend):
    name = "copy"
    def probe(self):
        return (dispatch.Device("copy:0", "cpu", "a copy of cpu:0"),)
    prepare_sum = dispatch.Backend.prepare_sum
"""
EXPOSED = "\nbackend = Copy()\n"


@fault("test_importing_it_is_light")
class HeavyImport(Copy):
    """Importing the plugin imports Numba."""

    source = PREAMBLE + "import numba" + COPY + EXPOSED


@fault("test_importing_it_is_light")
class TalkativeImport(Copy):
    """Importing the plugin prints."""

    source = PREAMBLE + "print('welcome')" + COPY + EXPOSED


@fault("test_its_metadata")
class AnotherVersionOfTheContract(Copy):
    """The plugin was written for another version of the contract."""

    source = PREAMBLE + COPY + "    api_version = 0" + EXPOSED


@fault("test_its_metadata")
class NoVersionOfTheContract(Copy):
    """The plugin takes the version of the contract from the core."""

    source = (
        "import dispatch\nclass Copy(dispatch.Backend):\n    name = 'copy'\n"
        "    def probe(self): return (dispatch.Device('copy:0', 'cpu', 'a copy'),)\n"
        "    def supports(self, call, device): return True\n    def sum(self, *_, device): return 0" + EXPOSED
    )


@fault("test_its_metadata")
class AnotherName(Copy):
    """The backend is called otherwise than its entry point."""

    source = PREAMBLE + COPY.replace('name = "copy"', 'name = "other"') + EXPOSED


@fault("test_a_spawned_child_gets_the_same_bits")
class DifferentInAnotherProcess(Copy):
    """Sums depend on the seed of the process's hashes."""

    source = (
        PREAMBLE
        + COPY
        + "    def sum(self, a, *arguments, device):\n"
        + "        return super().sum(a, *arguments, device=device) + (os.getpid() % 1000003)\n"
        + EXPOSED
    )
