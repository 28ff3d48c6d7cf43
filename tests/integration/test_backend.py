"""Every row of the clients' contract, through keyring's own functions and command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend

import artifacts_keyring
from artifacts_keyring import feeds, lookup
from artifacts_keyring.backend import ArtifactsKeyringBackend
from artifacts_keyring.plugin import CredentialProvider
from tests.conftest import NATIVE, ROOT
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.azure.provider import remember

pytestmark = pytest.mark.provider

USER = "VssSessionToken"
PATIENT = 60.0


class Set(NamedTuple):
    """A feed whose token is in the real provider's cache, in force for this process."""

    feed: Feed
    token: str
    world: AzureWorld
    environ: dict[str, str]


@pytest.fixture(scope="module")
def standing(payload_tree: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    with AzureWorld() as world, empty_home(tmp_path_factory.mktemp("home")) as home:
        feed = world.feed("org", "feed")
        token = world.token("org")
        environ = {
            **world.environ(home),
            "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(payload_tree(NATIVE)),
            "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
        }
        remember(home, {feed.url: token})
        yield Set(feed, token, world, environ)


@pytest.fixture
def here(standing: Set, monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """This process is a client; nothing is remembered from before."""
    for name, value in standing.environ.items():
        monkeypatch.setenv(name, value)
    for name in ("CI", "TF_BUILD", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    lookup.MEMORY.forget()
    lookup._SAID.clear()
    yield standing
    lookup.MEMORY.forget()


def backend() -> ArtifactsKeyringBackend:
    """A new one, as keyring makes it."""
    return ArtifactsKeyringBackend()


FEED = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi"
HOST = "pkgs.dev.azure.com"
# client, method, service, user name asked for, user name given back
ROWS = [
    ("pip, import", "get_credential", f"{FEED}/simple/", None, USER),
    ("pip, user in the URL", "get_credential", f"{FEED}/simple/", "someone", "someone"),
    ("pip, package page", "get_credential", f"{FEED}/simple/six/", None, USER),
    ("pip, file", "get_credential", f"{FEED}/download/six/1.0/six-1.0-py3-none-any.whl", None, USER),
    ("pip 23.1, subprocess", "get_password", f"{FEED}/simple/", USER, None),
    ("uv, user in the URL", "get_password", f"{FEED}/simple/", "VssSessionToken", None),
    ("uv publish", "get_password", f"{FEED}/upload/", "anyone", None),
    ("twine", "get_credential", f"{FEED}/upload/", None, USER),
    ("twine, upload URL without slash", "get_credential", f"{FEED}/upload", None, USER),
    ("twine -u", "get_password", f"{FEED}/upload/", "__token__", None),
    ("poetry", "get_credential", f"{FEED}/simple", None, USER),
    ("pdm", "get_credential", "https://me@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", "me", "me"),
    (
        "pdm, password in it",
        "get_credential",
        "https://me:x@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
        None,
        USER,
    ),
    ("pdm, as a command", "get_credential", f"{FEED}/simple/", "", USER),
    ("hatch publish", "get_password", f"{FEED}/upload/", "me", None),
    ("upper case, port", "get_credential", f"{FEED}/simple/".replace(HOST, "PKGS.Dev.Azure.COM:443"), None, USER),
]


@pytest.mark.parametrize(("client", "method", "service", "asked", "given"), ROWS, ids=[row[0] for row in ROWS])
def test_every_client_gets_its_answer(
    here: Set,
    capfd: pytest.CaptureFixture[str],
    client: str,
    method: str,
    service: str,
    asked: Optional[str],
    given: Optional[str],
) -> None:
    answer: Any = getattr(backend(), method)(service, asked)
    if method == "get_password":
        assert answer == here.token
    else:
        assert (answer.username, answer.password) == (given, here.token)
    assert capfd.readouterr() == ("", "")


FOREIGN = [
    "python-poetry-check",
    "poetry-repository-azure",
    "pdm-publish-azure",
    "https://example.test/simple/",
    "https://evilpkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com.evil.test/org/_packaging/feed/pypi/simple/",
    "",
    "https://[",
]


@pytest.mark.parametrize("service", FOREIGN)
def test_what_is_no_feed_gets_none_in_silence(here: Set, capfd: pytest.CaptureFixture[str], service: str) -> None:
    here.world.forget()
    ours = backend()
    assert ours.get_credential(service, None) is None
    assert ours.get_password(service, "x") is None
    assert here.world.requests == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("service", [f"https://{HOST}", HOST, f"{HOST}:443", f"https://{HOST}/"])
def test_a_host_alone_is_answered_from_what_is_known_and_else_not_at_all(
    here: Set, capfd: pytest.CaptureFixture[str], service: str
) -> None:
    ours = backend()
    here.world.forget()
    assert ours.get_credential(service, None) is None
    assert here.world.requests == []
    assert ours.get_credential(here.feed.url, None) is not None
    assert ours.get_password(service, "x") == here.token
    assert capfd.readouterr() == ("", "")


def test_nothing_is_stored_and_the_chainer_passes_on() -> None:
    ours = backend()
    with pytest.raises(NotImplementedError):
        ours.set_password("service", "user", "password")
    with pytest.raises(NotImplementedError):
        ours.delete_password("service", "user")


def test_priority_is_above_every_store_and_below_the_chainer() -> None:
    assert ArtifactsKeyringBackend.priority == 9.9
    assert ArtifactsKeyringBackend.viable
    assert artifacts_keyring.ArtifactsKeyringBackend is ArtifactsKeyringBackend
    assert isinstance(backend(), KeyringBackend)
    assert ChainerBackend.priority > ArtifactsKeyringBackend.priority or len(list(ChainerBackend.backends)) < 2


def test_the_predecessors_names_are_where_they_were(here: Set) -> None:
    assert CredentialProvider is artifacts_keyring.CredentialProvider
    assert CredentialProvider().get_credentials(here.feed.url) == (USER, here.token)
    assert CredentialProvider().get_credentials("https://example.test/simple/") == (None, None)


def test_the_predecessors_hosts_are_those_that_are_answered_for() -> None:
    supported = ArtifactsKeyringBackend.SUPPORTED_NETLOC
    assert set(supported) == {*feeds.SHARED_HOSTS, *(host[1:] for host in feeds.ORGANISATION_HOSTS)}
    assert "org.pkgs.visualstudio.com".endswith(supported)


def test_a_warning_or_line_of_ours_never_gets_to_stdout(
    here: Set, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS", "{broken")
    backend().get_credential(here.feed.url.replace("/org/", "/unknown/"), None)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()
    assert all(line.startswith("artifacts-keyring: ") for line in err.splitlines())


# keyring's command line, in a process of its own


def plugin(folder: Path) -> Path:
    """A folder that makes our entry point known, as an installed wheel does."""
    info = folder / "artifacts_keyring-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: artifacts-keyring\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[keyring.backends]\nartifacts_keyring = artifacts_keyring.backend\n")
    return folder


def command(standing: Set, folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(plugin(folder / "plugin")), str(ROOT), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "keyring", *arguments],
        env={**standing.environ, "PYTHONPATH": path, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENT,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["get", f"{FEED}/simple/", "anyone"], ["{token}"]),
        (["get", f"{FEED}/simple/", USER], ["{token}"]),
        (["--mode=creds", "get", f"{FEED}/simple/"], [USER, "{token}"]),
        (["--mode=creds", "get", f"{FEED}/simple/", "me"], ["me", "{token}"]),
        (["get", f"{FEED}/simple/", "--mode", "creds"], [USER, "{token}"]),
        (["--mode=password", "get", f"{FEED}/upload/", "__token__"], ["{token}"]),
    ],
)
def test_the_command_line_prints_the_answer_and_nothing_else(
    standing: Set, tmp_path: Path, arguments: list[str], lines: list[str]
) -> None:
    done = command(standing, tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [line.format(token=standing.token) for line in lines]


def test_the_command_line_answers_pip_in_json(standing: Set, tmp_path: Path) -> None:
    done = command(standing, tmp_path, "--mode=creds", "--output=json", "get", f"{FEED}/simple/")
    assert json.loads(done.stdout) == {"username": USER, "password": standing.token}
    assert done.stderr == ""


@pytest.mark.posix
def test_the_command_line_fails_without_a_traceback(standing: Set, tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    done = command(standing, tmp_path, "get", f"{FEED}/simple/", USER, HOME=str(home))
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if line.startswith("artifacts-keyring: ")]
    assert len(lines) == 1
    assert "needs a sign-in" in lines[0]
    assert "artifacts_keyring" not in done.stderr.replace(lines[0], "")


def test_keyring_lists_the_backend(standing: Set, tmp_path: Path) -> None:
    assert "ArtifactsKeyringBackend (priority: 9.9)" in command(standing, tmp_path, "--list-backends").stdout


def test_keyring_version_is_one_that_we_support() -> None:
    assert callable(keyring.get_credential)
