"""What is shipped: wheels that install into an empty environment and work there without this checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARRAY_DISPATCH"))}

# One worker builds the wheels and their environment, for all of these.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("packaging")]


def run(*command, cwd, check=True, **environment):
    environment = ENVIRONMENT | environment
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Build the wheel of each distribution from its sdist, as `make dist` does."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "backends" / "cpu"):
        build = (sys.executable, "-m", "build", "--outdir", folder, project)
        run(*build, cwd=folder, ARRAY_DISPATCH_PLUGINS_BY_VERSION="1")
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheels):
    """Return the folder of an environment with our two wheels, and what they require, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", *wheels, cwd=folder)
    return folder


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


def test_a_new_plugin_passes_the_kit_as_it_is_written(environment):
    python = environment / "venv/bin/python"
    requirements = ("pytest>=8", "hypothesis>=6.100")
    run(python, "-m", "pip", "install", "--quiet", *requirements, cwd=environment)
    said = run(environment / "venv/bin/dispatch", "new", "my-gpu", "--dir", "plugin", cwd=environment).stdout
    assert said == "plugin is written; in it: pip install -e '.[test]', then pytest\n"
    folder = environment / "plugin"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", folder, cwd=environment)
    assert "my-gpu:0" in run(environment / "venv/bin/dispatch", "list", cwd=environment).stdout
    tested = run(python, "-m", "pytest", "-q", "-x", cwd=folder)
    assert " passed" in tested.stdout
    assert "failed" not in tested.stdout
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-my-gpu", cwd=environment)


def test_without_the_plugin_the_first_call_says_what_to_install(environment):
    python = environment / "venv/bin/python"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-cpu", cwd=environment)
    failed = run(python, "-c", "import dispatch; print('imported'); dispatch.sum([1])", cwd=environment, check=False)
    assert failed.stdout == "imported\n"
    assert "BackendUnavailableError" in failed.stderr
    assert "cpu: it is not installed -> pip install array-dispatch-cpu" in failed.stderr


def test_plain_pip_in_the_root_gives_a_working_installation(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", ROOT, cwd=tmp_path)
    assert run(python, "-c", EIGSH, cwd=tmp_path).stdout.split()[1:] == ["cpu:0", "True"]
