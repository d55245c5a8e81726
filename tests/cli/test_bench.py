"""What ``dispatch bench`` prints, saves and draws."""

import json

import pytest

from dispatch.benchmark import Timing, crossovers
from dispatch.cli import main


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("dispatch.benchmark.SUM_SECONDS", 0.0)
    monkeypatch.setattr("dispatch.benchmark.EIGSH_SECONDS", 0.0)


def test_bench(quick, tmp_path, capsys):
    out, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    arguments = ["--quick", "--backend", "cpu", "--out", str(out), "--plot", str(picture)]
    assert main(["bench", *arguments]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["operation", "case", "size", "cpu:0"]
    assert len(rows) == 9
    assert rows[2].split()[:3] == ["sum", "float64", "64"]
    assert "(100%)" in rows[2]
    document = json.loads(out.read_text())
    assert [timing["size"] for timing in document["timings"]] == [1, 8, 64] * 2 + [343, 1000, 4096]
    assert all(timing["seconds"] > 0 for timing in document["timings"])
    assert document["devices"][0]["name"] == "cpu:0"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bench_of_no_device(capsys):
    assert main(["bench", "--backend", "cpo"]) == 3
    assert "--backend: cpo is no device of this machine; there is cpu:0" in capsys.readouterr().err


def timings(device, times):
    return [Timing("sum", "float64", 10**i, 8, device, seconds) for i, seconds in enumerate(times)]


@pytest.mark.parametrize(
    ("ours", "size"),
    [([9, 9, 2, 3], 100), ([1, 1, 2, 3], 1), ([9, 2, 3, 9], None), ([1, 9, 2, 3], 100), ([9, 5, 4, 5], None)],
)
def test_the_crossover_is_the_size_from_which_on_a_device_is_faster(ours, size):
    found = crossovers([*timings("cpu:0", [4, 4, 4, 5]), *timings("gpu:0", ours)], "cpu:0")
    assert [(f["device"], f["size"]) for f in found] == [("gpu:0", size)]
