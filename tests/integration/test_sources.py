"""Where archives come from: the order of the sources, and what each of them says."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import platformdirs
import pytest
from credprovider.errors import ChecksumError, DownloadError, SourceError
from credprovider.fetch import cache, sources
from credprovider.fetch.sources import Archive, Settings
from credprovider.lockfile import Pin

from tests.fakes import fetch_servers, servers
from tests.fakes.fetch_servers import ASSET, FILE, FROM_INDEX, FROM_RELEASE, KEY, SECRET, VERSION, Bench, digest
from tests.fakes.servers import serve

# pytest finds fixtures by their names in this module.
server = fetch_servers.server
no_proxy = fetch_servers.no_proxy
bench = fetch_servers.bench
ROOT = Path(__file__).resolve().parents[2]


# The archive folder


@pytest.mark.parametrize("below", ["", f"v{VERSION}"])
def test_the_folder_comes_first_and_asks_nobody(bench: Bench, below: str) -> None:
    bench.offer_release()
    path = bench.folder / "mine" / below / ASSET
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    got = bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR=str(bench.folder / "mine"))
    assert got == Archive(path, "tar.gz", "", digest(b"mine"), False, str(path))
    assert bench.server.seen == []
    sources._reject(got)
    assert path.exists(), "the user's own file is never removed"


def test_the_folder_may_hold_the_index_file(bench: Bench) -> None:
    path = bench.folder / FILE
    path.write_bytes(FROM_INDEX)
    got = bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR=str(bench.folder))
    assert got == Archive(path, "zip", "some_project/bin/", digest(FROM_INDEX), True, str(path))


@pytest.mark.parametrize("name", [ASSET, FILE])
def test_a_wrong_file_in_the_folder_stops_the_build(bench: Bench, name: str) -> None:
    bench.offer_release()
    bench.known = digest(FROM_RELEASE)
    (bench.folder / name).write_bytes(b"flipped")
    with pytest.raises(ChecksumError) as caught:
        bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR=str(bench.folder))
    expected = digest(FROM_RELEASE if name == ASSET else FROM_INDEX)
    for part in (str(bench.folder / name), expected, digest(b"flipped")):
        assert part in str(caught.value)
    assert (bench.folder / name).exists()


def test_a_folder_that_is_none_stops_the_build(bench: Bench) -> None:
    with pytest.raises(SourceError, match="is not a folder"):
        bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR=str(bench.folder / "none"))


# The cache


def test_what_the_index_served_is_served_by_the_cache_next(bench: Bench) -> None:
    bench.offer_index()
    first = bench.obtain()
    assert first.verified
    bench.server.seen.clear()
    second = bench.obtain()
    assert (second.path, second.kind, second.prefix) == (first.path, "zip", "some_project/bin/")
    assert second.verified
    assert second.origin.startswith("cache")
    assert bench.server.seen == []


def test_an_archive_of_unknown_checksum_is_remembered_once_its_tree_has_matched(bench: Bench) -> None:
    bench.offer_release()
    got = bench.obtain()
    assert (got.verified, got.sha256, got.kind, got.prefix) == (False, digest(FROM_RELEASE), "tar.gz", "")
    bench.obtain()
    assert len(bench.server.seen) == 2, "not trusted before its tree has matched"
    sources._confirm(got)
    again = bench.obtain()
    assert (again.path, again.verified) == (got.path, False)
    assert len(bench.server.seen) == 2


def test_an_archive_whose_tree_did_not_match_is_forgotten(bench: Bench) -> None:
    bench.offer_release(b"wrong tree")
    got = bench.obtain()
    sources._confirm(got)
    sources._reject(got)
    assert bench.cached == []
    bench.offer_release()
    assert bench.obtain().sha256 == digest(FROM_RELEASE)


@pytest.mark.parametrize("damage", [b"", FROM_INDEX[:-1], FROM_INDEX + b"x", b"F" + FROM_INDEX[1:]])
def test_a_damaged_cache_stops_one_build_and_the_next_recovers(bench: Bench, damage: bytes) -> None:
    bench.offer_index()
    path = bench.obtain().path
    path.write_bytes(damage)
    with pytest.raises(ChecksumError, match="has been removed: run the build again") as caught:
        bench.obtain()
    assert str(path) in str(caught.value)
    assert bench.obtain().path.read_bytes() == FROM_INDEX


def test_a_damaged_archive_that_its_tree_had_vouched_for_is_noticed(bench: Bench) -> None:
    bench.offer_release()
    got = bench.obtain()
    sources._confirm(got)
    got.path.write_bytes(b"truncated")
    with pytest.raises(ChecksumError, match="run the build again"):
        bench.obtain()
    assert bench.obtain().sha256 == digest(FROM_RELEASE)


def test_a_record_that_is_nonsense_is_no_record(bench: Bench) -> None:
    bench.offer_release()
    got = bench.obtain()
    assert got.record is not None
    got.record.parent.mkdir(parents=True)
    for nonsense in ("", "../../x", "G" * 64, "\udcff"):
        got.record.write_text(nonsense, encoding="utf-8", errors="surrogateescape")
        assert bench.obtain().origin.startswith("http")


def test_a_cache_that_cannot_be_made_is_an_error_where_it_was_named(bench: Bench) -> None:
    bench.offer_release()
    (bench.folder / "file").write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match=cache.CACHE_VARIABLE):
        bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_CACHE_DIR=str(bench.folder / "file" / "cache"))


def test_a_home_that_cannot_be_written_does_not_stop_a_build(bench: Bench) -> None:
    (bench.folder / "file").write_text("", encoding="utf-8")
    made = cache.writable(cache.Cache(bench.folder / "file" / "cache"), bench.said.append)
    assert made.root.is_dir()
    assert "serves this build only" in bench.said[0]


def test_the_cache_is_the_users_own() -> None:
    expected = platformdirs.user_cache_dir("artifacts-keyring-build", appauthor=False)
    environ = {name: value for name, value in os.environ.items() if name != cache.CACHE_VARIABLE}
    assert cache.locate(environ).root == Path(expected)
    assert cache._user_cache({"HOME": "/h"}, "darwin").as_posix() == "/h/Library/Caches/artifacts-keyring-build"
    assert cache._user_cache({"LOCALAPPDATA": "/l"}, "win32").as_posix() == "/l/artifacts-keyring-build/Cache"


# Release page and mirror


def test_a_pinned_checksum_is_checked_on_the_way(bench: Bench) -> None:
    bench.known = digest(FROM_RELEASE)
    bench.offer_release()
    got = bench.obtain()
    assert (got.verified, got.record) == (True, None)
    assert bench.obtain().origin.startswith("cache")


def test_one_flipped_byte_on_the_release_page_stops_the_build(bench: Bench) -> None:
    bench.known = digest(FROM_RELEASE)
    bench.offer_release(b"x" + FROM_RELEASE[1:])
    bench.offer_index()
    with pytest.raises(ChecksumError, match=ASSET):
        bench.obtain()
    assert bench.cached == []
    bench.offer_release()
    assert bench.obtain().verified


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_takes_the_place_of_the_release_page(bench: Bench, slash: str) -> None:
    bench.offer_release()
    bench.server.answers[f"/mirror/v{VERSION}/{ASSET}"] = servers.content(b"mirrored")
    got = bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_MIRROR=f"{bench.server.url}/mirror{slash}")
    assert got.sha256 == digest(b"mirrored")
    assert bench.server.paths() == [f"/mirror/v{VERSION}/{ASSET}"]


def test_a_mirror_without_the_file_leads_to_the_index(bench: Bench) -> None:
    bench.offer_index()
    got = bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_MIRROR=f"{bench.server.url}/mirror")
    assert got.prefix == "some_project/bin/"
    assert any("HTTP 404" in line for line in bench.said)


@pytest.mark.parametrize(
    "mirror", ["http://192.0.2.1/m", "ftp://h/m", "m", "https://h/m?sig=" + SECRET, "https://h:x/"]
)
def test_a_mirror_that_cannot_be_meant_is_an_error(bench: Bench, mirror: str) -> None:
    with pytest.raises(SourceError, match="MIRROR") as caught:
        bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_MIRROR=mirror)
    assert SECRET not in str(caught.value)


def test_a_vendor_name_that_cannot_be_resolved_leads_to_the_index(bench: Bench) -> None:
    bench.offer_index()
    got = bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_MIRROR="https://nowhere.invalid/m")
    assert got.prefix == "some_project/bin/"
    assert any("nowhere.invalid" in line for line in bench.said)


# When nobody can serve


def test_every_source_says_why(bench: Bench) -> None:
    with pytest.raises(SourceError) as caught:
        bench.obtain()
    said = str(caught.value)
    assert "\n" not in said
    for part in ("archive folder: ", "cache: ", "release page or mirror: ", "package index: ", "HTTP 404", ASSET, FILE):
        assert part in said
    assert said.endswith(sources.ARCHIVE_VARIABLE)


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_asks_nobody(bench: Bench, value: str) -> None:
    bench.offer_release()
    with pytest.raises(SourceError, match="OFFLINE is set"):
        bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_OFFLINE=value)
    assert bench.server.seen == []
    assert bench.obtain(ARTIFACTS_CREDENTIAL_PROVIDER_OFFLINE="0").sha256 == digest(FROM_RELEASE)


def test_a_full_disk_is_not_taken_for_a_missing_source(bench: Bench) -> None:
    bench.offer_release()
    bench.offer_index()
    taken = Path(bench.environ[cache.CACHE_VARIABLE]) / "sha256" / digest(FROM_RELEASE)
    (taken / "in the way").mkdir(parents=True)
    with pytest.raises(DownloadError, match="cannot write"):
        bench.obtain()


def test_folder_and_cache_need_nothing_but_the_standard_library(bench: Bench) -> None:
    bench.offer_index()
    bench.obtain()
    program = f"""
        import sys
        from pathlib import Path
        sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(ROOT)!r}]
        from credprovider.fetch import sources
        from credprovider.lockfile import Pin, PinnedFile, PinnedTarget, Tree
        pin = {bench.pin!r}
        got = sources.obtain(pin, pin.targets[{KEY!r}], sources.Settings.from_environ(), print)
        print(got.path.read_bytes(), sorted(set(sys.modules) & {{"httpx"}}))
        """
    env = {**bench.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, "-S", "-I", "-c", textwrap.dedent(program)]
    if sys.version_info < (3, 11):
        run.remove("-S")  # the pin's loader needs tomli there
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == f"{FROM_INDEX!r} []\n", done.stderr


def test_without_httpx_the_network_is_said_to_be_out_of_reach(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SourceError, match="httpx is not installed"):
        bench.obtain()


def test_the_real_index_serves_the_real_file(lock: Pin, tmp_path: Path) -> None:
    """Through the index that this machine's pip is configured with; the vendor's page is left out."""
    with serve() as nothing:
        environ = {
            **os.environ,
            cache.CACHE_VARIABLE: str(tmp_path),
            sources.MIRROR_VARIABLE: nothing.url,
            sources.ARCHIVE_VARIABLE: "",
        }
        wanted = lock.targets["linux-x64"]
        try:
            got = sources.obtain(lock, wanted, Settings.from_environ(environ), lambda _line: None)
        except SourceError as reason:
            if os.environ.get("CI") and not os.environ.get("PIP_NO_INDEX"):
                raise
            pytest.skip(f"the package index cannot be reached from here: {reason}")
    assert got.verified
    assert got.path == tmp_path / "sha256" / str(wanted.index_file.sha256)
    assert got.prefix == wanted.index_file.prefix
