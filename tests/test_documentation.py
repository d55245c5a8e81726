"""The Python blocks of the README and of every page, and the examples of the public docstrings, run."""

import doctest
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import dispatch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=lambda p: p.name
)
def test_code_blocks(page):
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()


DOCUMENTED = [name for name in dispatch.__all__ if ">>>" in (getattr(dispatch, name).__doc__ or "")]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_examples(name):
    (test,) = [t for t in doctest.DocTestFinder(recurse=False).find(getattr(dispatch, name), name) if t.examples]
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(test).failed == 0
