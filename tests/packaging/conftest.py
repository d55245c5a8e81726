"""Wheels of our distributions, and an environment that they are installed in."""

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
    """Return the folder of an environment with our two wheels, what they and the kit require, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", *wheels, *KIT, cwd=folder)
    return folder
