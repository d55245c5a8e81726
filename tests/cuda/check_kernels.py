"""Print registers, spills and shared memory of every CUDA kernel, as NVIDIA's assembler counts them.

Run as ``python tests/cuda/check_kernels.py [PATTERN]`` with `ptxas` on the path; ``make check-cuda-kernels`` does. It
exits with 1 where a kernel keeps registers in memory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cuda.kernels import CAPABILITIES, KERNELS, compiled


def assembled(ptx: str, capability: tuple[int, int]) -> tuple[int, int, int]:
    """Return registers a thread, bytes of spilled registers, and bytes of shared memory of a kernel."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        command = [
            "ptxas",
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
    if shutil.which("ptxas") is None:
        print("ptxas is not on the path: install the CUDA toolkit, or pip install nvidia-cuda-nvcc-cu12")
        return 0
    spilling = 0
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    print(f"{'kernel':44}", *(f"sm_{major}{minor}" for major, minor in CAPABILITIES), "spills  shared", sep="  ")
    for name in KERNELS:
        if not re.search(pattern, name):
            continue
        results = [assembled(ptx, capability) for capability, ptx in compiled(name).items()]
        spills = max(spill for _, spill, _ in results)
        spilling += spills > 0
        print(
            f"{name:44}", *(f"{registers:5}" for registers, _, _ in results), f"{spills:6}  {results[0][2]:6}", sep="  "
        )
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
