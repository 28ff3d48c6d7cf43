"""Real clients against a whole Azure DevOps: who finds a credential how, with what number of look-ups and requests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from tests import conftest
from tests.fakes import clients
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.azure.provider import copy_sign_ins
from tests.fakes.clients import CLIENTS, Client, Job, Run

pytestmark = pytest.mark.provider

DECLARED = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
ORGANISATIONS = ("org", "other")
INDEX = "packages.example.test"  # a public index that is none of ours


class SignedIn(NamedTuple):
    """Caches after a login, and the world whose tokens they hold."""

    world: AzureWorld
    home: Path


@dataclass(frozen=True)
class Scenario:
    """A row of SCENARIOS: what the world and the user's caches are like before the client starts."""

    name: str
    public: bool = False
    feeds: int = 1
    own_hosts: bool = False
    beside: bool = False
    signed_in: bool = True
    revoked: bool = False
    declared: bool = False


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("private"),
    Scenario("public", public=True),
    Scenario("two organisations", feeds=2),
    Scenario("two on own hosts", feeds=2, own_hosts=True),
    Scenario("beside an index", beside=True),
    Scenario("expired token", revoked=True),
    Scenario("declared token", signed_in=False, declared=True),
    Scenario("nobody to ask", signed_in=False),
)

# An upload goes to one place; a feed on 127.0.0.1 cannot be a public one of Azure DevOps.
CASES: tuple[tuple[Client, Scenario], ...] = tuple(
    (client, scenario)
    for client in CLIENTS
    for scenario in SCENARIOS
    if not client.uploads or not (scenario.beside or scenario.feeds > 1 or (scenario.public and not client.proxied))
)

# Each way that leads a client to keyring; on Windows these alone, and each of them once.
WAYS = ("pip import", "pip subprocess", "uv, authenticate always")
HERE: tuple[tuple[Client, Scenario], ...] = (
    CASES if os.name == "posix" else tuple(case for case in CASES if case[0].name in WAYS and case[1] is SCENARIOS[0])
)

# How often each client asks at most, in the order of its scenarios, as measured with the versions of 2026-11; uv and
# pdm load from two organisations in parallel, so that their number varies.
MOST_LOOK_UPS: Mapping[str, tuple[int, ...]] = {
    "pip": (1, 0, 4, 2, 1, 1, 1, 2),
    "pip import": (1, 0, 4, 2, 1, 1, 1, 2),
    "pip subprocess": (1, 0, 4, 2, 1, 1, 1, 2),
    "pip < 26.2 import": (1, 0, 4, 2, 1, 1, 1, 2),
    "pip < 26.2 subprocess": (1, 0, 4, 2, 1, 1, 1, 2),
    "uv, user in the URL": (1, 1, 2, 2, 1, 1, 1, 2),
    "uv, authenticate always": (1, 1, 4, 2, 1, 1, 1, 2),
    "poetry": (5, 5, 9, 9, 11, 5, 5, 4),
    "pdm": (1, 0, 24, 2, 1, 1, 1, 6),
    "uv publish": (1, 1, 1, 1, 4),
    "twine": (2, 2, 2, 2, 1),
    "poetry publish": (4, 4, 4, 4, 5),
    "pdm publish": (3, 3, 3, 3, 4),
    "hatch publish": (1, 1, 1, 1),
}

HINT = "run `python -m artifacts_keyring login https://"

# What cannot be done, with what the user gets to read. All that fail for want of a login show the hint, except
# pip from 26.2 on, which throws the stderr of the keyring command away.
FAILURES: Mapping[tuple[str, str], str] = {
    **{(client.name, "nobody to ask"): HINT for client in CLIENTS},
    # Without --no-input pip asks for a user name, whether somebody is there or not.
    ("pip", "nobody to ask"): "User for pkgs.dev.azure.com: ERROR: Exception:",
    ("pip subprocess", "nobody to ask"): "ERROR: No matching distribution found for package0",
    # Downloads have addresses outside the index that was configured: uv takes any credential of their host.
    ("uv, user in the URL", "two organisations"): "401 Unauthorized",
    ("uv, authenticate always", "two organisations"): "401 Unauthorized",
}
# The one that falls over its own question.
CRASHES = (("pip", "nobody to ask"),)


class Result(NamedTuple):
    """All that a test looks at."""

    run: Run
    job: Job
    world: AzureWorld

    @property
    def done(self) -> bool:
        """Whether everything is installed, or the upload stored."""
        return clients.installed(self.job) == set(self.job.packages) or self.job.file.name in self.job.feeds[0].files


@pytest.fixture(scope="module")
def environments(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The clients' virtual environments by requirement."""
    return clients.environments(
        [client for client, _ in HERE], wheel(conftest.NATIVE), tmp_path_factory.mktemp("clients")
    )


@pytest.fixture(scope="module")
def signed_in(payload_tree: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> SignedIn:
    """The caches of somebody who has logged in to both organisations by device code."""
    kept = tmp_path_factory.mktemp("signed-in")
    with AzureWorld() as world, empty_home(tmp_path_factory.mktemp("login")) as home:
        for organisation in ORGANISATIONS:
            world.login(world.feed(organisation, "feed"), payload_tree(conftest.NATIVE), home)
        copy_sign_ins(home, kept)
        return SignedIn(world, kept)


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A new world with nothing in it."""
    with AzureWorld(hosts=[INDEX]) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home without any sign-in."""
    with empty_home(tmp_path) as empty:
        yield empty


def stage(client: Client, scenario: Scenario, world: AzureWorld, signed_in: SignedIn, home: Path) -> list[Feed]:
    """Make `world` and the caches below `home` what the scenario says; its feeds."""
    if scenario.signed_in:
        copy_sign_ins(signed_in.home, home)
        world.adopt(signed_in.world)
    if scenario.revoked:
        world.revoke()
    host = "" if client.proxied else f"127.0.0.1:{world.server.server_port}"
    index = [world.feed("elsewhere", "index", public=True, host=INDEX)] if scenario.beside else []
    return (
        index
        + [
            world.feed(
                name,
                "feed",
                public=scenario.public,
                project="project" if scenario.public else "",  # the others cannot be public
                host=host,
                legacy=scenario.own_hosts,
            )
            for name in ORGANISATIONS[: scenario.feeds]
        ]
    )


@pytest.mark.parametrize(
    ("client", "scenario"), HERE, ids=[f"{client.name}: {scenario.name}" for client, scenario in HERE]
)
def test_client(
    client: Client,
    scenario: Scenario,
    world: AzureWorld,
    signed_in: SignedIn,
    environments: Mapping[str, Path],
    record_property: Callable[[str, object], None],
    home: Path,
    tmp_path: Path,
) -> None:
    feeds = stage(client, scenario, world, signed_in, home)
    more = declare(world, feeds) if scenario.declared else {}
    if not client.proxied:
        more["ARTIFACTS_KEYRING_HOSTS"] = feeds[0].host
    job = clients.job(tmp_path / "job", feeds, world.ca_file, environments[client.requirement], environments["uv"])
    result = Result(clients.run(client, world, home, job, more), job, world)
    record_property(conftest.CLIENT_ROW, row(client, scenario, result))
    print(result.run.output, *result.run.look_ups, *world.requests, sep="\n")  # pytest shows it if this fails
    check_outcome(client, scenario, result)
    check_effort(client, scenario, result)


def check_outcome(client: Client, scenario: Scenario, result: Result) -> None:
    """The job is done, or it failed in just the way that is known; nothing secret is shown, nobody is asked."""
    expected = FAILURES.get((client.name, scenario.name))
    assert result.done == (expected is None)
    assert (result.run.code == 0) == result.done
    if expected is not None:
        assert expected in " ".join(result.run.output.split())
    assert ("Traceback" in result.run.output) == ((client.name, scenario.name) in CRASHES)
    assert "artifacts_keyring/" not in result.run.output  # nothing of ours in a traceback
    assert "HTTP Request" not in result.run.output  # nor what our libraries log
    assert "token-" not in result.run.output
    assert not {"devicecode", "token:device_code"} & set(result.world.steps)
    assert result.world.server.refused == []


def check_effort(client: Client, scenario: Scenario, result: Result) -> None:
    """No more look-ups, provider runs and session tokens than there have to be."""
    own = [case for case in CASES if case[0] is client]
    most = MOST_LOOK_UPS[client.name][own.index((client, scenario))]
    processes = {look_up.process for look_up in result.run.look_ups}
    assert len(result.run.look_ups) <= most
    # For a public feed the provider is asked at the organisation's address, too.
    runs = 2 if scenario.revoked or scenario.public else scenario.feeds
    assert result.run.provider_runs <= runs * len(processes)
    if scenario.declared:
        assert result.run.provider_runs == 0
    if scenario.public and most == 0:
        assert not any(request.basic[1] for request in result.world.requests)
    exchanges = [step for step in result.world.steps if step.startswith("session")]
    # The login was made for one address of each organisation; for another the provider gets a token without asking.
    renewed = scenario.revoked or (scenario.signed_in and (scenario.own_hosts or not client.proxied))
    assert exchanges == (["session:SelfDescribing"] * scenario.feeds if renewed else [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "view", "legacy"),
    [("My Project", "", False), ("", "Local", False), ("project", "Release", True)],
    ids=["in a project", "a view", "a view in a project on the organisation's host"],
)
def test_a_feed_with_another_address(
    world: AzureWorld,
    signed_in: SignedIn,
    environments: Mapping[str, Path],
    home: Path,
    tmp_path: Path,
    project: str,
    view: str,
    legacy: bool,
) -> None:
    copy_sign_ins(signed_in.home, home)
    world.adopt(signed_in.world)
    feed = world.feed("org", "feed", project=project, legacy=legacy)
    job = clients.job(tmp_path / "job", [feed], world.ca_file, environments["pip"], environments["uv"])
    feed.views["release"] = set(feed.files)
    client = Client("pip", "pip", False, lambda job: clients.pip_install(job, feed.url_on(feed.host, view)))
    run = clients.run(client, world, home, job, {})
    assert clients.installed(job) == {"package0"}, run.output
    assert world.steps.count("session:SelfDescribing") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pip", "pip subprocess", "uv, authenticate always", "twine"])
def test_a_server_on_premises_needs_the_documented_variable_only(
    name: str, environments: Mapping[str, Path], home: Path, tmp_path: Path
) -> None:
    (client,) = [client for client in CLIENTS if client.name == name]
    with AzureWorld(hosts=["devops.example.test"]) as world:
        feed = world.feed("tfs/Collection", "feed", host="devops.example.test", on_premises=True)
        programs = environments[client.requirement]
        job = clients.job(tmp_path / "job", [feed], world.ca_file, programs, environments["uv"])
        entry = {"endpoint": feed.url, "username": "any", "password": world.token(feed.organisation)}
        declared = {DECLARED: json.dumps({"endpointCredentials": [entry]})}
        run = clients.run(client, world, home, job, declared)
        assert Result(run, job, world).done, run.output
        assert run.provider_runs == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "environ", "built"),
    [
        ((), {}, True),
        ((), {"PIP_NO_INPUT": "1", "PIP_KEYRING_PROVIDER": "import"}, True),
        ((), {"PIP_NO_INPUT": "1", "PIP_KEYRING_PROVIDER": "subprocess"}, True),
        # To the pip that fills the build environment pip hands on the variables and the one option, but not the other.
        (("--no-input", "--keyring-provider", "import"), {}, False),
    ],
)
def test_what_a_build_requires_comes_from_a_private_feed(
    options: tuple[str, ...],
    environ: Mapping[str, str],
    built: bool,
    world: AzureWorld,
    signed_in: SignedIn,
    environments: Mapping[str, Path],
    home: Path,
    tmp_path: Path,
) -> None:
    feeds = stage(CLIENTS[0], SCENARIOS[0], world, signed_in, home)
    job = clients.job(tmp_path / "job", feeds, world.ca_file, environments["pip"], environments["uv"])
    client = Client("pip wheel", "pip", False, lambda job: clients.pip_wheel(job, options))
    run = clients.run(client, world, home, job, environ)
    assert (run.code == 0) == (job.folder / "built" / job.file.name).exists() == built, run.output
    assert len(run.look_ups) == int(built)


@pytest.mark.parametrize("name", WAYS)
def test_a_person_signs_in_where_the_client_asks(
    name: str, world: AzureWorld, environments: Mapping[str, Path], home: Path, tmp_path: Path
) -> None:
    (client,) = [client for client in CLIENTS if client.name == name]
    feed = world.feed("org", "feed")
    job = clients.job(tmp_path / "job", [feed], world.ca_file, environments[client.requirement], environments["uv"])
    run = clients.run(client, world, home, job, {"ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "false"})
    assert clients.installed(job) == {"package0"}, run.output
    assert world.steps.count("devicecode") == 1
    # pip throws away what its keyring says, and with it the code.
    assert ("enter the code" in run.output) == (name != "pip subprocess")


def declare(world: AzureWorld, feeds: Sequence[Feed]) -> dict[str, str]:
    """The variable that declares a token for each feed, as pipelines do."""
    entries = [
        {"endpoint": feed.url, "username": "pipeline", "password": world.token(feed.organisation)} for feed in feeds
    ]
    return {DECLARED: json.dumps({"endpointCredentials": entries})}


def row(client: Client, scenario: Scenario, result: Result) -> dict[str, Any]:
    """A row of the table that is printed after the last test."""
    return {
        "client": client.name,
        "scenario": scenario.name,
        "outcome": "done" if result.done else "failed",
        "code": result.run.code,
        "look-ups": len(result.run.look_ups),
        "provider runs": result.run.provider_runs,
        "requests": len(result.world.requests),
        "connections": result.world.connections,
        "seconds": round(result.run.seconds, 2),
    }
