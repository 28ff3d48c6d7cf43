"""From an archive to the verified tree of files that a wheel embeds.

What an archive says of itself is believed nowhere: names are checked as text, sizes while bytes
stream, and nothing stands at its place before its digest is the pinned one. Paths are the vendor's
everywhere but on disk, where artifacts_keyring.provider.layout says how the files lie.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable, NamedTuple

from artifacts_keyring.provider import layout
from credprovider.errors import ArchiveError, BuildError, PayloadError
from credprovider.lockfile import Tree
from credprovider.payload.archive import ArchiveLike, Chunks, Member, Refusal, archive_members, folder_members, line

# The vendor's name -> the name in this project's folder of licences, which has to be short: see the rule about paths.
LICENSE_FILES = {
    "LICENSE": "LICENSE",
    "ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
    "EULA_Microsoft Visual Studio Team Services Credential Provider.docx": "EULA.docx",
}
EXECUTABLES = frozenset(
    f"{name}{suffix}" for name in ("CredentialProvider.Microsoft", "createdump") for suffix in ("", ".exe")
)


class _Entry(NamedTuple):
    path: str
    sha256: str
    bytes: int


# --- what is public


def unpack(archive: ArchiveLike, tree: Tree, into: Path) -> Path:
    """Unpack the payload of `archive` to the folder `into` (replaced if it is there) and return it.

    Raises ArchiveError if the archive is damaged or holds what no payload may hold, PayloadError if
    its tree is not `tree` or `into` cannot be written. After a failure nothing is left behind.
    """
    again = f"delete {archive.path} and build again; if that does not help, its source is not to be trusted"
    name, members = archive.path.name, archive_members(archive, tree)
    with _refused_as(ArchiveError, f"{name} is refused", again), contextlib.closing(members):
        return _build(members, tree, into, name, again)


def stage(root: Path, tree: Tree, into: Path) -> Path:
    """Copy the unpacked payload `root` to the folder `into` with modes set; return `into`. Raises PayloadError."""
    again = f"delete {root} and unpack it again"
    with _refused_as(PayloadError, f"{root} is refused", again):
        return _build(_members(root), tree, into, str(root), again)


def measure(root: Path) -> Tree:
    """Digest, count and bytes of the files below `root`; modes and empty folders do not count.

    Raises PayloadError if anything there is neither a folder nor a regular file.
    """
    with _refused_as(PayloadError, f"{root} is refused", f"delete {root} and unpack it again"):
        return tree_of((path, *_hashed(chunks)) for path, chunks in _members(root))


def tree_of(files: Iterable[tuple[str, str, int]]) -> Tree:
    """The tree that files make, each given by the vendor's path, its sha256 and its bytes.

    Its digest is the sha256 over the lines `<sha256 of file>  <path>`, sorted by path.
    """
    digest, count, size = hashlib.sha256(), 0, 0
    for path, sha256, length in sorted(files):
        digest.update(f"{sha256}  {path}\n".encode("utf-8", "surrogateescape"))
        count += 1
        size += length
    return Tree(digest.hexdigest(), count, size)


def tree_digest(root: Path) -> str:
    """The digest of the tree below `root`. Raises PayloadError."""
    return measure(root).sha256


def verify(root: Path, tree: Tree) -> None:
    """Raise PayloadError, saying what differs, unless the files below `root` are `tree`."""
    _require(measure(root), tree, str(root), f"delete {root} and unpack it again")


def license_files(root: Path) -> tuple[Path, ...]:
    """The vendor's licence, notices and EULA, in that order. Raises PayloadError if one is missing."""
    for name in LICENSE_FILES:
        if not (root / layout.placed(name)).is_file():
            raise PayloadError(
                f"{root} holds no {name!r}; every payload has {', '.join(LICENSE_FILES)}; "
                "if the vendor renamed it, correct LICENSE_FILES in scripts/credprovider/payload.py"
            )
    return tuple(root / layout.placed(name) for name in LICENSE_FILES)


# --- errors


@contextlib.contextmanager
def _refused_as(error: type[BuildError], what: str, again: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise error(f"{what}: {refusal}; {again}") from None


# --- writing


def _build(members: Iterable[Member], tree: Tree, into: Path, what: str, again: str) -> Path:
    """Write `members` beside `into`, hold them against `tree`, and only then put them at `into`."""
    try:
        with _scratch(into) as scratch:
            _require(_write_all(members, tree, scratch / "new"), tree, what, again)
            _publish(scratch, into)
    except OSError as error:
        reason = line(error.strerror or str(error))
        raise PayloadError(f"{into} cannot be written: {reason}; correct that and build again") from error
    return into


@contextlib.contextmanager
def _scratch(into: Path) -> Iterator[Path]:
    """A folder beside `into` (so that moving is one rename) that is gone afterwards, whatever happens."""
    parent = into.parent.resolve()
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, into: Path) -> None:
    """Move the finished tree to `into`; what stood there goes, or comes back if the move fails."""
    if not os.path.lexists(into):
        (scratch / "new").replace(into)
        return
    if into.is_symlink() or not into.is_dir():
        raise NotADirectoryError(0, "something that is not a folder stands there; move it away")
    into.replace(scratch / "old")
    try:
        (scratch / "new").replace(into)
    except BaseException:
        (scratch / "old").replace(into)
        raise


class _Meter:
    """Counts what streams by and stops it at the pin's bounds; declared sizes are not trusted."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files = 0
        self._bytes = 0

    def file(self) -> None:
        self._files += 1
        if self._files > self._tree.files:
            raise Refusal(f"it holds more than the pinned {self._tree.files} files")

    def chunk(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > self._tree.bytes:
            raise Refusal(f"it holds more than the pinned {self._tree.bytes} bytes")


def _write_all(members: Iterable[Member], tree: Tree, folder: Path) -> Tree:
    meter = _Meter(tree)
    folder.mkdir()
    entries = []
    for path, chunks in members:
        meter.file()
        entries.append(_write(folder, path, chunks, meter.chunk))
    for place, _, _ in os.walk(folder):
        Path(place).chmod(0o755)
    return tree_of(entries)


def _write(folder: Path, path: str, chunks: Chunks, meter: Callable[[bytes], None]) -> _Entry:
    target = folder.joinpath(*layout.placed(path).split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    # closed here, or a refused zip would stay open as long as the exception lives (and could not be deleted on Windows)
    with target.open("xb") as out, contextlib.closing(chunks):
        for chunk in chunks:
            meter(chunk)
            digest.update(chunk)
            size += out.write(chunk)
    # by us and not by the archive: its modes differ between the vendor's own zip and tar.gz
    target.chmod(0o755 if target.name in EXECUTABLES else 0o644)
    return _Entry(path, digest.hexdigest(), size)


# --- the tree


def _members(root: Path) -> Iterator[Member]:
    return ((layout.vendors(path), chunks) for path, chunks in folder_members(root))


def _hashed(chunks: Iterator[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _require(found: Tree, tree: Tree, what: str, again: str) -> None:
    facts = (
        ("count", found.files, tree.files),
        ("bytes", found.bytes, tree.bytes),
        ("digest", found.sha256, tree.sha256),
    )
    faults = [f"{name} {seen} instead of {pinned}" for name, seen, pinned in facts if seen != pinned]
    if faults:
        raise PayloadError(f"{what} does not give the pinned tree: {', '.join(faults)}; {again}")
