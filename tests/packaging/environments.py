"""How the packaging tests run commands, away from this checkout."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARRAY_DISPATCH"))}


def run(*command, cwd, check=True, **environment):
    environment = ENVIRONMENT | environment
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result
