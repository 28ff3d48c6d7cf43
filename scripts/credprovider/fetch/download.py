"""Bytes from elsewhere into a folder of files named by their sha256, once and whole.

Streamed, bounded, hashed on the way, moved into place in one step. What can heal is asked again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from credprovider.errors import ChecksumError, DownloadError
from credprovider.fetch.http import Unavailable, Web, redact

T = TypeVar("T")

CHUNK = 1 << 18
STALE_SECONDS = 24 * 3600
PAGE_LIMIT = 16 << 20
_PART = ".part"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Patience:
    """How long one address is asked. Times in seconds.

    attempts: transfers at most; first_contact: of these while the server was never reached.
    pause: before the second attempt, doubled each time. longest_pause: a server that asks for
    more (Retry-After) is given up. total: no transfer goes on for longer, all attempts together.
    """

    attempts: int = 5
    first_contact: int = 2
    pause: float = 0.5
    longest_pause: float = 30.0
    total: float = 1800.0


PATIENT = Patience()


@dataclass(frozen=True)
class Download:
    """A file that was fetched: where it is, its sha256 and its size in bytes."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Page:
    """A small answer, decoded: address after redirects, media type, text."""

    url: str
    media_type: str
    text: str


def fetch(url: str, into: Path, *, limit: int, sha256: str | None, web: Web, patience: Patience = PATIENT) -> Download:
    """The file at `url` as ``into/<its sha256>``, at most `limit` bytes.

    Raises Unavailable (another source may serve), ChecksumError (not the bytes of `sha256`), or
    DownloadError (the folder cannot be written). Nothing half-done is left behind.
    """
    with _part(into) as part, Meter(redact(url).rpartition("/")[2]) as meter:
        sink = _Sink(part, limit, redact(url), time.monotonic() + patience.total)
        persist(lambda: _transfer(web, url, sink, meter), patience)
        return _keep(sink, into, sha256)


def adopt(source: Path, into: Path, *, limit: int, sha256: str | None) -> Download:
    """The same for a file on this machine: copied, hashed, moved to ``into/<its sha256>``."""
    with _part(into) as part:
        sink = _Sink(part, limit, str(source), time.monotonic() + PATIENT.total)
        for chunk in _chunks(source):
            sink.write(chunk)
        return _keep(sink, into, sha256)


def read_page(url: str, accept: str, web: Web, patience: Patience = PATIENT) -> Page:
    """The text at `url`, at most PAGE_LIMIT bytes. Raises Unavailable."""
    return persist(lambda: _read_page(url, accept, web), patience)


def _read_page(url: str, accept: str, web: Web) -> Page:
    with web.get(url, {"Accept": accept}) as response:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > PAGE_LIMIT:
                raise Unavailable(f"{redact(url)} is larger than {PAGE_LIMIT} bytes", answered=True)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Page(str(response.url), media_type, body.decode("utf-8", "replace"))


def hash_file(path: Path) -> str:
    """The sha256 of the file at `path`, in constant memory. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def persist(attempt: Callable[[], T], patience: Patience) -> T:
    """What `attempt` returns, asked again while that can help. Raises its last Unavailable."""
    deadline = time.monotonic() + patience.total
    answered = False
    for number in range(1, patience.attempts + 1):
        try:
            return attempt()
        except Unavailable as trouble:
            answered = answered or trouble.answered
            allowed = patience.attempts if answered else min(patience.attempts, patience.first_contact)
            pause = _pause(trouble, number, patience)
            if not trouble.heals or number >= allowed:
                raise
            if pause > patience.longest_pause or time.monotonic() + pause > deadline:
                raise Unavailable(f"{trouble}, and asks to wait {pause:.0f} s; try again later") from None
            time.sleep(pause)
    raise DownloadError(f"no attempt was allowed (attempts={patience.attempts}); allow at least 1")


def _pause(trouble: Unavailable, number: int, patience: Patience) -> float:
    own = min(patience.pause * 2.0 ** (number - 1), patience.longest_pause)
    return own if trouble.wait is None else trouble.wait


class _Sink:
    """A temporary file with its running digest."""

    def __init__(self, part: _Part, limit: int, origin: str, deadline: float) -> None:
        self.path = part.path
        self.stream = part.stream
        self.limit = limit
        self.origin = origin
        self.deadline = deadline
        self.total: int | None = None
        self.size = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def restart(self) -> None:
        self.stream.seek(0)
        self.stream.truncate()
        self.total, self.size = None, 0
        self._digest = hashlib.sha256()

    def expect(self, total: int | None) -> None:
        self.total = total
        if total is not None and total > self.limit:
            raise self._too_large(f"{total}")

    def write(self, chunk: bytes) -> None:
        if self.size + len(chunk) > self.limit:
            raise self._too_large("more")
        if time.monotonic() > self.deadline:
            raise Unavailable(f"{self.origin} is too slow: given up after {self.size} bytes", answered=True)
        self.stream.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def _too_large(self, seen: str) -> Unavailable:
        return Unavailable(f"{self.origin} has {seen} bytes where at most {self.limit} can be right", answered=True)


def _transfer(web: Web, url: str, sink: _Sink, meter: Meter) -> None:
    sink.restart()
    with web.get(url, {"Accept": "application/octet-stream, */*;q=0.5"}) as response:
        if response.headers.get("content-type", "").lower().startswith("text/html"):
            # Sign-in and block pages of proxies come with 200.
            raise Unavailable(f"{sink.origin} answered with a web page instead of an archive", answered=True)
        length = response.headers.get("content-length", "")
        sink.expect(int(length) if length.isdigit() else None)
        for chunk in response.iter_raw():
            sink.write(chunk)
            meter.show(sink.size, sink.total)
    if sink.total is not None and sink.size != sink.total:
        raise Unavailable(f"{sink.origin} broke off at {sink.size} of {sink.total} bytes", heals=True, answered=True)


class _Part(NamedTuple):
    path: Path
    stream: IO[bytes]


@contextmanager
def _part(into: Path) -> Iterator[_Part]:
    """A new temporary file in `into`; gone afterwards unless it was moved away."""
    with _disk(into):
        into.mkdir(parents=True, exist_ok=True)
        _sweep(into)
        handle, name = tempfile.mkstemp(prefix=".", suffix=_PART, dir=into)
    try:
        with _disk(into), os.fdopen(handle, "w+b") as stream:
            yield _Part(Path(name), stream)
    finally:
        Path(name).unlink(missing_ok=True)


def _sweep(into: Path) -> None:
    """Remove what builds that were killed have left in `into`."""
    oldest = time.time() - STALE_SECONDS
    for path in into.glob(f".*{_PART}"):
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
        except OSError:
            continue  # another build swept it, or still writes to it on Windows


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Say in one line why `folder` cannot be written."""
    try:
        yield
    except OSError as error:
        remedy = "make room there" if error.errno in _NO_ROOM else "make it writable"
        raise DownloadError(
            f"cannot write to {folder} ({error.strerror or error}); {remedy}, or name another folder "
            "(ARTIFACTS_CREDENTIAL_PROVIDER_CACHE_DIR names the cache)"
        ) from None


def _chunks(source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        raise Unavailable(f"{source} cannot be read ({error.strerror or error})") from None


def _keep(sink: _Sink, into: Path, expected: str | None) -> Download:
    seen = sink.sha256
    if expected and seen != expected:
        raise ChecksumError(
            f"{sink.origin}: sha256 {expected} was expected, {seen} was seen ({sink.size} bytes); nothing of it "
            "was kept. Run the build again, or get the file elsewhere and name its folder in "
            "ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR"
        )
    sink.stream.flush()
    os.fsync(sink.stream.fileno())
    sink.stream.close()  # Windows moves no open file
    final = into / seen
    _move(sink.path, final)
    return Download(final, seen, sink.size)


def _move(part: Path, final: Path) -> None:
    try:
        part.replace(final)
    except PermissionError:
        # Windows: another build has the same file open, so it is there already.
        if not (final.is_file() and hash_file(final) == final.name):
            raise
    if os.name == "posix":
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Meter:
    """One line of progress on a terminal; silent elsewhere. A context manager."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._watched = sys.stderr is not None and sys.stderr.isatty()
        self._next = time.monotonic() + 0.5
        self._shown = 0

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("")

    def show(self, done: int, total: int | None) -> None:
        """`done` of `total` bytes are here; drawn a few times a second."""
        if not self._watched or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.2
        of = f" of {total / 1e6:.1f}" if total else ""
        self._write(f"  {self._name}: {done / 1e6:.1f}{of} MB")

    def _write(self, line: str) -> None:
        print(f"\r{line:<{self._shown}}" + ("" if line else "\r"), end="", file=sys.stderr, flush=True)
        self._shown = len(line)
