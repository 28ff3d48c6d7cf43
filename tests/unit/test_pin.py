"""The lock file: what is refused and how it is said, and that reading undoes writing."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path
from typing import Any, Union

import pytest
from credprovider import lockfile
from credprovider.errors import PinError
from credprovider.lockfile import Pin, PinnedFile, PinnedTarget, Tree
from credprovider.targets import KEYS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / lockfile.LOCK_NAME
DATA: dict[str, Any] = tomllib.loads(COMMITTED.read_text(encoding="utf-8"))
LINUX = "target.linux-x64"
HEX = "0123456789abcdef" * 4
GONE = object()

# place, what stands there instead, what the message must say besides the place
MALFORMED: list[tuple[str, object, str]] = [
    ("surplus", 1, "its top level has the unknown key 'surplus'; valid: lock-version, provider"),
    ("provider.surplus", 1, "provider has the unknown key 'surplus'"),
    ("index.surplus", 1, "index has the unknown key 'surplus'"),
    ("target.linux-musl-x64", {}, "target has the unknown key 'linux-musl-x64'; valid: linux-x64, "),
    (f"{LINUX}.surplus", 1, f"{LINUX} has the unknown key 'surplus'"),
    (f"{LINUX}.asset.surplus", 1, f"{LINUX}.asset has the unknown key 'surplus'"),
    (f"{LINUX}.asset.sha-256", HEX, f"{LINUX}.asset has the unknown key 'sha-256'; valid: name, sha256"),
    (f"{LINUX}.index-file.url", "x", f"{LINUX}.index-file has the unknown key 'url'"),
    (f"{LINUX}.tree.size", 1, f"{LINUX}.tree has the unknown key 'size'"),
    ("new\nline", 1, "unknown key 'new?line'"),
    ("lock-version", GONE, "its top level lacks 'lock-version'"),
    ("provider", GONE, "its top level lacks 'provider'"),
    ("provider.version", GONE, "provider lacks 'version'"),
    ("provider.release-url", GONE, "provider lacks 'release-url'"),
    ("index", GONE, f"{LINUX} has the unknown key 'index-file'; valid: asset, tree"),
    ("index.distribution", GONE, "index lacks 'distribution'"),
    ("target", GONE, "its top level lacks 'target'"),
    *((f"target.{key}", GONE, f"target lacks '{key}'") for key in KEYS),
    (f"{LINUX}.asset", GONE, f"{LINUX} lacks 'asset'"),
    (f"{LINUX}.index-file.sha256", GONE, f"{LINUX}.index-file lacks 'sha256'"),
    (f"{LINUX}.tree.bytes", GONE, f"{LINUX}.tree lacks 'bytes'"),
    ("lock-version", 1, "lock-version is 1; valid: 2"),
    ("lock-version", True, "lock-version is True; valid: 2"),
    ("lock-version", 2.0, "lock-version is 2.0; valid: 2"),
    ("lock-version", "2", "lock-version is '2'"),
    ("provider", "2.0.5", "provider is '2.0.5'; valid: a table"),
    ("target", [], "target is a list; valid: a table"),
    (f"{LINUX}.tree", 7, f"{LINUX}.tree is 7; valid: a table"),
    ("provider.version", "2", "provider.version is '2'; valid: a version such as 2.0.5"),
    ("provider.version", "v2.0.5", "provider.version is 'v2.0.5'"),
    ("provider.version", "2.0.5/..", "provider.version"),
    ("provider.version", "2.0..", "provider.version"),
    ("provider.version", "٢.٠", "provider.version"),
    ("provider.version", 2.0, "provider.version is 2.0"),
    ("provider.version", "2.0.6", "provider.release-url"),
    ("provider.release-url", "https://example.test/releases/download", "with v2.0.5 as one part of its path"),
    ("provider.release-url", "https://example.test/download/v2.0.50", "with v2.0.5 as one part of its path"),
    ("provider.release-url", "https://v2.0.5/download", "with v2.0.5 as one part of its path"),
    ("provider.release-url", "http://example.test/v2.0.5", "an https URL"),
    ("provider.release-url", "https://example.test/v2.0.5/", "an https URL"),
    ("provider.release-url", "https://me:secret@example.test/v2.0.5", "an https URL"),
    ("provider.release-url", "https://example.test/../v2.0.5", "an https URL"),
    ("provider.release-url", "https://example.test/v2.0.5?x=1", "an https URL"),
    ("provider.release-url", 'https://example.test/"/v2.0.5', "an https URL"),
    ("index.distribution", "../artifacts", "index.distribution is '../artifacts'; valid: a distribution name"),
    ("index.version", "latest", "index.version is 'latest'; valid: a version"),
    (f"{LINUX}.asset.name", "provider.rar", "a .zip or .tar.gz file"),
    (f"{LINUX}.asset.name", "../provider.zip", f"{LINUX}.asset.name is '../provider.zip'; valid: a file name"),
    (f"{LINUX}.asset.name", "a b.zip", f"{LINUX}.asset.name"),
    (f"{LINUX}.asset.sha256", HEX.upper(), "64 lower-case hexadecimal digits"),
    (f"{LINUX}.asset.sha256", f"sha256:{HEX}", "64 lower-case hexadecimal digits"),
    (f"{LINUX}.asset.sha256", "", "64 lower-case hexadecimal digits"),
    (f"{LINUX}.index-file.name", "provider.zip", "a .whl or .tar.gz file"),
    (f"{LINUX}.index-file.sha256", HEX[:-1], "64 lower-case hexadecimal digits"),
    (f"{LINUX}.index-file.sha256", f"{HEX}\n", "64 lower-case hexadecimal digits"),
    (f"{LINUX}.index-file.sha256", 1, f"{LINUX}.index-file.sha256 is 1"),
    (f"{LINUX}.index-file.prefix", "../bin/", f"{LINUX}.index-file.prefix is '../bin/'"),
    (f"{LINUX}.index-file.prefix", "a/../bin/", "no part of which starts with a dot"),
    (f"{LINUX}.index-file.prefix", "./", "a folder that ends in a slash"),
    (f"{LINUX}.index-file.prefix", "/bin/", "a folder that ends in a slash"),
    (f"{LINUX}.index-file.prefix", "bin", "a folder that ends in a slash"),
    (f"{LINUX}.index-file.prefix", "", "a folder that ends in a slash"),
    (f"{LINUX}.tree.sha256", "g" * 64, "64 lower-case hexadecimal digits"),
    (f"{LINUX}.tree.files", 0, f"{LINUX}.tree.files is 0; valid: a whole number from 1"),
    (f"{LINUX}.tree.files", -212, f"{LINUX}.tree.files is -212"),
    (f"{LINUX}.tree.files", True, f"{LINUX}.tree.files is True"),
    (f"{LINUX}.tree.files", 212.0, f"{LINUX}.tree.files is 212.0"),
    (f"{LINUX}.tree.files", 10**6, f"valid: a whole number from 1 to {lockfile.MAX_FILES}"),
    (f"{LINUX}.tree.bytes", "78902473", f"{LINUX}.tree.bytes is '78902473'"),
    (f"{LINUX}.tree.bytes", 1 << 40, f"valid: a whole number from 1 to {lockfile.MAX_BYTES}"),
    (f"{LINUX}.tree.bytes", 1 << 40_000, f"{LINUX}.tree.bytes is a number too large to show"),
    (f"{LINUX}.asset.name", "x" * 10_000, f"{LINUX}.asset.name is 'xxx"),
    (f"{LINUX}.asset.name", "a\x1b[31m\n", f"{LINUX}.asset.name is 'a"),
]


@pytest.mark.parametrize(("place", "value", "said"), MALFORMED, ids=[place for place, _, _ in MALFORMED])
def test_a_malformed_lock_is_refused_with_its_place(place: str, value: object, said: str) -> None:
    assert said in refused(altered(place, value))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"lock-version = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"a = " + b"9" * 5000, "lock"),
        (b"a = " + b"[" * 20_000, "cannot be read"),
        (b"", "lacks 'lock-version'"),
        (b"lock-version = 2\nlock-version = 2\n", "cannot be read"),
    ],
    ids=["toml", "encoding", "digits", "depth", "empty", "twice"],
)
def test_a_file_that_is_no_lock_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / lockfile.LOCK_NAME
    path.write_bytes(content)
    with pytest.raises(PinError) as caught:
        lockfile.load(path)
    assert said in one_line(caught.value) and lockfile.LOCK_NAME in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "gone.toml", "gone.toml is missing"), (tmp_path, "cannot be read")):
        with pytest.raises(PinError) as caught:
            lockfile.load(path)
        assert said in one_line(caught.value)


def test_the_committed_lock_is_what_writing_it_again_gives() -> None:
    loaded = lockfile.load(COMMITTED)
    assert lockfile.render(loaded) == COMMITTED.read_text(encoding="utf-8")
    assert tuple(loaded.targets) == KEYS


def test_a_payload_that_no_index_carries_may_be_pinned() -> None:
    partly = lockfile.parse(altered(f"{LINUX}.index-file", GONE))
    assert not partly.targets["linux-x64"].index_file and partly.targets["any"].index_file
    data = altered("index", GONE)
    for target in data["target"].values():
        del target["index-file"]
    assert lockfile.parse(data).index_distribution == ""


def test_a_checksum_that_nobody_measured_may_be_absent() -> None:
    assert lockfile.load(COMMITTED).targets["linux-x64"].asset.sha256 is None
    known = lockfile.parse(altered(f"{LINUX}.asset.sha256", HEX))
    assert known.targets["linux-x64"].asset.sha256 == HEX


digests = st.text("0123456789abcdef", min_size=64, max_size=64)
versions = st.from_regex(lockfile._VERSION, fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,30}", fullmatch=True)


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    version = draw(versions)
    release_url = f"https://{draw(st.sampled_from(['example.test', '127.0.0.1:1']))}/releases/v{version}"

    indexed = draw(st.booleans())

    def target(key: str) -> PinnedTarget:
        name = draw(names) + draw(st.sampled_from([".zip", ".tar.gz"]))
        index_file = PinnedFile(
            f"{draw(names)}.whl", draw(digests), draw(st.from_regex(lockfile._PREFIX, fullmatch=True))
        )
        if not indexed or draw(st.booleans()):
            index_file = lockfile.NO_FILE
        tree = Tree(draw(digests), draw(st.integers(1, lockfile.MAX_FILES)), draw(st.integers(1, lockfile.MAX_BYTES)))
        asset = PinnedFile(name, draw(st.none() | digests))
        return PinnedTarget(key, asset, index_file, tree)

    index = (draw(names), draw(versions)) if indexed else ("", "")
    return Pin(version, release_url, *index, {key: target(key) for key in KEYS})


@settings(max_examples=examples(30), deadline=None)
@given(pins())
def test_reading_undoes_writing(made: Pin) -> None:
    assert lockfile.parse(tomllib.loads(lockfile.render(made))) == made


def test_writing_keeps_the_order_of_the_table() -> None:
    loaded = lockfile.load(COMMITTED)
    shuffled = dataclasses.replace(loaded, targets=dict(sorted(loaded.targets.items())))
    assert lockfile.render(shuffled) == lockfile.render(loaded)


Toml = Union[None, bool, int, float, str, list[Any], dict[str, Any]]
values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.sampled_from([HEX, "2.0.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every place in `table`, tables and values alike."""
    below = [place for key, value in table.items() if isinstance(value, dict) for place in places(value, (*path, key))]
    return [*((*path, key) for key in table), *below]


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(DATA)), values)
def test_one_strange_value_anywhere_gives_a_pin_or_one_line(place: tuple[str, ...], value: Toml) -> None:
    data = copy.deepcopy(DATA)
    table = data
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    accepted_or_one_line(data)


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.sampled_from(["lock-version", "provider", "index", "target"]) | st.text(), values))
def test_anything_gives_a_pin_or_one_line(data: dict[str, Any]) -> None:
    accepted_or_one_line(data)


def accepted_or_one_line(data: dict[str, Any]) -> None:
    try:
        accepted = lockfile.parse(data)
    except PinError as error:
        one_line(error)
    else:
        assert lockfile.parse(tomllib.loads(lockfile.render(accepted))) == accepted


def altered(place: str, value: object) -> dict[str, Any]:
    """The committed lock file's data with another value at one place, or without it."""
    data = copy.deepcopy(DATA)
    table, *inner = data, *place.split(".")
    for key in inner[:-1]:
        table = table[key]
    if value is GONE:
        del table[inner[-1]]
    else:
        table[inner[-1]] = value
    return data


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(PinError) as caught:
        lockfile.parse(data)
    return one_line(caught.value)


def one_line(error: PinError) -> str:
    message = str(error)
    assert message.isprintable() and len(message) < 700, message
    return message
