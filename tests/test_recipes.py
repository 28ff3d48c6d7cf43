"""The recipes of docs/: their blocks, run as they stand with real clients against a whole Azure DevOps on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from credprovider import installing

from tests import clients, readme, shell
from tests.azure import AzureWorld
from tests.azure.feeds import wheel as make_wheel
from tests.conftest import NATIVE
from tests.declaring import PREFIX, TOKEN
from tests.shell import Desk

pytestmark = [pytest.mark.posix, pytest.mark.provider]

USING = "docs/using.md"
RUNNERS = {
    f"{USING}: Clients that install elsewhere 0": "run",
    f"{USING}: tox 0": "test_tox",
    f"{USING}: nox 0": "test_nox",
    f"{USING}: build 0": "test_build",
    f"{USING}: build 1": "test_build",
    f"{USING}: hatch 0": "test_hatch",
    f"{USING}: hatch 1": "test_hatch",
    f"{USING}: pipenv 0": "test_pipenv",
    f"{USING}: pipenv 1": "test_pipenv",
}
BLOCKS = {block.name: block.text for block in readme.blocks(USING)}
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
    return desk.run(f"{BLOCKS[f'{USING}: Clients that install elsewhere 0']}\n{script}")


def write(desk: Desk, name: str, number: int = 0, before: str = "") -> None:
    """Make a block the file that its first line names, with `before` above it."""
    text = BLOCKS[f"{USING}: {name} {number}"]
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


@pytest.mark.parametrize("number", [0, 1])
def test_build(desk: Desk, number: int) -> None:
    project(desk)
    run(desk, BLOCKS[f"{USING}: build {number}"])
    assert sorted(path.suffix for path in (desk.folder / "dist").iterdir()) == [".gz", ".whl"]


def test_hatch(desk: Desk) -> None:
    write(desk, "hatch", before=PROJECT)
    run(desk, BLOCKS[f"{USING}: hatch 1"])


def test_pipenv(desk: Desk) -> None:
    write(desk, "pipenv")
    run(desk, BLOCKS[f"{USING}: pipenv 1"])
    assert (desk.folder / "Pipfile.lock").is_file()


def test_every_block_has_who_runs_it() -> None:
    assert sorted(BLOCKS) == sorted(RUNNERS)
    assert all(callable(globals()[name]) for name in RUNNERS.values())
