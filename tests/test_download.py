"""Every rule of the downloads, against real servers on the loopback interface."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from credprovider import download, web
from credprovider.download import Download, Patience, adopt, fetch, persist
from credprovider.errors import ChecksumError, DownloadError
from credprovider.web import Access, Unavailable, Web, redact, retry_after
from hypothesis import given
from hypothesis import strategies as st

from tests import servers
from tests.servers import Authority, Handler, Server, serve

ROOT = Path(__file__).resolve().parent.parent
BODY = b"".join(hashlib.sha256(bytes([n % 251, n % 241])).digest() for n in range(9_375))
DIGEST = hashlib.sha256(BODY).hexdigest()
LIMIT = 1_000_000
QUICK = Patience(attempts=4, pause=0.01, longest_pause=2)
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return servers.authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def secure(ca: Authority) -> Iterator[Server]:
    with serve(ca.server) as running:
        yield running


@pytest.fixture
def get(tmp_path: Path, ca: Authority) -> Callable[..., Download]:
    """`get(url)`: fetch with our authority trusted, and nothing else of this machine's set-up."""

    def run(
        url: str, sha256: str | None = DIGEST, limit: int = LIMIT, patience: Patience = QUICK, **access: object
    ) -> Download:
        environ = {"SSL_CERT_FILE": str(ca.pem), "HOME": str(tmp_path)}
        with Web(Access(**{"environ": environ, **access})) as client:  # type: ignore[arg-type]
            return fetch(url, tmp_path / "into", limit=limit, sha256=sha256, web=client, patience=patience)

    return run


def left_in(tmp_path: Path) -> list[str]:
    """Names in the download folder, hidden ones included."""
    return sorted(path.name for path in (tmp_path / "into").iterdir())


def test_a_file_arrives_whole_and_is_named_by_its_digest(
    server: Server, get: Callable[..., Download], tmp_path: Path
) -> None:
    server.answers["/a.tar.gz"] = servers.content(BODY)
    got = get(f"{server.url}/a.tar.gz")
    assert got == Download(tmp_path / "into" / DIGEST, DIGEST, len(BODY))
    assert got.path.read_bytes() == BODY
    assert left_in(tmp_path) == [DIGEST]


def test_a_file_whose_digest_nobody_knows_is_named_by_what_was_seen(
    server: Server, get: Callable[..., Download]
) -> None:
    server.answers["/a.zip"] = servers.content(BODY)
    assert get(f"{server.url}/a.zip", sha256=None).sha256 == DIGEST


def test_one_flipped_byte_is_one_clear_error_and_leaves_nothing(
    server: Server, get: Callable[..., Download], tmp_path: Path
) -> None:
    flipped = bytes([BODY[0] ^ 1]) + BODY[1:]
    server.answers["/a.tar.gz"] = servers.content(flipped)
    with pytest.raises(ChecksumError) as caught:
        get(f"{server.url}/a.tar.gz")
    assert DIGEST in str(caught.value)
    assert hashlib.sha256(flipped).hexdigest() in str(caught.value)
    assert "a.tar.gz" in str(caught.value)
    assert left_in(tmp_path) == []
    assert len(server.seen) == 1


def test_a_broken_transfer_goes_on_where_it_broke(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.in_turn(servers.cut(BODY, 100_000, ETag='"1"'), servers.ranged(BODY, '"1"'))
    assert get(f"{server.url}/f").path.read_bytes() == BODY
    second = server.seen[1].headers
    assert int(second["range"].removeprefix("bytes=").rstrip("-")) > 0
    assert second["if-range"] == '"1"'


def test_a_file_that_changed_meanwhile_starts_again(server: Server, get: Callable[..., Download]) -> None:
    old = bytes(len(BODY))
    server.answers["/f"] = servers.in_turn(servers.cut(old, 100_000, ETag='"1"'), servers.ranged(BODY, '"2"'))
    assert get(f"{server.url}/f").path.read_bytes() == BODY


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}], ids=["no tag", "weak tag"])
def test_without_a_strong_tag_no_part_is_asked_for(
    server: Server, get: Callable[..., Download], headers: dict[str, str]
) -> None:
    server.answers["/f"] = servers.in_turn(servers.cut(BODY, 100_000, **headers), servers.content(BODY))
    assert get(f"{server.url}/f").sha256 == DIGEST
    assert [each.headers.get("range") for each in server.seen] == [None, None]


def test_a_server_that_joins_two_versions_is_asked_for_the_whole(server: Server, get: Callable[..., Download]) -> None:
    old = bytes(len(BODY))
    liar = servers.ranged(BODY, '"1"')
    server.answers["/f"] = servers.in_turn(servers.cut(old, 100_000, ETag='"1"'), liar)
    assert get(f"{server.url}/f").path.read_bytes() == BODY


def test_a_range_that_starts_elsewhere_is_not_used(server: Server, get: Callable[..., Download]) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.send(206, BODY[5:], {"ETag": '"1"', "Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"})

    server.answers["/f"] = servers.in_turn(
        servers.cut(BODY, 100_000, ETag='"1"'), elsewhere, servers.content(BODY, ETag='"1"')
    )
    assert get(f"{server.url}/f").sha256 == DIGEST
    assert "range" not in server.seen[2].headers


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_can_heal_is_asked_again(server: Server, get: Callable[..., Download], code: int) -> None:
    server.answers["/f"] = servers.in_turn(servers.status(code), servers.status(code), servers.content(BODY))
    assert get(f"{server.url}/f").sha256 == DIGEST
    assert len(server.seen) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451])
def test_what_cannot_heal_is_asked_once(server: Server, get: Callable[..., Download], code: int) -> None:
    server.answers["/f"] = servers.status(code)
    with pytest.raises(Unavailable, match=f"HTTP {code}"):
        get(f"{server.url}/f")
    assert len(server.seen) == 1


def test_attempts_are_bounded(server: Server, get: Callable[..., Download], tmp_path: Path) -> None:
    server.answers["/f"] = servers.status(503)
    with pytest.raises(Unavailable, match="HTTP 503"):
        get(f"{server.url}/f")
    assert len(server.seen) == QUICK.attempts
    assert left_in(tmp_path) == []


def test_the_server_says_how_long_to_wait(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.in_turn(servers.status(429, {"Retry-After": "1"}), servers.content(BODY))
    begun = time.monotonic()
    assert get(f"{server.url}/f").sha256 == DIGEST
    assert time.monotonic() - begun >= 1


def test_a_server_that_wants_a_long_wait_is_given_up(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.status(429, {"Retry-After": "3600"})
    with pytest.raises(Unavailable, match="wait 3600 s"):
        get(f"{server.url}/f")
    assert len(server.seen) == 1


def test_retry_after_may_be_a_date() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470.0) == 10.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412490.0) == 0.0
    assert retry_after("7", 0.0) == 7.0
    assert retry_after("soon", 0.0) is None
    assert retry_after("", 0.0) is None


def test_an_announced_size_over_the_limit_is_not_read(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.content(BODY)
    with pytest.raises(Unavailable, match="300000 bytes where at most 1000"):
        get(f"{server.url}/f", limit=1000)
    assert len(server.seen) == 1


def test_a_size_that_is_not_announced_is_bounded_too(
    server: Server, get: Callable[..., Download], tmp_path: Path
) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(BODY)

    server.answers["/f"] = endless
    with pytest.raises(Unavailable, match="at most 1000000"):
        get(f"{server.url}/f")
    assert left_in(tmp_path) == []


def test_a_web_page_is_no_archive(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = servers.content(b"<html>sign in", "text/html; charset=utf-8")
    with pytest.raises(Unavailable, match="web page"):
        get(f"{server.url}/f", sha256=None)


def test_bytes_are_kept_as_they_come(server: Server, get: Callable[..., Download]) -> None:
    packed = gzip.compress(BODY)
    server.answers["/a.tar.gz"] = servers.content(packed, Content_Encoding="gzip")
    assert get(f"{server.url}/a.tar.gz", sha256=None).path.read_bytes() == packed
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_silent_server_counts_as_gone(server: Server, get: Callable[..., Download]) -> None:
    done = threading.Event()

    def silence(_handler: Handler) -> None:
        done.wait(20)

    server.answers["/f"] = servers.in_turn(silence, servers.content(BODY))
    assert get(f"{server.url}/f", read=0.3).sha256 == DIGEST
    done.set()


def test_a_transfer_that_never_ends_is_given_up(server: Server, get: Callable[..., Download]) -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    server.answers["/f"] = drip
    with pytest.raises(Unavailable, match="too slow"):
        get(f"{server.url}/f", patience=Patience(total=0.3))


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
    assert SECRET not in repr(web.Access({"A": SECRET}, proxy=f"http://u:{SECRET}@p"))


@given(st.text(st.characters(codec="ascii", exclude_characters="/?#[]\\"), min_size=1))
def test_redaction_takes_the_whole_user_part(user: str) -> None:
    assert redact(f"https://{user}@example.test/a") == "https://example.test/a"


def test_netrc_is_used(server: Server, get: Callable[..., Download], tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n", encoding="utf-8")
    netrc.chmod(0o600)
    server.answers["/f"] = servers.guarded(basic("me", SECRET), servers.content(BODY))
    assert get(f"{server.url}/f").sha256 == DIGEST


# Names, ports, proxies


def test_a_name_that_cannot_be_resolved_is_asked_once(get: Callable[..., Download], tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"nowhere\.invalid .*resolved") as caught:
        get("https://nowhere.invalid/f", patience=Patience(attempts=5, pause=30))
    assert not caught.value.heals
    assert time.monotonic() - begun < 25
    assert left_in(tmp_path) == []


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


# The disk


def test_no_room_is_one_clear_line(server: Server, get: Callable[..., Download], tmp_path: Path) -> None:
    server.answers["/f"] = servers.content(BODY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DownloadError, match="make room") as caught:
            get(f"{server.url}/f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not isinstance(caught.value, Unavailable)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(server: Server, get: Callable[..., Download], tmp_path: Path) -> None:
    (tmp_path / "into").write_text("a file", encoding="utf-8")
    with pytest.raises(DownloadError, match="cannot write"):
        get(f"{server.url}/f")


def fetching(url: str, into: Path) -> subprocess.Popen[bytes]:
    """A process of its own that fetches `url`."""
    program = f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "scripts")!r}]
        from pathlib import Path
        from credprovider.download import fetch
        from credprovider.web import Access, Web
        with Web(Access({{}})) as web:
            fetch({url!r}, Path({str(into)!r}), limit=10**6, sha256=None, web=web)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("did not happen within a minute")
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_and_a_killed_one_is_swept(
    server: Server, get: Callable[..., Download], tmp_path: Path, how: signal.Signals
) -> None:
    done, into = threading.Event(), tmp_path / "into"

    def stall(handler: Handler) -> None:
        handler.send(200, BODY[:1000], {}, length=len(BODY))
        handler.wfile.flush()
        done.wait(60)

    server.answers["/f"] = stall
    with fetching(f"{server.url}/f", into) as process:
        eventually(lambda: bool(server.seen) and len(list(into.glob(".*"))) == 1)
        process.send_signal(how)
        process.communicate(timeout=60)
    done.set()
    left = list(into.glob(".*"))
    assert len(left) == (how == signal.SIGKILL)
    server.answers["/f"] = servers.content(BODY)
    get(f"{server.url}/f")
    assert left == list(into.glob(".*")), "a young one may belong to a build that runs"
    for path in left:
        os.utime(path, (time.time() - download.STALE_SECONDS - 60,) * 2)
    get(f"{server.url}/f")
    assert left_in(tmp_path) == [DIGEST]


def test_two_builds_at_once_do_no_harm(server: Server, tmp_path: Path) -> None:
    both, into = threading.Barrier(2, timeout=60), tmp_path / "into"

    def together(handler: Handler) -> None:
        both.wait()
        servers.content(BODY)(handler)

    server.answers["/f"] = together
    builds = [fetching(f"{server.url}/f", into) for _ in range(2)]
    said = [build.communicate(timeout=60)[1] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], said
    assert left_in(tmp_path) == [DIGEST]
    assert (into / DIGEST).read_bytes() == BODY


def test_memory_does_not_grow_with_the_file(server: Server, get: Callable[..., Download]) -> None:
    large = bytes(32 << 20)
    server.answers["/f"] = servers.content(large)
    get(f"{server.url}/f", sha256=None, limit=len(large))  # what is loaded once does not count
    tracemalloc.start()
    try:
        get(f"{server.url}/f", sha256=None, limit=len(large))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_local_file_is_adopted_by_the_same_rules(tmp_path: Path) -> None:
    source, into = tmp_path / "a.whl", tmp_path / "into"
    source.write_bytes(BODY)
    take = functools.partial(adopt, source, into)
    assert take(limit=LIMIT, sha256=DIGEST).path.read_bytes() == BODY
    with pytest.raises(ChecksumError, match=r"a\.whl"):
        take(limit=LIMIT, sha256="0" * 64)
    with pytest.raises(Unavailable, match="at most 10"):
        take(limit=10, sha256=None)
    with pytest.raises(Unavailable, match="cannot be read"):
        adopt(tmp_path / "none", into, limit=LIMIT, sha256=None)
    assert left_in(tmp_path) == [DIGEST]


def test_progress_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with download.Meter("a.zip") as meter:
            time.sleep(0.6)
            meter.show(1_000_000, 3_000_000)
        shown = os.read(controller, 1000).decode()
    os.close(controller)
    assert "a.zip: 1.0 of 3.0 MB" in shown
    monkeypatch.undo()
    with download.Meter("a.zip") as meter:
        time.sleep(0.6)
        meter.show(1_000_000, None)
    assert capsys.readouterr().err == ""
