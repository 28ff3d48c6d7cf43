"""Builders of archives, honest and malicious, in both containers.

The writers of the standard library refuse or repair much of what an attacker would write, so names
go in behind their back and headers are patched afterwards.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from credprovider.errors import ArchiveError, BuildError
from credprovider.lockfile import Tree
from credprovider.payload import tree as trees

from artifacts_keyring.provider import layout

KINDS = ("tar.gz", "zip")
PROVIDER = "plugins/netcore/CredentialProvider.Microsoft"
LICENSE = Path("legal", "LICENSE")  # where it lies in an unpacked payload
GOOD = {
    "LICENSE": b"MIT License\n",
    f"{PROVIDER}/CredentialProvider.Microsoft": b"\x7fELF launcher",
    f"{PROVIDER}/CredentialProvider.Microsoft.dll": b"MZ" * 500,
    f"{PROVIDER}/createdump": b"\x7fELF dump",
    f"{PROVIDER}/libclrjit.so": b"\x7fELF jit",
}
_ZIP_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


@dataclass(frozen=True)
class Item:
    """One member as it is to stand in the archive, true or not. `type` is one of tarfile's types."""

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o600


@dataclass(frozen=True)
class Made:
    """An archive as `payload.unpack` takes it."""

    path: Path
    kind: str
    prefix: str = ""


def make(kind: str, folder: Path, items: Sequence[Item], prefix: str = "") -> Made:
    """Write `items` to an archive of `kind` in `folder`."""
    path = folder / f"payload.{kind}"
    {"tar.gz": write_tar, "zip": write_zip}[kind](path, items)
    return Made(path, kind, prefix)


def files(contents: Mapping[str, bytes]) -> list[Item]:
    """Plain files, in the order given."""
    return [Item(name, data) for name, data in contents.items()]


def tree_of(contents: Mapping[str, bytes]) -> Tree:
    """The pin of `contents`, worked out from its definition and not by the code under test."""
    lines = "".join(f"{hashlib.sha256(contents[path]).hexdigest()}  {path}\n" for path in sorted(contents))
    return Tree(hashlib.sha256(lines.encode()).hexdigest(), len(contents), sum(map(len, contents.values())))


TREE = tree_of(GOOD)


def write_tar(path: Path, items: Sequence[Item]) -> None:
    """A tar.gz; names stand in extended headers, where any text can stand."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
        for item in items:
            info = tarfile.TarInfo("name")
            info.pax_headers = {"path": item.name}
            info.type, info.linkname, info.mode = item.type, item.link, item.mode
            info.size = len(item.data)
            tar.addfile(info, io.BytesIO(item.data))


def write_zip(path: Path, items: Sequence[Item], method: int = zipfile.ZIP_DEFLATED) -> None:
    """A zip; a hard link, which zip does not know, becomes a symbolic one."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a duplicate is what some tests are about
        for item in items:
            info = zipfile.ZipInfo("name")
            info.filename = item.name + "/" if item.type == tarfile.DIRTYPE else item.name
            info.create_system = 3
            info.compress_type = method
            info.external_attr = (_ZIP_TYPES.get(item.type, stat.S_IFLNK) | item.mode) << 16
            archive.writestr(info, item.link or item.data)


def write_raw_tar(path: Path, blocks: bytes) -> None:
    """A tar.gz of exactly these uncompressed bytes."""
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(blocks)


def raw_tar(path: Path) -> bytes:
    """The uncompressed bytes of a tar.gz."""
    with gzip.open(path) as source:
        return source.read()


def patch_zip(path: Path, local: int, central: int, value: bytes) -> None:
    """Overwrite a field of the first member in both its headers, at these offsets (negative: leave that one)."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        if offset >= 0:
            start = content.index(signature) + offset
            content[start : start + len(value)] = value
    path.write_bytes(content)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`, by the vendor's path."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {layout.vendors(place): path.read_bytes() for place, path in files.items()}


def mode(path: Path) -> int:
    """The permission bits of `path`."""
    return stat.S_IMODE(path.stat().st_mode)


def posix_only() -> None:
    """Skip the calling test on Windows."""
    if os.name == "nt":
        pytest.skip("Windows has neither modes, FIFOs nor file size limits")


def refused(made: Made, tree: Tree, error: type[BuildError] = ArchiveError) -> str:
    """The message of the refusal, after making sure that it is one line and that nothing is left."""
    place = made.path.parent / "place"
    place.mkdir()
    with pytest.raises(error) as caught:
        trees.unpack(made, tree, place / "into")
    assert list(place.iterdir()) == []
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()
    assert made.path.name in str(caught.value) and "build again" in str(caught.value)
    return str(caught.value)


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Nobody in this process can write more than `limit` bytes to a file (where the system can say so)."""
    if os.name == "nt":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # Python ignores SIGXFSZ: writing fails instead
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
