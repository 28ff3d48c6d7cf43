"""scripts/pin.py with --from-index: what it makes of a package index, alone and beside a release."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import pytest
from credprovider import lockfile
from credprovider.errors import (
    ChecksumError,
    PayloadError,
    SourceError,
)
from credprovider.fetch.sources import Archive
from credprovider.lockfile import Pin, Tree

from tests.fakes.pinned_project import HOME, ROOT, Content, Trees, World, pack, small_world, tree_of, versioned
from tests.fakes.servers import Server, content

pytestmark = pytest.mark.posix


@pytest.fixture
def world(tmp_path: Path, payload_tree: Trees) -> Iterator[World]:
    """A world of this test's own."""
    with small_world(tmp_path, payload_tree) as made:
        yield made


@dataclass(frozen=True)
class IndexFile:
    """A file as it stands on an index."""

    name: str
    data: bytes


def real_index_file(lock: Pin, key: str, archive: Archive, root: Path) -> IndexFile:
    """The predecessor's real file; where this machine got a release asset instead, its payload in such a file."""
    wanted = lock.targets[key].index_file
    if archive.prefix:
        return IndexFile(wanted.name, archive.path.read_bytes())
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return IndexFile(wanted.name, pack(files, wanted.name, wanted.prefix))


def serve_index(index: Server, files: list[IndexFile], others: tuple[str, ...] = (), digests: bool = True) -> None:
    """A page as PEP 691 has it. `others`: names that are listed, too."""
    listed = [
        {
            "filename": file.name,
            "url": f"../../files/{file.name}",
            "hashes": {"sha256": sha256(file.data)} if digests else {},
        }
        for file in files
    ]
    listed += [{"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": "0" * 64}} for name in others]
    page = {"meta": {"api-version": "1.0"}, "name": "artifacts-keyring", "files": listed}
    index.answers["/simple/artifacts-keyring/"] = content(
        json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json"
    )
    index.answers |= {f"/files/{file.name}": content(file.data) for file in files}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


OTHERS = (
    "artifacts_keyring-2.0.0rc4-cp312-cp312-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "artifacts_keyring-2.0.0rc5-cp313-cp313-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "artifacts_keyring-2.0.0rc5-cp312-cp312-musllinux_1_2_x86_64.whl",
    "artifacts_keyring-2.0.0rc5-cp312-cp312-win_amd64.whl",
    "artifacts_keyring-1.0.0.tar.gz",
    "artifacts_keyring-2.0.0rc5.zip",
    "artifacts_keyring-2.0.0rc5-nonsense.whl",
)
REQUIREMENT = "artifacts-keyring==2.0.0rc5"


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
def test_an_index_gives_the_committed_pin_back(
    world: World, lock: Pin, archive: Callable[[str], Archive], payload_tree: Trees, digests: bool
) -> None:
    keys = ("linux-x64", "any")
    files = [real_index_file(lock, key, archive(key), payload_tree(key)) for key in keys]
    serve_index(world.index, files, OTHERS, digests)
    world.lock.write_text(lockfile.render(unmeasured(lock, keys)), encoding="utf-8")
    said = world.run(keys=keys, index=REQUIREMENT, api="http://127.0.0.1:9", write=True)
    assert "the release page is not at hand" in said
    assert ("no digest is published" in said) == (not digests)
    written = lockfile.load(world.lock)
    assert (written.index_distribution, written.index_version) == ("artifacts-keyring", "2.0.0rc5")
    for key, file in zip(keys, files):
        now, committed = written.targets[key], lock.targets[key]
        assert now.tree == committed.tree
        assert now.index_file == dataclasses.replace(committed.index_file, sha256=sha256(file.data))
        # The checksum of an asset whose tree was another says nothing of this one.
        assert now.asset == dataclasses.replace(committed.asset, sha256=None)


def unmeasured(lock: Pin, keys: tuple[str, ...]) -> Pin:
    """The lock with nothing true in what is measured of these targets."""
    rows = dict(lock.targets)
    for key in keys:
        file = dataclasses.replace(rows[key].index_file, sha256="0" * 64, prefix="elsewhere/")
        rows[key] = dataclasses.replace(rows[key], tree=Tree("0" * 64, 1, 1), index_file=file)
    return dataclasses.replace(lock, targets=rows)


def test_a_known_checksum_of_an_asset_is_kept_when_only_the_index_is_asked(world: World) -> None:
    world.publish({"any": world.contents["any"]})
    world.run(write=True)
    known = lockfile.load(world.lock).targets["any"].asset
    index_files(world, {"any": world.contents["any"]})
    world.run(index=REQUIREMENT, api="http://127.0.0.1:9", write=True)
    assert known.sha256 and lockfile.load(world.lock).targets["any"].asset == known


def test_release_and_index_that_give_one_tree_are_told_and_pinned(world: World) -> None:
    files = {key: versioned(each, "2.0.6") for key, each in world.contents.items()}
    world.publish(files, "2.0.6")
    index_files(world, files)
    said = world.run("2.0.6", keys=("any", "linux-x64"), index=REQUIREMENT, write=True)
    assert "any: release page and index give one tree" in said
    for key, each in files.items():
        row = lockfile.load(world.lock).targets[key]
        assert row.tree == tree_of(each) and row.asset.sha256 and row.index_file.sha256


def test_release_and_index_that_differ_are_shown_and_not_pinned(world: World) -> None:
    files = versioned(world.contents["any"], "2.0.6")
    world.publish({"any": files}, "2.0.6")
    index_files(world, {"any": {**files, f"{HOME}extra.config": b"x"}})
    message = world.refused(PayloadError, "2.0.6", index=REQUIREMENT, write=True)
    assert "different trees" in message
    assert any(f"removed file  {HOME}extra.config" in line for line in world.stands_out())


def index_files(world: World, contents: Mapping[str, Content]) -> None:
    rows = lockfile.load(ROOT / lockfile.LOCK_NAME).targets
    named = [(rows[key].index_file, each) for key, each in contents.items()]
    serve_index(world.index, [IndexFile(file.name, pack(each, file.name, file.prefix)) for file, each in named])


def test_links_in_a_folder_serve_as_an_index(world: World, tmp_path: Path) -> None:
    row = lockfile.load(ROOT / lockfile.LOCK_NAME).targets["any"].index_file
    links = tmp_path / "links"
    links.mkdir()
    (links / row.name).write_bytes(pack(world.contents["any"], row.name, row.prefix))
    world.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}
    assert "the same tree" in world.run(index=REQUIREMENT, api="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("artifacts-keyring", "names no version"),
        ("artifacts-keyring==", "names no version"),
        ("artifacts-keyring>=2.0", "names no version"),
        ("../x==1.0", "names no version"),
        ("artifacts-keyring==9.9", "has no file of artifacts-keyring==9.9"),
    ],
)
def test_a_distribution_that_is_not_there_stops(world: World, requirement: str, said: str) -> None:
    world.publish({"any": world.contents["any"]})
    serve_index(world.index, [], OTHERS)
    assert said in world.refused(SourceError, index=requirement)


def test_an_index_without_a_file_for_a_target_stops(world: World) -> None:
    world.publish({"any": world.contents["any"]})
    serve_index(world.index, [], OTHERS)
    assert "has no file for any" in world.refused(SourceError, index=REQUIREMENT)


def test_a_file_that_is_not_the_one_the_index_names_stops(world: World) -> None:
    name = lockfile.load(ROOT / lockfile.LOCK_NAME).targets["any"].index_file.name
    world.publish({"any": world.contents["any"]})
    serve_index(world.index, [], (name,))
    world.index.answers[f"/files/{name}"] = content(b"something else")
    assert "0" * 64 in world.refused(ChecksumError, index=REQUIREMENT)
