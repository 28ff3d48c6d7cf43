"""Kind J: the package inside an archive, out of which no program can be started."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes import clients
from tests.fakes.azure import AzureWorld
from tests.fakes.declared_environ import EXTERNAL, entry, listing
from tests.fakes.user_machine import Ended, Scene, ended, one_line, programs

pytestmark = [pytest.mark.posix, pytest.mark.provider]
VARIABLE = "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH"


@pytest.fixture(scope="module")
def installed(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with keyring and the wheel."""
    return programs(wheel("linux-x64"), tmp_path_factory.getbasetemp() / "installed")


@pytest.fixture(scope="module")
def archive(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zipapp of keyring with everything of that environment, the payload too."""
    target = tmp_path_factory.mktemp("zipapp") / "keyring.pyz"
    zipapp.create_archive(
        clients.site(installed.parent), target, main="keyring.cli:main", filter=lambda path: path.parts[0] != "pip"
    )
    return target


def asked(archive: Path, installed: Path, folder: Path, **environ: str) -> tuple[Ended, str]:
    """What the zipapp says of a private feed, and the feed's URL."""
    with AzureWorld() as world:
        scene, feed = Scene(world, installed, folder), world.feed("org", "feed")
        if environ.pop("login", ""):
            world.login(feed, scene.provider, scene.home)
        return ended(scene.start(sys.executable, "-I", archive, "get", feed.url, "me", **environ)), feed.url


def test_an_archive_says_that_it_is_one(archive: Path, installed: Path, tmp_path: Path) -> None:
    said, _ = asked(archive, installed, tmp_path)
    assert (said.code, said.out) == (1, "")
    line = one_line(said.err)
    assert line.startswith(f"artifacts-keyring: artifacts-keyring runs from the archive {archive}, ")
    assert "unpack it" in line and "shiv and pex do" in line and f"name a provider in {VARIABLE}" in line
    assert "reinstall" not in line


def test_what_the_line_offers_works(archive: Path, installed: Path, tmp_path: Path) -> None:
    """A provider beside the archive; and a declared credential needs none at all."""
    provider = clients.site(installed.parent) / "artifacts_keyring" / "bin"
    said, _ = asked(archive, installed, tmp_path / "provider", login="yes", **{VARIABLE: str(provider)})
    assert (said.code, said.out[:10], said.err) == (0, "token-org-", "")
    declared = listing(entry("https://pkgs.dev.azure.com/org/", "u", "declared"))
    said, _ = asked(archive, installed, tmp_path / "declared", **{EXTERNAL: declared})
    assert said == (0, "declared\n", "")


def test_a_wheel_on_the_path_is_an_archive_too(wheel: Callable[[str], Path], installed: Path, tmp_path: Path) -> None:
    here = shutil.copy(wheel("linux-x64"), tmp_path)
    script = "import json, os; from artifacts_keyring.provider import provider\ntry: provider.locate(os.environ)\n"
    script += "except provider.ProviderError as error: print(json.dumps(str(error)))"
    command = [str(installed / "python"), "-c", script]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(here)}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout).startswith(f"artifacts-keyring runs from the archive {here}, ")


def test_doctor_ends_with_the_archive(archive: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "artifacts_keyring", "doctor"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(archive), "HOME": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert f"runs from the archive {archive}" in done.stdout.splitlines()[-1]
