"""Every supported Python, and systems without glibc: what an installer chooses there, and what is said at run time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

import pytest
from credprovider import targets
from credprovider.verify import installing
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from tests.conftest import ROOT
from tests.fakes import interpreters
from tests.fakes.azure import AzureWorld
from tests.fakes.user_machine import one_line

pytestmark = [pytest.mark.posix, pytest.mark.root]

MUSL = [f"musllinux_1_{minor}_x86_64" for minor in range(5, -1, -1)]
# Nothing that glibc's loader must load can be started from then on.
HIDE_THE_LOADER = 'subprocess.run(["mount", "-t", "tmpfs", "tmpfs", os.path.realpath("/lib64")], check=True)'


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


def said(command: list[object], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The end of a command with just this environment; not from the tree, whose package -m would import."""
    words, home = [str(word) for word in command], environ["HOME"]
    return subprocess.run(words, env=dict(environ), cwd=home, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("version", interpreters.VERSIONS)
def test_the_installed_wheel_looks_up_on_every_python(
    version: str, world: AzureWorld, wheel: Callable[[str], Path], payload_tree: Callable[[str], Path], tmp_path: Path
) -> None:
    python = interpreters.need(version)
    site, home = tmp_path / "Mein Gerät" / "site", tmp_path / "home"
    installing.folder(python, site, wheel("linux-x64"))
    feed = world.feed("org", "feed")
    _, token = world.login(feed, payload_tree("linux-x64"), home)
    world.forget()
    environ = {**world.environ(home), "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = said([python, "-W", "error", "-m", "keyring", "get", feed.url, "me"], environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{token}\n", "")
    world.revoke(token)
    done = said([python, "-W", "error", "-m", "keyring", "get", feed.url, "me"], environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("token-org-") and done.stdout.strip() != token
    assert (site / "truststore").is_dir() == (version != "3.9")


# musl: simulated by what an installer there takes, and by hiding glibc's loader


def test_no_wheel_of_ours_is_taken_on_musl_but_the_one_that_the_sdist_makes(
    wheel: Callable[[str], Path], sdist: Path
) -> None:
    for minor in range(9, 16):
        taken = {*cpython_tags((3, minor), platforms=MUSL), *compatible_tags((3, minor), f"cp3{minor}", MUSL)}
        for target in targets.TARGETS:
            *_, tags = parse_wheel_filename(f"artifacts_keyring-1-py3-none-{target.tag}.whl")
            assert bool(tags & taken) == (target.key == "any"), target
    *_, tags = parse_wheel_filename(wheel("linux-x64").name)
    assert not tags & taken
    assert parse_sdist_filename(sdist.name)[0] == "artifacts-keyring"


@pytest.mark.parametrize("libc", ["gnu", "musl"])
def test_the_installer_on_musl_takes_the_sdist(
    wheel: Callable[[str], Path], sdist: Path, tmp_path: Path, libc: str
) -> None:
    """uv chooses for the named platform; what it has chosen, it says."""
    offered = tmp_path / "offered"
    offered.mkdir()
    for file in (wheel("linux-x64"), sdist):
        shutil.copy(file, offered)
    words: list[object] = [installing.uv(), "pip", "install", "--dry-run", "-v", "--no-config", "--no-deps"]
    words += ["--no-index", "--find-links", offered, "--no-cache"]
    words += ["--python-platform", f"x86_64-unknown-linux-{libc}", "--target", tmp_path / "t"]
    done = said(
        [*words, "--python", sys.executable, "artifacts-keyring"], {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert f"({sdist.name if libc == 'musl' else wheel('linux-x64').name})" in done.stderr


def test_the_sdists_wheel_without_dotnet_says_what_to_install(
    wheel: Callable[[str], Path], world: AzureWorld, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    installing.folder(sys.executable, site, wheel("any"))
    environ = {**world.environ(tmp_path / "home"), "PYTHONPATH": str(site)}
    done = said([sys.executable, "-m", "keyring", "get", world.feed("org", "feed").url, "me"], environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs a .NET runtime of version 8 or newer" in one_line(done.stderr)


def test_a_glibc_program_without_its_loader_is_named(
    payload_tree: Callable[[str], Path], world: AzureWorld, tmp_path: Path
) -> None:
    """As on Alpine: the real launcher is there, and what must load it is not."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("unshare cannot make a mount namespace here, in which the loader could be hidden")
    url = world.feed("org", "feed").url
    asking = tmp_path / "asking.py"
    asking.write_text(
        "import os, subprocess, artifacts_keyring as a, artifacts_keyring.session, artifacts_keyring.http.probe\n"
        f"{HIDE_THE_LOADER}\nprint(a.CredentialProvider().get_credentials({url!r}))\n"
    )
    environ = {
        **world.environ(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(payload_tree("linux-x64")),
    }
    done = said(["unshare", "-rm", sys.executable, asking], environ)
    assert done.stdout == "(None, None)\n", done.stderr
    line = one_line(done.stderr)
    assert "its loader is missing (a glibc program on a musl system?)" in line
    assert "from its sdist together with the distribution's .NET 8" in line
