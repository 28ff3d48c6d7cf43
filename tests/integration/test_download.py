"""Every rule of the downloads, against real servers on the loopback interface."""

from __future__ import annotations

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
from collections.abc import Callable
from pathlib import Path

import pytest
from credprovider.errors import ChecksumError, DownloadError
from credprovider.fetch import download
from credprovider.fetch.download import Download, Patience, adopt
from credprovider.fetch.http import Unavailable, retry_after

from tests.fakes import fetch_servers, servers
from tests.fakes.fetch_servers import BODY, DIGEST, LIMIT, QUICK
from tests.fakes.servers import Handler, Server

pytestmark = pytest.mark.posix

# pytest finds fixtures by their names in this module.
server = fetch_servers.server
ca = fetch_servers.ca
no_proxy = fetch_servers.no_proxy
get = fetch_servers.get
ROOT = Path(__file__).resolve().parents[2]


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


def test_a_broken_transfer_starts_again(server: Server, get: Callable[..., Download]) -> None:
    old = bytes(len(BODY))
    server.answers["/f"] = servers.in_turn(servers.cut(old, 100_000, ETag='"1"'), servers.content(BODY))
    assert get(f"{server.url}/f", sha256=None).path.read_bytes() == BODY
    assert [each.headers.get("range") for each in server.seen] == [None, None]


def test_a_part_that_was_not_asked_for_is_no_file(server: Server, get: Callable[..., Download]) -> None:
    server.answers["/f"] = lambda handler: handler.send(206, BODY[5:], {"Content-Range": f"bytes 5-9/{len(BODY)}"})
    with pytest.raises(Unavailable, match="HTTP 206"):
        get(f"{server.url}/f", sha256=None)


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
    server.answers["/f"] = servers.status(429, {"Retry-After": "60"})
    with pytest.raises(Unavailable, match="wait 60 s"):
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
        from credprovider.fetch.download import fetch
        from credprovider.fetch.http import Access, Web
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
