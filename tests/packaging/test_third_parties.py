"""Plugins that are not ours, in an environment of their own: each is installed, and passes the conformance kit."""

import ast
import importlib
import os
import re

import pytest

from tests.packaging.environments import ROOT, run

PAGES = ROOT / "docs"

# One worker builds the wheels and their environment, for all of these.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("packaging")]


def test_a_new_plugin_passes_the_kit_as_it_is_written(environment):
    python = environment / "venv/bin/python"
    said = run(environment / "venv/bin/dispatch", "new", "my-gpu", "--dir", "plugin", cwd=environment).stdout
    assert said == "plugin is written; in it: pip install -e '.[test]', then pytest\n"
    folder = environment / "plugin"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", folder, cwd=environment)
    assert "my-gpu:0" in run(environment / "venv/bin/dispatch", "list", cwd=environment).stdout
    tested = run(python, "-m", "pytest", "-q", "-x", cwd=folder)
    assert " passed" in tested.stdout
    assert "failed" not in tested.stdout
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-my-gpu", cwd=environment)


def test_a_plugin_on_the_array_api_passes_the_kit(environment):
    """With `array-api-strict`, which has nothing but the standard; `make test-arrayapi` does it with PyTorch."""
    python, example = environment / "venv/bin/python", ROOT / "examples" / "array_api"
    run(python, "-m", "pip", "install", "--quiet", f"{example}[strict]", cwd=environment)
    options = ("-q", "-x", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", environment)
    tests = f"{example}/tests/test_conformance.py::TestStrict"
    tested = run(python, "-m", "pytest", *options, tests, cwd=environment)
    assert " passed" in tested.stdout
    assert "failed" not in tested.stdout
    listed = run(environment / "venv/bin/dispatch", "list", cwd=environment).stdout
    assert "array-api-strict:0" in listed
    assert "pip install torch" in listed
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-array-api", cwd=environment)


def files_of_the_tutorial():
    """Return the files that the page has the reader write, by their paths."""
    page = (PAGES / "write-a-backend.md").read_text("utf-8")
    return dict(re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```", page, re.DOTALL | re.MULTILINE))


def test_the_backend_of_the_tutorial_passes_the_kit(environment):
    files, folder, python = files_of_the_tutorial(), environment / "lists", environment / "venv/bin/python"
    assert len(files) == 5
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", folder, cwd=environment)
    without_the_solver(folder, files)
    assert "1 passed" in run(python, "-m", "pytest", "-q", "-k", "operation_that_is_not_declared", cwd=folder).stdout
    for path in files:
        (folder / path).write_text(files[path], "utf-8")
    checked = run(environment / "venv/bin/dispatch", "check", "lists", "-k", "test_gram", cwd=environment).stdout
    assert "| `sum` | bool, int64, float64 |" in checked
    tested = run(python, "-m", "pytest", "-q", "-x", cwd=folder)
    assert " passed" in tested.stdout
    assert "failed" not in tested.stdout
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "array-dispatch-lists", cwd=environment)


def without_the_solver(folder, files):
    """Leave the package as its reader has it before step 4, by what step 2 says of that."""
    (folder / "dispatch_lists/engine.py").unlink()
    backend = re.sub(r"    def block_engine\(.*?\n\n\n", "\n", files["dispatch_lists/backend.py"], flags=re.DOTALL)
    (folder / "dispatch_lists/backend.py").write_text(backend, "utf-8")
    declared = f'{files["tests/test_conformance.py"]}    operations = frozenset({{"sum"}})\n'
    (folder / "tests/test_conformance.py").write_text(declared, "utf-8")


def sources_of_third_parties():
    yield from files_of_the_tutorial().items()
    for folder in ("examples/array_api", "dispatch/template"):
        for path in sorted((ROOT / folder).rglob("*.py*")):
            if path.suffix == ".py" or path.name.endswith(".py.template"):
                yield str(path.relative_to(ROOT)), path.read_text("utf-8").replace("$", "a_")


SOURCES = {path: text for path, text in sources_of_third_parties() if not path.endswith(".toml")}


@pytest.mark.parametrize("path", SOURCES)
def test_only_documented_names_are_used(path):
    page = (PAGES / "protocol.md").read_text("utf-8")
    documented = {
        name: importlib.import_module(name).__all__ for name in re.findall(r"^\| `(dispatch[.\w]*)` \|", page, re.M)
    }
    assert len(documented) == 5
    for node in ast.walk(ast.parse(SOURCES[path])):
        if isinstance(node, ast.ImportFrom) and re.match(r"dispatch(\.|$)", node.module or ""):
            assert node.module in documented, f"{node.module} is not documented"
            assert {alias.name for alias in node.names} <= set(documented[node.module])
        elif isinstance(node, ast.Import):
            assert all(not alias.name.startswith("dispatch.") for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dispatch":
            assert node.attr in documented["dispatch"]
