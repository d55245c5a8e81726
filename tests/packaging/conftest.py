"""Wheels of our distributions, and an environment that they are installed in."""

import fcntl
import sys

import pytest

from tests.packaging.environments import ROOT, run

KIT = ("pytest>=8", "hypothesis>=6.100")
"""The extra `testing`."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Build the wheel of each distribution from its sdist, as `make dist` does."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "backends" / "cpu"):
        build = (sys.executable, "-m", "build", "--outdir", folder, project)
        run(*build, cwd=folder, ARRAY_DISPATCH_PLUGINS_BY_VERSION="1")
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheels):
    """Return the folder of an environment with our two wheels, what they and the kit require, and nothing else.

    What is imported of it is compiled then. No kernels of sums are compiled for it in the background, as if another
    process did so already: NumPy serves meanwhile.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    install = (folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*install, *wheels, *KIT, cwd=folder)
    (package,) = folder.glob("venv/lib/python*/site-packages/dispatch_cpu")
    cache = package / "__pycache__"
    cache.mkdir()
    with open(cache / "dispatch_cpu.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
