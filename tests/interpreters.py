"""Other Pythons of this machine, for tests that must hold on the oldest and the newest one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional


def find(version: str) -> Optional[str]:
    """The path of a Python `version` (such as ``3.9``) that starts here, or None."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    # Version managers put one folder per version beside each other.
    siblings = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/python{version}"))
    found = [*map(str, siblings), shutil.which(f"python{version}")]
    return next((path for path in found if path and _starts(path, version)), None)


def newest() -> str:
    """The newest supported Python of this machine."""
    return next(path for minor in range(19, 8, -1) if (path := find(f"3.{minor}")))


def _starts(path: str, version: str) -> bool:
    # A version manager's shim exists for versions that are not selected, too; it does not run.
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version
