"""The real credential provider, run as the package runs it, but with nothing in between."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from artifacts_keyring import layout

# All a child gets from the machine; lean systems have no ICU data.
BARE: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}

DEADLINE = 60.0  # seconds; nothing here takes more than three, except on a machine that is very busy


class Outcome(NamedTuple):
    """Exit code, credential if there was one, and everything on stderr."""

    code: int
    credential: Optional[tuple[str, str]]
    stderr: str


def launcher(tree: Path) -> Path:
    """The executable inside an unpacked self-contained payload; a file is taken for the executable itself."""
    return tree / layout.PROGRAM if tree.is_dir() else tree


def look_up(
    url: str,
    tree: Path,
    environ: Mapping[str, str],
    *,
    retry: bool = False,
    interactive: bool = False,
    dialog: bool = False,
    verbosity: str = "Information",
) -> Outcome:
    """One run of the provider for `url` with exactly `environ`. Raises subprocess.TimeoutExpired past DEADLINE."""
    options = {
        "-Uri": url,
        "-IsRetry": str(retry).lower(),
        "-NonInteractive": str(not interactive).lower(),
        "-CanShowDialog": str(dialog).lower(),
        "-OutputFormat": "Json",
        "-Verbosity": verbosity,
    }
    command = [str(launcher(tree)), *(word for pair in options.items() for word in pair)]
    done = subprocess.run(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    found = json.loads(done.stdout) if done.stdout.strip() else None
    return Outcome(done.returncode, (found["Username"], found["Password"]) if found else None, done.stderr)
