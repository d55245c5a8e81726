"""What is shipped: wheels that install into an empty environment and work there without this checkout."""

import zipfile

import pytest

from tests.packaging.environments import ROOT, run

# One worker builds the wheels and their environment, for all of these.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("packaging")]


def test_a_release_requires_its_plugin_by_version(wheels):
    core = next(wheel for wheel in wheels if wheel.name.startswith("array_dispatch-"))
    with zipfile.ZipFile(core) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert "Requires-Dist: array-dispatch-cpu==0.1.0" in metadata
    assert "file:" not in metadata
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"dispatch"}
    assert "dispatch/py.typed" in names


EIGSH = """
import dispatch, scipy.sparse
A = scipy.sparse.diags_array([[-1.0] * 999, [2.0] * 1000, [-1.0] * 999], offsets=[-1, 0, 1])
w, v, info = dispatch.eigsh(A, k=3, which="SA", return_info=True)
print(dispatch.__file__, info.device, abs(A @ v - v * w).max() < 1e-12)
"""


def test_the_wheels_work_in_an_empty_environment(environment):
    python = environment / "venv/bin/python"
    listed = run(environment / "venv/bin/dispatch", "list", cwd=environment).stdout
    assert "cpu:0" in listed
    file, device, right = run(python, "-c", EIGSH, cwd=environment).stdout.split()
    assert file.startswith(str(environment))
    assert (device, right) == ("cpu:0", "True")
    failed = run(python, "-c", "import backends", cwd=environment, check=False)
    assert "No module named 'backends'" in failed.stderr


def test_the_cpu_backend_passes_the_kit_from_its_wheel(environment):
    """A part of it: `make test-wheels` runs all, for each backend of ours."""
    checked = run(environment / "venv/bin/dispatch", "check", "cpu", "-k", PART, cwd=environment).stdout
    assert "On cpu:0" in checked
    rows = [row.split("|") for row in checked.splitlines() if row.startswith("| ") and row.count("|") == 5][1:]
    assert len(rows) >= 10
    assert all(int(failed) == 0 for _, _, _, failed, _, _ in rows)


PART = "metadata or light or devices or probe or answers or tiny or bad or initial or columns or gram"


def test_without_the_plugin_the_first_call_says_what_to_install(environment, wheels):
    python = environment / "venv/bin/python"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-cpu", cwd=environment)
    failed = run(python, "-c", "import dispatch; print('imported'); dispatch.sum([1])", cwd=environment, check=False)
    assert failed.stdout == "imported\n"
    assert "BackendUnavailableError" in failed.stderr
    assert "cpu: it is not installed -> pip install array-dispatch-cpu" in failed.stderr
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *wheels, cwd=environment)


def test_plain_pip_in_the_root_gives_a_working_installation(environment, wheels):
    """Where nothing of ours is; what we require is there."""
    python = environment / "venv/bin/python"
    ours = ("array-dispatch", "array-dispatch-cpu")
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *ours, cwd=environment)
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", ROOT, cwd=environment)
    file, device, right = run(python, "-c", EIGSH, cwd=environment).stdout.split()
    assert file.startswith(str(environment))
    assert (device, right) == ("cpu:0", "True")
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *ours, cwd=environment)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *wheels, cwd=environment)
