"""Find the plugins that are installed, without importing any: the only file that knows `entrypoints`.

`entrypoints` reads the metadata of every installed package and stops at the first file that it cannot parse. One broken
package must not hide every backend, so the files are then read again one at a time, and those that fail are reported.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import entrypoints

from dispatch.errors import BrokenContractError, one_line

GROUP = "dispatch.backends"
"""The entry-point group through which every plugin is registered, ours and anybody's."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A backend that is installed and not imported yet.

    Attributes
    ----------
    name : str
        Name of the entry point.
    target : str
        What it points at: ``"module:attribute"``.
    distribution, version : str
        The installed distribution that registers it.
    """

    name: str
    target: str
    distribution: str
    version: str

    def load(self) -> object:
        """Import the module and return the object that the entry point names."""
        try:
            entry_point = entrypoints.EntryPoint.from_string(self.target, self.name)
        except entrypoints.BadEntryPoint:
            raise BrokenContractError(
                f"its entry point is {self.target!r}, which is not of the form module:attribute",
                f"reinstall or remove {self.distribution}",
            ) from None
        return entry_point.load()

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.target})"


@dataclass(frozen=True, slots=True)
class DiscoveryProblem:
    """Something about the installed plugins that the user should know, and that hides none of the others.

    Attributes
    ----------
    source : str
        The distribution, the file or the environment variable at fault.
    reason, remedy : str
        What is wrong, and what to do.
    """

    source: str
    reason: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields as a dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.source}: {self.reason} -> {self.remedy}"


def discover() -> tuple[tuple[Plugin, ...], tuple[DiscoveryProblem, ...]]:
    """Return the installed plugins in the order of `sys.path`, and what was wrong with the metadata on the way.

    The same entry point of the same distribution is returned once, however often it is found.
    """
    problems: list[DiscoveryProblem] = []
    try:
        plugins = list(_read_all())
    except Exception:  # noqa: BLE001 - any package's metadata may be broken in any way
        plugins = list(_read_one_by_one(problems))
    return tuple(dict.fromkeys(plugins)), tuple(problems)


def _read_all() -> Iterator[Plugin]:
    for config, distribution in entrypoints.iter_files_distros():
        if GROUP in config:
            for name, target in _entries(config):
                yield Plugin(name, target, _normalise(distribution.name), distribution.version or "?")


def _read_one_by_one(problems: list[DiscoveryProblem]) -> Iterator[Plugin]:
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt")
            if not text:
                continue
            name = _normalise(distribution.metadata["Name"])
            if name in seen:  # shadowed by the same distribution earlier on sys.path
                continue
            seen.add(name)
            config = entrypoints.CaseSensitiveConfigParser(delimiters=("=",))
            config.read_string(text)
            found = _entries(config) if GROUP in config else []
            version = distribution.version
        except Exception as error:  # noqa: BLE001 - as above: report it and go on with the others
            source = str(getattr(distribution, "_path", distribution))
            problems.append(
                DiscoveryProblem(
                    source,
                    f"its entry_points.txt cannot be read: {one_line(error)}",
                    "reinstall or remove that package; the other backends are not affected",
                )
            )
        else:
            for entry_name, target in found:
                yield Plugin(entry_name, target, name, version)


def _entries(config: configparser.ConfigParser) -> list[tuple[str, str]]:
    """Return the lines of the group, without those that a section [DEFAULT] lends to every group."""
    return [(name, target) for name, target in config[GROUP].items() if name not in config.defaults()]


def _normalise(distribution: str) -> str:
    """Return a distribution's name as the package index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
