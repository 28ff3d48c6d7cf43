"""A copy of what the project has of the pin, small payloads made of the real ones, and a release page."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import pytest
from credprovider import lockfile
from credprovider.errors import (
    BuildError,
)
from credprovider.fetch.download import Patience
from credprovider.lockfile import Pin, Tree
from credprovider.maintain import update_pin
from credprovider.payload.tree import LICENSE_FILES

from artifacts_keyring.provider import layout
from tests.fakes.archives import contents
from tests.fakes.release_page import ReleasePage, release_page
from tests.fakes.servers import Server, serve

ROOT = Path(__file__).resolve().parents[2]
QUICK = Patience(attempts=2, first_contact=1, pause=0.01, longest_pause=0.1, total=60.0)
HOME = layout.VENDORS
EULA = list(LICENSE_FILES)[2]
DEPS = f"{HOME}CredentialProvider.Microsoft.deps.json"
DLL = f"{HOME}CredentialProvider.Microsoft.dll"
NATIVE = f"{HOME}libSystem.Native.so"
# Of the large payloads, what the tests are about; signatures are verified file by file all the same.
KEPT = ("CredentialProvider.Microsoft", "Newtonsoft.Json", "NuGet.Versioning", "libSystem.Native.so", "PowerArgs")
Content = dict[str, bytes]
Trees = Callable[[str], Path]


@dataclass
class World:
    """A copy of what the project has of the pin, a release page, and what was said."""

    root: Path
    page: ReleasePage
    index: Server
    environ: dict[str, str]
    contents: dict[str, Content] = field(repr=False)
    said: list[str] = field(default_factory=list)

    @property
    def lock(self) -> Path:
        return self.root / lockfile.LOCK_NAME

    def name(self, key: str) -> str:
        return lockfile.load(self.lock).targets[key].asset.name

    def publish(self, contents: Mapping[str, Content], version: str = "2.0.5", **changed: object) -> None:
        files = {self.name(key): pack(each, self.name(key)) for key, each in contents.items()}
        self.page.publish(version, files, **changed)

    def run(self, version: str = "2.0.5", keys: tuple[str, ...] = ("any",), **options: Any) -> str:
        """What was said."""
        self.said.clear()
        options = {"api": self.page.api.url, **options}
        request = update_pin.Request(self.root, version, self.environ, keys=keys, patience=QUICK, **options)
        update_pin.run(request, self.said.append)
        return "\n".join(self.said)

    def refused(self, kind: type[BuildError], version: str = "2.0.5", **options: Any) -> str:
        """The message; nothing may have been written."""
        before = snapshot(self.root)
        with pytest.raises(kind) as caught:
            self.run(version, **options)
        assert type(caught.value) is kind
        assert snapshot(self.root) == before
        message = str(caught.value)
        assert message.isprintable() and "SECRET" not in message
        return message

    def stands_out(self) -> list[str]:
        return [line for line in self.said if line.startswith("! ")]


@contextmanager
def small_world(tmp_path: Path, payload_tree: Trees) -> Iterator[World]:
    """The present pin is of reduced payloads; their archives are at hand for comparison."""
    contents = {key: reduced(payload_tree(key)) for key in ("any", "linux-x64")}
    root = tmp_path / "project"
    shutil.copytree(ROOT / "licenses", root / "licenses")
    (root / lockfile.LOCK_NAME).write_text(
        lockfile.render(repinned(lockfile.load(ROOT / lockfile.LOCK_NAME), contents)), encoding="utf-8"
    )
    archives = tmp_path / "archives"
    archives.mkdir()
    with release_page() as page, serve() as index:
        made = World(root, page, index, environment(tmp_path, archives, index), contents)
        for key, each in contents.items():
            (archives / made.name(key)).write_bytes(pack(each, made.name(key)))
        yield made


def environment(tmp_path: Path, archives: Path, index: Server) -> dict[str, str]:
    """The user's own environment, with its cache, archives and index in this test."""
    own = ("ARTIFACTS_", "PIP_", "UV_", "GH_TOKEN", "GITHUB_TOKEN")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {
        **kept,
        "ARTIFACTS_CREDENTIAL_PROVIDER_CACHE_DIR": str(tmp_path / "cache"),
        "ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR": str(archives),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{index.url}/simple/",
    }


def reduced(root: Path) -> Content:
    """The real payload without most of its runtime: legal texts, the provider, and some neighbours."""
    chosen = {
        name: data for name, data in contents(root).items() if "/" not in name or name[len(HOME) :].startswith(KEPT)
    }
    return dict(sorted(chosen.items()))


def tree_of(files: Content) -> Tree:
    lines = "".join(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))
    return Tree(hashlib.sha256(lines.encode()).hexdigest(), len(files), sum(map(len, files.values())))


def repinned(lock: Pin, contents: Mapping[str, Content]) -> Pin:
    rows = dict(lock.targets)
    for key, files in contents.items():
        asset = dataclasses.replace(rows[key].asset, sha256=None)
        rows[key] = dataclasses.replace(rows[key], tree=tree_of(files), asset=asset)
    return dataclasses.replace(lock, targets=rows)


def pack(files: Mapping[str, bytes], name: str, prefix: str = "") -> bytes:
    """An archive of the kind that `name` says, made for speed."""
    made = io.BytesIO()
    if not name.endswith(".tar.gz"):
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            for path, data in files.items():
                archive.writestr(f"{prefix}{path}", data)
        return made.getvalue()
    with (
        gzip.GzipFile(fileobj=made, mode="wb", compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path, data in files.items():
            member = tarfile.TarInfo(f"{prefix}{path}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def versioned(files: Content, version: str) -> Content:
    """The payload as a later version of the provider."""
    deps = files[DEPS].replace(
        b"CredentialProvider.Microsoft/2.0.5", f"CredentialProvider.Microsoft/{version}".encode()
    )
    return {**files, DEPS: deps}


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def replaced(files: Content, path: str, old: bytes, new: bytes) -> Content:
    assert old in files[path]
    return {**files, path: files[path].replace(old, new)}
