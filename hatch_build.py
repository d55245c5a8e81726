"""Build hook: the core's requirements, which name its own plugins differently in a checkout and in a release.

In a checkout the plugins are folders beside this file, and `pip install .` takes them from there. A release, which
`make dist` builds, requires them by version from the package index: ``ARRAY_DISPATCH_PLUGINS_BY_VERSION=1`` says so.
"""

import os
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PluginRequirements(MetadataHookInterface):
    """Fill `dependencies` and `optional-dependencies` from `[tool.array-dispatch]`."""

    def update(self, metadata):
        """Write the two dynamic fields into `metadata`."""
        config = self.tool_table()
        extras = dict(config["extras"])
        for plugin in config.get("optional-plugins", ()):
            extras[plugin] = [self.requirement(plugin, metadata["version"])]
        # What runs: tests are for authors of plugins.
        extras["all"] = sorted({need for name, group in extras.items() if name != "testing" for need in group})
        required = [self.requirement(plugin, metadata["version"]) for plugin in config["plugins"]]
        metadata["dependencies"] = [*config["dependencies"], *required]
        metadata["optional-dependencies"] = extras

    def tool_table(self):
        """Return `[tool.array-dispatch]` of pyproject.toml."""
        import tomllib

        return tomllib.loads(Path(self.root, "pyproject.toml").read_text("utf-8"))["tool"]["array-dispatch"]

    def requirement(self, plugin, version):
        """Return the requirement on one of our plugins: the folder beside us, or the same version from the index."""
        folder = Path(self.root, "backends", plugin)
        # `make` says so too: it installs the plugins editable, and a reference to the folder would ask for a copy.
        if folder.is_dir() and "ARRAY_DISPATCH_PLUGINS_BY_VERSION" not in os.environ:
            return f"array-dispatch-{plugin} @ {folder.as_uri()}"
        return f"array-dispatch-{plugin}=={version}"
