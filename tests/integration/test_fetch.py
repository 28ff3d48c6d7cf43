"""The command that fills the cache or an archive folder, run as a maintainer runs it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from credprovider.fetch import cache, sources
from credprovider.fetch.sources import Archive
from credprovider.lockfile import Pin

pytestmark = pytest.mark.posix

COMMAND = Path(__file__).resolve().parents[2] / "scripts" / "fetch.py"


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, allowed neither network nor this machine's own folders unless told so."""
    mine = {
        **os.environ,
        sources.OFFLINE_VARIABLE: "1",
        sources.ARCHIVE_VARIABLE: "",
        "PYTHONWARNINGS": "error",
        **environ,
    }
    return subprocess.run(
        [sys.executable, str(COMMAND), *arguments], env=mine, capture_output=True, text=True, check=False
    )


def test_a_folder_for_another_machine_is_filled_and_serves_there(
    archive: Callable[[str], Archive], lock: Pin, tmp_path: Path
) -> None:
    have, usb, empty = tmp_path / "have", tmp_path / "usb", str(tmp_path / "empty")
    got, wanted = archive("linux-x64"), lock.targets["linux-x64"]
    name = (wanted.index_file if got.prefix else wanted.asset).name
    have.mkdir()
    shutil.copy(got.path, have / name)
    first = run("linux-x64", "--into", str(usb), ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR=str(have))
    assert first.returncode == 0, first.stderr
    assert str(usb / name) in first.stdout
    assert hashlib.sha256((usb / name).read_bytes()).hexdigest() == got.sha256
    assert [path.name for path in usb.iterdir()] == [name]
    named = {sources.ARCHIVE_VARIABLE: str(usb), cache.CACHE_VARIABLE: empty}
    assert run(**named, ARTIFACTS_CREDENTIAL_PROVIDER_RID="linux-x64").returncode == 0
    partly = run("linux-x64", "win-x64", **named)
    assert (partly.returncode, "win-x64: no source has" in partly.stderr) == (1, True)
    assert str(usb / name) in partly.stdout, "one that fails does not keep the others"


def test_a_target_nobody_knows_is_named_with_the_valid_ones() -> None:
    done = run("amiga")
    assert done.returncode == 2
    assert "'amiga' is no target; valid: linux-x64" in done.stderr
