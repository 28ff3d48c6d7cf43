"""The recipes of docs/: their blocks, run as they stand with real clients against a whole Azure DevOps on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import pytest
from credprovider.verify import installing
from ruamel.yaml import YAML

from tests.conftest import NATIVE
from tests.fakes import clients, readme, shell
from tests.fakes.azure import AzureWorld
from tests.fakes.azure.feeds import wheel as make_wheel
from tests.fakes.declared_environ import PREFIX, TOKEN, entry, listing
from tests.fakes.shell import Desk

pytestmark = [pytest.mark.posix, pytest.mark.provider]

TOKENS, USING = "docs/tokens.md", "docs/using"
ENVIRONMENTS = f"{USING}/environments.md"
RUNNERS = {
    f"{ENVIRONMENTS}: Tools that make environments 0": "run",
    f"{USING}/tox.md: tox 0": "test_tox",
    f"{USING}/nox.md: nox 0": "test_nox",
    f"{USING}/build.md: build 0": "test_build",
    f"{USING}/hatch.md: Environments 0": "test_hatch",
    f"{USING}/hatch.md: Environments 1": "test_hatch",
    f"{USING}/pipenv.md: pipenv 0": "test_pipenv",
    f"{USING}/pipenv.md: pipenv 1": "test_pipenv",
    f"{ENVIRONMENTS}: With uv 0": "test_with_uv",
    f"{TOKENS}: Azure CLI 0": "test_a_command_that_prints_a_token",
    f"{TOKENS}: GitHub Actions 0": "test_a_workflow_of_github",
    f"{TOKENS}: GitHub Actions 1": "test_a_secret_of_github",
    f"{TOKENS}: Codespaces 0": "test_a_command_that_prints_a_token",
    f"{TOKENS}: Secret file 0": "test_a_secret_file",
    f"{TOKENS}: Password manager 0": "test_a_command_that_prints_a_token",
    f"{TOKENS}: Password manager 1": "test_a_command_that_prints_a_token",
    f"{TOKENS}: Password manager 2": "test_a_command_that_prints_a_token",
    f"{TOKENS}: Azure Pipelines with NuGetAuthenticate 0": "test_azure_pipelines",
    f"{TOKENS}: Azure Pipelines with the job's own token 0": "test_azure_pipelines",
}
BLOCKS = {block.name: block.text for page in readme.PAGES for block in readme.blocks(page)}
PROJECT = """[project]
name = "shop"
version = "1"
"""
# Built by what the feed has, and by nothing else.
BUILT = """
[build-system]
requires = ["PACKAGE"]
build-backend = "backend"
backend-path = ["."]
"""
SDIST = """
import tarfile

def build_sdist(sdist_directory, config_settings=None):
    with tarfile.open(f"{sdist_directory}/shop-1.tar.gz", "w:gz") as archive:
        for name in ("pyproject.toml", "backend.py", "PKG-INFO"):
            archive.add(name, f"shop-1/{name}")
    return "shop-1.tar.gz"
"""


@pytest.fixture(scope="module")
def programs(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the clients, keyring and ours."""
    into = tmp_path_factory.mktemp("recipes") / "venv"
    wanted = ("pip", "uv", "tox", "nox", "build", "hatch", "pipenv")
    return installing.environment(sys.executable, into, *wanted, wheel(NATIVE)).parent


@pytest.fixture
def nowhere(programs: Path, tmp_path: Path) -> Iterator[Desk]:
    """A place where no token is to be had."""
    with AzureWorld() as world:
        made = shell.desk(world, tmp_path, programs)
        # One copy of the pip that new environments get, for all of them; nothing else is shared.
        made.environ["VIRTUALENV_OVERRIDE_APP_DATA"] = str(programs.parent / "app-data")
        made.environ["VIRTUALENV_SYMLINK_APP_DATA"] = "1"
        yield made


@pytest.fixture
def desk(nowhere: Desk) -> Desk:
    """A place where a token is declared."""
    nowhere.environ[PREFIX] = "https://pkgs.dev.azure.com/ORG/"
    nowhere.environ[TOKEN] = nowhere.world.token("ORG")
    return nowhere


def run(desk: Desk, script: str) -> str:
    """What bash says to the block with the variables, and then to `script`."""
    return desk.run(f"{BLOCKS[f'{ENVIRONMENTS}: Tools that make environments 0']}\n{script}")


def write(desk: Desk, name: str, heading: str = "", before: str = "") -> None:
    """Make a block the file that its first line names, with `before` above it."""
    text = BLOCKS[f"{USING}/{name}.md: {heading or name} 0"]
    file = text.split()[1]
    assert text.startswith(f"# {file}\n")
    (desk.folder / file).write_text(before + text)


def project(desk: Desk) -> None:
    """A project that nothing can build without the feed."""
    name, content = make_wheel("shop", "1")
    (desk.folder / name).write_bytes(content)
    backend = clients.BACKEND.format(imports="import package", file=desk.folder / name) + SDIST
    (desk.folder / "backend.py").write_text(backend)
    (desk.folder / "pyproject.toml").write_text(PROJECT + BUILT)
    (desk.folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")


def test_tox(desk: Desk) -> None:
    project(desk)
    write(desk, "tox")
    run(desk, "tox")
    assert len(list((desk.folder / ".tox").rglob("package.py"))) == 2  # where it is built, and where it is tested


def test_nox(nowhere: Desk, payload_tree: Callable[[str], Path]) -> None:
    nowhere.world.login(nowhere.feed, payload_tree(NATIVE), nowhere.folder.parent / "home")
    write(nowhere, "nox")
    run(nowhere, "nox")
    assert nowhere.installed and nowhere.provider_runs


def test_build(desk: Desk) -> None:
    project(desk)
    run(desk, BLOCKS[f"{USING}/build.md: build 0"])
    assert sorted(path.suffix for path in (desk.folder / "dist").iterdir()) == [".gz", ".whl"]


def test_hatch(desk: Desk) -> None:
    write(desk, "hatch", "Environments", before=PROJECT)
    run(desk, BLOCKS[f"{USING}/hatch.md: Environments 1"])


def test_pipenv(desk: Desk) -> None:
    write(desk, "pipenv")
    run(desk, BLOCKS[f"{USING}/pipenv.md: pipenv 1"])
    assert (desk.folder / "Pipfile.lock").is_file()


def test_with_uv(desk: Desk) -> None:
    project(desk)
    write(desk, "nox")
    of_pip = " ".join(name for name in desk.environ if name.startswith("PIP_"))
    with_uv = f"{BLOCKS[f'{ENVIRONMENTS}: With uv 0']}\nunset {of_pip}\n"
    desk.run(with_uv + "python -m build --wheel --installer uv")
    desk.run(with_uv + "nox --default-venv-backend uv")
    write(desk, "hatch", "Environments", before=PROJECT)
    environment = desk.folder / "pyproject.toml"
    environment.write_text(environment.read_text() + 'installer = "uv"\n')
    desk.run(with_uv + BLOCKS[f"{USING}/hatch.md: Environments 1"])
    asked = [request.status for request in desk.world.requests if request.step == "page"]
    assert asked.count(200) == 3, asked


# Where a token comes from

ACTIONS = {"CI": "true", "GITHUB_ACTIONS": "true"}
NUGET, OWN = "Azure Pipelines with NuGetAuthenticate", "Azure Pipelines with the job's own token"
AZ = "az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798 --query accessToken --output tsv"
INSTALL = "python -m pip install --index-url https://pkgs.dev.azure.com/ORG/_packaging/FEED/pypi/simple/ PACKAGE"
PIP = {"PIP_NO_INPUT": "1", "PIP_KEYRING_PROVIDER": "import"}
MACRO = "$(System.AccessToken)"
# What the task makes of the organisation, whichever way the pipeline knows it.
SPELLINGS = "https://pkgs.dev.azure.com/ORG/;https://ORG.pkgs.visualstudio.com/"


def stand_in(desk: Desk, command: str) -> str:
    """Put a program on PATH, or where `command` says, that prints a token for that command line only; the token."""
    name, *arguments = command.split()
    token = desk.world.token("ORG")
    path = Path(name.replace("~", desk.environ["HOME"])) if "/" in name else desk.folder.parent / "programs" / name
    path.parent.mkdir(exist_ok=True)
    asked = f'[ "$#" = {len(arguments)} ] && [ "$*" = "{" ".join(arguments)}" ]'
    path.write_text(f'#!/bin/sh\n{asked} || {{ echo asked: "$@" >&2; exit 64; }}\necho {token}\n')
    path.chmod(0o755)
    desk.environ["PATH"] = f"{desk.folder.parent / 'programs'}:{desk.environ['PATH']}"
    return token


def install(desk: Desk, script: str, environ: Mapping[str, str] = PIP) -> None:
    """What a person or a pipeline runs there, outside of any environment."""
    desk.run(script, {"PIP_TARGET": str(desk.folder / "installed"), **environ})


def got(desk: Desk) -> set[str]:
    """The tokens with which the package came from the feed, without anybody's sign-in."""
    assert desk.installed and "devicecode" not in desk.world.steps
    return {request.basic[1] for request in desk.world.requests if (request.step, request.status) == ("page", 200)}


@pytest.mark.parametrize(("recipe", "command"), [
    ("Azure CLI 0", AZ),
    ("Codespaces 0", "~/ado-auth-helper get-access-token"),
    ("Password manager 0", "pass show azure/artifacts"),
    ("Password manager 1", "op read op://Private/azure-artifacts/password"),
    ("Password manager 2", "pass show azure/org"),
])  # fmt: skip
def test_a_command_that_prints_a_token(nowhere: Desk, recipe: str, command: str) -> None:
    token = stand_in(nowhere, command)
    install(nowhere, BLOCKS[f"{TOKENS}: {recipe}"] + INSTALL)
    assert got(nowhere) == {token}


def test_a_secret_file(nowhere: Desk, tmp_path: Path) -> None:
    token = nowhere.world.token("ORG")
    (tmp_path / "azure_artifacts").write_text(f"{token}\n")
    install(nowhere, BLOCKS[f"{TOKENS}: Secret file 0"].replace("/run/secrets", str(tmp_path)) + INSTALL)
    assert got(nowhere) == {token}


def steps(recipe: str, number: int = 0) -> Any:
    """What the block's YAML says."""
    return YAML(typ="safe", pure=True).load(BLOCKS[f"{TOKENS}: {recipe} {number}"])


def test_a_workflow_of_github(nowhere: Desk) -> None:
    token = stand_in(nowhere, AZ)
    workflow = steps("GitHub Actions")
    assert workflow["permissions"]["id-token"] == "write" and "secrets." not in str(workflow)
    login, step = workflow["steps"]
    assert login["uses"] == "azure/login@v2"
    install(nowhere, step["run"], {**step["env"], **ACTIONS})
    assert got(nowhere) == {token}


def test_a_secret_of_github(nowhere: Desk) -> None:
    token = nowhere.world.token("ORG")
    (step,) = steps("GitHub Actions", 1)
    environ = {
        name: value.replace("${{ secrets.AZURE_ARTIFACTS_TOKEN }}", token) for name, value in step["env"].items()
    }
    install(nowhere, step["run"], {**environ, **ACTIONS})
    assert got(nowhere) == {token} and nowhere.provider_runs == 0


@pytest.mark.parametrize(("recipe", "given"), [
    (NUGET, {"VSS_NUGET_URI_PREFIXES": SPELLINGS, "VSS_NUGET_ACCESSTOKEN": MACRO}),
    (NUGET, {"VSS_NUGET_EXTERNAL_FEED_ENDPOINTS": listing(
        entry("https://pkgs.dev.azure.com/ORG/_packaging/FEED/nuget/v3/index.json", "", MACRO)
    )}),
    (OWN, {"SYSTEM_COLLECTIONURI": "https://dev.azure.com/ORG/"}),
    (OWN, {"SYSTEM_COLLECTIONURI": "https://ORG.visualstudio.com/"}),
], ids=["NuGetAuthenticate", "its service connection", "own token", "own token, old host"])  # fmt: skip
def test_azure_pipelines(nowhere: Desk, recipe: str, given: dict[str, str]) -> None:
    """`given` is what the agent and the task put into the environment of a step."""
    token = nowhere.world.token("ORG")
    step = steps(recipe)[-1]
    environ = {name: value.replace(MACRO, token) for name, value in {**given, **step["env"]}.items()}
    install(nowhere, step["script"], {**environ, "TF_BUILD": "True"})
    assert got(nowhere) == {token} and nowhere.provider_runs == 0


def test_who_runs_a_block_is_here() -> None:
    assert set(RUNNERS) <= set(BLOCKS)
    assert all(callable(globals()[name]) for name in RUNNERS.values())
