"""What stands in an archive or a folder, member by member, or why it is refused.

Names are checked as text before anything is made of them; kinds and sizes that an archive declares
are never trusted. Nothing is written here.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Optional, Protocol

from credprovider.lockfile import Tree

# It links to liblttng-ust.so.0, which Debian 12 and later no longer have; .NET works without it:
# dotnet/runtime#57784.
DROPPED = frozenset({"libcoreclrtraceptprovider.so"})
CHUNK = 1 << 18
# Room for what is read but not kept: folders, dropped files, an index file's members beside the prefix.
SPARE_MEMBERS = 2_000
SPARE_BYTES = 16 << 20
NAME_LIMIT = 1_024
PART_LIMIT = 255

_COMPRESSIONS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflate"}
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_CHARACTERS = frozenset('<>:"|?*')
# Names of devices in every folder of Windows, whatever follows the first dot (Microsoft Learn, "Naming Files").
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# The stdlib's readers answer hostile bytes with more kinds of exception than they document.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    struct.error,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)

Chunks = Generator[bytes, None, None]
Member = tuple[str, Chunks]


class ArchiveLike(Protocol):
    """What is needed of an archive; `kind` is "tar.gz" or "zip", `prefix` the payload's folder inside it or ""."""

    @property
    def path(self) -> Path: ...
    @property
    def kind(self) -> str: ...
    @property
    def prefix(self) -> str: ...


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Refusal(Exception):
    """Why an archive or a folder is refused; the public functions give it a name and a next step."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what the stdlib says of damaged bytes into a refusal, so that any other OSError is one of writing."""
    try:
        yield
    except _UNREADABLE as error:
        raise Refusal(f"it is damaged or cannot be read ({type(error).__name__}: {line(str(error))})") from None


def line(text: str) -> str:
    """`text` made fit for one line of a message, at most 200 characters."""
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def quoted(name: str) -> str:
    """A member's name made fit for a message, whatever is in it."""
    return ascii(name if len(name) <= 120 else f"{name[:117]}...")


def read_chunks(source: _Readable) -> Iterator[bytes]:
    chunk = source.read(CHUNK)
    while chunk:
        yield chunk
        chunk = source.read(CHUNK)


# --- the members of a folder


def folder_members(root: Path) -> Iterator[Member]:
    """The files below the folder `root`, in the order of their paths part by part. Raises Refusal."""
    for path, place in _files_below(root, ""):
        yield path, _file_chunks(place)


def _files_below(folder: Path, path: str) -> Iterator[tuple[str, Path]]:
    with reading(), os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        with reading():
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
        below = f"{path}{entry.name}"
        if kind == stat.S_IFDIR:
            yield from _files_below(Path(entry.path), f"{below}/")
        elif kind == stat.S_IFREG:
            yield below, Path(entry.path)
        else:
            raise Refusal(f"{quoted(below)} is {KINDS.get(kind, 'of an unknown kind')}, not a regular file")


def _file_chunks(place: Path) -> Chunks:
    with reading(), place.open("rb") as source:
        yield from read_chunks(source)


# --- the members of an archive


def archive_members(archive: ArchiveLike, tree: Tree) -> Generator[Member, None, None]:
    """The payload's files in `archive`: path below its root, and bytes to be read before the next is asked for.

    `tree` gives the bounds of what is read at all. Raises Refusal.
    """
    readers = {"tar.gz": _tar_members, "zip": _zip_members}
    if archive.kind not in readers:
        raise Refusal(f"its kind is {quoted(archive.kind)}; valid: {', '.join(readers)}")
    yield from readers[archive.kind](archive.path, tree, _Names(archive.prefix))


def _tar_members(path: Path, tree: Tree, names: _Names) -> Iterator[Member]:
    limit = tree.bytes + SPARE_BYTES
    with reading(), gzip.open(path, "rb") as unzipped:
        stream = _Forward(unzipped, limit)
        with tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8") as tar:
            for count, info in enumerate(tar, 1):
                _require_count(count, tree)
                below = names.claim(info.name, folder=_is_tar_folder(info))
                if below is not None:
                    yield below, _tar_chunks(tar, info)
        stream.require_end()


def _is_tar_folder(info: tarfile.TarInfo) -> bool:
    """Whether `info` is a folder; a refusal if it is neither that nor a regular file."""
    if info.isdir() or (info.isreg() and not info.issparse()):
        return info.isdir()
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.FIFOTYPE: "a FIFO",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
    }
    kind = "a sparse file" if info.issparse() else kinds.get(info.type, f"of the unknown type {info.type!r}")
    raise Refusal(f"{quoted(info.name)} is {kind}; only regular files are taken")


def _tar_chunks(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Chunks:
    with reading():
        source = tar.extractfile(info)
        if source is not None:
            with source:
                yield from read_chunks(source)


def _zip_members(path: Path, tree: Tree, names: _Names) -> Iterator[Member]:
    with reading(), zipfile.ZipFile(path) as archive:
        _require_count(len(archive.infolist()), tree)
        for info in archive.infolist():
            # `filename` is already cut at a NUL, and on Windows its backslashes are turned
            below = names.claim(info.orig_filename, folder=_is_zip_folder(info))
            if below is not None:
                yield below, _zip_chunks(archive, info)


def _is_zip_folder(info: zipfile.ZipInfo) -> bool:
    """Whether `info` is a folder; a refusal if it is neither that nor a regular file we can read."""
    name, folder = quoted(info.orig_filename), info.orig_filename.endswith("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        raise Refusal(f"{name} is {KINDS.get(kind, 'of an unknown kind')}; only regular files are taken")
    if info.flag_bits & _ENCRYPTED:
        raise Refusal(f"{name} is encrypted")
    if info.compress_type not in _COMPRESSIONS:
        valid = ", ".join(_COMPRESSIONS.values())
        raise Refusal(f"{name} is compressed by method {info.compress_type}; valid: {valid}")
    if folder and info.file_size:
        raise Refusal(f"{name} is a folder with content")
    return folder


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Chunks:
    size = 0
    with reading(), archive.open(info) as source:
        for chunk in read_chunks(source):
            size += len(chunk)
            yield chunk
    if size != info.file_size:
        raise Refusal(f"{quoted(info.orig_filename)} declares {info.file_size} bytes and holds {size}")


def _require_count(count: int, tree: Tree) -> None:
    if count > tree.files + SPARE_MEMBERS:
        raise Refusal(f"it has more than {SPARE_MEMBERS} members beside the pinned {tree.files} files")


class _Forward(io.RawIOBase):
    """A decompressed stream for tarfile: forwards only, each read and the whole of it bounded.

    tarfile reads extended headers at the size that they declare, and takes a broken header in the
    middle for the end; both are stopped here.
    """

    def __init__(self, source: _Readable, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._position = 0
        self._last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise Refusal(f"it has a header of {size} bytes; at most {CHUNK} are taken")
        self._last = self._source.read(size)
        self._position += len(self._last)
        if self._position > self._limit:
            raise Refusal(f"it unpacks to more than {self._limit} bytes")
        return self._last

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise Refusal("a member of it points backwards")
        while self._position < offset and self.read(min(CHUNK, offset - self._position)):
            pass
        return self._position

    def require_end(self) -> None:
        """Read on to the checksum of the compressed stream; a refusal if anything but zeros is left."""
        block = self._last
        while block:
            if block.strip(b"\0"):
                raise Refusal("it is damaged: data that is no member stands after its last member")
            block = self.read(CHUNK)


# --- names


class _Names:
    """The names of an archive: each checked, none twice, and which of them belong to the payload.

    Members outside `prefix` are not taken, but checked like the others: they are never a reason to
    hold a name that no payload may hold, and one rule for all leaves no gap at the border.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._seen: dict[str, tuple[str, bool]] = {}

    def claim(self, name: str, *, folder: bool) -> Optional[str]:
        """The path below the payload's root, or None for what is not taken. A refusal for a bad name."""
        parts = _parts(name, folder)
        for depth in range(1, len(parts) + 1):
            self._claim("/".join(parts[:depth]), folder or depth < len(parts))
        path = "/".join(parts)
        if folder or parts[-1] in DROPPED or not path.startswith(self._prefix):
            return None
        return path[len(self._prefix) :]

    def _claim(self, path: str, folder: bool) -> None:
        key = _folded(path)
        if key not in self._seen:
            self._seen[key] = (path, folder)
            return
        earlier, was_folder = self._seen[key]
        if earlier != path:
            raise Refusal(f"{quoted(earlier)} and {quoted(path)} are one name where case does not count")
        if not (folder and was_folder):
            raise Refusal(f"{quoted(path)} is there twice")


def _folded(path: str) -> str:
    """`path` as file systems compare it that ignore case (Windows, macOS) or normalisation (macOS)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _parts(name: str, folder: bool) -> tuple[str, ...]:
    """The parts of a member's name. A refusal if it could mean anything else somewhere."""
    if folder and name in (".", "./"):
        return ()  # how `tar -C folder .` names the folder itself
    trimmed = name[2:] if name.startswith("./") else name
    trimmed = trimmed[:-1] if folder and trimmed.endswith("/") else trimmed
    parts = tuple(trimmed.split("/"))
    fault = _name_fault(name) or next(filter(None, map(_part_fault, parts)), None)
    if fault:
        raise Refusal(f"the name {quoted(name)} {fault}")
    return parts


def _name_fault(name: str) -> Optional[str]:
    if not name.isprintable():
        return "has a control character or one that cannot be printed"
    if len(name) > NAME_LIMIT:
        return f"is longer than {NAME_LIMIT} characters"
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/"):
        return "is absolute"
    if _DRIVE.match(name):
        return "starts with a drive letter"
    return None


def _part_fault(part: str) -> Optional[str]:
    if part == "..":
        return "climbs out of its folder"
    if part in ("", "."):
        return "has an empty part"
    if _WINDOWS_CHARACTERS.intersection(part):
        return "has a character that Windows does not allow"
    if part.endswith((".", " ")):
        return "has a part that ends in a dot or a space, which Windows does not allow"
    if _WINDOWS_DEVICES.fullmatch(part):
        return "has a part that names a device on Windows"
    if len(part.encode("utf-8")) > PART_LIMIT:
        return f"has a part longer than {PART_LIMIT} bytes"
    return None
