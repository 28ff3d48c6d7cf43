"""A finished wheel or sdist as the rules see it, and what a rule is.

A file is opened once: every member is read, hashed and, in the payload, asked what it is.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from artifacts_keyring.provider import layout
from credprovider import hook, lockfile
from credprovider.errors import BuildError
from credprovider.lockfile import Pin, Tree
from credprovider.targets import Target
from credprovider.verify import binaries
from credprovider.verify.binaries import Binary, BinaryError

BIN = f"{hook.BIN}/"
# What the public index takes per file unless a project asks for more.
SIZE_LIMIT = 100 * 1024 * 1024

# Three times the largest payload: what is larger is no file of ours, and need not be unpacked to know it.
_BYTES_LIMIT = 300_000_000
# Longer texts do not exist outside the payload; what is longer is not kept.
_KEPT_BYTES = 1_000_000
_READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError)


class UnreadableError(BuildError):
    """A file cannot be opened as what its name says it is."""


@dataclass(frozen=True)
class Reference:
    """What files are held against: pin, own licence text, size limit in bytes."""

    pin: Pin
    license: bytes
    limit: int = SIZE_LIMIT


def reference(root: Path, limit: int = SIZE_LIMIT) -> Reference:
    """The reference that the source tree `root` gives. Raises PinError or UnreadableError."""
    try:
        text = (root / "LICENSE").read_bytes()
    except OSError as error:
        raise UnreadableError(f"LICENSE of {root} cannot be read: {error.strerror}; restore it from git") from None
    return Reference(lockfile.load(root / lockfile.LOCK_NAME), text, limit)


@dataclass(frozen=True)
class Member:
    """One file of a wheel or an sdist.

    path: as written in a wheel, below the top folder in an sdist.
    mode: type and permission bits as in `os.stat_result.st_mode`; 0 where nothing was recorded.
    owner: user, group (numbers) and their names; None in a wheel.
    data: the content, of what is neither large nor a binary.
    flaw: why a file of the payload that looks like a binary is none; empty otherwise.
    """

    path: str
    mode: int
    size: int
    sha256: str
    owner: tuple[int, int, str, str] | None = None
    data: bytes = b""
    binary: Binary | None = None
    flaw: str = ""


@dataclass(frozen=True)
class Dist:
    """An opened wheel or sdist. target: whose payload it should carry; None if its name says no such thing."""

    path: Path
    target: Target | None
    members: tuple[Member, ...]
    reference: Reference

    @cached_property
    def by_path(self) -> Mapping[str, Member]:
        """The members by path."""
        return {member.path: member for member in self.members}

    @cached_property
    def payload(self) -> Mapping[str, Member]:
        """The members of the payload by the vendor's path."""
        inside = (member for member in self.members if member.path.startswith(BIN))
        return {layout.vendors(member.path[len(BIN) :]): member for member in inside}

    @property
    def tree(self) -> Tree | None:
        """The pinned payload; None if there is no target."""
        return self.reference.pin.targets[self.target.key].tree if self.target else None

    def data(self, path: str) -> bytes | None:
        """The content of the member at `path`; None if there is none."""
        member = self.by_path.get(path)
        return member.data if member else None


# --- rules


class Finding(NamedTuple):
    """What a rule found. figures: what it measured; faults: why the file is refused (none: it keeps the rule).

    applies: whether the rule means anything for this file.
    """

    figures: str = ""
    faults: tuple[str, ...] = ()
    applies: bool = True


NOT_CONCERNED = Finding(applies=False)


class Rule(NamedTuple):
    """A row of a table of rules: name, what it proves, and the rule itself."""

    name: str
    proves: str
    check: Callable[[Dist], Finding]


class Outcome(NamedTuple):
    """A rule and what it found."""

    rule: Rule
    finding: Finding


def judge(dist: Dist, rules: Sequence[Rule]) -> tuple[Outcome, ...]:
    """Hold `dist` against every rule, in order; one broken rule does not keep the next from being asked."""
    return tuple(Outcome(rule, rule.check(dist)) for rule in rules)


def finding(figures: str, faults: Iterable[str] = ()) -> Finding:
    """A finding for a rule that applies."""
    return Finding(figures, tuple(faults))


# --- reading


class Raw(NamedTuple):
    """A member before it is read: its facts, and how to open it."""

    path: str
    mode: int
    size: int
    owner: tuple[int, int, str, str] | None
    open: Callable[[], IO[bytes] | None]


def read(path: Path, open_members: Callable[[Path], Iterator[Raw]]) -> tuple[Member, ...]:
    """Read all members of the file at `path`. Raises UnreadableError."""
    try:
        return tuple(_bounded(path, open_members(path)))
    except _READ_ERRORS as error:
        raise UnreadableError(f"{path} cannot be read: {str(error) or type(error).__name__}; build it again") from error


def _bounded(path: Path, raws: Iterator[Raw]) -> Iterator[Member]:
    total = 0
    for raw in raws:
        total += raw.size
        if total > _BYTES_LIMIT:
            raise UnreadableError(
                f"{path} unpacks to more than {_BYTES_LIMIT} bytes; no file of this project does; build it again"
            )
        yield _member(raw)


def _member(raw: Raw) -> Member:
    file = raw.open()
    if file is None:
        return Member(raw.path, raw.mode, raw.size, "", raw.owner)
    with file:
        data = file.read(raw.size + 1)
    digest = hashlib.sha256(data).hexdigest()
    binary, flaw = _identify(digest, data) if raw.path.startswith(BIN) else (None, "")
    kept = b"" if binary or len(data) > _KEPT_BYTES else data
    return Member(raw.path, raw.mode, len(data), digest, raw.owner, kept, binary, flaw)


_IDENTIFIED: dict[str, tuple[Binary | None, str]] = {}


def _identify(digest: str, data: bytes) -> tuple[Binary | None, str]:
    # The seven payloads share most of their files: each is read and its signature verified once.
    if digest not in _IDENTIFIED:
        try:
            _IDENTIFIED[digest] = (binaries.read(data), "")
        except BinaryError as error:
            _IDENTIFIED[digest] = (None, str(error))
    return _IDENTIFIED[digest]
