"""What becomes of an archive that is taken, and what is said of trees that are not the pinned one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from credprovider.errors import PayloadError
from credprovider.lockfile import Pin, Tree
from credprovider.payload import tree
from credprovider.targets import TARGETS

from tests.fakes.archives import (
    GOOD,
    KINDS,
    LICENSE,
    PROVIDER,
    TREE,
    Item,
    Made,
    contents,
    file_size_limit,
    files,
    make,
    mode,
    posix_only,
    refused,
    tree_of,
)

pytestmark = pytest.mark.posix

KEYS = [target.key for target in TARGETS]


# --- what is taken


@pytest.mark.parametrize("kind", KINDS)
def test_the_payload_is_unpacked_with_our_modes_whatever_the_archive_says(kind: str, tmp_path: Path) -> None:
    items = [Item(name, data, mode=odd) for (name, data), odd in zip(GOOD.items(), (0o777, 0o600, 0, 0o4755, 0o700))]
    into = tree.unpack(make(kind, tmp_path, items), TREE, tmp_path / "into")
    assert into == tmp_path / "into"
    assert contents(into) == GOOD
    if os.name != "nt":
        executable = {path.name for path in into.rglob("*") if path.is_file() and mode(path) == 0o755}
        assert executable == {"CredentialProvider.Microsoft", "createdump"}
        assert {mode(path) for path in into.rglob("*") if path.is_file()} == {0o644, 0o755}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(kind: str, umask: int, tmp_path: Path) -> None:
    posix_only()
    made = make(kind, tmp_path, files(GOOD))
    before = os.umask(umask)
    try:
        into = tree.unpack(made, TREE, tmp_path / "into")
    finally:
        os.umask(before)
    assert {mode(path) for path in [into, *into.rglob("*")] if path.is_dir()} == {0o755}
    assert mode(into / LICENSE) == 0o644
    assert mode(into / "createdump") == 0o755


@pytest.mark.parametrize("kind", KINDS)
def test_folders_are_implied_and_a_leading_dot_is_the_root(kind: str, tmp_path: Path) -> None:
    folders = [Item(name, type=tarfile.DIRTYPE) for name in (".", "./plugins", "./plugins/netcore", "./empty")]
    made = make(kind, tmp_path, folders + [Item(f"./{name}", data) for name, data in GOOD.items()])
    into = tree.unpack(made, TREE, tmp_path / "into")
    assert contents(into) == GOOD
    assert not (into / "empty").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_below_the_prefix_is_taken(kind: str, tmp_path: Path) -> None:
    inside = {f"pkg/bin/{name}": data for name, data in GOOD.items()}
    items = files({"pkg/__init__.py": b"", **inside, "pkg/binary": b"", "pkg.dist-info/RECORD": b"x" * TREE.bytes * 2})
    into = tree.unpack(make(kind, tmp_path, items, "pkg/bin/"), TREE, tmp_path / "into")
    assert contents(into) == GOOD


@pytest.mark.parametrize("kind", KINDS)
def test_the_trace_provider_is_dropped_and_not_counted(kind: str, tmp_path: Path) -> None:
    dropped = {f"{PROVIDER}/libcoreclrtraceptprovider.so": b"x" * (TREE.bytes + 1)}
    into = tree.unpack(make(kind, tmp_path, files({**dropped, **GOOD})), TREE, tmp_path / "into")
    assert contents(into) == GOOD


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_tree_is_replaced_as_a_whole(kind: str, tmp_path: Path) -> None:
    into = tmp_path / "into"
    (into / "old").mkdir(parents=True)
    (into / "old" / "file").write_bytes(b"old")
    tree.unpack(make(kind, tmp_path, files(GOOD)), TREE, into)
    assert contents(into) == GOOD and not (into / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", f"payload.{kind}"]


@pytest.mark.parametrize("key", KEYS)
def test_the_real_archive_gives_the_pinned_tree(key: str, lock: Pin, payload_tree: Callable[[str], Path]) -> None:
    root = payload_tree(key)
    assert tree.measure(root) == lock.targets[key].tree
    assert tree.tree_digest(root) == lock.targets[key].tree.sha256
    assert [path.name for path in tree.license_files(root)] == list(tree.LICENSE_FILES)
    assert not list(root.rglob("libcoreclrtraceptprovider.so"))


@pytest.mark.parametrize("key", KEYS)
def test_the_real_launcher_is_executable_and_nothing_else_but_createdump(
    key: str, payload_tree: Callable[[str], Path]
) -> None:
    posix_only()
    paths = [path for path in payload_tree(key).rglob("*") if path.is_file()]
    suffix = ".exe" if key.startswith("win") or key == "any" else ""
    expected = {f"CredentialProvider.Microsoft{suffix}"} | (set() if key == "any" else {f"createdump{suffix}"})
    assert {path.name for path in paths if mode(path) == 0o755} == expected
    assert {mode(path) for path in paths if path.name not in expected} == {0o644}


# --- the wrong tree, and trouble with the disk


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_tree_leaves_the_earlier_one_alone(kind: str, tmp_path: Path) -> None:
    good = make(kind, tmp_path, files(GOOD))
    into = tree.unpack(good, TREE, tmp_path / "into")
    with pytest.raises(PayloadError, match=f"count {TREE.files - 1} instead of {TREE.files}"):
        tree.unpack(make(kind, tmp_path, files(GOOD)[1:]), TREE, into)
    assert contents(into) == GOOD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", f"payload.{kind}"]


def test_an_earlier_tree_comes_back_when_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, move = tmp_path / "into", Path.replace
    into.mkdir()
    (into / "old").write_bytes(b"old")

    def fail(source: Path, target: Path) -> Path:
        if source.name == "new":
            raise PermissionError(13, "held by another program")  # as on Windows; cannot be provoked elsewhere
        return move(source, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PayloadError, match="held by another program"):
        tree.unpack(make("zip", tmp_path, files(GOOD)), TREE, into)
    assert [path.name for path in into.rglob("*")] == ["old"] and (into / "old").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "payload.zip"]


def test_an_empty_prefix_folder_gives_no_tree(tmp_path: Path) -> None:
    assert "count 0 instead of" in refused(make("zip", tmp_path, files(GOOD), "elsewhere/"), TREE, PayloadError)


def test_a_file_in_the_way_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "into").write_bytes(b"mine")
    with pytest.raises(PayloadError, match="into cannot be written: something that is not a folder stands there; move"):
        tree.unpack(make("zip", tmp_path, files(GOOD)), TREE, tmp_path / "into")
    assert (tmp_path / "into").read_bytes() == b"mine"
    with pytest.raises(PayloadError, match="cannot be written"):
        tree.unpack(make("zip", tmp_path, files(GOOD)), TREE, tmp_path / "into" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "payload.zip"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    into = tree.unpack(make("zip", tmp_path, files(GOOD)), TREE, tmp_path / "not" / "there" / "into")
    assert contents(into) == GOOD


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    posix_only()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "into").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PayloadError, match="not a folder stands there"):
        tree.unpack(make("zip", tmp_path, files(GOOD)), TREE, tmp_path / "into")
    assert (tmp_path / "into").is_symlink() and list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_fails_is_reported_as_such_and_cleaned(kind: str, tmp_path: Path) -> None:
    posix_only()
    made = make(kind, tmp_path, files(GOOD))
    with file_size_limit(500), pytest.raises(PayloadError, match="cannot be written: File too large"):
        tree.unpack(made, TREE, tmp_path / "into")
    assert [path.name for path in tmp_path.iterdir()] == [f"payload.{kind}"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    """A pipe stands for the archive, so that the interrupt comes for sure while unpacking waits for more."""
    posix_only()
    whole = make("tar.gz", tmp_path, [Item("noise", os.urandom(1 << 20)), *files(GOOD)]).path.read_bytes()
    os.mkfifo(tmp_path / "fifo")
    place, main = tmp_path / "place", threading.get_ident()
    seen: list[str] = []

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), (tmp_path / "fifo").open("wb", buffering=0) as pipe:
            pipe.write(whole[: len(whole) // 2])
            deadline = time.monotonic() + 30
            while not list(place.rglob("noise")) and time.monotonic() < deadline:
                time.sleep(0.005)
            seen.extend(path.name for path in place.iterdir())
            signal.pthread_kill(main, signal.SIGINT)
            # A signal just before a read that waits would be noticed only when that read ends.
            for at in range(len(whole) // 2, len(whole) - 2000, 100):
                if finished.wait(0.05):
                    return
                pipe.write(whole[at : at + 100])

    finished = threading.Event()
    place.mkdir()
    feeder = threading.Thread(target=feed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    feeder.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            tree.unpack(Made(tmp_path / "fifo", "tar.gz"), Tree("0" * 64, 9, 2 << 20), place / "into")
    finally:
        finished.set()
        feeder.join()
        signal.signal(signal.SIGINT, before)
    # beside its place, so that moving it there is one step, and under a name that .gitignore knows
    assert [name.startswith(".into-") for name in seen] == [True]
    assert list(place.iterdir()) == []


# --- trees on disk


def unpacked(tmp_path: Path) -> Path:
    return tree.unpack(make("tar.gz", tmp_path, files(GOOD)), TREE, tmp_path / "root")


def test_the_digest_counts_paths_and_bytes_but_not_modes_and_empty_folders(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    (root / LICENSE).chmod(0o444)
    (root / "empty").mkdir()
    assert tree.measure(root) == TREE
    (root / LICENSE).chmod(0o644)
    (root / LICENSE).rename(root / "legal" / "COPYING")
    assert (
        tree.tree_digest(root) == tree_of({"COPYING": GOOD["LICENSE"], **{k: GOOD[k] for k in list(GOOD)[1:]}}).sha256
    )
    assert tree.tree_digest(root) != TREE.sha256


def test_the_digest_sorts_by_the_whole_path(tmp_path: Path) -> None:
    # part by part, `a/b` would come before `a-b`; as text it comes after
    odd = {"a/b": b"1", "a-b": b"2", "a.b": b"3", "B": b"4", "é": b"5"}
    into = tree.unpack(make("zip", tmp_path, files(odd)), tree_of(odd), tmp_path / "into")
    assert tree.measure(into) == tree_of(odd)


def test_verify_says_which_of_count_bytes_and_digest_differ(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    tree.verify(root, TREE)
    (root / LICENSE).write_bytes(b"MIT license\n")
    with pytest.raises(PayloadError, match=r"tree: digest \w{64} instead of \w{64};"):
        tree.verify(root, TREE)
    (root / LICENSE).write_bytes(b"")
    with pytest.raises(PayloadError, match=rf"tree: bytes {TREE.bytes - 12} instead of {TREE.bytes}, digest"):
        tree.verify(root, TREE)
    (root / LICENSE).unlink()
    with pytest.raises(PayloadError, match=r"tree: count 4 instead of 5, bytes \d+ instead of \d+, digest"):
        tree.verify(root, TREE)


def test_what_is_no_regular_file_in_a_tree_is_refused(tmp_path: Path) -> None:
    posix_only()
    root = unpacked(tmp_path)
    (root / LICENSE).rename(tmp_path / "LICENSE")
    (root / LICENSE).symlink_to(tmp_path / "LICENSE")
    for act in (lambda: tree.verify(root, TREE), lambda: tree.stage(root, TREE, tmp_path / "into")):
        with pytest.raises(PayloadError, match="'legal/LICENSE' is a symbolic link"):
            act()
    (root / LICENSE).unlink()
    os.mkfifo(root / LICENSE)
    with pytest.raises(PayloadError, match="'legal/LICENSE' is a FIFO"):
        tree.tree_digest(root)


def test_a_tree_that_is_not_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="nowhere is refused: it is damaged or cannot be read"):
        tree.verify(tmp_path / "nowhere", TREE)


def test_staging_copies_the_tree_and_sets_the_modes_that_an_sdist_lost(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    for path in root.rglob("*"):
        if path.is_file():
            path.chmod(0o666)
    into = tree.stage(root, TREE, tmp_path / "into")
    assert contents(into) == contents(root) == GOOD
    if os.name != "nt":
        assert mode(into / "CredentialProvider.Microsoft") == 0o755
        assert mode(into / LICENSE) == 0o644


def test_staging_refuses_another_tree_and_leaves_nothing(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    (root / "extra").write_bytes(b"")
    with pytest.raises(PayloadError, match="more than the pinned 5 files"):
        tree.stage(root, TREE, tmp_path / "place" / "into")
    (root / "extra").unlink()
    (root / LICENSE).write_bytes(b"MIT license\n")
    with pytest.raises(PayloadError, match="digest"):
        tree.stage(root, TREE, tmp_path / "place" / "into")
    assert list((tmp_path / "place").iterdir()) == []


def test_a_missing_licence_is_named(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    with pytest.raises(PayloadError, match=r"holds no 'ThirdPartyNotices.txt'; every payload has LICENSE, "):
        tree.license_files(root)
    for name in tree.LICENSE_FILES:
        (root / "legal" / name).write_bytes(b"")
    assert tree.license_files(root) == tuple(root / "legal" / name for name in tree.LICENSE_FILES)


def test_a_name_that_is_no_text_is_counted_as_its_bytes(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux lets such a name stand on its disk")
    root = unpacked(tmp_path)
    (root / "legal" / os.fsdecode(b"a\xff")).write_bytes(b"x")
    digests = {**{name.encode(): data for name, data in GOOD.items()}, b"a\xff": b"x"}
    lines = [hashlib.sha256(digests[name]).hexdigest().encode() + b"  " + name + b"\n" for name in sorted(digests)]
    assert tree.tree_digest(root) == hashlib.sha256(b"".join(lines)).hexdigest()


def test_nothing_but_the_standard_library_is_needed() -> None:
    scripts = Path(tree.__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(scripts)!r}, {str(scripts.parent)!r}]; import credprovider.payload.tree"
    if sys.version_info < (3, 11):
        code = f"import sys, types; sys.modules['tomli'] = types.ModuleType('tomli'); {code}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
