"""Real HTTP and HTTPS servers on the loopback interface, with answers that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

Answer = Callable[["Handler"], None]


@dataclass
class Seen:
    """One request as the server saw it; header names in lower case."""

    path: str
    headers: dict[str, str]


@dataclass
class Server:
    """A running server: its base URL, its answers by path, and the requests so far."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    @property
    def place(self) -> str:
        """``host:port``."""
        return self.url.partition("://")[2]

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [each.path for each in self.seen]


class Handler(BaseHTTPRequestHandler):
    """Looks up the answer for a path; 404 without one."""

    server: _Listener
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        state = self.server.state
        state.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.close_connection = True
        state.answers.get(self.path, status(404))(self)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: test output stays readable."""

    def send(self, code: int, body: bytes, headers: Mapping[str, str], *, length: int | None = None) -> None:
        """A whole answer; `length` announces another size than the body has."""
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body) if length is None else length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    state: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on purpose here."""


def status(code: int, headers: Mapping[str, str] | None = None) -> Answer:
    """An empty answer with this status."""
    return lambda handler: handler.send(code, b"", headers or {})


def redirect(location: str, code: int = 302) -> Answer:
    """Look there."""
    return status(code, {"Location": location})


def content(body: bytes, media_type: str = "application/octet-stream", **headers: str) -> Answer:
    """The whole body, always."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(200, body, {"Content-Type": media_type, **named})


def cut(body: bytes, after: int, **headers: str) -> Answer:
    """A transfer that breaks off after so many bytes."""
    return lambda handler: handler.send(200, body[:after], headers, length=len(body))


def in_turn(*answers: Answer) -> Answer:
    """The first answer for the first request, and so on; the last one stays."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def guarded(authorization: str, answer: Answer) -> Answer:
    """`answer` for who sends this Authorization header, else 401."""

    def check(handler: Handler) -> None:
        known = handler.headers.get("Authorization") == authorization
        (answer if known else status(401))(handler)

    return check


@contextmanager
def serve(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """A server on a free port, until the end of the block."""
    listener = _Listener((host, 0), Handler)
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    name = "localhost" if tls is not None else host
    listener.state = Server(f"{'https' if tls else 'http'}://{name}:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listener.state
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own: a server context for localhost, and its PEM file."""

    server: ssl.SSLContext
    pem: Path


def authority(folder: Path) -> Authority:
    """Make an authority with its PEM file in `folder`."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    pem = folder / "authority.pem"
    ca.cert_pem.write_to_path(str(pem))
    return Authority(context, pem)


@contextmanager
def tls_front(tls: ssl.SSLContext, port: int) -> Iterator[int]:
    """The port of a server that ends TLS and passes all else on to `port`: a proxy whose own address is https://."""

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(contextlib.suppress(OSError))
                client = stack.enter_context(tls.wrap_socket(self.request, server_side=True))
                server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        yield listener.server_address[1]
        listener.shutdown()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
