"""The code blocks of the README and of every page, and the examples of the public docstrings, run."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import dispatch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def pages_with(language):
    """Parametrize a test with the pages that have a block in a language."""
    pages = [page for page in PAGES if f"```{language}\n" in page.read_text("utf-8")]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


@pages_with("python")
def test_python_blocks(page):
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()


@pages_with("console")
def test_console_blocks(page, tmp_path):
    """Run what follows each ``$`` in a shell, and compare what it prints with what follows on the page."""

    def run(example):
        for step in f"\n{example.parsed}".split("\n$ ")[1:]:
            command, printed = split_step(step)
            result = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=SHELL, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            assert result.returncode == 0, result.stdout
            same = doctest.OutputChecker().check_output(printed, result.stdout, doctest.ELLIPSIS)
            assert same, f"$ {command}\nprinted:\n{result.stdout}the page says:\n{printed}"

    for example in Sybil(parsers=[CodeBlockParser("console", run)]).parse(page).examples():
        example.evaluate()


SHELL = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def split_step(step):
    """Return a command, with its here-document if it has one, and what the page says that it prints."""
    lines = step.rstrip("\n").split("\n")
    end = lines.index("END") + 1 if lines[0].endswith("<<END") else 1
    return "\n".join(lines[:end]), "".join(f"{line}\n" for line in lines[end:])


@pages_with("sh")
def test_shell_blocks_are_the_makefiles_targets(page):
    """What a user is told to run before anything is installed is not run again here: CI runs it."""
    targets = (ROOT / "Makefile").read_text("utf-8")
    examples = Sybil(parsers=[CodeBlockParser("sh", lambda example: None)]).parse(page).examples()
    for command in "".join(example.parsed for example in examples).splitlines():
        make, target, *_ = command.split()
        assert make == "make"
        assert f"\n{target}:" in targets


DOCUMENTED = [name for name in dispatch.__all__ if ">>>" in (getattr(dispatch, name).__doc__ or "")]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_examples(name):
    (test,) = [t for t in doctest.DocTestFinder(recurse=False).find(getattr(dispatch, name), name) if t.examples]
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(test).failed == 0
