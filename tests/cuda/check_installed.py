"""``dispatch check cuda`` over what is installed, on a stand-in for the device: `make test-wheels` where there is none.

``DISPATCH_CUDA_TESTS`` names the stand-in, ``ptx`` or ``simulator``, as for the tests in `on_device`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # for the stand-in; behind what is installed
import_module("tests.cuda.on_device.conftest")

import dispatch_cuda  # noqa: E402 - the stand-in comes first

import dispatch  # noqa: E402
from dispatch.cli import main  # noqa: E402

if __name__ == "__main__":  # a process that a test spawns imports this module for the stand-in alone
    for package in (dispatch, dispatch_cuda):
        if not Path(package.__file__).is_relative_to(sys.prefix):
            sys.exit(f"{package.__file__} is not what is installed in {sys.prefix}")
    sys.exit(main(["check", "cuda", *sys.argv[1:]]))
