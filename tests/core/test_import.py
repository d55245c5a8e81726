"""`import dispatch` is light and cannot fail because of a plugin or an environment variable."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "numba",
    "pyopencl",
    "scipy.sparse.linalg",
    "matplotlib",
    "dispatch_cpu",
    "dispatch_cuda",
    "dispatch_opencl",
    "rich",
)


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_import_loads_nothing_heavy_and_no_plugin():
    result = run("import dispatch, json, sys; dir(dispatch); print(json.dumps(sorted(sys.modules)))")
    assert result.returncode == 0, result.stderr
    assert not set(HEAVY) & set(json.loads(result.stdout))


@pytest.mark.parametrize(
    "name", ["DISPATCH_BACKEND", "DISPATCH_DISABLE", "DISPATCH_PROBE_TIMEOUT", "DISPATCH_CACHE_DIR"]
)
@pytest.mark.parametrize("value", ["nonsense", ":::", "\udcff", "%s"])
def test_no_environment_variable_breaks_the_import(name, value):
    result = run("import dispatch", **{name: value})
    assert result.returncode == 0, result.stderr


def test_every_public_name_is_there():
    import dispatch

    assert {name for name in dispatch.__all__ if not hasattr(dispatch, name)} == set()
    assert dir(dispatch) == sorted(dispatch.__all__)
    with pytest.raises(AttributeError, match="module 'dispatch' has no attribute 'nothing'"):
        _ = dispatch.nothing
