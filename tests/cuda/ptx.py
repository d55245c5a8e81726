"""The PTX of kernels, compiled once and kept on disk: tests need the same in many processes.

Numba numbers what it compiles in a process, and the number is a part of the PTX. What is kept is the same text for
every process, so that what is made of it need not be made again either.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from dispatch_cuda.kernels import cache
from numba import cuda
from numba.cuda.codegen import CUDACodeLibrary

FOLDER = Path(os.environ.get("PTX_ON_CPU_CACHE") or Path(sys.prefix, "ptx_on_cpu"))


def compiled(function, signature, capabilities):
    """Return the PTX of a kernel's function for each compute capability; Numba's part of the work is done once."""
    path = FOLDER / cache.key(function.specialised, signature, capabilities)
    kept = cache.load(path)
    if kept is not None:
        return pickle.loads(kept)
    libraries, translate = [], CUDACodeLibrary.get_asm_strs

    def noted(library, cc=None):
        libraries.append(library)
        return translate(library, cc)

    # Functions that kernels call are compiled for the current device, and there is none.
    device = SimpleNamespace(compute_capability=capabilities[0])
    with (
        mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device),
        mock.patch.object(CUDACodeLibrary, "get_asm_strs", noted),
    ):
        cuda.compile_ptx(function, signature, cc=capabilities[0])
    result = {capability: "\n".join(translate(libraries[-1], capability)) for capability in capabilities}
    cache.save(path, pickle.dumps(result))
    return result
