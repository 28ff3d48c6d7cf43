"""Where archives come from: the order of the sources, and what each of them says."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import textwrap
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import pytest
from credprovider import cache, index, sources
from credprovider.download import Page, Patience
from credprovider.errors import ChecksumError, DownloadError, SourceError
from credprovider.pin import Asset, IndexFile, Pin, PinnedTarget, Tree
from credprovider.sources import Archive, Settings
from credprovider.web import Unavailable

from tests import servers
from tests.servers import Server, serve

ROOT = Path(__file__).resolve().parent.parent
KEY, VERSION = "linux-x64", "9.8.7"
ASSET, FILE = "Provider.linux-x64.tar.gz", "some_project-1.0-py3-none-any.whl"
PROJECT = "Some.Project"
FROM_RELEASE, FROM_INDEX = b"from the release page", b"from the package index"
SECRET = "s3cr3t"


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@dataclass
class Bench:
    """A pin whose servers are ours, and a machine without any configuration of its own."""

    server: Server
    folder: Path
    environ: dict[str, str]
    said: list[str] = field(default_factory=list)
    known: str | None = None

    @property
    def pin(self) -> Pin:
        release = f"{self.server.url}/release/v{VERSION}"
        target = PinnedTarget(
            KEY,
            "manylinux",
            Asset(ASSET, f"{release}/{ASSET}", self.known),
            IndexFile(FILE, digest(FROM_INDEX), "some_project/bin/"),
            Tree("7" * 64, 3, 1000),
        )
        return Pin(VERSION, release, PROJECT, "1.0", {KEY: target})

    def obtain(self, **environ: str) -> Archive:
        settings = Settings.from_environ({**self.environ, **environ})
        settings = dataclasses.replace(settings, patience=Patience(attempts=2, pause=0.01))
        return sources.obtain(self.pin, self.pin.targets[KEY], settings, self.said.append)

    def offer_release(self, body: bytes = FROM_RELEASE) -> None:
        self.server.answers[f"/release/v{VERSION}/{ASSET}"] = servers.content(body)

    def offer_index(self, body: bytes = FROM_INDEX) -> None:
        page = f'<a href="../../files/{FILE}#sha256={digest(FROM_INDEX)}">{FILE}</a>'
        self.server.answers["/simple/some-project/"] = servers.content(page.encode(), "text/html")
        self.server.answers[f"/files/{FILE}"] = servers.content(body)

    @property
    def cached(self) -> list[str]:
        root = Path(self.environ[cache.CACHE_VARIABLE])
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def bench(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{server.url}/simple",
        cache.CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    return Bench(server, tmp_path, environ)


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
    sources.reject(got)
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
    sources.confirm(got)
    again = bench.obtain()
    assert (again.path, again.verified) == (got.path, False)
    assert len(bench.server.seen) == 2


def test_an_archive_whose_tree_did_not_match_is_forgotten(bench: Bench) -> None:
    bench.offer_release(b"wrong tree")
    got = bench.obtain()
    sources.confirm(got)
    sources.reject(got)
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
    sources.confirm(got)
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


def test_the_cache_is_the_users_own_with_and_without_platformdirs() -> None:
    expected = platformdirs.user_cache_dir("artifacts-keyring-build", appauthor=False)
    assert cache.locate({}).root == Path(expected)
    assert cache._plain_user_cache(os.environ, sys.platform) == Path(expected)
    assert cache._plain_user_cache({"HOME": "/h"}, "darwin").as_posix() == "/h/Library/Caches/artifacts-keyring-build"
    assert cache._plain_user_cache({"LOCALAPPDATA": "/l"}, "win32").as_posix() == "/l/artifacts-keyring-build/Cache"


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


# The package index


def test_json_pages_are_read(bench: Bench) -> None:
    page = f'{{"files": [{{"filename": "{FILE}", "url": "/files/{FILE}", "hashes": {{}}}}]}}'
    bench.offer_index()
    media_type = "application/vnd.pypi.simple.v1+json"
    bench.server.answers["/simple/some-project/"] = servers.content(page.encode(), media_type)
    assert bench.obtain().sha256 == digest(FROM_INDEX)
    asked = next(each for each in bench.server.seen if each.path == "/simple/some-project/")
    assert asked.headers["accept"].startswith(media_type)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": [1]}', '{"files": [{"url": "x", "hashes": 1}]}'])
def test_a_json_page_that_is_none_is_said(text: str) -> None:
    with pytest.raises(Unavailable, match="PEP 691"):
        index.links_in(Page("https://h/simple/p/", "application/json", text))


def test_html_links_are_relative_to_page_or_base() -> None:
    text = '<base href="/other/"><a>x</a><a href="a%2B1.whl#md5=0">a</a><A HREF="https://f/b.whl#sha256=AB">b</A>'
    links = index.links_in(Page("https://h/simple/p/", "text/html", text))
    assert links == [index.Link("https://h/other/a%2B1.whl"), index.Link("https://f/b.whl", "ab")]
    assert index.file_name(links[0].url) == "a+1.whl"


def test_credentials_of_the_index_serve_its_files_and_never_show(bench: Bench) -> None:
    bench.offer_index()
    for path in ("/simple/some-project/", f"/files/{FILE}"):
        bench.server.answers[path] = servers.guarded("Basic bWU6czNjcjN0", bench.server.answers[path])
    url = bench.server.url.replace("//", f"//me:{SECRET}@") + "/simple"
    got = bench.obtain(PIP_INDEX_URL=url)
    assert got.sha256 == digest(FROM_INDEX)
    assert SECRET not in f"{bench.said} {got}"
    got.path.unlink()
    with pytest.raises(SourceError, match="HTTP 401") as caught:
        bench.obtain(PIP_INDEX_URL=url.replace("me:", "you:"))
    assert SECRET not in str(caught.value)


def test_another_file_under_the_name_is_not_even_fetched(bench: Bench) -> None:
    bench.offer_index()
    page = f'<a href="/files/{FILE}#sha256={"0" * 64}">{FILE}</a>'
    bench.server.answers["/simple/some-project/"] = servers.content(page.encode(), "text/html")
    with pytest.raises(SourceError, match="is another file"):
        bench.obtain()
    assert f"/files/{FILE}" not in bench.server.paths()


def test_a_flipped_byte_on_the_index_stops_the_build_and_the_next_recovers(bench: Bench) -> None:
    bench.offer_index(b"x" + FROM_INDEX[1:])
    with pytest.raises(ChecksumError, match=FILE):
        bench.obtain()
    bench.offer_index()
    assert bench.obtain().verified


@pytest.mark.parametrize("spelling", ["folder", "uri", "page"])
def test_find_links_count(bench: Bench, spelling: str) -> None:
    wheels = bench.folder / "my-wheels"
    wheels.mkdir()
    (wheels / FILE).write_bytes(FROM_INDEX)
    (wheels / "page.html").write_text(f'<a href="{FILE}">x</a>', encoding="utf-8")
    places = {"folder": str(wheels), "uri": wheels.as_uri(), "page": str(wheels / "page.html")}
    got = bench.obtain(PIP_NO_INDEX="1", PIP_FIND_LINKS=places[spelling])
    assert got.verified
    assert got.path != wheels / FILE, "copied, so that the next build needs no pip"
    assert "/simple/some-project/" not in bench.server.paths()


def test_an_index_may_be_a_folder(bench: Bench) -> None:
    project = bench.folder / "simple" / "some-project"
    project.mkdir(parents=True)
    (bench.folder / FILE).write_bytes(FROM_INDEX)
    (project / "index.html").write_text(f'<a href="../../{FILE}">x</a>', encoding="utf-8")
    assert bench.obtain(PIP_INDEX_URL=(bench.folder / "simple").as_uri()).verified


def test_indexes_are_tried_until_one_has_the_file(bench: Bench) -> None:
    bench.offer_index()
    got = bench.obtain(PIP_INDEX_URL="https://nowhere.invalid/a", PIP_EXTRA_INDEX_URL=f"{bench.server.url}/simple")
    assert got.verified


def test_a_plain_http_index_needs_pips_trust(bench: Bench) -> None:
    with pytest.raises(SourceError, match=r"http://192\.0\.2\.1/simple/some-project/ is refused.*trusted-host"):
        bench.obtain(PIP_INDEX_URL="http://192.0.2.1/simple")
    assert index.from_values({"trusted-host": "192.0.2.1 B:80"}, "").trusted == {"192.0.2.1", "b:80"}


# What pip is configured with


def test_pips_files_count_and_sections_override(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a.test/simple\nextra-index-url =\n  https://b.test/x\n  https://c.test/y\n"
        "timeout = 77\n[install]\nindex-url = https://i.test/simple\n[download]\ntrusted-host = d.test\n",
        encoding="utf-8",
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    found = index.configuration(environ)
    assert found.indexes == ("https://i.test/simple", "https://b.test/x", "https://c.test/y")
    assert "d.test" in found.trusted
    assert found.access(environ).read == 77
    assert index.configuration({**environ, "PIP_INDEX_URL": "https://e.test/"}).indexes[0] == "https://e.test/"


def test_the_default_index_is_pips_own_knowledge(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--isolated", "--help"],
        env={**environ, "COLUMNS": "40"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (default,) = index.configuration(environ).indexes
    assert default.startswith("https://")
    assert default in "".join(shown.split()), "narrow on purpose: help texts are wrapped"


def test_a_key_in_several_files_is_decided_by_pip() -> None:
    text = "global.index-url='https://user.test/'\nglobal.index-url='https://site.test/'\n:env:.no-index='1'\n"
    asked: list[str] = []

    def choose(key: str) -> str:
        asked.append(key)
        return "https://user.test/"

    assert index.parse_config(text, choose) == {"index-url": "https://user.test/", "no-index": "1"}
    assert asked == ["global.index-url"]


def test_what_a_front_end_hides_is_found(bench: Bench) -> None:
    """pip's isolated builds hide the user's packages, pip among them, by PYTHONPATH."""
    hiding = bench.folder / "hiding" / "pip"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").write_text("raise ImportError('hidden')", encoding="utf-8")
    bench.offer_index()
    assert bench.obtain(PYTHONPATH=str(hiding.parent)).verified


@pytest.fixture
def without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    bare = str(tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python")
    monkeypatch.setattr(sys, "executable", bare)
    monkeypatch.setattr(sys, "_base_executable", bare)


def test_no_pip_is_said(bench: Bench, without_pip: None) -> None:
    with pytest.raises(SourceError, match="has no pip to ask"):
        bench.obtain(PATH="")


def test_uv_knows_an_index_where_there_is_no_pip(bench: Bench, without_pip: None) -> None:
    bench.offer_index()
    assert bench.obtain(PATH="", UV_INDEX=f"ours={bench.server.url}/simple").verified


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
        sys.path[:0] = [{str(ROOT / "scripts")!r}]
        from credprovider import sources
        from credprovider.pin import Asset, IndexFile, Pin, PinnedTarget, Tree
        pin = {bench.pin!r}
        got = sources.obtain(pin, pin.targets[{KEY!r}], sources.Settings.from_environ(), print)
        print(got.path.read_bytes(), sorted(set(sys.modules) & {{"httpx", "platformdirs"}}))
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
            if os.environ.get("CI"):
                raise
            pytest.skip(f"the package index cannot be reached from here: {reason}")
    assert got.verified
    assert got.path == tmp_path / "sha256" / wanted.index_file.sha256
    assert got.prefix == wanted.index_file.prefix
