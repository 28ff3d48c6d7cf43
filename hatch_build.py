"""The adapter between hatchling and scripts/credprovider. No logic of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# hatchling loads this file outside sys.modules and does not put its folder on sys.path.
for _folder in ("scripts", "."):
    _path = str(Path(__file__).resolve().parent / _folder)
    if _path not in sys.path:
        sys.path.insert(0, _path)

from credprovider import hook  # noqa: E402
from credprovider.errors import BuildError  # noqa: E402


class ProviderHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the pinned provider into the wheel, the sdist or, for an editable install, the tree."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What this build needs beyond hatchling: nothing where the payload is at hand already."""
        return hook.requirements(Path(self.root), os.environ)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is standard or editable."""
        # Held by the hook, so that it goes away with it whichever way the build ends.
        self._staging = tempfile.TemporaryDirectory(prefix="artifacts-keyring-")
        try:
            hook.refuse_unknown_settings(self.config)
            staged = hook.prepare(
                hook.Build(Path(self.root), self.target_name, version, os.environ, self._dist_info()),
                Path(self._staging.name),
                self.app.display_info,
            )
        except BuildError as error:
            self.app.abort(f"artifacts-keyring: {error}")
            raise  # never reached: abort exits
        build_data["force_include"].update(staged.force_include)
        if staged.tag:
            build_data["tag"] = staged.tag
            build_data["pure_python"] = staged.pure_python

    def _dist_info(self) -> str:
        return f"{self.build_config.builder.artifact_project_id}.dist-info"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the file is written."""
        self._staging.cleanup()
