"""Finding a file on whatever index pip is configured with."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from credprovider.errors import ChecksumError, SourceError
from credprovider.fetch import package_index
from credprovider.fetch.download import Page
from credprovider.fetch.http import Unavailable

from tests.fakes import fetch_servers, servers
from tests.fakes.fetch_servers import FILE, FROM_INDEX, SECRET, Bench, digest

pytestmark = pytest.mark.posix

# pytest finds fixtures by their names in this module.
server = fetch_servers.server
no_proxy = fetch_servers.no_proxy
bench = fetch_servers.bench


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
        package_index.links_in(Page("https://h/simple/p/", "application/json", text))


def test_html_links_are_relative_to_page_or_base() -> None:
    text = '<base href="/other/"><a>x</a><a href="a%2B1.whl#md5=0">a</a><A HREF="https://f/b.whl#sha256=AB">b</A>'
    links = package_index.links_in(Page("https://h/simple/p/", "text/html", text))
    assert links == [package_index.Link("https://h/other/a%2B1.whl"), package_index.Link("https://f/b.whl", "ab")]
    assert package_index.file_name(links[0].url) == "a+1.whl"


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
    assert package_index.from_values({"trusted-host": "192.0.2.1 B:80"}, "").trusted == {"192.0.2.1", "b:80"}


# What pip is configured with


def test_pips_files_count_and_sections_override(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a.test/simple\nextra-index-url =\n  https://b.test/x\n  https://c.test/y\n"
        "timeout = 77\n[install]\nindex-url = https://i.test/simple\n[download]\ntrusted-host = d.test\n",
        encoding="utf-8",
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    found = package_index.configuration(environ)
    assert found.indexes == ("https://i.test/simple", "https://b.test/x", "https://c.test/y")
    assert "d.test" in found.trusted
    assert found.access(environ).read == 77
    assert package_index.configuration({**environ, "PIP_INDEX_URL": "https://e.test/"}).indexes[0] == "https://e.test/"


def test_the_default_index_is_pips_own_knowledge(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--isolated", "--help"],
        env={**environ, "COLUMNS": "60"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (default,) = package_index.configuration(environ).indexes
    assert default.startswith("https://")
    assert default in "".join(shown.split()), "narrow on purpose: help texts are wrapped"


def test_a_key_in_several_files_is_decided_by_pip() -> None:
    text = "global.index-url='https://user.test/'\nglobal.index-url='https://site.test/'\n:env:.no-index='1'\n"
    asked: list[str] = []

    def choose(key: str) -> str:
        asked.append(key)
        return "https://user.test/"

    assert package_index.parse_config(text, choose) == {"index-url": "https://user.test/", "no-index": "1"}
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
