"""Build hook: the core's requirements, which name its own plugins differently in a checkout and in a release.

In a checkout the plugins are folders beside this file, so `pip install .` takes them from there. The sdist leaves
them out, so a wheel that is built from it, as releases are, requires them by version from the package index.
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
        extras["all"] = sorted({requirement for group in extras.values() for requirement in group})
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
        # `make` installs the plugins editable, in the same pip call; a direct reference would replace them with copies.
        if folder.is_dir() and "ARRAY_DISPATCH_EDITABLE" not in os.environ:
            return f"array-dispatch-{plugin} @ {folder.as_uri()}"
        return f"array-dispatch-{plugin}=={version}"
