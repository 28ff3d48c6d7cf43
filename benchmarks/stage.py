"""The loopback Azure DevOps of the tests, set up for one case after another, counting what it sends."""

from __future__ import annotations

import base64
import json
import shlex
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Optional

from benchmarks.results import CACHED, COMMAND, DECLARED, EXPIRED, FOREIGN, LARGE, SMALL, BenchmarkError
from tests.fakes.azure import AzureWorld
from tests.fakes.azure.server import Handler

USER = "VssSessionToken"
_STALE = "a-token-that-has-expired"
_SESSIONS = ".local/share/MicrosoftCredentialProvider/SessionTokenCache.dat"  # docs/sign-in.md#caches: below HOME
_PATIENCE = 5.0  # seconds until the connections of a process that has ended are closed here, too
# linux/tcp.h, struct tcp_info: 8 bytes, 24 words of 4, 2 of 8, then tcpi_bytes_acked.
_ACKED = struct.Struct("=120xQ")


@dataclass(frozen=True)
class Case:
    """A question: what is asked, in which state of the caches, how slow each request is, how large the index.

    rounds: how many times the runs of others; milliseconds are to be told apart where no provider is asked.
    """

    name: str
    latency_ms: int = 0
    index_bytes: int = SMALL
    rounds: int = 1


CASES = (
    Case(FOREIGN, rounds=3),
    Case(DECLARED, rounds=3),
    Case(DECLARED, 50),
    Case(COMMAND, rounds=3),
    Case(CACHED),
    Case(CACHED, 50),
    Case(CACHED, 0, LARGE),
    Case(CACHED, 50, LARGE),
    Case(EXPIRED),
    Case(EXPIRED, 50),
)


@dataclass(frozen=True)
class Traffic:
    """Requests, connections, and bytes on the wire that their senders have acknowledged."""

    requests: int
    connections: int
    received: int


@dataclass
class Stage:
    """A feed and a home whose caches the real provider has filled, by a login."""

    tree: Path
    home: Path
    world: AzureWorld = field(default_factory=AzureWorld)

    def __enter__(self) -> Stage:
        self.world.__enter__()
        self._acknowledged: list[int] = []
        self.world.server.RequestHandlerClass = _counting(self._acknowledged)
        self.feed = self.world.feed("org", "feed")
        _user, self.token = self.world.login(self.feed, self.tree, self.home)
        self.declared = self.world.token("org")
        secret = self.home / "secret"
        secret.write_text(f"{self.declared}\n")
        self.command = ["cat", str(secret)]
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.world.__exit__(kind, error, trace)

    def arrange(self, case: Case) -> None:
        """Make the world and the provider's cache what `case` says, and forget what has been counted."""
        self.world.latency = case.latency_ms / 1000
        self.feed.index_bytes = case.index_bytes
        session = _STALE if case.name == EXPIRED else self.token
        (self.home / _SESSIONS).write_text(json.dumps({self.feed.url: session}))
        self._settle()
        self.world.forget()
        self._acknowledged.clear()

    def service(self, case: Case) -> str:
        """What keyring is asked for."""
        return "https://example.invalid/simple/" if case.name == FOREIGN else self.feed.url

    def environ(self, case: Case) -> dict[str, str]:
        """The whole environment of the process that asks."""
        base = self.world.environ(self.home)
        if case.name == COMMAND:
            return {**base, "ARTIFACTS_KEYRING_TOKEN_COMMAND": shlex.join(self.command)}
        return {**base, **self._declaring()} if case.name == DECLARED else base

    def judge(self, case: Case, output: str) -> str:
        """What is wrong with the answer that keyring printed, or the empty string."""
        answer = output.strip()
        if case.name == FOREIGN:
            return "an answer for a foreign service" if answer else ""
        if not answer:
            return "no answer"
        return "the expired token" if answer == _STALE else ""

    def traffic(self) -> Traffic:
        """What has happened since `arrange`. Raises BenchmarkError when a connection stays open."""
        self._settle()
        return Traffic(len(self.world.requests), self.world.connections, sum(self._acknowledged))

    def _declaring(self) -> dict[str, str]:
        # The predecessor's variable; its relative has one of its own, which the other two do not know.
        entry = {"endpoint": self.feed.url, "username": USER, "password": self.declared}
        return {
            "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [entry]}),
            "ARTIFACTS_KEYRING_NOFUSS_TOKEN": _application_token(),
        }

    def _settle(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self.world.server.open:
            if time.monotonic() > deadline:
                raise BenchmarkError("a connection outlived the process that made it: run the benchmark again")
            time.sleep(0.002)


def _application_token() -> str:
    """A token of a service principal, which nofuss hands on without exchanging it: its shortest way."""
    claims = base64.urlsafe_b64encode(json.dumps({"idtyp": "app", "oid": "benchmark"}).encode()).decode().rstrip("=")
    return f"e30.{claims}.signature"


def _counting(acknowledged: list[int]) -> type[Handler]:
    class Counting(Handler):
        def finish(self) -> None:
            info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
            acknowledged.append(_ACKED.unpack(info)[0])
            super().finish()

    return Counting
