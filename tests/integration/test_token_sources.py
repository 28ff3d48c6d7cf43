"""Where a token may come from without a sign-in, with each kind of client: outcome, processes and requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from tests import conftest
from tests.fakes import clients
from tests.fakes.azure import AzureWorld
from tests.fakes.clients import CLIENTS, Client

pytestmark = [pytest.mark.posix, pytest.mark.provider]

COMMAND = "ARTIFACTS_KEYRING_TOKEN_COMMAND"
NAMES = ("pip import", "pip subprocess", "uv, user in the URL", "twine")
ASKING = tuple(client for client in CLIENTS if client.name in NAMES)


class Source(NamedTuple):
    """A row: the variables that a token is in or comes from, what the look-ups of a client cost, and what is said.

    runs: programs started by each process that asks. requests: of each such process. said: "" where it works.
    """

    name: str
    environ: Callable[[Path], Mapping[str, str]]
    runs: int = 0
    requests: int = 0
    said: str = ""


def job(file: Path) -> dict[str, str]:
    return {"SYSTEM_ACCESSTOKEN": file.read_text(), "SYSTEM_COLLECTIONURI": "https://dev.azure.com/org/"}


def task(file: Path) -> dict[str, str]:
    """What NuGetAuthenticate@1 sets."""
    spellings = ("https://pkgs.dev.azure.com/org/", "https://org.pkgs.visualstudio.com/")
    return {"VSS_NUGET_ACCESSTOKEN": file.read_text(), "VSS_NUGET_URI_PREFIXES": ";".join(spellings)}


def another(file: Path) -> dict[str, str]:
    return {**job(file), "SYSTEM_COLLECTIONURI": "https://dev.azure.com/another/"}


SOURCES = (
    Source("command: cat FILE", lambda file: {COMMAND: f"cat {file}"}, runs=1, requests=2),
    Source("SYSTEM_ACCESSTOKEN", job),
    Source("NuGetAuthenticate@1", task),
    Source("command beside another's job", lambda file: {**another(file), COMMAND: f"cat {file}"}, 1, 2),
    Source("job before a command", lambda file: {**job(file), COMMAND: "false"}),
    Source("command fails", lambda _: {COMMAND: "cat /nowhere"}, 1, 1, "No such file or directory): run it by itself"),
    Source("command: refused", lambda _: {COMMAND: "echo token-of-nobody"}, 1, 2, "is refused (401) by"),
)


@pytest.fixture(scope="module")
def environments(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The clients' virtual environments by requirement."""
    return clients.environments(ASKING, wheel("linux-x64"), tmp_path_factory.mktemp("clients"))


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


@pytest.mark.parametrize("client", ASKING, ids=lambda client: client.name)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_client_gets_its_token(
    client: Client,
    source: Source,
    world: AzureWorld,
    environments: Mapping[str, Path],
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    feed = world.feed("org", "feed")
    file = tmp_path / "token"
    file.write_text(world.token("org"))
    job = clients.job(tmp_path / "job", [feed], world.ca_file, environments[client.requirement], environments["uv"])
    run = clients.run(client, world, tmp_path / "home", job, source.environ(file))
    done = clients.installed(job) == {"package0"} or job.file.name in feed.files
    print(run.output, *run.look_ups, *world.requests, sep="\n")  # pytest shows it if this fails
    # What a look-up sends is for the index without a package; clients name one, or upload.
    ours = sum(request.step == "feed" for request in world.requests)
    record_property(
        conftest.CLIENT_ROW,
        {
            "client": client.name,
            "scenario": source.name,
            "outcome": "done" if done else "failed",
            "code": run.code,
            "look-ups": len(run.look_ups),
            "provider runs": run.provider_runs,
            "requests": len(world.requests),
            "connections": world.connections,
            "seconds": round(run.seconds, 2),
        },
    )
    assert done == (source.said == "") == (run.code == 0)
    asking = len({look_up.process for look_up in run.look_ups if "/_packaging/" in look_up.service})
    assert asking and run.provider_runs == source.runs * asking
    assert ours <= source.requests * asking
    log = job.folder / "log"
    assert "token-" not in run.output + (log.read_text() if log.exists() else "")
    if source.said and client.name != "pip subprocess":  # which throws our stderr away
        assert source.said in " ".join(run.output.split()) and COMMAND in run.output
