"""Which addresses are asked, with whose certificates, credentials and names; against real servers."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from credprovider.errors import ChecksumError, DownloadError
from credprovider.fetch import http
from credprovider.fetch.download import Download, Patience, persist
from credprovider.fetch.http import Unavailable, redact
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import fetch_servers, servers
from tests.fakes.fetch_servers import BODY, DIGEST, QUICK, SECRET
from tests.fakes.servers import Authority, Server, serve

pytestmark = pytest.mark.posix

# pytest finds fixtures by their names in this module.
server = fetch_servers.server
ca = fetch_servers.ca
secure = fetch_servers.secure
no_proxy = fetch_servers.no_proxy
get = fetch_servers.get


# Redirects, certificates, credentials


def test_redirects_lead_to_https(server: Server, secure: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.redirect(f"{secure.url}/g")
    secure.answers["/g"] = servers.redirect("/h", 307)
    secure.answers["/h"] = servers.content(BODY)
    assert get(f"{server.url}/f").sha256 == DIGEST


def test_redirects_never_leave_https(server: Server, secure: Server, get: Callable[..., Download]) -> None:
    secure.answers["/f"] = servers.redirect(f"{server.url}/g")
    server.answers["/g"] = servers.content(BODY)
    with pytest.raises(Unavailable, match="redirects from https"):
        get(f"{secure.url}/f")
    assert server.seen == []


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/f", "file:///f", "http://192.0.2.1/f", "http://[/f"])
def test_redirects_to_other_places_are_refused(server: Server, get: Callable[..., Download], target: str) -> None:
    server.answers["/f"] = servers.redirect(target)
    with pytest.raises(Unavailable):
        get(f"{server.url}/f")
    assert len(server.seen) == 1


def test_redirects_are_counted(server: Server, get: Callable[..., Download]) -> None:
    for number in range(10):
        server.answers[f"/{number}"] = servers.redirect(f"/{number + 1}")
    server.answers["/5"] = servers.content(BODY)
    assert get(f"{server.url}/0").sha256 == DIGEST
    server.answers["/5"] = servers.redirect("/6")
    server.seen.clear()
    with pytest.raises(Unavailable, match="more than 5"):
        get(f"{server.url}/0")
    assert server.paths() == [f"/{number}" for number in range(6)]


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/f", "ftp://127.0.0.1/f", "127.0.0.1/f", "https:///f", "https://h:x/"]
)
def test_only_https_is_asked(get: Callable[..., Download], url: str) -> None:
    with pytest.raises(Unavailable):
        get(url)


def test_an_unknown_authority_is_not_trusted(
    secure: Server, get: Callable[..., Download], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = servers.authority(tmp_path_factory.mktemp("other"))
    secure.answers["/f"] = servers.content(BODY)
    with pytest.raises(Unavailable, match="SSL_CERT_FILE"):
        get(f"{secure.url}/f", environ={"SSL_CERT_FILE": str(other.pem)})
    assert secure.seen == []


def test_pips_own_authority_counts(secure: Server, get: Callable[..., Download], ca: Authority, tmp_path: Path) -> None:
    other = servers.authority(tmp_path)
    secure.answers["/f"] = servers.content(BODY)
    assert get(f"{secure.url}/f", environ={"SSL_CERT_FILE": str(other.pem)}, cert=str(ca.pem)).sha256 == DIGEST


def test_a_trusted_host_needs_no_certificate(
    secure: Server, get: Callable[..., Download], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = servers.authority(tmp_path_factory.mktemp("other"))
    secure.answers["/f"] = servers.content(BODY)
    access = {"environ": {"SSL_CERT_FILE": str(other.pem)}, "trusted": frozenset({secure.place})}
    assert get(f"{secure.url}/f", **access).sha256 == DIGEST


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_credentials_in_the_url_are_used_for_its_origin_only(
    server: Server, secure: Server, get: Callable[..., Download], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.answers["/f"] = servers.guarded(basic("me@x", SECRET), servers.redirect("/g"))
    server.answers["/g"] = servers.guarded(basic("me@x", SECRET), servers.redirect(f"{secure.url}/h"))
    secure.answers["/h"] = servers.content(BODY)
    assert get(server.url.replace("//", f"//me%40x:{SECRET}@") + "/f").sha256 == DIGEST
    assert "authorization" not in secure.seen[0].headers
    assert SECRET not in caplog.text


def test_credentials_never_show(server: Server, get: Callable[..., Download]) -> None:
    base = server.url.replace("//", f"//me:{SECRET}@")
    server.answers["/wrong"] = servers.content(b"other")
    server.answers["/away"] = servers.redirect(f"http://me:{SECRET}@192.0.2.1/?sig={SECRET}")
    for path in ("missing", "wrong", "away", f"q?sig={SECRET}"):
        with pytest.raises(DownloadError if path != "wrong" else ChecksumError) as caught:
            get(f"{base}/{path}")
        assert SECRET not in str(caught.value)
    assert SECRET not in repr(http.Access({"A": SECRET}, proxy=f"http://u:{SECRET}@p"))


@given(st.text(st.characters(codec="ascii", exclude_characters="/?#[]\\"), min_size=1))
def test_redaction_takes_the_whole_user_part(user: str) -> None:
    assert redact(f"https://{user}@example.test/a") == "https://example.test/a"


def test_redaction_does_without_a_url_that_can_be_read() -> None:
    assert redact(f"http://me:{SECRET}@[/a") == "http://[/a"


def test_netrc_is_used(server: Server, get: Callable[..., Download], tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n", encoding="utf-8")
    netrc.chmod(0o600)
    server.answers["/f"] = servers.guarded(basic("me", SECRET), servers.content(BODY))
    assert get(f"{server.url}/f").sha256 == DIGEST


# Names, ports, proxies


def test_a_name_that_cannot_be_resolved_is_asked_once(get: Callable[..., Download], tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"nowhere\.invalid/f .*cannot be resolved") as caught:
        get("https://nowhere.invalid/f", patience=Patience(attempts=5, pause=30))
    assert not caught.value.heals
    assert time.monotonic() - begun < 25


def test_a_port_nobody_listens_on_is_tried_twice(get: Callable[..., Download]) -> None:
    with serve() as gone:
        pass
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        get(f"{gone.url}/f", patience=Patience(pause=0.2))
    assert 0.2 <= time.monotonic() - begun < 20


def test_persistence_counts_a_server_that_was_never_reached() -> None:
    asked: list[int] = []

    def never() -> None:
        asked.append(1)
        raise Unavailable("gone", heals=True, answered=False)

    with pytest.raises(Unavailable):
        persist(never, QUICK)
    assert len(asked) == QUICK.first_contact


def test_a_proxy_resolves_names_itself(server: Server, get: Callable[..., Download]) -> None:
    server.answers["http://nowhere.invalid/f"] = servers.content(BODY)
    access = {"trusted": frozenset({"nowhere.invalid"}), "proxy": server.url}
    assert get("http://nowhere.invalid/f", **access).sha256 == DIGEST


def test_proxy_variables_count(server: Server, get: Callable[..., Download], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://nowhere.invalid/f"] = servers.content(BODY)
    assert get("http://nowhere.invalid/f", trusted=frozenset({"nowhere.invalid"})).sha256 == DIGEST


def test_a_proxy_that_cannot_be_used_is_said(get: Callable[..., Download]) -> None:
    with pytest.raises(Unavailable, match="proxy") as caught:
        get("https://127.0.0.1:1/f", proxy=f"gopher://me:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(caught.value)
