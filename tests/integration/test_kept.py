"""What is kept of a sign-in, and what `login` and `logout` say of it: never that a person is logged out who is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from artifacts_keyring.cli import installation, logout
from artifacts_keyring.provider import caches
from tests.conftest import ROOT
from tests.integration import test_cli
from tests.integration.test_cli import Desk

pytestmark = pytest.mark.provider

desk = test_cli.desk
NEW, OLD = (
    "ARTIFACTS_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION",
    "NUGET_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION",
)
OTHER = 65534


def cleared(environ: dict[str, str], platform: str = "linux", *, dry_run: bool = False) -> list[logout.Outcome]:
    return list(logout.clear(environ, dry_run=dry_run, platform=platform))


def filled(paths: Iterable[Path]) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


@pytest.fixture
def variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows itself does not say where its user's folder is."""
    monkeypatch.setattr(caches, "_known_folder", lambda: None)


def as_user(desk: Desk, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command by an ordinary user, who owns what the tests' user owns."""
    command = ["unshare", "--user", "--map-user=1", "--map-group=1", sys.executable, "-m", "artifacts_keyring"]
    environ = {**desk.environ, **more}
    return subprocess.run([*command, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("names", [[OLD], [NEW], [NEW, OLD]])
def test_logout_ends_a_sign_in_wherever_a_variable_has_put_it(desk: Desk, names: list[str]) -> None:
    named = {name: str(desk.home / name / "file") for name in names}
    desk.run("login", desk.feed.url, code=0, **named)
    assert Path(named[names[0]]).is_file(), "of both names the newer one counts"
    desk.run("logout", code=0, **named)
    assert desk.caches == [] and not any(Path(path).exists() for path in named.values())


def test_logout_also_ends_a_sign_in_from_before_a_variable_was_set(desk: Desk) -> None:
    desk.run("login", desk.feed.url)
    done = desk.run("logout", code=0, **{OLD: str(desk.home / "elsewhere"), "XDG_DATA_HOME": str(desk.home / "data")})
    assert done.stdout.count("removed ") == 2
    assert desk.caches == []


def test_logout_does_not_promise_what_it_cannot_see(desk: Desk, tmp_path: Path) -> None:
    """A relative place is another file in each folder."""
    desk.run("login", desk.feed.url)
    done = desk.run("logout", code=1, **{NEW: "sign-ins"})
    assert "sign-ins" in done.stderr and "name an absolute path" in done.stderr


@pytest.mark.posix
def test_logout_removes_what_a_link_leads_to(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    sessions, sign_ins = (cache.path for cache in caches.locate(environ, "linux"))
    filled([tmp_path / "real" / "one", tmp_path / "real" / "two", sessions, sign_ins])
    for place, name in ((sessions, "one"), (sign_ins, "two")):
        place.unlink()
        place.symlink_to(tmp_path / "real" / name)
    assert all(outcome.gone for outcome in cleared(environ, dry_run=True)) and (tmp_path / "real" / "one").exists()
    assert all(outcome.gone for outcome in cleared(environ))
    assert list((tmp_path / "real").iterdir()) == []


def test_a_secret_service_is_named_each_time(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    _, sign_ins = (cache.path for cache in caches.locate(environ, "linux"))
    sign_ins.parent.mkdir(parents=True)
    sign_ins.touch()
    for _ in range(2):
        assert [outcome.gone for outcome in cleared(environ)] == [True, False]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
@pytest.mark.usefixtures("variables_alone")
def test_an_empty_file_is_no_secret_service_elsewhere(tmp_path: Path, platform: str) -> None:
    environ = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    sign_ins = caches.in_use(environ, caches.SIGN_INS, platform)
    assert sign_ins is not None
    sign_ins.path.parent.mkdir(parents=True)
    sign_ins.path.touch()
    assert not any("secret service" in outcome.line for outcome in cleared(environ, platform))
    assert not sign_ins.path.exists()


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"VSS_NUGET_EXTERNAL_FEED_ENDPOINTS": "{}"}, "VSS_NUGET_EXTERNAL_FEED_ENDPOINTS"),
        ({"VSS_NUGET_URI_PREFIXES": "x", "VSS_NUGET_ACCESSTOKEN": "y"}, "VSS_NUGET_URI_PREFIXES"),
        ({"ARTIFACTS_CREDENTIALPROVIDER_FEED_ENDPOINTS": "{}"}, "ARTIFACTS_CREDENTIALPROVIDER_FEED_ENDPOINTS"),
        ({"VSS_NUGET_ACCESSTOKEN": "y"}, ""),
        ({"VSS_NUGET_URI_PREFIXES": "x"}, ""),
    ],
)
def test_a_declared_credential_goes_on_answering(tmp_path: Path, declared: dict[str, str], named: str) -> None:
    left = [outcome.line for outcome in cleared({"HOME": str(tmp_path), **declared}) if not outcome.gone]
    assert left == ([f"{named} still answers look-ups: unset it"] if named else [])


@pytest.mark.usefixtures("variables_alone")
def test_without_any_place_nothing_is_promised() -> None:
    (outcome,) = cleared({}, "win32")
    assert not outcome.gone and "LOCALAPPDATA is not set" in outcome.line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ARTIFACTS_CREDENTIALPROVIDER_RETURN_ENTRA_TOKENS": "true"}, "\n"),
        (
            {"NUGET_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED": "False"},
            "; no token is kept, because of NUGET_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED=False\n",
        ),
        ({"ARTIFACTS_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED": "0"}, "; the provider keeps the token; "),
    ],
)
def test_login_says_of_the_token_what_is_so(desk: Desk, more: dict[str, str], words: str) -> None:
    assert desk.run("login", desk.feed.url, code=0, **more).stdout.partition(")")[2].startswith(words)


@pytest.mark.root
@pytest.mark.parametrize(
    ("place", "mode", "kept", "said"),
    [
        (".local/.IdentityService/msal.cache", 0o600, True, "may not be read by you: run `sudo chown -R"),
        (".local/.IdentityService/msal.cache", 0o644, True, "may not be written by you: run `sudo chown -R"),
        (".local/.IdentityService", 0o755, True, "may not be written by you: run `sudo chown -R"),
        (".local/share/MicrosoftCredentialProvider", 0o755, False, "may not be written by you: run `sudo chown -R"),
        (".local", 0o755, False, "may not be written by you: run `sudo chown -R"),
    ],
)
def test_a_cache_of_somebody_else_is_named(desk: Desk, place: str, mode: int, kept: bool, said: str) -> None:
    """What `sudo pip install` leaves behind."""
    path = desk.home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch() if path.suffix else path.mkdir()
    path.chmod(mode)
    os.chown(path, OTHER, OTHER)
    done = as_user(desk, "login", desk.feed.url)
    line = done.stdout + done.stderr.splitlines()[-1]
    assert ("the provider keeps the token" in line) == kept, done
    assert f'{path} belongs to nobody and {said} "$(id -u)" {path}`' in line.replace("'", ""), done
    look_up = json.loads(as_user(desk, "doctor", desk.feed.url, "--json").stdout)
    answered = kept or place.startswith(".local/share")  # by the sign-in, which is kept
    assert [check["ok"] for check in look_up if check["name"] == "look-up"] == [answered], look_up


def test_the_caches_as_doctor_shows_them(desk: Desk) -> None:
    assert [check.ok for check in installation.stores(desk.environ, needed=True)] == [None, None]
    desk.run("login", desk.feed.url)
    for check in installation.stores(desk.environ, needed=True):
        assert check.ok and check.detail.endswith("written 0.0 hours ago"), check
    more = {**desk.environ, "ARTIFACTS_CREDENTIALPROVIDER_MSAL_FILECACHE_ENABLED": "false"}
    assert [check.name for check in installation.stores(more, needed=True)] == [f"cache of {caches.SESSIONS}"]
