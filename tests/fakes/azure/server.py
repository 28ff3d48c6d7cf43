"""HTTP on one loopback port, three ways: CONNECT proxy that ends TLS itself, TLS at once, and plain."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_TLS_HANDSHAKE = b"\x16"
_CHUNK = 64 * 1024


@dataclass
class Request:
    """A request as it arrived, and what became of it.

    `step` names its part in the provider's or client's work ("feed", "token:refresh_token", …);
    `status` is 0 until answered; `sent` counts the body bytes handed to the socket.
    """

    method: str
    host: str
    target: str
    headers: Message[str, str]
    body: bytes
    connection: int
    secure: bool
    step: str = "unknown"
    status: int = 0
    sent: int = 0

    @property
    def path(self) -> str:
        """The path without its query, as sent."""
        return urlsplit(self.target).path

    @property
    def form(self) -> dict[str, str]:
        """The fields of a urlencoded body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace")))

    @property
    def auth(self) -> str:
        """The kind of authorisation: "none", "basic", "bearer"."""
        return self.headers.get("Authorization", "none").partition(" ")[0].lower()

    @property
    def basic(self) -> tuple[str, str]:
        """User name and password of Basic authorisation, empty when there is none."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        decoded = base64.b64decode(value).decode() if scheme.lower() == "basic" else ""
        user, _, password = decoded.partition(":")
        return user, password

    def __str__(self) -> str:
        return (
            f"#{self.connection} {self.method} https://{self.host}{self.target} [{self.auth}] {self.status} {self.step}"
        )


@dataclass(frozen=True)
class Answer:
    """What to send; `fault` is "" or one of FAULTS."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    fault: str = ""


# hang: no byte comes back; stall: half of the body does; reset: the connection is torn down; 500: an error answer.
FAULTS = ("hang", "stall", "reset", "500")


def as_json(document: object, status: int = 200, content_type: str = "application/json") -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(document).encode(), (("Content-Type", content_type),))


class Server(ThreadingHTTPServer):
    """Serves `app` on 127.0.0.1:`port` (0: a free one), each connection in its own thread.

    `knows` tells for which hosts CONNECT is accepted; the others are kept in `refused`.
    """

    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def __init__(
        self, app: Callable[[Request], Answer], tls: ssl.SSLContext, port: int, knows: Callable[[str], bool]
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.app, self.tls, self.knows = app, tls, knows
        self.requests: list[Request] = []
        self.refused: list[str] = []
        self.broken: list[BaseException] = []
        self.stopping = threading.Event()
        self.numbers = itertools.count(1)
        self.open: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Clients may vanish; anything else is a fault of this server and is kept for the test."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.broken.append(error)

    def stop(self) -> None:
        """End every connection, hanging ones too."""
        self.stopping.set()
        for connection in tuple(self.open):
            _shut(connection)
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else Nagle and delayed ACK add 40 ms to every answer
    server: Server
    tunnel = ""
    secure = False

    def setup(self) -> None:
        """Start TLS in this thread when the first byte asks for it, so that no other client waits."""
        super().setup()
        self.number = next(self.server.numbers)
        self.server.open.add(self.connection)
        if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            self._start_tls()

    def finish(self) -> None:
        """Close what TLS put around the server's own socket."""
        self.server.open.discard(self.connection)
        try:
            super().finish()
        finally:
            self.connection.close()

    def do_CONNECT(self) -> None:
        """Become the asked-for host."""
        host = self.path.rpartition(":")[0]
        if not self.server.knows(host):
            self.server.refused.append(host)
            self.send_error(502, f"no such host in this world: {host}")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._start_tls()
        self.tunnel, self.close_connection = host, False

    def _start_tls(self) -> None:
        self.server.open.discard(self.connection)
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.server.open.add(self.connection)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.secure = True

    def _serve(self) -> None:
        request = Request(
            method=self.command,
            host=(self.headers.get("Host") or self.tunnel).lower().removesuffix(":443"),
            target=self.path,
            headers=self.headers,
            body=self._body(),
            connection=self.number,
            secure=self.secure,
        )
        self.server.requests.append(request)
        answer = self.server.app(request)
        if answer.fault:
            self._hurt(request, answer)
        else:
            self._answer(request, answer)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, request: Request, answer: Answer) -> None:
        self._head(request, answer)
        if self.command != "HEAD":
            self._stream(request, answer.body)

    def _head(self, request: Request, answer: Answer) -> None:
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def _stream(self, request: Request, body: bytes) -> None:
        for start in range(0, len(body), _CHUNK):
            chunk = body[start : start + _CHUNK]
            request.sent += len(chunk)  # before the write: a client that has all of it may look at once
            self.wfile.write(chunk)

    def _hurt(self, request: Request, answer: Answer) -> None:
        if answer.fault == "500":
            return self._answer(request, Answer(500, b"a fault that a test asked for"))
        if answer.fault == "stall":
            self._head(request, answer)
            self._stream(request, answer.body[: len(answer.body) // 2])
        if answer.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.server.stopping.wait()
        self.close_connection = True
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: `world.requests` is the log."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already gone, which is what is wanted
