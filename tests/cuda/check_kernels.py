"""Print registers, spills and shared memory of every CUDA kernel, as NVIDIA's assembler counts them.

Run as ``python tests/cuda/check_kernels.py [PATTERN]``; ``make check-kernels`` does. `ptxas` is looked for on the path,
beside CUDA's compiler from PyPI, and in the toolkit of CUDA_HOME. The script exits with 1 where a kernel keeps
registers in memory.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cuda.kernels import CAPABILITIES, KERNELS, THREADS, compiled

REGISTERS, UNIT = 65536, 256
"""Registers of a multiprocessor, and how many a warp gets at a time."""


def assembler() -> str | None:
    """Return the path of `ptxas`, or None."""
    places = [os.environ.get("PATH", ""), os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin")]
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations or () if found else ():
        places += [str(path) for path in Path(folder).glob("*/bin")]
    return shutil.which("ptxas", path=os.pathsep.join(places))


def resident(registers: int) -> int:
    """Return how many blocks of a kernel with so many registers a thread a multiprocessor runs at a time."""
    warp = -(-registers * 32 // UNIT) * UNIT
    return REGISTERS // warp // (THREADS // 32)


def assembled(ptxas: str, ptx: str, capability: tuple[int, int]) -> tuple[int, int, int]:
    """Return registers a thread, bytes of spilled registers, and bytes of shared memory of a kernel."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        command = [
            ptxas,
            "-v",
            f"-arch=sm_{capability[0]}{capability[1]}",
            str(source),
            "-o",
            f"{folder}/kernel.cubin",
        ]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr

    def number(pattern: str) -> int:
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    return number(r"Used (\d+) registers"), number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes smem")


def main() -> int:
    """Print a line for each kernel: registers for each compute capability, spills, shared memory."""
    ptxas = assembler()
    if ptxas is None:
        print("there is no ptxas: install the CUDA toolkit, or pip install nvidia-cuda-nvcc-cu12")
        return 1
    spilling = 0
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    columns = [f"sm_{major}{minor}" for major, minor in CAPABILITIES]
    print(f"{'kernel':44}", *columns, "blocks  spills  shared", sep="  ", flush=True)
    for name in KERNELS:
        if not re.search(pattern, name):
            continue
        results = [assembled(ptxas, ptx, capability) for capability, ptx in compiled(name).items()]
        spills = max(spill for _, spill, _ in results)
        blocks = min(resident(registers) for registers, _, _ in results)
        spilling += spills > 0
        row = [f"{registers:5}" for registers, _, _ in results]
        print(f"{name:44}", *row, f"{blocks:6}  {spills:6}  {results[0][2]:6}", sep="  ", flush=True)
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
