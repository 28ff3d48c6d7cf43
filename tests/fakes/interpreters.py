"""Other Pythons, for tests that must hold on the oldest and the newest one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

if sys.platform != "win32":
    from tests.fakes import debian

NEWEST = "newest"
# What every machine can have that makes Debian's systems, and the running one.
VERSIONS = tuple(dict.fromkeys(["3.9", "3.11", "3.13", NEWEST, f"3.{sys.version_info.minor}"]))


def find(version: str) -> Optional[str]:
    """The path of a Python `version` (such as ``3.9``, or NEWEST) that starts here, or None.

    This machine's own come first, except for the newest, which is Debian's newest where that can be had.
    """
    if version != NEWEST:
        return _own(version) or _debian(version)
    return _debian(version) or next((path for minor in range(19, 8, -1) if (path := _own(f"3.{minor}"))), None)


def need(version: str) -> str:
    """The same, in a test that is skipped without it."""
    found = find(version)
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    return found


def _own(version: str) -> Optional[str]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    # Version managers put one folder per version beside each other.
    siblings = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/python{version}"))
    found = [*map(str, siblings), shutil.which(f"python{version}")]
    return next((path for path in found if path and _starts(path, version)), None)


def _debian(version: str) -> Optional[str]:
    if sys.platform == "win32":
        return None
    return debian.python(debian.SUITES[version]) if version in debian.SUITES and not debian.missing() else None


def _starts(path: str, version: str) -> bool:
    # A version manager's shim exists for versions that are not selected, too; it does not run.
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version
