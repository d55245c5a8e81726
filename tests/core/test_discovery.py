"""Finding plugins in the metadata of installed packages, however broken the other packages are."""

import pytest

import dispatch
from dispatch import discovery


def found():
    plugins, problems = discovery.discover()
    return {plugin.name: plugin for plugin in plugins}, problems


def test_our_own_plugin_comes_through_the_public_group():
    plugins, problems = found()
    assert plugins["cpu"].target == "dispatch_cpu:backend"
    assert plugins["cpu"].distribution == "array-dispatch-cpu"
    assert problems == ()


def test_nothing_is_imported(site):
    site.install("mine", "raise SystemExit('imported')")
    assert found()[0]["mine"].target == "plugin_mine:backend"


BROKEN = {
    "malformed": b"[console_scripts\nthis is no entry point",
    "no section": b"name = module:attribute\n",
    "duplicate option": b"[console_scripts]\na = b:c\na = d:e\n",
    "not UTF-8": "[console_scripts]\nprüfen = paket:prüfen\n".encode("latin-1"),
    "a null byte": b"[console_scripts]\n\x00\x00 nonsense\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_of_another_package_hides_nothing_and_is_named(site, content):
    site.install("mine")
    site.metadata("unrelated-package", content)
    plugins, problems = found()
    assert {"cpu", "mine"} <= plugins.keys()
    (problem,) = problems
    assert "unrelated_package-1.0.dist-info" in problem.source
    assert "entry_points.txt cannot be read" in problem.reason
    assert "\n" not in problem.reason
    assert problem.remedy == "reinstall or remove that package; the other backends are not affected"


def test_non_ascii_names_are_no_problem(site):
    site.metadata("unrelated", "[console_scripts]\nprüfen = paket:prüfen\n# ✓\n")
    plugins, problems = found()
    assert "cpu" in plugins
    assert problems == ()


def test_a_percent_sign_is_no_interpolation(site):
    site.install("mine", entry_points="[dispatch.backends]\nmine = plugin_mine:backend\n[other]\nx = 100%\n")
    assert "mine" in found()[0]


@pytest.mark.parametrize("target", ["not a module!", "plugin_mine:", ""])
def test_an_entry_point_that_names_no_object_ends_in_the_row_of_its_backend(site, target):
    site.install("mine", entry_points=f"[dispatch.backends]\nmine = {target}\n")
    assert found()[1] == ()
    row = next(backend for backend in dispatch.backends() if backend.name == "mine")
    assert row.reason == f"its entry point is {target!r}, which is not of the form module:attribute"
    assert row.remedy == "reinstall or remove plugin-mine"
    with pytest.raises(dispatch.BackendUnavailableError, match=r"mine: its entry point is .* -> reinstall or remove"):
        dispatch.sum([1], backend="mine")


def test_the_same_distribution_twice_on_the_path_is_one_plugin(site, monkeypatch):
    site.install("mine")
    monkeypatch.syspath_prepend(str(site.folder))
    assert [plugin.name for plugin in discovery.discover()[0]].count("mine") == 1
    site.metadata("unrelated-package", BROKEN["malformed"])  # the slow path finds it once as well
    assert [plugin.name for plugin in discovery.discover()[0]].count("mine") == 1
