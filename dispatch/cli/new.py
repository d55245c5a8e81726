"""``dispatch new NAME``: a distribution with a backend that passes the kit, to be replaced method by method."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import dispatch
from dispatch.cli.exit_codes import DONE
from dispatch.registry import registry

FILES = {
    "pyproject.toml.template": "pyproject.toml",
    "README.md.template": "README.md",
    "test.yml.template": ".github/workflows/test.yml",
    "package/__init__.py.template": "$package/__init__.py",
    "package/backend.py.template": "$package/backend.py",
    "package/engine.py.template": "$package/engine.py",
    "tests/test_conformance.py.template": "tests/test_conformance.py",
}
"""Files of the folder `dispatch/template`, and what becomes of them."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("new", help="write the distribution of a new backend")
    parser.add_argument("name", help="name of the backend: lower-case letters, digits, - and _")
    parser.add_argument("--dir", metavar="FOLDER", help="where to write it (default: ./array-dispatch-NAME)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files and say what to do with them."""
    words = _words(options.name)
    folder = Path(options.dir or words["distribution"])
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"--dir: {folder} is not empty; name a folder that is, or one that does not exist yet")
    template = resources.files("dispatch") / "template"
    for source, destination in FILES.items():
        path = folder / Template(destination).substitute(words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.joinpath(source).read_text("utf-8")).substitute(words), "utf-8")
    sys.stdout.write(f"{folder} is written; in it: pip install -e '.[test]', then pytest\n")
    return DONE


def _words(name: str) -> dict[str, str]:
    if re.fullmatch(r"[a-z][a-z0-9_-]*", name) is None or name in ("auto", "lobpcg"):
        raise ValueError(
            f"name is {name!r}, expected lower-case letters, digits, - and _, a letter first; not 'auto' or 'lobpcg'"
        )
    entry = registry.table().entries.get(name)
    if entry is not None:
        who = entry.distribution or f"array-dispatch-{name}"
        raise ValueError(f"name is {name!r}, which {who} already provides; choose another")
    major, minor = dispatch.__version__.split(".")[:2]
    return {
        "name": name,
        "distribution": f"array-dispatch-{name}",
        "package": f"dispatch_{name}".replace("-", "_"),
        "class": "".join(part.capitalize() for part in re.split("[-_]", name)) + "Backend",
        "core": f"{major}.{minor}",
        "next": f"{major}.{int(minor) + 1}",
    }
