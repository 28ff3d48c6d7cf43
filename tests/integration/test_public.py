"""Feeds that everybody may read, but for the packages that they have yet to take over from an upstream."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from artifacts_keyring import lookup
from tests.conftest import NATIVE, ROOT
from tests.fakes import clients, provider_double
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.clients import CLIENTS
from tests.fakes.declared_environ import external, prefixes
from tests.integration.test_lookup import Place
from tests.integration.test_provider import gone


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    lookup.MEMORY.forget()
    lookup._SAID.clear()
    yield
    lookup.MEMORY.forget()


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


@pytest.fixture
def feed(world: AzureWorld) -> Feed:
    """It holds `saved`, and an upstream has `unsaved`."""
    made = world.feed("org", "feed", public=True, project="project")
    made.add("saved")
    made.upstream.add(made.add("unsaved"))
    return made


@pytest.fixture
def place(world: AzureWorld, tmp_path: Path) -> Iterator[Place]:
    """Where a person could be asked, if it came to that."""
    with empty_home(tmp_path) as home:
        made = Place(world, tmp_path, home)
        made.environ["ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"] = "false"
        yield made


@pytest.fixture
def tree(place: Place, payload_tree: Callable[[str], Path]) -> Path:
    """The real provider, in use."""
    found = payload_tree(NATIVE)
    place.use(found)
    return found


@pytest.fixture
def signed_in(place: Place, tree: Path) -> Place:
    """Somebody is a member of the organisation, and has signed in to another feed of it."""
    place.world.login(place.world.feed("org", "private"), tree, place.home)
    place.world.forget()
    return place


def pages(feed: Feed, package: str) -> list[str]:
    """The page of a package, and its download link by ids."""
    return [f"{feed.url}{package}/", feed.download_url(f"{package}-1.0-py3-none-any.whl")]


def never_prompted(world: AzureWorld) -> bool:
    return "devicecode" not in world.steps


@pytest.mark.parametrize(
    ("service", "page"),
    [
        ("https://u:p@PKGS.dev.azure.com/Org/_packaging/Feed/pypi/simple/Six", "/Org/_packaging/Feed/pypi/simple/Six/"),
        ("https://pkgs.dev.azure.com/o/p/_packaging/f/PyPI/Simple/six/?a#b", "/o/p/_packaging/f/PyPI/Simple/six/"),
        (
            "pkgs.dev.azure.com/o/_packaging/f@v/pypi/download/six/1.0/six-1.0.zip#sha256=ab",
            "/o/_packaging/f@v/pypi/download/six/1.0/six-1.0.zip",
        ),
        ("https://pkgs.dev.azure.com/o/_packaging/f/pypi/simple/", ""),
        ("https://pkgs.dev.azure.com/o/_packaging/f/pypi/upload/x", ""),
        ("https://pkgs.dev.azure.com/o/_packaging/f/npm/registry/x", ""),
        ("https://pkgs.dev.azure.com/o/_packaging/f", ""),
        ("https://pkgs.dev.azure.com/o/pypi/simple/x", ""),
        ("pkgs.dev.azure.com", ""),
        ("https://pkgs.dev.azure.com/o/../_packaging/f/pypi/simple/x", ""),
        ("https://[", ""),
    ],
)
def test_the_page_that_a_service_names(service: str, page: str) -> None:
    feed = lookup.feed_of(service, {})
    assert (feed.page if feed is not None else "") == (page and f"https://pkgs.dev.azure.com{page}")


# Signed in


@pytest.mark.provider
def test_who_names_the_index_gets_what_is_at_hand(
    signed_in: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    found = signed_in.look_up(feed.url)
    assert found is not None
    assert signed_in.world.requests[-1].basic == found  # checked, where members only get in
    assert signed_in.world.requests[-1].path == "/org/_packaging/feed/pypi/simple/"
    assert never_prompted(signed_in.world)
    signed_in.world.forget()
    assert [signed_in.look_up(page) for page in pages(feed, "unsaved")] == [found, found]
    assert signed_in.world.requests == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.provider
@pytest.mark.parametrize("number", [0, 1], ids=["page", "download"])
def test_who_names_a_page_that_is_refused_gets_what_is_at_hand(signed_in: Place, feed: Feed, number: int) -> None:
    assert signed_in.look_up(pages(feed, "unsaved")[number]) is not None
    assert never_prompted(signed_in.world)


@pytest.mark.provider
@pytest.mark.parametrize("number", [0, 1], ids=["page", "download"])
def test_a_page_that_everybody_may_read_needs_none(
    signed_in: Place, feed: Feed, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in.look_up(pages(feed, "saved")[number]) is None
    assert {request.auth for request in signed_in.world.requests} == {"none"}
    assert capsys.readouterr() == ("", "")
    assert signed_in.look_up(pages(feed, "unsaved")[number]) is not None  # of which that says nothing


@pytest.mark.provider
def test_a_token_that_is_cached_for_the_feed_itself_will_do(place: Place, tree: Path, feed: Feed) -> None:
    token = place.world.token("org")
    place.cached(feed.url, token)
    for service in (pages(feed, "unsaved")[0], feed.url):
        lookup.MEMORY.forget()
        assert place.look_up(service) == ("VssSessionToken", token)
    assert never_prompted(place.world)


@pytest.mark.provider
def test_a_feed_of_strangers_is_no_news(signed_in: Place, feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    signed_in.world.session_status = 401
    assert signed_in.look_up(feed.url) is None
    assert capsys.readouterr() == ("", "")
    assert never_prompted(signed_in.world)


# Not signed in


def test_who_never_signed_in_pays_one_request_for_the_index(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = place.stand_in("hang")
    assert place.look_up(feed.url) is None
    assert [(request.auth, request.status) for request in place.world.requests] == [("none", 200)]
    assert all(gone(call.pid) for call in stand_in.calls)
    assert capsys.readouterr() == ("", "")


@pytest.mark.provider
@pytest.mark.parametrize("number", [0, 1], ids=["page", "download"])
def test_a_refused_page_is_one_line_and_never_a_prompt(
    place: Place, tree: Path, feed: Feed, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages(feed, "unsaved")[number]
    assert place.look_up(page) is None
    asked = len(place.world.requests)
    assert place.look_up(page) is None
    assert len(place.world.requests) == asked
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"artifacts-keyring: {page} is for members, although its feed is public: run `")
    assert never_prompted(place.world)


def test_a_refused_page_costs_the_organisation_nothing_else(place: Place, feed: Feed) -> None:
    place.stand_in("nothing")
    assert place.look_up(pages(feed, "unsaved")[0]) is None
    private, token = place.world.feed("org", "private"), place.world.token("org")
    place.stand_in(provider_double.answer(token))
    assert place.look_up(private.url) == ("VssSessionToken", token)


def test_a_refused_page_of_a_server_without_sign_in_is_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.stand_in("nothing")
    feed = place.world.feed("org", "feed", public=True)
    feed.upstream.add(feed.add("unsaved"))
    assert place.look_up(f"{feed.url}unsaved/") is None
    assert "is for members, although its feed is public" in capsys.readouterr().err


def test_a_missing_provider_is_news_where_something_is_refused(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    place.use(place.folder / "nowhere")
    assert [place.look_up(service) for service in (feed.url, pages(feed, "saved")[0])] == [None, None]
    assert capsys.readouterr().err == ""
    assert place.look_up(pages(feed, "unsaved")[0]) is None
    assert "is no credential provider" in capsys.readouterr().err


# Declared


def test_what_is_declared_is_handed_out_unasked(place: Place, feed: Feed) -> None:
    place.use(place.folder / "nowhere")
    place.environ |= external(feed.url)
    for service in (feed.url, *pages(feed, "saved"), *pages(feed, "unsaved")):
        assert place.look_up(service) == ("u0", "p0")
    assert place.world.requests == []


def test_what_is_declared_for_others_is_named_where_something_is_refused(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    place.stand_in("nothing")
    place.environ |= prefixes("https://pkgs.dev.azure.com/other/")
    assert place.look_up(feed.url) is None
    assert capsys.readouterr().err == ""
    assert place.look_up(pages(feed, "unsaved")[0]) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "URI_PREFIXES is set, but gives no credential for" in line


# The command, and clients


@pytest.mark.provider
@pytest.mark.parametrize("package", ["", "unsaved/"])
def test_login_signs_in_to_such_a_feed(place: Place, tree: Path, feed: Feed, package: str) -> None:
    command = [sys.executable, "-m", "artifacts_keyring", "login", f"{feed.url}{package}"]
    done = subprocess.run(command, cwd=ROOT, env=place.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "logged in to " in done.stdout and "enter the code FAKE00001" in done.stderr
    place.world.forget()
    assert place.look_up(feed.url) is not None
    assert never_prompted(place.world)


@pytest.mark.provider
def test_login_for_a_page_that_everybody_may_read_asks_nobody(place: Place, tree: Path, feed: Feed) -> None:
    command = [sys.executable, "-m", "artifacts_keyring", "login", f"{feed.url}saved/"]
    done = subprocess.run(command, cwd=ROOT, env=place.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{feed.url} is public: it needs no login\n")
    assert never_prompted(place.world)


TWO = [client for client in CLIENTS if client.name in ("pip", "uv, user in the URL")]


@pytest.fixture(scope="module")
def environments(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return clients.environments(TWO, wheel(NATIVE), tmp_path_factory.mktemp("clients"))


@pytest.mark.posix
@pytest.mark.provider
@pytest.mark.parametrize("client", TWO, ids=[client.name for client in TWO])
def test_clients_install_what_only_an_upstream_has(
    client: clients.Client, signed_in: Place, feed: Feed, environments: dict[str, Path], tmp_path: Path
) -> None:
    folder = environments[client.requirement]
    job = clients.job(tmp_path / "job", [feed], signed_in.world.ca_file, folder, environments["uv"])
    feed.upstream |= {file for file in feed.files if file.startswith("package0")}
    run = clients.run(client, signed_in.world, signed_in.home, job, {})
    assert clients.installed(job) == {"package0"}, run.output
    assert len(run.look_ups) == 1
    assert not any(file.startswith("package0") for file in feed.upstream)  # it has been taken over
    assert never_prompted(signed_in.world)
