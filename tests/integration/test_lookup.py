"""The look-up as a whole: the real provider and a stand-in, against a whole Azure DevOps on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Optional

import pytest

from artifacts_keyring import lookup, memory, session
from artifacts_keyring.credential import Credential
from artifacts_keyring.provider import caches, login_lock
from tests.conftest import NATIVE, ROOT
from tests.fakes import provider_double
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.azure.provider import remember
from tests.integration.test_provider import gone

PATIENT = 60.0


class Place:
    """A world, an environment that leads into it, and the look-up in this process."""

    def __init__(self, world: AzureWorld, folder: Path, home: Path) -> None:
        self.world, self.folder, self.home = world, folder, home
        self.environ = {**world.environ(self.home), "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true"}

    def use(self, provider: Path) -> None:
        """Let this provider be asked."""
        self.environ["ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH"] = str(provider)

    def stand_in(self, plain: str, **more: str) -> provider_double.StandIn:
        """Let a stand-in be asked."""
        made = provider_double.make(self.folder / "stand-in", plain, **more)
        self.use(made.path)
        return made

    def cached(self, url: str, token: str) -> None:
        """Put a session token into the provider's cache."""
        remember(self.home, {url: token})

    def look_up(self, service: str, username: Optional[str] = None) -> Optional[Credential]:
        """The look-up."""
        return lookup.look_up(service, username, self.environ)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    lookup.MEMORY.forget()
    lookup._SAID.clear()
    yield
    lookup.MEMORY.forget()


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


@pytest.fixture
def place(world: AzureWorld, tmp_path: Path) -> Iterator[Place]:
    with empty_home(tmp_path) as home:
        yield Place(world, tmp_path, home)


@pytest.fixture
def feed(world: AzureWorld) -> Feed:
    return world.feed("org", "feed")


@pytest.fixture
def real(place: Place, payload_tree: Callable[[str], Path]) -> Path:
    """The real provider, in use."""
    tree = payload_tree(NATIVE)
    place.use(tree)
    return tree


# With the real provider


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_a_cached_token_costs_two_requests_on_one_connection(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    token = place.world.token("org")
    place.cached(feed.url, token)
    assert place.look_up(feed.url) == ("VssSessionToken", token)
    assert [(r.auth, r.status) for r in place.world.requests] == [("none", 401), ("basic", 200)]
    assert place.world.connections == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_a_large_index_is_not_read(place: Place, feed: Feed) -> None:
    feed.index_bytes = 50_000_000
    token = place.world.token("org")
    place.cached(feed.url, token)
    assert place.look_up(feed.url) == ("VssSessionToken", token)
    assert place.world.requests[-1].sent < 10_000_000


@pytest.mark.provider
def test_a_revoked_token_is_renewed_and_the_renewed_one_checked(place: Place, feed: Feed, real: Path) -> None:
    _, old = place.world.login(feed, real, place.home)
    place.world.revoke(old)
    place.world.forget()
    found = place.look_up(feed.url)
    assert found is not None
    assert found.password != old
    assert place.world.steps == ["feed", "feed", "feed", "session:SelfDescribing", "feed"]
    assert place.world.requests[-1].basic == found
    assert place.world.requests[-1].status == 200


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_a_public_feed_needs_no_credential_and_no_word(
    place: Place, world: AzureWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = world.feed("org", "open", public=True)
    assert place.look_up(feed.url) is None
    assert {request.auth for request in world.requests} == {"none"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_nothing_cached_and_nobody_to_ask_is_one_line(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.look_up(feed.url) is None
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"artifacts-keyring: {feed.url} needs a sign-in, and no prompt can be shown here: ")
    assert f"python -m artifacts_keyring login {feed.url}" in err
    assert len(err.splitlines()) == 1


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_a_login_shows_the_code_and_nothing_of_the_debug_output(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = lookup.find(feed.url, place.environ, interactive=True)
    assert answer.credential is not None
    assert answer.source == "provider"
    assert place.world.requests[-1].basic == answer.credential  # checked
    out, err = capsys.readouterr()
    assert out == ""
    assert "enter the code FAKE00001 to authenticate" in err
    assert "[Debug]" not in err
    assert "[Verbose]" not in err
    assert answer.credential.password not in err


@pytest.mark.windows
@pytest.mark.provider
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("refusal", "reason"),
    [("authorization_declined", "the sign-in was declined"), ("expired_token", "the sign-in code expired")],
)
def test_a_refused_login_says_why(place: Place, feed: Feed, refusal: str, reason: str) -> None:
    place.world.identity.refusal = refusal
    with pytest.raises(lookup.LookupFailed, match=f"the sign-in for {feed.url} failed: {reason}"):
        lookup.find(feed.url, place.environ, interactive=True)


@pytest.mark.windows
@pytest.mark.provider
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("refusal", ["authorization_declined", "access_denied", "expired_token", "invalid_grant"])
def test_what_entra_says_comes_before_what_oauth_does(place: Place, feed: Feed, refusal: str) -> None:
    """Kind M: the code is the same for a policy, a missing consent and a person who declined."""
    place.world.identity.refusal = refusal
    place.world.identity.description = "AADSTS53003: Blocked by Conditional Access.\r\nTrace ID: 1\r\nTimestamp: 2"
    with pytest.raises(
        lookup.LookupFailed, match="failed: AADSTS53003: Blocked by Conditional Access.; try again with"
    ):
        lookup.find(feed.url, place.environ, interactive=True)


@pytest.mark.windows
@pytest.mark.usefixtures("real")
def test_what_entra_said_to_the_last_way_counts(place: Place, feed: Feed, real: Path) -> None:
    """Kind M: a refused renewal is why the person was asked, not why nothing came of it."""
    place.world.identity.expires_in = 60
    _, token = place.world.login(feed, real, place.home)
    place.world.revoke(token)
    place.world.identity.refuse_refresh = True
    place.world.identity.description = "AADSTS700082: The refresh token has expired."
    place.world.identity.pending = 1000
    place.environ["ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS"] = "2"
    with pytest.raises(lookup.LookupFailed, match="failed: the sign-in was not completed in time; try"):
        lookup.find(feed.url, place.environ, interactive=True)


@pytest.mark.windows
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(("status", "word"), [(401, "Unauthorized"), (403, "Forbidden")])
def test_a_refused_exchange_says_why(place: Place, feed: Feed, real: Path, status: int, word: str) -> None:
    """Kind M: who came so far has signed in well; signing in once more helps nothing."""
    place.world.session_status = status
    denied = rf"most likely has no access to this organisation \(no session token: Azure DevOps said {word}\)"
    with pytest.raises(lookup.LookupFailed, match=f"{denied}; ask for access .*another account .*logout") as failed:
        lookup.find(feed.url, place.environ, interactive=True)
    assert "try again" not in str(failed.value)
    with pytest.raises(lookup.LookupFailed, match=f"no token for {feed.url}: .*{denied}: ask for access"):
        lookup.find(feed.url, place.environ, interactive=False, fresh=True)


@pytest.mark.usefixtures("real")
def test_an_organisation_that_is_not_there_is_no_question_of_access(place: Place, feed: Feed) -> None:
    place.world.session_status = 404
    with pytest.raises(lookup.LookupFailed, match="failed: no session token: Azure DevOps said NotFound; try again"):
        lookup.find(feed.url, place.environ, interactive=True)


@pytest.mark.windows
@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_nobody_completes_the_login_in_time(place: Place, feed: Feed) -> None:
    place.world.identity.pending = 1000
    place.environ["ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS"] = "1"
    with pytest.raises(lookup.LookupFailed, match="the sign-in was not completed in time"):
        lookup.find(feed.url, place.environ, interactive=True)


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_a_declared_identity_goes_to_the_provider_in_its_spelling(place: Place, feed: Feed) -> None:
    identity = {"endpoint": feed.url.rstrip("/").upper().replace("HTTPS", "https"), "clientId": "c11e0700"}
    place.environ |= {
        "ARTIFACTS_CREDENTIALPROVIDER_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [identity]}),
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{place.world.server.server_port}/msi/token",
        "IDENTITY_HEADER": "header",
    }
    found = place.look_up(feed.url)
    assert found is not None
    assert found.username == "c11e0700"
    assert "managed-identity" in place.world.steps


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_an_upload_is_never_taken_for_public(place: Place, world: AzureWorld) -> None:
    feed = world.feed("org", "open", public=True)
    token = world.token("org")
    place.cached(feed.url, token)
    assert place.look_up(feed.upload_url) == ("VssSessionToken", token)
    assert {request.auth for request in world.requests} == {"basic"}


@pytest.mark.provider
@pytest.mark.usefixtures("real")
def test_no_secret_is_in_the_log(place: Place, feed: Feed, tmp_path: Path) -> None:
    place.environ["ARTIFACTS_KEYRING_LOG_PATH"] = str(tmp_path / "log")
    answer = lookup.find(feed.url.replace("https://", "https://u:s3cret@"), place.environ, interactive=True)
    text = (tmp_path / "log").read_text()
    assert "[Debug] [CredentialProvider]" in text
    assert "Status(code=401" in text
    assert answer.credential is not None
    for secret in (answer.credential.password, "s3cret", *place.world.identity.access_tokens):
        assert secret not in text
    assert os.name == "nt" or (tmp_path / "log").stat().st_mode & 0o077 == 0


# Refusals and renewal


def test_a_refused_credential_is_renewed_once(place: Place, feed: Feed) -> None:
    good = place.world.token("org")
    stand_in = place.stand_in(provider_double.answer("stale"), retry=provider_double.answer(good))
    assert place.look_up(feed.url) == ("VssSessionToken", good)
    assert [call.option("-IsRetry") for call in stand_in.calls] == ["false", "true"]


def test_a_feed_that_refuses_the_renewed_one_too_is_said(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = place.stand_in(provider_double.answer("stale"))
    assert place.look_up(feed.url) is None
    assert "refuses a credential that was renewed just now: ask for access" in capsys.readouterr().err
    assert len(stand_in.calls) == 2


@pytest.mark.parametrize(
    ("afterwards", "found"),
    [("sys.exit(0)", True), ("sys.exit(1)", False), ("answer('user', 'another')", False), ("out(b'\\n')", True)],
)
def test_the_check_runs_while_the_provider_ends_and_only_its_end_is_an_answer(
    place: Place, feed: Feed, afterwards: str, found: bool
) -> None:
    good = place.world.token("org")
    stand_in = place.stand_in(f"{provider_double.answer(good)}; wait_for('signed-in'); {afterwards}")
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(place.look_up, feed.url)
        until = time.monotonic() + PATIENT
        while [request.auth for request in place.world.requests] != ["none", "basic"] and time.monotonic() < until:
            time.sleep(0.01)
        assert not looking.done()
        stand_in.sign_in()
        assert looking.result() == (("VssSessionToken", good) if found else None)
    assert len(place.world.requests) == 2


@pytest.mark.parametrize("fault", ["500", "reset", "hang"])
def test_a_server_in_trouble_does_not_cost_the_credential(place: Place, feed: Feed, fault: str) -> None:
    feed.fault = fault
    place.environ["ARTIFACTS_KEYRING_TIMEOUT"] = "3"
    stand_in = place.stand_in(provider_double.answer("handed-on"))
    assert place.look_up(feed.url) == ("VssSessionToken", "handed-on")
    assert len(stand_in.calls) == 1
    assert {request.auth for request in place.world.requests} == {"none"}


@pytest.mark.parametrize("fault", ["500", "reset"])
def test_a_check_that_fails_does_not_cost_the_credential(place: Place, feed: Feed, fault: str) -> None:
    feed.fault, feed.sound = fault, 1
    stand_in = place.stand_in(provider_double.answer("handed-on"))
    assert place.look_up(feed.url) == ("VssSessionToken", "handed-on")
    assert len(stand_in.calls) == 1


def test_a_broken_server_and_no_credential_is_no_reason_to_prompt(place: Place, feed: Feed) -> None:
    feed.fault = "500"
    stand_in = place.stand_in("nothing")
    with pytest.raises(lookup.LookupFailed, match="answers 500 .*: try again later"):
        lookup.find(feed.url, place.environ, interactive=True)
    assert len(stand_in.calls) == 1


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_a_silent_server_and_a_silent_provider_end_at_the_deadline(place: Place, feed: Feed, fault: str) -> None:
    feed.fault = fault
    place.environ["ARTIFACTS_KEYRING_TIMEOUT"] = "2"
    stand_in = place.stand_in("hang")
    began = time.monotonic()
    assert place.look_up(feed.url) is None
    assert time.monotonic() - began < 30
    assert gone(stand_in.calls[0].pid)


def test_the_provider_is_stopped_when_the_feed_is_public(place: Place, world: AzureWorld) -> None:
    feed = world.feed("org", "open", public=True)
    stand_in = place.stand_in("hang")
    assert place.look_up(feed.url) is None
    assert all(gone(call.pid) for call in stand_in.calls)


def test_a_missing_provider_is_no_news_where_the_feed_is_public(
    place: Place, world: AzureWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    place.use(place.folder / "nowhere")
    assert place.look_up(world.feed("org", "open", public=True).url) is None
    assert capsys.readouterr().err == ""
    assert place.look_up(world.feed("org", "feed").url) is None
    assert "is no credential provider" in capsys.readouterr().err


def test_declared_credentials_that_leave_this_feed_out_are_named(place: Place, feed: Feed) -> None:
    place.stand_in("nothing")
    place.environ["VSS_NUGET_URI_PREFIXES"] = "https://pkgs.dev.azure.com/other/"
    with pytest.raises(lookup.LookupFailed, match="VSS_NUGET_URI_PREFIXES is set, but gives no credential for"):
        lookup.find(feed.url, place.environ, interactive=True)


def test_a_host_of_the_users_own_that_cannot_be_reached_is_named(place: Place) -> None:
    place.stand_in("silent-255")
    place.environ |= {"ARTIFACTS_KEYRING_HOSTS": "tfs.corp.test", "HTTPS_PROXY": "http://127.0.0.1:9"}
    url = "https://tfs.corp.test/tfs/Main/_packaging/f/pypi/simple/"
    with pytest.raises(lookup.LookupFailed, match=f"{url} cannot be reached"):
        lookup.find(url, place.environ, interactive=True)


def test_a_feed_over_http_has_no_sign_in(place: Place, feed: Feed) -> None:
    place.stand_in("nothing")
    url = f"http://127.0.0.1:{place.world.server.server_port}/org/_packaging/feed/pypi/simple/"
    place.environ["ARTIFACTS_KEYRING_HOSTS"] = "127.0.0.1"
    with pytest.raises(lookup.LookupFailed, match="over https only: declare a token"):
        lookup.find(url, place.environ, interactive=True)


def test_an_unexpected_error_is_one_line_and_never_an_exception(
    place: Place, feed: Feed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object) -> None:
        raise KeyError("s3cret")

    monkeypatch.setattr(session, "ask", fail)
    assert place.look_up(feed.url) is None
    err = capsys.readouterr().err
    assert err.startswith("artifacts-keyring: unexpected KeyError: ")
    assert "s3cret" not in err


def test_http_to_a_host_of_ours_is_refused_aloud(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.look_up("http://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/") is None
    assert "clear text" in capsys.readouterr().err


def test_no_secret_in_any_argument_list(place: Place, feed: Feed) -> None:
    good = place.world.token("org")
    stand_in = place.stand_in(provider_double.answer("stale"), retry=provider_double.answer(good))
    place.look_up(feed.url.replace("https://", "https://user:s3cret@"))
    for call in stand_in.calls:
        assert not {"s3cret", "stale", good} & set(" ".join(call.argv).replace("/", " ").replace("@", " ").split())


# Memory


def test_one_look_up_for_an_organisation_whatever_the_feed_or_spelling(place: Place, feed: Feed) -> None:
    token = place.world.token("org")
    stand_in = place.stand_in(provider_double.answer(token))
    assert place.look_up("https://pkgs.dev.azure.com") is None
    for service in (feed.url, feed.url.rstrip("/"), feed.upload_url, feed.url.replace("feed", "other")):
        assert place.look_up(service, "me") == ("me", token)
    for service in ("https://pkgs.dev.azure.com", "pkgs.dev.azure.com", "PKGS.dev.azure.com:443"):
        assert place.look_up(service) == ("VssSessionToken", token)
    assert len(stand_in.calls) == 1


def test_a_host_alone_is_no_answer_once_two_organisations_are_known(place: Place, feed: Feed) -> None:
    place.stand_in(provider_double.answer(place.world.token("org")))
    assert place.look_up(feed.url) is not None
    place.world.feed("two", "feed")
    place.stand_in(provider_double.answer(place.world.token("two")))
    assert place.look_up(feed.url.replace("/org/", "/two/")) is not None
    assert place.look_up("pkgs.dev.azure.com") is None


def test_the_neighbours_credential_is_no_answer_after_a_failure(place: Place, feed: Feed) -> None:
    place.stand_in(provider_double.answer(place.world.token("org")))
    assert place.look_up(feed.url) is not None
    place.world.feed("two", "feed")
    place.stand_in("nothing")
    assert place.look_up(feed.url.replace("/org/", "/two/")) is None
    assert place.look_up("pkgs.dev.azure.com") is None


def test_a_failure_is_asked_and_told_once(place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in = place.stand_in("nothing")
    for service in (feed.url, feed.url.rstrip("/"), "https://pkgs.dev.azure.com", "pkgs.dev.azure.com"):
        assert place.look_up(service) is None
    assert len(stand_in.calls) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_public_feed_says_nothing_of_its_private_neighbour_or_of_uploads(place: Place, world: AzureWorld) -> None:
    feed = world.feed("org", "open", public=True)
    token = world.token("org")
    place.stand_in(provider_double.answer(token))
    assert place.look_up(feed.url) is None
    assert place.look_up(feed.upload_url) == ("VssSessionToken", token)


def test_threads_that_ask_at_once_share_one_look_up(place: Place, feed: Feed) -> None:
    token = place.world.token("org")
    stand_in = place.stand_in(provider_double.answer(token))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: place.look_up(feed.url), range(8)))
    assert found == [("VssSessionToken", token)] * 8
    assert len(stand_in.calls) == 1


def test_fresh_passes_over_the_memory(place: Place, feed: Feed) -> None:
    stand_in = place.stand_in(provider_double.answer(place.world.token("org")))
    lookup.find(feed.url, place.environ)
    lookup.find(feed.url, place.environ, fresh=True)
    assert len(stand_in.calls) == 2


def test_memory_ends_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    table = memory.Memory()
    table.found(("h", None, "o"), Credential("u", "p"))
    table.failed(("h", None, "q"))
    now[0] = memory.FAILED_FOR
    assert table.recall(("h", None, "q")) is None
    assert table.recall(("h", None, "o")) is not None
    now[0] = memory.FOUND_FOR
    assert table.recall(("h", None, "o")) is None
    for number in range(memory.CAPACITY + 5):
        table.failed(("h", None, number))
    assert table.recall(("h", None, 0)) is None
    assert table.recall(("h", None, memory.CAPACITY + 4)) is not None


# One login among many processes


@pytest.mark.slow
@pytest.mark.provider
def test_ten_clients_with_cold_caches_get_one_prompt(place: Place, feed: Feed, real: Path) -> None:
    place.world.identity.pending = 1
    place.environ["ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"] = "false"
    place.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    code = (
        "import os, sys; from artifacts_keyring.lookup import look_up; print(look_up(sys.argv[1], None, os.environ)[1])"
    )
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", code, feed.url],
            env=place.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(10)
    ]
    said = [client.communicate(timeout=120) for client in clients]
    assert [client.returncode for client in clients] == [0] * 10
    assert place.world.steps.count("devicecode") == 1
    assert sum("enter the code" in err for _, err in said) == 1
    assert len({out for out, _ in said}) == 1


def test_who_waits_for_anothers_login_gives_up_at_the_deadline(
    place: Place, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = place.stand_in("nothing")
    monkeypatch.setattr(session, "login_timeout", lambda _environ: 0.5)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with login_lock.login_lock(place.environ, time.monotonic() + PATIENT, lambda: None):
            held.set()
            done.wait(PATIENT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(PATIENT)
        with pytest.raises(lookup.LookupFailed, match="another process has been waiting for its sign-in"):
            lookup.find(feed.url, place.environ, interactive=True)
    finally:
        done.set()
        thread.join()
    assert len(stand_in.calls) == 1


@pytest.mark.parametrize(
    ("environ", "platform", "path"),
    [
        ({"HOME": "/h"}, "linux", "/h/.cache/artifacts-keyring/login.lock"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "linux", "/c/artifacts-keyring/login.lock"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Caches/artifacts-keyring/login.lock"),
        ({"LOCALAPPDATA": "/l"}, "win32", "/l/artifacts-keyring/login.lock"),
    ],
)
def test_where_the_lock_is(environ: dict[str, str], platform: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "_known_folder", lambda: None)
    assert login_lock.lock_path(environ, platform) == Path(path)


def test_a_login_goes_on_where_no_lock_file_can_be_made(place: Place, feed: Feed) -> None:
    token = place.world.token("org")
    place.stand_in("nothing", interactive=provider_double.answer(token))
    (place.folder / "file").touch()
    place.environ["XDG_CACHE_HOME"] = str(place.folder / "file" / "below")
    assert lookup.find(feed.url, place.environ, interactive=True).credential == ("VssSessionToken", token)


def test_what_was_found_over_https_is_not_handed_out_for_http(place: Place, feed: Feed) -> None:
    secure = lookup.feed_of(feed.url, place.environ)
    assert secure is not None
    lookup.MEMORY.found(lookup._organisation(secure), Credential("me", "secret"))
    assert place.look_up("https://pkgs.dev.azure.com") == Credential("me", "secret")
    place.environ["ARTIFACTS_KEYRING_INSECURE_HOSTS"] = "pkgs.dev.azure.com"
    assert place.look_up("http://pkgs.dev.azure.com") is None
