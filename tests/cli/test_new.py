"""``dispatch new``: what it writes, and what it refuses. That the result passes the kit is a packaging test."""

import tomllib

import pytest

from dispatch.cli import main


def test_the_files(tmp_path, capsys):
    assert main(["new", "my-gpu", "--dir", str(tmp_path / "plugin")]) == 0
    written = sorted(
        str(path.relative_to(tmp_path / "plugin")) for path in (tmp_path / "plugin").rglob("*") if path.is_file()
    )
    assert written == [
        ".github/workflows/test.yml",
        "README.md",
        "dispatch_my_gpu/__init__.py",
        "dispatch_my_gpu/backend.py",
        "dispatch_my_gpu/engine.py",
        "pyproject.toml",
        "tests/test_conformance.py",
    ]
    project = tomllib.loads((tmp_path / "plugin" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "array-dispatch-my-gpu"
    assert project["entry-points"] == {"dispatch.backends": {"my-gpu": "dispatch_my_gpu:backend"}}
    assert "class MyGpuBackend(Backend):" in (tmp_path / "plugin" / "dispatch_my_gpu" / "backend.py").read_text()
    assert not any("$" in path.read_text() for path in (tmp_path / "plugin").rglob("*.py"))


REFUSED = {
    "MyGPU": "name is 'MyGPU', expected lower-case letters, digits, - and _, a letter first; not 'auto' or 'lobpcg'",
    "auto": "name is 'auto', expected lower-case letters",
    "cpu": "name is 'cpu', which array-dispatch-cpu already provides; choose another",
    "cuda": "name is 'cuda', which array-dispatch-cuda already provides; choose another",
}


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_cannot_be(tmp_path, capsys, name):
    assert main(["new", name, "--dir", str(tmp_path / "plugin")]) == 2
    assert REFUSED[name] in capsys.readouterr().err
    assert not (tmp_path / "plugin").exists()


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["new", "my-gpu", "--dir", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
