"""Whatever an archive holds: only refusals come out, and nothing is written outside its place."""

from __future__ import annotations

import contextlib
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from credprovider.errors import BuildError
from credprovider.lockfile import Tree
from credprovider.payload import archive, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.fakes.archives import (
    KINDS,
    Item,
    Made,
    files,
    make,
    raw_tar,
    tree_of,
    write_raw_tar,
)

pytestmark = pytest.mark.posix

PARTS = st.sampled_from(
    ["a", "A", "b", "..", ".", "", "C:", "con", "into", "x.", "é", "e\u0301", "~", "\\", "\0", "a b", "lib"]
) | st.text(max_size=6).filter(lambda text: text.isprintable() or "\n" in text)
ITEMS = st.builds(
    Item,
    name=st.lists(PARTS, min_size=1, max_size=4).map("/".join),
    data=st.binary(max_size=40),
    type=st.sampled_from([tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]),
    link=st.sampled_from(["", "", "..", "/", "a"]),
)


def attempt(made: Made, place: Path) -> None:
    """Unpack under loose bounds: only a BuildError may come, and only `into` may appear, full of regular files."""
    with contextlib.suppress(BuildError):
        tree.unpack(made, Tree("0" * 64, 20, 2000), place / "into")
    with contextlib.suppress(BuildError):
        tree.unpack(made, tree_below(made), place / "into")
    assert {path.name for path in place.iterdir()} <= {"into"}
    for path in place.rglob("*"):
        assert path.is_dir() or stat.S_ISREG(path.lstat().st_mode)


def tree_below(made: Made) -> Tree:
    """The tree that the archive would give if it were the pinned one, or one that nothing gives."""
    try:
        taken = archive.archive_members(made, Tree("", 20, 2000))
        return tree_of({path: b"".join(chunks) for path, chunks in taken})
    except archive.Refusal:
        return Tree("0" * 64, 20, 2000)


@settings(max_examples=examples(150), deadline=None)
@given(items=st.lists(ITEMS, max_size=5), kind=st.sampled_from(KINDS), prefix=st.sampled_from(["", "a/", "into/"]))
def test_whatever_an_archive_holds_nothing_is_written_elsewhere(items: list[Item], kind: str, prefix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder)
        (outer / "deep" / "place").mkdir(parents=True)
        made = make(kind, outer, items, prefix)
        attempt(made, outer / "deep" / "place")
        assert {path.name for path in outer.iterdir()} == {"deep", made.path.name}
        assert [path.name for path in (outer / "deep").iterdir()] == ["place"]


@settings(max_examples=examples(200), deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_whatever_is_damaged_only_a_refusal_comes_out(data: st.DataObject, kind: str) -> None:
    """Bytes of headers are changed before they are compressed, which no checksum of the container would catch."""
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder)
        made = make(kind, outer, files({"a/b": b"1" * 30, "c": b"2"}))
        content = bytearray(raw_tar(made.path) if kind == "tar.gz" else made.path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, min(len(content), 4096) - 1))
            content[place] = data.draw(st.integers(0, 255))
        if kind == "tar.gz":
            write_raw_tar(made.path, bytes(content))
        else:
            made.path.write_bytes(content)
        (outer / "place").mkdir()
        attempt(made, outer / "place")
