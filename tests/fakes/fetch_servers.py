"""Fixtures for tests that fetch from the loopback interface: test modules name the ones they use."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from credprovider.fetch import cache, sources
from credprovider.fetch.download import Download, Patience, fetch
from credprovider.fetch.http import Access, Web
from credprovider.fetch.sources import Archive, Settings
from credprovider.lockfile import Pin, PinnedFile, PinnedTarget, Tree

from tests.fakes import servers
from tests.fakes.servers import Authority, Server, serve

BODY = b"".join(hashlib.sha256(bytes([n % 251, n % 241])).digest() for n in range(9_375))
DIGEST = hashlib.sha256(BODY).hexdigest()
LIMIT = 1_000_000
QUICK = Patience(attempts=4, pause=0.01, longest_pause=2)
SECRET = "s3cr3t"
KEY, VERSION = "linux-x64", "9.8.7"
ASSET, FILE = "Provider.linux-x64.tar.gz", "some_project-1.0-py3-none-any.whl"
PROJECT = "Some.Project"
FROM_RELEASE, FROM_INDEX = b"from the release page", b"from the package index"


def digest(body: bytes) -> str:
    """Its sha256."""
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return servers.authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def secure(ca: Authority) -> Iterator[Server]:
    with serve(ca.server) as running:
        yield running


@pytest.fixture
def get(tmp_path: Path, ca: Authority, no_proxy: None) -> Callable[..., Download]:
    """`get(url)`: fetch with our authority trusted, and nothing else of this machine's set-up."""

    def run(
        url: str, sha256: str | None = DIGEST, limit: int = LIMIT, patience: Patience = QUICK, **access: object
    ) -> Download:
        environ = {"SSL_CERT_FILE": str(ca.pem), "HOME": str(tmp_path)}
        with Web(Access(**{"environ": environ, **access})) as client:  # type: ignore[arg-type]
            return fetch(url, tmp_path / "into", limit=limit, sha256=sha256, web=client, patience=patience)

    return run


@dataclass
class Bench:
    """A pin whose servers are ours, and a machine without any configuration of its own."""

    server: Server
    folder: Path
    environ: dict[str, str]
    said: list[str] = field(default_factory=list)
    known: str | None = None

    @property
    def pin(self) -> Pin:
        release = f"{self.server.url}/release/v{VERSION}"
        target = PinnedTarget(
            KEY,
            PinnedFile(ASSET, self.known),
            PinnedFile(FILE, digest(FROM_INDEX), "some_project/bin/"),
            Tree("7" * 64, 3, 1000),
        )
        return Pin(VERSION, release, PROJECT, "1.0", {KEY: target})

    def obtain(self, **environ: str) -> Archive:
        settings = Settings.from_environ({**self.environ, **environ})
        settings = dataclasses.replace(settings, patience=Patience(attempts=2, pause=0.01))
        return sources.obtain(self.pin, self.pin.targets[KEY], settings, self.said.append)

    def offer_release(self, body: bytes = FROM_RELEASE) -> None:
        self.server.answers[f"/release/v{VERSION}/{ASSET}"] = servers.content(body)

    def offer_index(self, body: bytes = FROM_INDEX) -> None:
        page = f'<a href="../../files/{FILE}#sha256={digest(FROM_INDEX)}">{FILE}</a>'
        self.server.answers["/simple/some-project/"] = servers.content(page.encode(), "text/html")
        self.server.answers[f"/files/{FILE}"] = servers.content(body)

    @property
    def cached(self) -> list[str]:
        root = Path(self.environ[cache.CACHE_VARIABLE])
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def bench(server: Server, tmp_path: Path, no_proxy: None) -> Bench:
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{server.url}/simple",
        cache.CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    return Bench(server, tmp_path, environ)
