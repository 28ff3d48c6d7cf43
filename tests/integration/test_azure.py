"""The real provider through its real ways, against a whole Azure DevOps on loopback: every request is counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Optional

import pytest
import trustme

from tests.conftest import NATIVE, ROOT
from tests.fakes.azure import AzureWorld, Feed, Outcome, alone, empty_home, look_up
from tests.fakes.azure.provider import SESSIONS as SESSION_CACHE

pytestmark = [pytest.mark.provider, pytest.mark.slow]

CLIENT = "c11e0700-0000-4000-8000-00000000c0de"
LOGIN = ["feed", "discovery", "devicecode", "token:device_code", "session:Compact"]
RENEWAL = ["feed", "session:SelfDescribing"]
REFRESH = ["feed", "discovery", "token:refresh_token", "session:SelfDescribing"]


@pytest.fixture(scope="module")
def tree(payload_tree: Callable[[str], Path]) -> Path:
    """This machine's payload, unpacked."""
    return payload_tree(NATIVE)


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A new world with nothing in it."""
    with AzureWorld() as made:
        yield made


@pytest.fixture
def feed(world: AzureWorld) -> Feed:
    """A private feed."""
    return world.feed("org", "feed")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home without any cache."""
    with empty_home(tmp_path) as empty:
        yield empty


@pytest.fixture
def known(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> tuple[str, str]:
    """The credential of a login that has just happened; the log is empty again."""
    credential = world.login(feed, tree, home)
    world.forget()
    return credential


def run(
    world: AzureWorld,
    feed: Feed,
    tree: Path,
    home: Path,
    *,
    environ: Optional[Mapping[str, str]] = None,
    retry: bool = False,
    interactive: bool = False,
) -> Outcome:
    """One run of the provider against `world`."""
    full = {**world.environ(home), **(environ or {})}
    return look_up(feed.url, tree, full, retry=retry, interactive=interactive)


# Logging in


def test_device_login_sends_exactly_the_known_requests(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    world.identity.pending = 1
    outcome = run(world, feed, tree, home, interactive=True)
    assert outcome.code == 0
    assert outcome.credential == ("VssSessionToken", "token-org-1")
    assert "enter the code FAKE00001 to authenticate" in outcome.stderr
    assert world.steps == [*LOGIN[:4], "token:device_code", "session:Compact"]
    assert [request.auth for request in world.requests] == ["none"] * 5 + ["bearer"]
    assert world.connections == 3  # one for each host, kept alive
    assert world.server.refused == []


def test_a_login_asks_for_ninety_days(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    run(world, feed, tree, home, interactive=True)
    asked = json.loads(world.requests[-1].body)
    assert asked["scope"] == "vso.packaging_write vso.drop_write"
    until = datetime.fromisoformat(asked["validTo"][:19]).replace(tzinfo=timezone.utc)
    assert timedelta(days=89) < until - datetime.now(timezone.utc) < timedelta(days=91)


@pytest.mark.parametrize("prefix", ["ARTIFACTS_CREDENTIALPROVIDER_", "NUGET_CREDENTIALPROVIDER_"])
@pytest.mark.parametrize(
    ("name", "value", "step", "hours"),
    [
        ("VSTS_SESSIONTIMEMINUTES", "60", "session:Compact", 1),
        ("VSTS_TOKENTYPE", "SelfDescribing", "session:SelfDescribing", 4),
    ],
)
def test_how_long_a_token_holds_is_the_users_choice(
    world: AzureWorld, feed: Feed, tree: Path, home: Path, prefix: str, name: str, value: str, step: str, hours: int
) -> None:
    """As README and `login` say."""
    run(world, feed, tree, home, environ={f"{prefix}{name}": value}, interactive=True)
    assert world.steps[-1] == step
    until = datetime.fromisoformat(json.loads(world.requests[-1].body)["validTo"][:19]).replace(tzinfo=timezone.utc)
    assert abs(until - datetime.now(timezone.utc) - timedelta(hours=hours)) < timedelta(minutes=5)


# A browser: fetches the page that it is told to open, and sends its form off.
BROWSER = """
import html.parser, sys, urllib.parse, urllib.request

class Form(html.parser.HTMLParser):
    action, fields = "", {}

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.action = found.get("action", self.action)
        if tag == "input":
            self.fields[found["name"]] = found["value"]

form = Form()
form.feed(urllib.request.urlopen(sys.argv[1]).read().decode())
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
direct.open(form.action, urllib.parse.urlencode(form.fields).encode()).read()
"""


@pytest.mark.posix
def test_a_login_in_a_browser(world: AzureWorld, feed: Feed, tree: Path, home: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "browser.py").write_text(BROWSER)
    (programs / "xdg-open").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{programs}/browser.py" "$1"\n')
    (programs / "xdg-open").chmod(0o755)
    environ = {"PATH": f"{programs}:{world.environ(home)['PATH']}", "DISPLAY": ":9"}
    broker = {"ARTIFACTS_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER": "false"}
    full = {**world.environ(home), **environ, **broker}
    outcome = look_up(feed.url, tree, full, interactive=True, dialog=True)
    assert outcome.credential == ("VssSessionToken", "token-org-1")
    assert world.steps == ["feed", "discovery", "authorize", "token:authorization_code", "session:Compact"]
    assert "code_verifier" in world.requests[3].form


def test_another_authority_moves_discovery_only(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    authority = {"ARTIFACTS_CREDENTIALPROVIDER_MSAL_AUTHORITY": "https://login.windows.net/common"}
    assert run(world, feed, tree, home, environ=authority, interactive=True).code == 0
    assert world.steps == LOGIN
    hosts = [request.host for request in world.requests]
    assert hosts[1:4] == ["login.windows.net", "login.microsoftonline.com", "login.microsoftonline.com"]


def test_the_sign_in_itself_in_place_of_a_session_token(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    entra = {"ARTIFACTS_CREDENTIALPROVIDER_RETURN_ENTRA_TOKENS": "true"}
    outcome = run(world, feed, tree, home, environ=entra, interactive=True)
    assert outcome.credential is not None
    assert outcome.credential[0] == "EntraToken"
    assert outcome.credential[1] in world.identity.access_tokens
    assert world.steps == LOGIN[:4]
    assert not (home / SESSION_CACHE).exists()


@pytest.mark.parametrize("refusal", ["authorization_declined", "expired_token"])
def test_a_declined_login_is_exit_2(world: AzureWorld, feed: Feed, tree: Path, home: Path, refusal: str) -> None:
    world.identity.refusal = refusal
    outcome = run(world, feed, tree, home, interactive=True)
    assert (outcome.code, outcome.credential) == (2, None)
    assert world.steps == LOGIN[:4]


def test_nothing_cached_and_nobody_to_ask(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    outcome = run(world, feed, tree, home)
    assert (outcome.code, outcome.credential) == (2, None)
    assert world.steps == ["feed"]


def test_a_public_feed_has_no_login(world: AzureWorld, tree: Path, home: Path) -> None:
    outcome = run(world, world.feed("org", "open", public=True), tree, home, interactive=True)
    assert (outcome.code, outcome.credential) == (2, None)
    assert world.steps == ["feed"]


@pytest.mark.parametrize(("status", "tries"), [(400, 2), (401, 1), (500, 1)])
def test_a_refused_session_exchange(
    world: AzureWorld, feed: Feed, tree: Path, home: Path, status: int, tries: int
) -> None:
    world.session_status = status
    outcome = run(world, feed, tree, home, interactive=True)
    assert (outcome.code, outcome.credential) == (2, None)
    assert world.steps == [*LOGIN[:4], *["session:Compact"] * tries]


# Once logged in


def test_a_cached_token_needs_no_request(
    world: AzureWorld, feed: Feed, tree: Path, home: Path, known: tuple[str, str]
) -> None:
    assert run(world, feed, tree, home) == Outcome(0, known, "")
    assert world.requests == []


def test_a_revoked_token_is_handed_out_until_a_retry(
    world: AzureWorld, feed: Feed, tree: Path, home: Path, known: tuple[str, str]
) -> None:
    world.revoke(known[1])
    assert run(world, feed, tree, home).credential == known
    assert world.requests == []
    fresh = run(world, feed, tree, home, retry=True)
    assert fresh.credential not in (None, known)
    assert world.steps == RENEWAL
    assert run(world, feed, tree, home).credential == fresh.credential


def test_renewal_is_silent_when_only_the_session_cache_is_gone(
    world: AzureWorld, feed: Feed, tree: Path, home: Path, known: tuple[str, str]
) -> None:
    (home / SESSION_CACHE).unlink()
    outcome = run(world, feed, tree, home)
    assert outcome.credential not in (None, known)
    assert world.steps == RENEWAL


@pytest.fixture
def due(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    """A login whose access token has less than MSAL's five minutes left."""
    world.identity.expires_in = 60
    world.login(feed, tree, home)
    world.forget()


@pytest.mark.usefixtures("due")
def test_a_token_that_is_due_is_refreshed(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    outcome = run(world, feed, tree, home, retry=True)
    assert outcome.code == 0
    assert world.steps == REFRESH
    assert world.requests[2].form["refresh_token"].startswith("refresh-")


@pytest.mark.usefixtures("due")
def test_a_refused_refresh_without_a_person(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    world.identity.refuse_refresh = True
    assert run(world, feed, tree, home, retry=True).code == 2
    assert world.steps == REFRESH[:3]


@pytest.mark.usefixtures("due")
def test_a_refused_refresh_with_a_person(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    world.identity.refuse_refresh = True
    assert run(world, feed, tree, home, retry=True, interactive=True).code == 0
    assert world.steps == [*REFRESH[:3], *LOGIN[2:]]


# More than one feed


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("legacy", [False, True])
def test_one_login_serves_a_second_organisation(world: AzureWorld, tree: Path, home: Path, legacy: bool) -> None:
    other = world.feed("other", "feed", legacy=legacy)
    outcome = run(world, other, tree, home)
    assert outcome.credential == ("VssSessionToken", "token-other-2")
    assert world.steps == RENEWAL
    assert world.requests[1].host == ("other.vssps.visualstudio.com" if legacy else "vssps.dev.azure.com")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("spelling", "steps"),
    [
        ("https://PKGS.dev.azure.com:443/org/_packaging/feed/pypi/simple/", []),
        ("https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple", RENEWAL),
        ("https://pkgs.dev.azure.com/org/_packaging/feed/pypi/upload/", ["upload", "session:SelfDescribing"]),
        ("https://pkgs.dev.azure.com/org/_packaging/Feed/pypi/simple/", RENEWAL),
    ],
)
def test_another_spelling_is_another_entry(
    world: AzureWorld, tree: Path, home: Path, spelling: str, steps: list[str]
) -> None:
    assert look_up(spelling, tree, world.environ(home)).code == 0
    assert world.steps == steps


@pytest.mark.parametrize(
    ("legacy", "project", "view"),
    [(False, "project", ""), (False, "My Project", "Local"), (True, "", ""), (True, "project", "Release")],
)
def test_a_feed_may_stand_in_a_project_and_have_views_on_both_hosts(
    world: AzureWorld, tree: Path, home: Path, legacy: bool, project: str, view: str
) -> None:
    feed = world.feed("org", "feed", project=project, legacy=legacy)
    feed.views["release"] = set()
    url = feed.url_on(feed.host, view)
    assert look_up(url, tree, world.environ(home), interactive=True).credential == ("VssSessionToken", "token-org-1")
    assert world.steps == LOGIN
    assert world.requests[-1].host == ("org.vssps.visualstudio.com" if legacy else "vssps.dev.azure.com")
    world.forget()
    assert look_up(url, tree, world.environ(home)).code == 0
    assert world.requests == []


# Hosts that are not Azure's own


def test_a_server_on_premises_has_no_sign_in_but_a_declared_token(tree: Path, home: Path) -> None:
    with AzureWorld(hosts=["devops.example.test"]) as world:
        feed = world.feed("tfs/Collection", "feed", host="devops.example.test", on_premises=True)
        assert run(world, feed, tree, home, interactive=True).code == 2
        assert world.steps == ["feed"]
        world.forget()
        entry = {"endpoint": feed.url, "username": "any", "password": "declared"}
        declared = {
            "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [entry]})
        }
        assert run(world, feed, tree, home, environ=declared).credential == ("any", "declared")
        assert world.requests == []


def test_a_made_up_host_is_refused_unless_it_is_named(tree: Path, home: Path) -> None:
    with AzureWorld(hosts=["packages.example.test"]) as world:
        feed = world.feed("org", "feed", host="packages.example.test")
        assert run(world, feed, tree, home, interactive=True).code == 2
        assert world.steps == ["feed"]
        world.forget()
        named = {"ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS": "packages.example.test"}
        assert run(world, feed, tree, home, environ=named, interactive=True).code == 0
        assert world.steps == LOGIN


# Identities of machines


def declare(feed: Feed, **more: str) -> dict[str, str]:
    """The variable that gives the provider a machine's identity for `feed`."""
    entry = {"endpoint": feed.url, "clientId": CLIENT, **more}
    return {"ARTIFACTS_CREDENTIALPROVIDER_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [entry]})}


def test_a_managed_identity_in_app_service_style(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    endpoint = f"http://127.0.0.1:{world.server.server_port}/msi/token"
    identity = {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": "secret"}
    outcome = run(world, feed, tree, home, environ={**declare(feed), **identity})
    assert outcome.code == 0
    assert outcome.credential is not None
    assert outcome.credential[0] == CLIENT
    assert outcome.credential[1] in world.identity.access_tokens
    assert world.steps == ["feed", "managed-identity"]
    assert world.requests[1].headers["X-IDENTITY-HEADER"] == "secret"
    assert not (home / SESSION_CACHE).exists()


def test_a_managed_identity_in_imds_style(world: AzureWorld, feed: Feed, tree: Path, home: Path) -> None:
    identity = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://127.0.0.1:{world.server.server_port}"}
    assert run(world, feed, tree, home, environ={**declare(feed), **identity}).code == 0
    assert world.steps == ["feed", "managed-identity"]
    assert world.requests[1].path == "/metadata/identity/oauth2/token"


def test_a_service_principal(world: AzureWorld, feed: Feed, tree: Path, home: Path, tmp_path: Path) -> None:
    pem = tmp_path / "principal.pem"
    certificate = trustme.CA().issue_cert("principal.example.test", key_type=trustme.KeyType.RSA)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    outcome = run(world, feed, tree, home, environ=declare(feed, clientCertificateFilePath=str(pem)))
    assert outcome.code == 0
    assert outcome.credential is not None
    assert outcome.credential[0] == CLIENT
    assert world.steps == ["feed", "discovery", "token:client_credentials"]
    assert world.requests[2].form["client_assertion_type"].endswith("jwt-bearer")


def test_another_spelling_of_a_machine_identity_finds_nothing(
    world: AzureWorld, feed: Feed, tree: Path, home: Path
) -> None:
    outcome = look_up(feed.url.rstrip("/"), tree, {**world.environ(home), **declare(feed)}, interactive=True)
    assert outcome.code == 2
    assert world.requests == []


# Nothing else


@pytest.mark.posix
def test_a_login_where_no_other_traffic_is_possible(tree: Path, home: Path, tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("unshare cannot make mount and network namespaces here")
    done = subprocess.run(
        alone.command(tmp_path / "hosts", tree, home),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"code": 0, "user": "VssSessionToken", "steps": LOGIN, "outside": False}
