"""Links by ids, as index pages and lock files have them: asked of a whole Azure DevOps, and by uv from its lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from artifacts_keyring import lookup
from tests.conftest import NATIVE
from tests.fakes import clients, provider_double
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.clients import Client, Command, Job
from tests.fakes.declared_environ import EXTERNAL, IDENTITY, entry, listing, prefixes
from tests.integration.test_lookup import Place


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
def place(world: AzureWorld, tmp_path: Path) -> Iterator[Place]:
    with empty_home(tmp_path) as home:
        made = Place(world, tmp_path, home)
        made.use(tmp_path / "nowhere")
        yield made


@pytest.fixture
def feed(world: AzureWorld) -> Feed:
    made = world.feed("org", "feed", project="proj")
    made.add("alpha")
    return made


def link(feed: Feed) -> str:
    """The first download link of its index."""
    return feed.download_url(min(feed.files))


def declare(*endpoints: tuple[Feed, str]) -> dict[str, str]:
    """A token for each feed, under the name by which users know it."""
    return {EXTERNAL: listing(*(entry(feed.url, "any", token) for feed, token in endpoints))}


def test_the_only_credential_of_the_organisation_costs_no_request(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    token, elsewhere = place.world.token("org"), place.world.feed("two", "feed")
    place.environ |= declare((elsewhere, "theirs"), (feed, token))
    for service in (link(feed), link(feed).replace("/download/", "/simple/"), feed.upload_url):
        assert place.look_up(service) == ("any", token)
    assert place.world.requests == []
    assert capsys.readouterr() == ("", "")


def test_of_several_the_feed_says_which_is_accepted(
    place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    neighbour, elsewhere = place.world.feed("org", "neighbour"), place.world.feed("two", "feed")
    token = place.world.token("org")
    place.environ |= declare((neighbour, "of-the-neighbour"), (elsewhere, "theirs"), (feed, token), (neighbour, "more"))
    for service in (link(feed), link(feed)[: link(feed).index("/pypi/")]):
        assert place.look_up(service, "me") == ("me", token)
    assert [(r.basic[1], r.status) for r in place.world.requests] == [("of-the-neighbour", 401), (token, 200)]
    assert {r.host for r in place.world.requests} == {feed.host}
    assert capsys.readouterr() == ("", "")


def test_what_is_declared_by_name_is_asked_of_nobody(place: Place, feed: Feed) -> None:
    neighbour = place.world.feed("org", "neighbour")
    place.environ |= declare((neighbour, "of-the-neighbour"), (feed, "as-declared"))
    for service in (feed.url, feed.upload_url, feed.url_on(feed.host, "Local"), f"{feed.url}alpha/"):
        assert place.look_up(service) == ("any", "as-declared")
    assert place.world.requests == []


def test_where_none_is_accepted_one_line_says_so(place: Place, feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    place.stand_in("nothing")
    neighbour = place.world.feed("org", "neighbour")
    place.environ |= declare((neighbour, "of-the-neighbour"), (feed, "stale"))
    assert place.look_up(link(feed)) is None
    assert [r.basic[1] for r in place.world.requests if r.auth == "basic"] == ["of-the-neighbour", "stale"]
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and EXTERNAL in err
    assert not {"stale", "of-the-neighbour"} & set(err.split())


@pytest.mark.parametrize(("fault", "asked"), [("hang", 1), ("500", 1), ("reset", 1)])
def test_a_feed_that_cannot_say_is_asked_once_and_in_time(place: Place, feed: Feed, fault: str, asked: int) -> None:
    place.stand_in("nothing")
    place.environ["ARTIFACTS_KEYRING_TIMEOUT"] = "3"
    feed.fault = fault
    place.environ |= declare((place.world.feed("org", "neighbour"), "of-the-neighbour"), (feed, "stale"))
    assert place.look_up(link(feed)) is None
    assert [r.auth for r in place.world.requests].count("basic") == asked


@pytest.mark.provider
def test_the_real_provider_finds_an_identity_by_an_id(
    place: Place, feed: Feed, payload_tree: Callable[[str], Path]
) -> None:
    place.use(payload_tree(NATIVE))
    place.environ |= {
        IDENTITY: listing({"endpoint": feed.url, "clientId": "c11e0700"}),
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{place.world.server.server_port}/msi/token",
        "IDENTITY_HEADER": "header",
    }
    found = place.look_up(link(feed))
    assert found is not None and found.username == "c11e0700"


# A host that names its organisation


@pytest.mark.provider
@pytest.mark.parametrize("service", ["org.pkgs.visualstudio.com", "https://ORG.pkgs.visualstudio.com:443/"])
def test_an_organisations_host_is_answered_when_somebody_is_signed_in(
    place: Place, world: AzureWorld, payload_tree: Callable[[str], Path], service: str
) -> None:
    tree = payload_tree(NATIVE)
    place.use(tree)
    feed = world.feed("org", "feed", legacy=True)
    world.login(feed, tree, place.home)
    world.forget()
    found = place.look_up(service, "me")
    assert found is not None and found.username == "me"
    assert world.requests[-1].basic[1] == found.password and world.requests[-1].status == 404  # a member asks in vain
    assert "devicecode" not in world.steps
    assert place.look_up(feed.url) is not None
    assert place.look_up("pkgs.dev.azure.com") is None


@pytest.mark.provider
def test_without_a_sign_in_it_is_one_line_and_never_a_prompt(
    place: Place, world: AzureWorld, payload_tree: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place.use(payload_tree(NATIVE))
    world.feed("org", "feed", legacy=True)
    place.environ["ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"] = "false"
    for service in ("org.pkgs.visualstudio.com", "https://org.pkgs.visualstudio.com"):
        assert place.look_up(service) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "https://org.pkgs.visualstudio.com/_packaging/org/pypi/simple/ needs a sign-in" in line
    assert "devicecode" not in world.steps
    for service in ("pkgs.dev.azure.com", "none.pkgs.vsts.me.example", "http://org.pkgs.visualstudio.com"):
        place.look_up(service)
    assert len([step for step in world.steps if step == "feed"]) == 2  # the provider's and ours, of the first


def test_a_shared_host_and_declared_hosts_stay_silent(
    place: Place, world: AzureWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = place.stand_in(provider_double.answer("never"))
    assert place.look_up("pkgs.dev.azure.com") is None
    place.environ |= prefixes("https://pkgs.dev.azure.com/org/", "https://pkgs.dev.azure.com/two/")
    for service in ("pkgs.dev.azure.com", "org.pkgs.visualstudio.com"):
        assert place.look_up(service) is None
    assert (stand_in.calls, world.requests) == ([], [])
    assert capsys.readouterr() == ("", "")


# uv, from a lock file


PROJECT = """[project]
name = "shop"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["package0"]

[tool.uv]
package = false
keyring-provider = "subprocess"

[[tool.uv.index]]
name = "feed"
url = "{url}"
default = true
"""


def uv(*words: str) -> Client:
    """uv in the folder of the job, with an index of the project whose URL names a user."""

    def command(job: Job) -> Command:
        (job.folder / "pyproject.toml").write_text(PROJECT.format(url=job.feeds[0].with_user(clients.USER)))
        return Command(["uv", *words, "--no-cache", "--python", str(job.programs / "python")])

    return Client("uv", "uv", False, command)


@pytest.fixture(scope="module")
def environment(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv, keyring and the wheel."""
    return clients.environments([uv()], wheel(NATIVE), tmp_path_factory.mktemp("uv"))["uv"]


@pytest.mark.provider
@pytest.mark.parametrize("neighbours", [0, 1])
@pytest.mark.parametrize(
    "words", [("sync", "--frozen"), ("pip", "install", "--target", "installed", "-r", "pylock.toml")], ids=" ".join
)
@pytest.mark.posix
def test_uv_installs_from_its_lock_with_what_is_declared_by_name(
    world: AzureWorld, environment: Path, tmp_path: Path, words: tuple[str, ...], neighbours: int
) -> None:
    feed = world.feed("org", "feed", project="proj")
    job = clients.job(tmp_path / "job", [feed], world.ca_file, environment, environment)
    others = [(world.feed("org", f"neighbour{n}"), f"of-neighbour-{n}") for n in range(neighbours)]
    declaring = declare(*others, (world.feed("two", "feed"), "theirs"), (feed, world.token("org")))
    home = tmp_path / "home"
    for making in (("lock",), ("export", "--frozen", "--format", "pylock.toml", "-o", "pylock.toml")):
        done = clients.run(uv(*making), world, home, job, declaring)
        assert done.code == 0, done.output
    (job.folder / "look-ups").unlink()
    world.forget()
    done = clients.run(uv(*words), world, home, job, declaring)
    assert clients.installed(job) == {"package0"}, done.output
    (look_up,) = done.look_ups
    assert look_up.service == link(feed)
    assert done.provider_runs == 0
    assert not any(request.basic[1] == "theirs" for request in world.requests)
    probes = [request.status for request in world.requests if request.step == "feed"]
    assert probes == ([401, 200] if neighbours else [])  # the neighbour's first
