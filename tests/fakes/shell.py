"""A place where the blocks of a page are run as they stand, as a person would: by bash, against a loopback Azure."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.azure import AzureWorld, Feed

DEADLINE = 300.0  # seconds for one block
PLAIN = "/usr/bin:/bin"


@dataclass(frozen=True)
class Desk:
    """A person's place: folder, world with a feed, the variables of a shell there."""

    folder: Path
    world: AzureWorld
    feed: Feed
    environ: dict[str, str]

    def run(self, script: str, more: Mapping[str, str] | None = None, *, code: int = 0) -> str:
        """What bash says to `script` in this folder."""
        return bash(script, self.folder, {**self.environ, **(more or {})}, code)

    @property
    def installed(self) -> bool:
        """Whether PACKAGE of the feed is installed anywhere below the folder."""
        return any(self.folder.rglob("package.py"))

    @property
    def provider_runs(self) -> int:
        """How often the provider was started."""
        log = Path(self.environ["ARTIFACTS_KEYRING_LOG_PATH"])
        return log.read_text().count("] run ") if log.exists() else 0


def desk(world: AzureWorld, folder: Path, *programs: Path) -> Desk:
    """A place in `folder` where nobody has signed in yet, with `programs` on PATH and PACKAGE on a feed."""
    feed = world.feed("ORG", "FEED")
    feed.add("PACKAGE")
    environ = {
        **world.environ(folder / "home"),
        "PATH": ":".join([*map(str, programs), PLAIN]),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CACHE": "1",
        "ARTIFACTS_KEYRING_LOG_PATH": str(folder / "log"),
    }
    (folder / "desk").mkdir()
    return Desk(folder / "desk", world, feed, environ)


def bash(script: str, folder: Path, environ: Mapping[str, str], code: int = 0) -> str:
    """Run `script` with stdin closed; the test fails unless it ends with `code`. Both streams as one text."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == code, f"{script}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout
