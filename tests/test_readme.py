"""Every Python block of the README runs, in one namespace, from the top."""

from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_runs():
    examples = list(Sybil(parsers=[PythonCodeBlockParser()]).parse(README).examples())
    assert examples
    for example in examples:
        example.evaluate()
