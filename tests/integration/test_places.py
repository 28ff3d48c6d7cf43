"""Every command, with every path it touches in every unusable state: one line, the exit code kept, never a traceback.

Root may do anything, so that the commands run in a user namespace, where whoever runs the tests is an ordinary user
with or without an entry in passwd.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import pytest

from tests.conftest import ROOT
from tests.fakes import provider_double

pytestmark = [pytest.mark.posix, pytest.mark.root]


URL = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
KNOWN, UNKNOWN, OTHER = 1, 54321, 65534  # user ids: with an entry in passwd, without one, and somebody else's
LOCAL = "home/.local"
SESSIONS = f"{LOCAL}/share/MicrosoftCredentialProvider/SessionTokenCache.dat"
SIGN_INS = f"{LOCAL}/.IdentityService/msal.cache"
FOLDERS = ("home", LOCAL, f"{LOCAL}/share", "home/.cache", "home/.cache/artifacts-keyring", "data", "provider")
FILES = (SESSIONS, SIGN_INS, "home/.cache/artifacts-keyring/login.lock", "log", "ca.pem", "sign-ins")
VARIABLES = {
    "home": "HOME",
    "log": "ARTIFACTS_KEYRING_LOG_PATH",
    "provider": "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH",
    "ca.pem": "REQUESTS_CA_BUNDLE",
    "sign-ins": "NUGET_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION",
    "data": "XDG_DATA_HOME",
}
# All commands in one process; what each says, and its exit code.
COMMANDS = """
import contextlib, io, json, os, sys
from artifacts_keyring import lookup
from artifacts_keyring.cli.main import main
def said(run):
    lookup.MEMORY.forget(); lookup._SAID.clear()
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run()
        except SystemExit as end:
            code = end.code
    out.flush(), err.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()
results = {"get": said(lambda: int(lookup.look_up(URL, "me", os.environ) is None))}
for words in ("login URL", *DOCTOR, "logout --dry-run", "logout"):
    results[words] = said(lambda: main(words.replace("URL", URL).split()))
print(json.dumps(results))
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Yard(NamedTuple):
    """A folder that every user can reach, with all places in good order."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.folder / "home"),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(self.folder / "provider"),
            "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
        }

    def run(self, environ: Mapping[str, str], user: int = KNOWN, *, doctor: bool = False) -> dict[str, Said]:
        checks = ("doctor", "doctor URL --json") if doctor else ()
        command = [sys.executable, "-c", f"URL, DOCTOR = {URL!r}, {checks!r}\n{COMMANDS}"]
        done = self.start(command, environ, user)
        assert done.returncode == 0, done.stderr
        return {words: Said(*said) for words, said in json.loads(done.stdout).items()}

    def start(self, command: list[str], environ: Mapping[str, str], user: int) -> subprocess.CompletedProcess[str]:
        namespace = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}"]
        return subprocess.run(
            [*namespace, *command], env=environ, cwd="/", capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture
def yard() -> Iterator[Yard]:
    with tempfile.TemporaryDirectory(prefix="places-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for place in FOLDERS:
            (folder / place).mkdir(parents=True, exist_ok=True)
        for place in FILES:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text("")
        (folder / SESSIONS).write_text("{}")
        (folder / "log").chmod(0o666)
        provider_double.make(folder / "provider", "nothing")
        yield Yard(folder)
        subprocess.run(["chmod", "-R", "u+rwX", name], check=False)


def _closed(path: Path) -> None:
    path.chmod(0)


def _unwritable(path: Path) -> None:
    path.chmod(0o555 if path.is_dir() else 0o444)


def _missing(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _other_kind(path: Path) -> None:
    folder = path.is_dir()
    _missing(path)
    path.touch() if folder else path.mkdir()


def _dangling(path: Path) -> None:
    _missing(path)
    path.symlink_to(path.with_name("nowhere"))


def _loop(path: Path) -> None:
    _missing(path)
    path.symlink_to(path)


STATES = (_closed, _unwritable, _missing, _other_kind, _dangling, _loop)


def check(results: Mapping[str, Said]) -> None:
    """No traceback, known exit codes, and of what failed one line on stderr."""
    for words, said in results.items():
        everything = f"{words}: {said}"
        assert "Traceback" not in everything and "unexpected" not in everything, everything
        assert said.code in (0, 1), everything
        lines = said.err.splitlines()
        assert all(len(line) < 1500 for line in lines), everything
        if words in ("get", "login URL"):
            assert len(lines) == said.code and all(line.startswith("artifacts-keyring: ") for line in lines), everything
        if words == "logout":
            assert bool(lines) == (said.code == 1), everything
        if words.endswith("--json"):
            assert json.loads(said.out), everything


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("place", [*FOLDERS, *FILES])
def test_no_state_of_a_path_is_more_than_a_line(yard: Yard, place: str, state: Callable[[Path], None]) -> None:
    path = yard.folder / place
    state(path)
    if os.getuid() == 0 and os.path.lexists(path):
        os.chown(path, OTHER, OTHER, follow_symlinks=False)
    named = {VARIABLES[place]: str(path)} if place in VARIABLES else {}
    check(yard.run({**yard.environ, **named}, doctor=state in (_closed, _loop)))


@pytest.mark.parametrize("place", VARIABLES)
@pytest.mark.parametrize("value", ["/" + "x" * 300, "~nobodys/place", "place", "~", "/dev/null/y"])
def test_no_value_of_a_variable_is_more_than_a_line(yard: Yard, place: str, value: str) -> None:
    check(yard.run({**yard.environ, VARIABLES[place]: value}, doctor="x" in value))


@pytest.mark.parametrize("user", [KNOWN, UNKNOWN])
@pytest.mark.parametrize("home", [None, "", "/", "/nonexistent"])
def test_no_home_is_a_line(yard: Yard, home: Optional[str], user: int) -> None:
    environ = {**yard.environ, "HOME": home or ""}
    if home is None:
        del environ["HOME"]
    results = yard.run(environ, user, doctor=user == UNKNOWN)
    check(results)
    if user == UNKNOWN and not home:
        assert results["logout"].code == 1 and "HOME is not set" in results["logout"].err
