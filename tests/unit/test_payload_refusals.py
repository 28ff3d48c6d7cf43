"""A malicious or damaged archive for each reason to refuse one, in both containers."""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from credprovider.errors import ArchiveError, PayloadError
from credprovider.lockfile import Tree
from credprovider.payload import archive, tree

from tests.fakes.archives import (
    GOOD,
    KINDS,
    TREE,
    Item,
    Made,
    contents,
    file_size_limit,
    files,
    make,
    patch_zip,
    raw_tar,
    refused,
    tree_of,
    write_raw_tar,
    write_tar,
    write_zip,
)

# --- names

NAMES = [
    ("/etc/passwd", "is absolute"),
    ("//host/share", "is absolute"),
    ("C:/Windows/x", "drive letter"),
    ("c:x", "drive letter"),
    ("../x", "climbs out"),
    ("a/../../x", "climbs out"),
    ("a/..", "climbs out"),
    ("./../x", "climbs out"),
    ("a\\b", "backslash"),
    ("..\\x", "backslash"),
    ("a\0b", "control character"),
    ("a\nb", "control character"),
    ("a\x1b[2Jb", "control character"),
    ("a\x7fb", "control character"),
    ("a\u202eb", "cannot be printed"),
    ("a//b", "empty part"),
    ("a/./b", "empty part"),
    (".", "empty part"),
    ("ab:stream", "Windows does not allow"),
    ("a?b", "Windows does not allow"),
    ("dots./x", "ends in a dot or a space"),
    ("space ", "ends in a dot or a space"),
    ("CON", "names a device"),
    ("a/nul.txt", "names a device"),
    ("Com1 .x", "names a device"),
    ("LPT\u00b9", "names a device"),
    ("a/" + "x" * 256, "longer than 255 bytes"),
    ("\u00fc" * 128, "longer than 255 bytes"),
    ("a/" * 600 + "x", "longer than 1024 characters"),
]


@pytest.mark.parametrize("prefix", ["", "pkg/"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "reason"), NAMES, ids=[ascii(name)[:24] for name, _ in NAMES])
def test_a_name_that_could_mean_something_else_is_refused(
    name: str, reason: str, kind: str, prefix: str, tmp_path: Path
) -> None:
    # below another prefix too: a bad name is refused even where the member would not be taken
    assert reason in refused(make(kind, tmp_path, [Item(name, b"x")], prefix), tree_of({"x": b"x"}))


FOLDERS = ["/etc", "../x", "a\\b", "C:/x", "a//b", "x?y", "dots.", "con", "x" * 256, "a/" * 600 + "x"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FOLDERS, ids=[ascii(name)[:24] for name in FOLDERS])
def test_a_folder_has_to_have_such_a_name_as_files_have(name: str, kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, [*files(GOOD), Item(name, type=tarfile.DIRTYPE)])
    assert dict(NAMES).get(name, "the name ") in refused(made, TREE)


LONGEST = ["/".join(["a" * 204] * 5), "a/" + "x" * 255]
ORDINARY = ["console", "com10", "nul1", "a.b c", "auxiliary.dll", ".hidden", "é/ü", "a..b", *LONGEST]


@pytest.mark.parametrize("name", ORDINARY, ids=[name[:24] for name in ORDINARY])
def test_an_ordinary_name_is_not_refused(name: str, tmp_path: Path) -> None:
    for kind in KINDS:
        into = tree.unpack(make(kind, tmp_path, files({name: b"x"})), tree_of({name: b"x"}), tmp_path / "into")
        assert contents(into) == {name: b"x"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_name_is_refused(kind: str, tmp_path: Path) -> None:
    items = [Item("", b"x")]
    if kind == "tar.gz":
        name, valid = b"a" + bytes(99), bytes(100)
        write_tar(tmp_path / "payload.tar.gz", [])
        block = tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT).replace(name, valid, 1)
        write_raw_tar(tmp_path / "payload.tar.gz", reseal(block) + bytes(1024))
        made = Made(tmp_path / "payload.tar.gz", kind)
    else:
        made = make(kind, tmp_path, items)
    assert "empty part" in refused(made, tree_of({"x": b"x"}))


def reseal(block: bytes) -> bytes:
    """A tar header block with its checksum made right again."""
    unsummed = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(unsummed[:512]) + block[156:]


TWINS = [
    (["a/x", "a/x"], "is there twice"),
    (["./a", "a"], "is there twice"),
    (["a", "a/b"], "is there twice"),
    (["a/b", "a"], "is there twice"),
    (["a/X", "a/x"], "case does not count"),
    (["A/x", "a/y"], "case does not count"),
    (["stra\u00dfe", "STRASSE"], "case does not count"),
    (["caf\u00e9", "cafe\u0301"], "case does not count"),
]


@pytest.mark.parametrize("prefix", ["", "pkg/"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("names", "reason"), TWINS, ids=[ascii(pair) for pair, _ in TWINS])
def test_two_names_for_one_file_are_refused(
    names: Sequence[str], reason: str, kind: str, prefix: str, tmp_path: Path
) -> None:
    tree = Tree("0" * 64, 2, 2)
    assert reason in refused(make(kind, tmp_path, [Item(name, b"x") for name in names], prefix), tree)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("file", "folder", "reason"),
    [("ab", "ab", "is there twice"), ("ab/x", "AB", "case does not count"), ("AB", "ab", "case does not count")],
)
def test_a_file_and_a_folder_of_one_name_are_refused(
    file: str, folder: str, reason: str, kind: str, tmp_path: Path
) -> None:
    for order in (1, -1):
        items = [Item(file, b"x"), Item(folder, type=tarfile.DIRTYPE)][::order]
        (tmp_path / str(order)).mkdir()
        assert reason in refused(make(kind, tmp_path / str(order), items), tree_of({file: b"x"}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_told_of_twice_is_one(kind: str, tmp_path: Path) -> None:
    folder = Item("ab", type=tarfile.DIRTYPE)
    made = make(kind, tmp_path, [folder, Item("ab/x", b"x"), folder])
    assert contents(tree.unpack(made, tree_of({"ab/x": b"x"}), tmp_path / "into")) == {"ab/x": b"x"}


# --- kinds


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Item("link", type=tarfile.SYMTYPE, link="LICENSE"), "symbolic link"),
        (Item("link", type=tarfile.SYMTYPE, link="../../outside"), "symbolic link"),
        (Item("link", type=tarfile.LNKTYPE, link="LICENSE"), "(hard|symbolic) link"),
        (Item("fifo", type=tarfile.FIFOTYPE), "FIFO"),
        (Item("device", type=tarfile.CHRTYPE), "device"),
        (Item("device", type=tarfile.BLKTYPE), "device"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "pkg/"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_taken(item: Item, reason: str, kind: str, prefix: str, tmp_path: Path) -> None:
    assert re.search(reason, refused(make(kind, tmp_path, [*files(GOOD), item], prefix), TREE))


@pytest.mark.parametrize("type_", [b"Z", tarfile.GNUTYPE_SPARSE])
def test_a_tar_member_of_another_type_is_refused(type_: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("odd")
    info.type = type_
    write_raw_tar(tmp_path / "payload.tar.gz", info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert re.search("unknown type|sparse", refused(Made(tmp_path / "payload.tar.gz", "tar.gz"), TREE))


def test_an_encrypted_zip_member_is_refused(tmp_path: Path) -> None:
    made = make("zip", tmp_path, files(GOOD))
    patch_zip(made.path, 6, 8, b"\x01\x00")
    assert "'LICENSE' is encrypted; delete" in refused(made, TREE)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_member_compressed_by_another_method_is_refused(method: int, tmp_path: Path) -> None:
    write_zip(tmp_path / "payload.zip", files(GOOD), method)
    assert "valid: stored, deflate" in refused(Made(tmp_path / "payload.zip", "zip"), TREE)


def test_a_zip_member_without_a_mode_is_a_file(tmp_path: Path) -> None:
    made = make("zip", tmp_path, files({"x": b"x"}))
    patch_zip(made.path, -1, 38, bytes(4))  # as programs for Windows leave it
    assert contents(tree.unpack(made, tree_of({"x": b"x"}), tmp_path / "into")) == {"x": b"x"}


def test_a_zip_folder_with_content_is_refused(tmp_path: Path) -> None:
    assert "folder with content" in refused(make("zip", tmp_path, [Item("a", b"x", tarfile.DIRTYPE)]), TREE)


def test_a_kind_nobody_knows_is_refused(tmp_path: Path) -> None:
    made = make("zip", tmp_path, files(GOOD))
    assert "valid: tar.gz, zip" in refused(replace(made, kind="7z"), TREE)


def test_what_an_archive_says_is_cut_and_made_printable() -> None:
    assert archive.line("a\nb\u202ec") == "a?b?c"
    assert archive.line("x" * 201) == "x" * 200
    assert archive.quoted("x" * 120) == repr("x" * 120)
    assert archive.quoted("\x1b" + "x" * 120) == repr("\x1b" + "x" * 116 + "...")


# --- bounds


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_kept_may_be_so_many_members_and_no_more(kind: str, tmp_path: Path) -> None:
    spare = [Item(f"f{number}", type=tarfile.DIRTYPE) for number in range(archive.SPARE_MEMBERS + 1)]
    made = make(kind, tmp_path, [*files(GOOD), *spare[1:]])
    assert contents(tree.unpack(made, TREE, tmp_path / "into")) == GOOD
    assert "more than 2000 members beside" in refused(make(kind, tmp_path, [*files(GOOD), *spare]), TREE)


@pytest.mark.parametrize("size", [-512, -2048, -(1 << 40)])
def test_a_member_that_points_backwards_is_refused(size: int, tmp_path: Path) -> None:
    first, second = tarfile.TarInfo("x"), tarfile.TarInfo("y")
    second.size = size
    blocks = first.tobuf(tarfile.GNU_FORMAT) + second.tobuf(tarfile.GNU_FORMAT)
    write_raw_tar(tmp_path / "payload.tar.gz", blocks + bytes(1024))
    # Python 3.15 takes such a header for the end; earlier ones go where it says.
    reason = "no member stands after" if sys.version_info >= (3, 15) else "points backwards"
    assert reason in refused(Made(tmp_path / "payload.tar.gz", "tar.gz"), TREE)


@pytest.mark.parametrize("kind", KINDS)
def test_more_files_than_pinned_are_refused(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, files({**GOOD, "one-more": b""}))
    assert f"more than the pinned {TREE.files} files" in refused(made, TREE)


@pytest.mark.parametrize("kind", KINDS)
def test_more_bytes_than_pinned_are_refused(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, files(GOOD))
    assert "bytes" in refused(made, replace(TREE, bytes=TREE.bytes - 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_stopped_while_it_streams(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, files({"bomb": bytes(64 << 20)}))
    with file_size_limit(1 << 20):  # writing more would fail, and be a PayloadError
        reason = refused(made, replace(TREE, bytes=1 << 20))
    assert "more than the pinned 1048576 bytes" in reason


def test_a_declared_size_is_not_trusted(tmp_path: Path) -> None:
    made = make("zip", tmp_path, files({"x": b"x" * 5000}))
    patch_zip(made.path, 22, 24, (10).to_bytes(4, "little"))
    assert "damaged" in refused(made, tree_of({"x": b"x" * 10}))
    made = make("zip", tmp_path, [Item("x", b"x" * 5000)])
    patch_zip(made.path, 22, 24, (9000).to_bytes(4, "little"))
    (tmp_path / "place").rmdir()
    assert "declares 9000 bytes and holds 5000" in refused(made, tree_of({"x": b"x" * 5000}))


def test_what_is_not_taken_is_bounded_too(tmp_path: Path) -> None:
    made = make("tar.gz", tmp_path, [Item("beside", bytes(archive.SPARE_BYTES + (1 << 20))), *files(GOOD)], "pkg/")
    assert "unpacks to more than" in refused(made, TREE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_more_folders_than_any_payload_has_are_refused(kind: str, tmp_path: Path) -> None:
    folders = [Item(f"d{number}", type=tarfile.DIRTYPE) for number in range(archive.SPARE_MEMBERS + TREE.files + 1)]
    assert "more than 2000 members" in refused(make(kind, tmp_path, folders), TREE)


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_any_size_is_not_read_into_memory(type_: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = type_, 40 << 20
    write_raw_tar(tmp_path / "payload.tar.gz", info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size))
    with peak() as most:
        reason = refused(Made(tmp_path / "payload.tar.gz", "tar.gz"), replace(TREE, bytes=100 << 20))
    # Python 3.15 asks for the first MB of it, earlier ones for the whole at once.
    assert re.search("a header of (41943040|1048576) bytes; at most 262144 are taken", reason)
    assert most[0] < 10 << 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_payload(kind: str, tmp_path: Path) -> None:
    big = {"big": bytes(32 << 20)}
    made = make(kind, tmp_path, files(big))
    with peak() as most:
        into = tree.unpack(made, tree_of(big), tmp_path / "into")
        tree.verify(into, tree_of(big))
    assert most[0] < 8 << 20


# --- damage


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_refused_wherever_it_ends(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, files(GOOD))
    whole = made.path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        made.path.write_bytes(whole[:length])
        assert "damaged" in refused(made, TREE)
        (tmp_path / "place").rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_an_error_or_makes_no_difference(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path, files(GOOD))
    whole = made.path.read_bytes()
    refusals = 0
    for place in range(len(whole)):
        made.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert contents(tree.unpack(made, TREE, tmp_path / "into")) == GOOD
        except (ArchiveError, PayloadError):
            refusals += 1
    assert refusals > len(whole) // 2


def test_an_uncompressed_byte_that_is_wrong_is_found_by_the_tree(tmp_path: Path) -> None:
    reason = refused(make("tar.gz", tmp_path, files({**GOOD, "LICENSE": b"MIT license\n"})), TREE, PayloadError)
    assert "digest" in reason and "count" not in reason and "bytes" not in reason.split(";")[0].split("tree:")[1]


def test_a_tar_with_a_broken_header_in_the_middle_is_not_taken_for_its_end(tmp_path: Path) -> None:
    made = make("tar.gz", tmp_path, files(GOOD))
    blocks = bytearray(raw_tar(made.path))
    end = -(-len(blocks.rstrip(b"\0")) // 512) * 512
    blocks[end : end + 512] = b"\x55" * 512
    write_raw_tar(made.path, bytes(blocks))
    assert "damaged" in refused(made, TREE)


@pytest.mark.parametrize("tail", [b"PK\x03\x04", bytes(600) + b"x"])
def test_data_after_the_end_of_a_tar_is_refused(tail: bytes, tmp_path: Path) -> None:
    made = make("tar.gz", tmp_path, files(GOOD))
    write_raw_tar(made.path, raw_tar(made.path) + tail)
    assert "data that is no member" in refused(made, TREE)
    made.path.write_bytes(gzip.compress(raw_tar(made.path).rstrip(tail)) + b"rubbish")
    (tmp_path / "place").rmdir()
    assert "damaged" in refused(made, TREE)


def test_a_zip_whose_local_header_names_another_file_is_refused(tmp_path: Path) -> None:
    made = make("zip", tmp_path, files(GOOD))
    patch_zip(made.path, 30, -1, b"license")
    assert "damaged" in refused(made, TREE)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_archive_or_is_not_there_is_refused(kind: str, tmp_path: Path) -> None:
    made = Made(tmp_path / "payload", kind)
    assert "cannot be read" in refused(made, TREE)
    (tmp_path / "place").rmdir()
    made.path.write_bytes(b"<html>not found</html>")
    assert "cannot be read" in refused(made, TREE)


@contextlib.contextmanager
def peak() -> Iterator[list[int]]:
    """Bytes that Python had allocated at most."""
    most = [0]
    tracemalloc.start()
    try:
        yield most
        most[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
