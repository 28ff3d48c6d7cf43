"""The probe against servers that hang, trickle, redirect and never end: bounded, and discreet with credentials."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import httpx
import pytest
import trustme

from artifacts_keyring.credential import Credential
from artifacts_keyring.http.probe import Probe, Status, proxy_for
from artifacts_keyring.http.trust import TrustError, ssl_context

SECRET = Credential("user", "s3cret-pässword")
PATIENT = 60.0
Behaviour = Callable[[socket.socket, str], None]


class Scripted:
    """A server on loopback that does to each request whatever `behaviour` does; `heads` are the requests seen."""

    def __init__(self, behaviour: Behaviour, tls: Optional[ssl.SSLContext]) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._behaviour, self._tls = behaviour, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._scheme = "https" if tls else "http"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}/org/_packaging/feed/pypi/simple/"

    def close(self) -> None:
        # A plain close does not wake the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            if self._tls is None:
                return self._answer(connection)
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                return self._answer(secure)

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while True:
            data = connection.recv(65536)
            if not data:
                return
            received += data
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                self.heads.append(head.decode("latin-1"))
                self._behaviour(connection, self.heads[-1])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def environ(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """Our authority, and no proxy for loopback."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "NO_PROXY": "localhost"}


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[..., Scripted]]:
    """`serve(behaviour, secure=True)`: a running Scripted."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    with contextlib.ExitStack() as stack:

        def start(behaviour: Behaviour, secure: bool = True) -> Scripted:
            server = Scripted(behaviour, tls if secure else None)
            stack.callback(server.close)
            return server

        yield start


def says(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    """Answer every request like this, and keep the connection."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return lambda connection, _head: connection.sendall(head.encode() + body)


def ask(
    server: Scripted, environ: dict[str, str], credential: Optional[Credential] = None, within: float = 20
) -> Status:
    with contextlib.closing(Probe(server.url, environ, PATIENT)) as probe:
        return probe.check(credential, within) if credential else probe.anonymous(within)


@pytest.mark.parametrize(
    ("status", "admitted", "refused", "broken"),
    [
        ("200 OK", True, False, False),
        ("203 Non-Authoritative Information", False, True, False),
        ("401 Unauthorized", False, True, False),
        ("403 Forbidden", False, True, False),
        ("404 Not Found", False, False, False),
        ("429 Too Many Requests", False, False, True),
        ("503 Service Unavailable", False, False, True),
        ("302 Found", False, False, False),
    ],
)
def test_what_an_answer_means(
    serve: Callable[..., Scripted], environ: dict[str, str], status: str, admitted: bool, refused: bool, broken: bool
) -> None:
    found = ask(serve(says(status)), environ)
    assert (found.admitted, found.refused, found.broken) == (admitted, refused, broken)
    assert not found.unreachable


def test_request_and_check_share_a_connection(serve: Callable[..., Scripted], environ: dict[str, str]) -> None:
    server = serve(says("401 Unauthorized", b"x" * 2000))
    with contextlib.closing(Probe(server.url, environ, PATIENT)) as probe:
        probe.anonymous(20)
        probe.check(SECRET, 20)
    assert server.connections == 1
    assert "authorization" not in server.heads[0].lower()
    assert f"Basic {base64.b64encode(':'.join(SECRET).encode()).decode()}" in server.heads[1]


def endless(connection: socket.socket, _head: str) -> None:
    """200 MB of index."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
    for _ in range(200_000_000 // 1024):
        connection.sendall(b"x" * 1024)


def endless_error(connection: socket.socket, _head: str) -> None:
    """An error page that does not end either."""
    connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all that clients in this process read from sockets from now on."""
    sizes: list[int] = []

    def counting(kind: type[socket.socket]) -> Callable[..., bytes]:
        receive = kind.recv

        def recv(self: socket.socket, *args: int) -> bytes:
            data = receive(self, *args)
            if self.getsockname()[1] != SERVED.get("port"):
                sizes.append(len(data))
            return data

        return recv

    for kind in (ssl.SSLSocket, socket.socket):
        monkeypatch.setattr(kind, "recv", counting(kind))
    return sizes


SERVED: dict[str, int] = {}


@pytest.mark.parametrize("behaviour", [endless, endless_error])
@pytest.mark.parametrize("secure", [True, False])
def test_no_more_than_64_kilobytes_are_read(
    serve: Callable[..., Scripted], environ: dict[str, str], read: list[int], behaviour: Behaviour, secure: bool
) -> None:
    server = serve(behaviour, secure)
    SERVED["port"] = server.port
    assert ask(server, environ).code in (200, 401)
    assert 0 < sum(read) <= 64 * 1024


def hang(_connection: socket.socket, _head: str) -> None:
    time.sleep(PATIENT)


def trickle(connection: socket.socket, _head: str) -> None:
    for letter in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: x\r\n" * 1000:
        connection.sendall(bytes([letter]))
        time.sleep(0.1)


@pytest.mark.parametrize("behaviour", [hang, trickle])
def test_silence_ends_in_time(serve: Callable[..., Scripted], environ: dict[str, str], behaviour: Behaviour) -> None:
    began = time.monotonic()
    found = ask(serve(behaviour), environ, within=1)
    assert found == Status(0, "no answer within 1 s")
    assert time.monotonic() - began < 20


def reset(connection: socket.socket, _head: str) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def nonsense(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n" * 3)


@pytest.mark.parametrize(
    "behaviour",
    [reset, nonsense, says("200 OK", b"", "Content-Length: nonsense"), says("401 x", b"", "Location: ::::")],
)
def test_nothing_a_server_does_raises(
    serve: Callable[..., Scripted], environ: dict[str, str], behaviour: Behaviour
) -> None:
    found = ask(serve(behaviour), environ)
    assert found.unreachable is (found.code == 0)
    assert found.code in (0, 401)


def test_a_closed_port_is_unreachable(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with contextlib.closing(Probe(f"https://localhost:{port}/x/", environ, PATIENT)) as probe:
        assert probe.anonymous(20).unreachable


def test_a_redirect_to_another_host_is_not_followed(serve: Callable[..., Scripted], environ: dict[str, str]) -> None:
    other = serve(says("200 OK"))
    server = serve(says("302 Found", b"", f"Location: {other.url}"))
    for credential in (None, SECRET):
        found = ask(server, environ, credential)
        assert found.code == 302
        assert not found.admitted
        assert not found.refused
    assert other.heads == []


def test_a_redirect_to_http_gets_no_credential(serve: Callable[..., Scripted], environ: dict[str, str]) -> None:
    plain = serve(says("200 OK"), secure=False)
    server = serve(says("307 Temporary Redirect", b"", f"Location: {plain.url}"))
    assert ask(server, environ, SECRET).code == 307
    assert plain.heads == []


def test_a_redirect_on_the_same_host_is_followed_but_not_for_ever(
    serve: Callable[..., Scripted], environ: dict[str, str]
) -> None:
    def move(connection: socket.socket, head: str) -> None:
        moved = says("301 Moved Permanently", b"", "Location: /elsewhere/")
        (says("200 OK") if head.startswith("GET /elsewhere/") else moved)(connection, head)

    server = serve(move)
    assert ask(server, environ, SECRET).admitted
    assert server.connections == 1
    loop = serve(says("301 Moved Permanently", b"", "Location: /again/"))
    assert ask(loop, environ).code == 301
    assert len(loop.heads) == 3


def test_a_credential_is_not_sent_over_http(serve: Callable[..., Scripted], environ: dict[str, str]) -> None:
    server = serve(says("200 OK"), secure=False)
    assert ask(server, environ, SECRET) == Status(0, "a credential is not sent over http")
    assert ask(server, environ).admitted
    assert len(server.heads) == 1


# Trust and proxies


@pytest.mark.windows
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"])
def test_every_ca_variable_is_honoured(serve: Callable[..., Scripted], environ: dict[str, str], variable: str) -> None:
    server = serve(says("401 Unauthorized"))
    bundle = environ.pop("SSL_CERT_FILE")
    assert ask(server, environ).unreachable
    assert ask(server, {**environ, variable: bundle}).code == 401


def test_authorities_of_two_variables_add_up(authority: trustme.CA, environ: dict[str, str], tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "second.pem"))
    context = ssl_context({**environ, "PIP_CERT": str(tmp_path / "second.pem")})
    assert len(context.get_ca_certs()) == 2


def test_a_folder_of_authorities_that_is_not_there_is_passed_over(environ: dict[str, str], tmp_path: Path) -> None:
    assert len(ssl_context({**environ, "SSL_CERT_DIR": str(tmp_path / "none")}).get_ca_certs()) == 1


def test_a_bundle_that_cannot_be_read_names_its_variable(
    serve: Callable[..., Scripted], environ: dict[str, str], tmp_path: Path
) -> None:
    broken = {**environ, "PIP_CERT": str(tmp_path / "none.pem")}
    with pytest.raises(TrustError, match=r"PIP_CERT=.*none\.pem cannot be used as certificate authorities"):
        ssl_context(broken)
    assert "PIP_CERT=" in ask(serve(says("200 OK")), broken).detail


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "http://b:1"),
        ({"ALL_PROXY": "a:1"}, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "azure.com"}, None),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "x.test, .dev.azure.com"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "ure.com"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "x.test,,"}, "http://a:1"),
    ],
)
def test_proxies_from_the_environment(environ: dict[str, str], proxy: Optional[str]) -> None:
    assert proxy_for(httpx.URL("https://pkgs.dev.azure.com/x/"), environ) == proxy
