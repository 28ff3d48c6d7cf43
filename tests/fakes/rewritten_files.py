"""Make a broken wheel or sdist out of a good one, with everything else in it still right.

Nothing is compressed again: what is not replaced is copied as it is.
"""

from __future__ import annotations

import base64
import copy
import csv
import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Optional

from credprovider import hook
from credprovider.lockfile import LOCK_NAME, Pin, Tree, render
from credprovider.targets import by_key
from credprovider.verify.dist import BIN, Reference

from artifacts_keyring.provider import layout

Contents = Mapping[str, Optional[bytes]]
Files = Mapping[str, tuple[str, int]]


class Case(NamedTuple):
    """A file, and what it is to be held against."""

    path: Path
    reference: Reference


# --- wheels


def read(wheel: Path, name: str) -> bytes:
    """The content of the member `name`; a name that starts with ``dist-info/`` is looked for there."""
    with zipfile.ZipFile(wheel) as file:
        return file.read(full_name(file, name))


def full_name(file: zipfile.ZipFile, name: str) -> str:
    """`name` with the whole name of the metadata folder."""
    folder = next(path.partition("/")[0] for path in file.namelist() if ".dist-info/" in path)
    return name.replace("dist-info/", f"{folder}/", 1) if name.startswith("dist-info/") else name


def payload_of(wheel: Path) -> list[str]:
    """The names of all members of the payload."""
    with zipfile.ZipFile(wheel) as file:
        return [name for name in file.namelist() if name.startswith(BIN)]


def rewrite(wheel: Path, into: Path, contents: Contents, *, name: str = "", record: bool = True) -> Path:
    """Copy `wheel` into the folder `into` with other `contents` (None: without that member).

    name: name of the copy. record: whether RECORD is made to say the same.
    """
    path = into / (name or wheel.name)
    shutil.copyfile(wheel, path)
    with zipfile.ZipFile(path, "a") as file:
        contents = {full_name(file, member): data for member, data in contents.items()}
        if record:
            contents[full_name(file, "dist-info/RECORD")] = _record(file, contents)
        for member, data in contents.items():
            _put(file, member, data)
        file.comment = b""  # makes zipfile write the directory again, even if members only went
    return path


def _put(file: zipfile.ZipFile, name: str, data: Optional[bytes]) -> None:
    # zipfile cannot replace a member, but what it no longer lists is not in the file's directory.
    old = file.NameToInfo.pop(name, None)
    if old:
        file.filelist.remove(old)
    if data is not None:
        info = zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0))
        info.external_attr = old.external_attr if old else 0o100644 << 16
        file.writestr(info, data)


def _record(file: zipfile.ZipFile, contents: Contents) -> bytes:
    rows = {row[0]: row[1:] for row in record_rows(file.read(full_name(file, "dist-info/RECORD")))}
    for name, data in contents.items():
        rows.pop(name, None)
        if data is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows[name] = [f"sha256={digest}", str(len(data))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([name, *rest] for name, rest in rows.items())
    return text.getvalue().encode()


def record_rows(text: bytes) -> list[list[str]]:
    """The rows of a RECORD."""
    return list(csv.reader(io.StringIO(text.decode())))


def attributes(wheel: Path, into: Path, change: Callable[[zipfile.ZipInfo], None]) -> Path:
    """Copy `wheel` into the folder `into` and `change` what its directory says of every member."""
    path = into / wheel.name
    shutil.copyfile(wheel, path)
    with zipfile.ZipFile(path, "a") as file:
        for info in file.filelist:
            change(info)
        file.comment = b""  # makes zipfile write the directory again
    return path


def repin(case: Case, into: Path, key: str, contents: Contents) -> Case:
    """The wheel with other payload files, as if somebody had pinned and described exactly those."""
    old, tree = case.reference.pin.targets[key].tree, _tree(_recorded(case.path), contents)
    pin = _repinned(case.reference.pin, key, tree)
    sbom = f"dist-info/sboms/{hook.SBOM_NAME}"
    more = {
        hook.RECORD: hook.describe(pin, by_key(key)).encode(),
        sbom: read(case.path, sbom).replace(old.sha256.encode(), tree.sha256.encode()),
    }
    return Case(rewrite(case.path, into, {**contents, **more}), replace(case.reference, pin=pin))


def _repinned(pin: Pin, key: str, tree: Tree) -> Pin:
    return replace(pin, targets={**pin.targets, key: replace(pin.targets[key], tree=tree)})


def _recorded(wheel: Path) -> Files:
    """The files of the payload, as RECORD has them."""
    return {
        name: (base64.urlsafe_b64decode(digest.partition("=")[2] + "=").hex(), int(size))
        for name, digest, size in record_rows(read(wheel, "dist-info/RECORD"))
        if name.startswith(BIN)
    }


def _tree(files: Files, contents: Contents) -> Tree:
    changed = {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items() if data}
    rows = sorted((layout.vendors(name[len(BIN) :]), *facts) for name, facts in {**files, **changed}.items())
    text = "".join(f"{digest}  {name}\n" for name, digest, _ in rows)
    return Tree(hashlib.sha256(text.encode()).hexdigest(), len(rows), sum(size for _, _, size in rows))


# --- sdists


def retar(
    sdist: Path,
    into: Path,
    contents: Contents,
    *,
    name: str = "",
    change: Callable[[tarfile.TarInfo], None] = lambda _: None,
) -> Path:
    """Copy `sdist` into the folder `into` with other `contents`, and `change` what it says of every member."""
    path = into / (name or sdist.name)
    with tarfile.open(sdist) as old, gzip.open(path, "wb", compresslevel=0) as stream:
        top = old.getnames()[0].partition("/")[0]
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new:
            for info in old:
                if info.name.partition("/")[2] not in contents:
                    change(copied := copy.copy(info))
                    new.addfile(copied, old.extractfile(info))
            for member, data in contents.items():
                _add(new, f"{top}/{member}", data, change)
    return path


def repin_sdist(case: Case, into: Path, contents: Contents) -> Case:
    """The sdist with other payload files, as if somebody had pinned exactly those."""
    with tarfile.open(case.path) as file:
        files = {
            info.name.partition("/")[2]: (hashlib.sha256(data).hexdigest(), len(data))
            for info in file
            if f"/{BIN}" in info.name and (data := _content(file, info)) is not None
        }
    pin = _repinned(case.reference.pin, "any", _tree(files, contents))
    path = retar(case.path, into, {**contents, LOCK_NAME: render(pin).encode()})
    return Case(path, replace(case.reference, pin=pin))


def _content(file: tarfile.TarFile, info: tarfile.TarInfo) -> Optional[bytes]:
    member = file.extractfile(info)
    return member.read() if member else None


def _add(new: tarfile.TarFile, name: str, data: Optional[bytes], change: Callable[[tarfile.TarInfo], None]) -> None:
    if data is None:
        return
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    change(info)
    new.addfile(info, io.BytesIO(data))


def read_sdist(sdist: Path, name: str) -> bytes:
    """The content of the member `name` below the top folder."""
    with tarfile.open(sdist) as file:
        member = file.extractfile(f"{file.getnames()[0].partition('/')[0]}/{name}")
        return member.read() if member else b""
