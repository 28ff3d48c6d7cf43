"""The code blocks of the pages for people, each run as it stands against a whole Azure DevOps on loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from credprovider import targets
from credprovider.build.reproducible import copy_tree
from credprovider.fetch import sources
from credprovider.lockfile import Pin
from credprovider.verify import installing
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.fakes import interpreters, picture, podman, readme, shell
from tests.fakes.azure import AzureWorld
from tests.fakes.azure.feeds import wheel as make_wheel
from tests.fakes.readme import Block
from tests.fakes.shell import PLAIN, Desk, bash
from tests.integration import test_recipes

pytestmark = [pytest.mark.posix, pytest.mark.provider]

SERVER = "devops.example.com"
BASE = "localhost/readme-base"
# Of this machine, read-only in a container instead of an image from a registry.
SYSTEM = tuple(dict.fromkeys(("/usr", podman.CERTIFICATES, sys.base_prefix)))

# Blocks that no test runs, and why.
ELSEWHERE = {
    "README.md: Build it, test it 0": ".ci/run runs it by the letter, and test_end_to_end.py in a clone",
    "README.md: Build it, test it 1": ".ci/run runs it by the letter; it is what runs this",
    "docs/upgrade.md: From the predecessor 0": "test_end_to_end.py runs both, one after the other",
    "docs/upgrade.md: From the predecessor 1": "test_end_to_end.py",
    "CONTRIBUTING.md: Start 0": "a part of the tests, which run anyway",
}
# The others, and who runs them; those of other pages are run by test_recipes.py.
RUNNERS = {
    "README.md: Install 0": "tools",
    "README.md: Use 0": "test_pip",
    "README.md: Use 1": "test_the_first_page_has_the_commands_of_the_page_of_uv",
    "README.md: Use 2": "signed_in",
    "README.md: When something is wrong 0": "test_doctor_says_that_everything_works",
    "docs/using/pip.md: pip 0": "test_pip",
    "docs/using/pip.md: For good 0": "test_pip",
    "docs/using/pip.md: keyring in another environment 0": "test_pip",
    "docs/using/uv.md: uv 0": "tools",
    "docs/using/uv.md: uv 1": "test_uv_with_a_user_in_the_url",
    "docs/using/uv.md: In a project 0": "test_uv_installs_from_a_lock_file",
    "docs/using/uv.md: In a project 1": "test_uv_installs_from_a_lock_file",
    "docs/using/uv.md: For all your projects 0": "test_uv_with_an_index_for_all_projects",
    "docs/using/uv.md: For all your projects 1": "test_uv_with_an_index_for_all_projects",
    "docs/using/uv.md: Upload 0": "test_uv_publish",
    "docs/using/twine.md: twine 0": "test_twine",
    "docs/using/hatch.md: Publish 0": "test_hatch",
    "docs/using/poetry.md: poetry 0": "tools",
    "docs/using/poetry.md: poetry 1": "test_poetry_and_pdm",
    "docs/using/pdm.md: pdm 0": "tools",
    "docs/using/pdm.md: pdm 1": "test_poetry_and_pdm",
    "docs/ci.md: In CI 0": "test_ci",
    "docs/ci.md: In CI 1": "test_ci_anywhere_else",
    "docs/containers.md: In containers 0": "test_a_container_without_the_token_in_it",
    "docs/containers.md: In containers 1": "test_a_container_without_the_token_in_it",
    "docs/servers.md: Servers of your own, proxies, certificate authorities 0": "test_a_server_of_ones_own",
    "docs/building.md: Building 0": "test_a_build_without_network",
}
BLOCKS = {block.name: block for page in readme.PAGES for block in readme.blocks(page)}


def block(page: str, heading: str, number: int = 0) -> Block:
    """A block of a page by what it stands under."""
    return BLOCKS[f"{page}: {heading} {number}"]


def using(client: str, number: int = 0) -> Block:
    """A block of the page of a client."""
    return block(f"docs/using/{client}.md", client, number)


@dataclass(frozen=True)
class Tools:
    """What a person has installed by the README's own commands: the folders of their programs."""

    main: Path  # pip, twine, uv, hatch, and by `pip install artifacts-keyring` ours
    uv: Path  # keyring, artifacts-keyring
    pipx: Path  # poetry, pdm
    environ: Mapping[str, str]  # under which something can be installed from the real index


@pytest.fixture(scope="module")
def tools(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The installing blocks of the README, run one after the other; our wheel is what the index would have."""
    if targets.resolve({}).target.key != "linux-x64":
        pytest.skip("the README is run where its wheel runs: glibc Linux on x86-64")
    home = tmp_path_factory.mktemp("tools")
    links = " ".join(filter(None, [str(wheel("linux-x64").parent), os.environ.get("PIP_FIND_LINKS", "")]))
    found = Tools(home / "venv" / "bin", home / "uv", home / "pipx" / "bin", {
        **os.environ,
        "PATH": f"{home / 'venv' / 'bin'}:{PLAIN}",
        "HOME": str(home),
        "PIP_FIND_LINKS": links,
        "UV_FIND_LINKS": links.replace(" ", ","),
        "UV_TOOL_DIR": str(home / "uv-tools"),
        "UV_TOOL_BIN_DIR": str(home / "uv"),
        "UV_PYTHON": sys.executable,
        "PIPX_HOME": str(home / "pipx"),
        "PIPX_BIN_DIR": str(home / "pipx" / "bin"),
    })  # fmt: skip
    venv.create(home / "venv", with_pip=True, symlinks=True)
    bash("python -m pip install -q --upgrade pip uv twine hatch pipx", home, found.environ)
    bash(block("README.md", "Install").text, home, found.environ)
    bash(using("uv").text, home, found.environ)
    bash("pipx install -q poetry && pipx install -q 'pdm[locked]'", home, found.environ)
    bash(using("poetry").text, home, found.environ)
    bash(using("pdm").text, home, found.environ)
    return found


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A new world, with a server of the user's own in it."""
    with AzureWorld(hosts=[SERVER]) as made:
        yield made


@pytest.fixture
def desk(world: AzureWorld, tools: Tools, tmp_path: Path) -> Desk:
    """A place where nobody has signed in yet."""
    made = shell.desk(world, tmp_path, tools.main, tools.uv, tools.pipx)
    made.environ["PIP_TARGET"] = str(made.folder / "installed")
    made.environ["POETRY_VIRTUALENVS_IN_PROJECT"] = "true"
    made.environ["PDM_CHECK_UPDATE"] = "false"
    (made.folder / "dist").mkdir()
    name, content = make_wheel("uploaded", "1.0")
    (made.folder / "dist" / name).write_bytes(content)
    return made


@pytest.fixture
def signed_in(desk: Desk) -> Desk:
    """A place where somebody has signed in, by the README's command."""
    assert "logged in to " in desk.run(block("README.md", "Use", 2).text)
    return desk


# Use


def test_a_sign_in_is_what_was_missing(desk: Desk) -> None:
    assert "artifacts-keyring: " not in desk.run(block("README.md", "Use").text, {"PIP_NO_INPUT": "1"}, code=1)
    said = desk.run(block("README.md", "Use").text, {"PIP_NO_INPUT": "1", "PIP_KEYRING_PROVIDER": "import"}, code=1)
    assert "run `python -m artifacts_keyring login https://" in said
    assert "devicelogin" in desk.run(block("README.md", "Use", 2).text)
    assert "devicelogin" not in desk.run(
        block("README.md", "Use", 2).text.replace("python -m artifacts_keyring", "artifacts-keyring")
    )
    desk.run(block("README.md", "Use").text)
    assert desk.installed


def test_doctor_says_that_everything_works(signed_in: Desk) -> None:
    assert signed_in.run(block("README.md", "When something is wrong").text).rstrip().endswith("everything works")


def test_doctor_knows_a_keyring_with_this_backend_wherever_it_is(desk: Desk, tools: Tools) -> None:
    own = desk.run("python -m artifacts_keyring doctor")
    assert f"✓ keyring on PATH: {tools.main}/keyring\n" in own
    tool = desk.run("artifacts-keyring doctor", {"PATH": f"{tools.uv}:{PLAIN}"})
    assert f"✓ keyring on PATH: {tools.uv}/keyring\n" in tool
    other = desk.run(f"{tools.main}/python -m artifacts_keyring doctor", {"PATH": f"{tools.uv}:{PLAIN}"})
    assert f"✓ keyring on PATH: {tools.uv}/keyring, another environment with this backend in it\n" in other
    (desk.folder / "keyring").write_text("#!/bin/sh\necho nothing\n")
    (desk.folder / "keyring").chmod(0o755)
    none = desk.run("artifacts-keyring doctor", {"PATH": f"{desk.folder}:{tools.main}:{PLAIN}"}, code=1)
    assert f"✗ keyring on PATH: {desk.folder}/keyring belongs to another environment, without this backend" in none


@pytest.mark.parametrize("heading", ["pip", "For good", "keyring in another environment"])
def test_pip(signed_in: Desk, heading: str) -> None:
    # The tests' file would be one that pip writes nothing into.
    signed_in.run(block("docs/using/pip.md", heading).text, {"PIP_CONFIG_FILE": str(signed_in.folder / "none.ini")})
    assert signed_in.installed


def test_the_picture_shows_what_is_printed(desk: Desk, tools: Tools, tmp_path: Path) -> None:
    """Where it does not, the new picture lies in the test's folder."""
    install, use = block("README.md", "Install").text, block("README.md", "Use").text
    again = bash(install.replace("install", "install --force-reinstall --no-deps"), desk.folder, tools.environ)
    said = desk.run(use, {"ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "false"}).splitlines()
    first = next(number for number, line in enumerate(said) if line.startswith("[Minimal]"))
    shown = [line.split("] [CredentialProvider]")[-1] for line in said[first:] if not line.startswith("[Information]")]
    lines = [f"$ {install.strip()}", again.splitlines()[-1], "", f"$ {use.strip()}", *shown]
    made = tmp_path / "terminal.svg"
    made.write_text(picture.draw(lines))
    committed = (ROOT / "docs" / "images" / "terminal.svg").read_text()
    assert "http" not in committed.partition("<defs>")[0].replace("http://www.w3.org", "") and "@font" not in committed
    assert picture.words(committed) == picture.words(made.read_text()), f"the picture is another now: {made}"


def test_pip_asks_for_a_user_where_keyring_has_nothing(desk: Desk) -> None:
    said = desk.run(block("README.md", "Use").text, code=2)
    assert "User for pkgs.dev.azure.com:" in said


def test_the_first_page_has_the_commands_of_the_page_of_uv() -> None:
    assert block("README.md", "Use", 1).text == using("uv").text + using("uv", 1).text


def test_uv_with_a_user_in_the_url(signed_in: Desk) -> None:
    signed_in.run(f"uv venv -q --python {sys.executable}\n" + using("uv", 1).text)
    assert signed_in.installed


def test_uv_is_told_the_command_that_it_has(desk: Desk, tools: Tools) -> None:
    """No `python` on PATH belongs to the environment of `uv tool install`."""
    given = {"PATH": f"{tools.uv}:{tools.main}:{PLAIN}"}
    said = desk.run(f"uv venv -q --python {sys.executable}\n" + using("uv", 1).text, given, code=1)
    command = re.search(r"run `(artifacts-keyring login https://\S+)` once", said)
    assert command
    alone = {"PATH": f"{tools.uv}:{PLAIN}", "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "false"}
    assert "logged in to " in desk.run(command[1], alone)
    desk.run(using("uv", 1).text, given)
    assert desk.installed


def test_uv_with_an_index_for_all_projects(signed_in: Desk) -> None:
    config = Path(signed_in.environ["HOME"]) / ".config" / "uv" / "uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(block("docs/using/uv.md", "For all your projects").text)
    install = block("docs/using/uv.md", "For all your projects", 1).text
    signed_in.run(f"uv venv -q --python {sys.executable}\n" + install)
    assert signed_in.installed


def test_uv_publish(signed_in: Desk) -> None:
    signed_in.run(block("docs/using/uv.md", "Upload").text)
    assert "uploaded-1.0-py3-none-any.whl" in signed_in.feed.files


PROJECT = """[project]
name = "shop"
version = "1"
requires-python = ">=3.9"
"""


def test_uv_installs_from_a_lock_file(signed_in: Desk) -> None:
    project, python = signed_in.folder / "pyproject.toml", {"UV_PYTHON": sys.executable}
    project.write_text(f"{PROJECT}\n{block('docs/using/uv.md', 'In a project').text}")
    signed_in.run(block("docs/using/uv.md", "In a project", 1).text, python)
    assert signed_in.installed and "VssSessionToken" not in (signed_in.folder / "uv.lock").read_text()
    sync = "uv sync --frozen --reinstall"
    text = project.read_text()
    project.write_text(text.replace("VssSessionToken@", ""))
    signed_in.run(sync, {**python, "UV_INDEX_FEED_USERNAME": "VssSessionToken"})
    project.write_text(text.replace("VssSessionToken@", "").replace("url =", 'authenticate = "always"\nurl ='))
    assert "401 Unauthorized" in signed_in.run(sync, python, code=2)  # a limit that docs/using/uv.md names


def test_twine(signed_in: Desk) -> None:
    signed_in.run(using("twine").text, {"TWINE_NON_INTERACTIVE": "1"})
    assert "uploaded-1.0-py3-none-any.whl" in signed_in.feed.files


def test_hatch(signed_in: Desk) -> None:
    """No proxy variable reaches it, so that it gets the feed under another host."""
    host = f"127.0.0.1:{signed_in.world.server.server_port}"
    feed = signed_in.world.feed("ORG", "FEED", host=host)
    script = block("docs/using/hatch.md", "Publish").text.replace("pkgs.dev.azure.com", host)
    trust = {"HATCH_INDEX_CA_CERT": str(signed_in.world.ca_file), "HATCH_INTERACTIVE": "0"}
    signed_in.run(script, {"ARTIFACTS_KEYRING_HOSTS": host, **trust})
    assert "uploaded-1.0-py3-none-any.whl" in feed.files


@pytest.mark.parametrize(("client", "base"), [
    ("poetry", "[tool.poetry]\npackage-mode = false\n"),
    ("pdm", "[tool.pdm]\ndistribution = false\n"),
])  # fmt: skip
def test_poetry_and_pdm(signed_in: Desk, client: str, base: str) -> None:
    config, command = using(client, 1), f"{client} install"
    assert f"for {command}" in config.text.splitlines()[0]
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    head = f'[project]\nname = "shop"\nversion = "1"\nrequires-python = "=={this}.*"\ndependencies = ["PACKAGE"]\n'
    (signed_in.folder / "pyproject.toml").write_text(head + base + config.text)
    signed_in.run(command)
    assert signed_in.installed


def test_the_oldest_clients_of_the_readme(desk: Desk, wheel: Callable[[str], Path]) -> None:
    text = readme.read("docs/using/pip.md")
    floors = re.search(r"it: pip ([\d.]+), twine ([\d.]+) or newer\.", text)
    assert floors and "for Python 3.9 or newer" in readme.read("README.md")
    python = interpreters.need("3.9")  # these clients run on no newer one
    # What they lean on has long dropped what they call there.
    old = (f"pip=={floors[1]}", f"twine=={floors[2]}", "urllib3<2", "setuptools<70", wheel("linux-x64"))
    installing.environment(python, desk.folder / "old", *old)
    token = {"ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES": "https://pkgs.dev.azure.com/ORG/"}
    token["ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN"] = desk.world.token("ORG")
    token["PATH"] = f"{desk.folder / 'old' / 'bin'}:{PLAIN}"
    desk.run(block("README.md", "Use").text, {**token, "PIP_NO_CACHE_DIR": "0"})
    desk.run(using("twine").text, token)
    assert desk.installed and "uploaded-1.0-py3-none-any.whl" in desk.feed.files


# CI and servers


def test_ci(desk: Desk) -> None:
    (step,) = YAML(typ="safe", pure=True).load(block("docs/ci.md", "In CI").text)
    env = {name: value.replace("$(System.AccessToken)", desk.world.token("ORG")) for name, value in step["env"].items()}
    given = {"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/ORG/"}  # by the agent
    desk.run(step["script"], {**given, **env})
    assert desk.installed and desk.provider_runs == 0


def test_ci_with_the_pip_of_debian_12(desk: Desk, tools: Tools, wheel: Callable[[str], Path]) -> None:
    """It asks no keyring without a person, and is silent about that: doctor has to know."""
    venv.create(desk.folder / "old", with_pip=True, symlinks=True)
    programs = desk.folder / "old" / "bin"
    bash(f"{programs}/python -m pip install -q pip==23.0.1", desk.folder, tools.environ)
    bash(f"{programs}/python -m pip install -q {wheel('linux-x64')}", desk.folder, tools.environ)
    (step,) = YAML(typ="safe", pure=True).load(block("docs/ci.md", "In CI").text)
    env = {name: value.replace("$(System.AccessToken)", desk.world.token("ORG")) for name, value in step["env"].items()}
    given = {
        "TF_BUILD": "True",
        "SYSTEM_COLLECTIONURI": "https://dev.azure.com/ORG/",
        "PATH": f"{programs}:{PLAIN}",
        **env,
    }
    desk.run(step["script"], given, code=1)
    said = desk.run("python -m artifacts_keyring doctor", given, code=1)
    assert "upgrade pip to 23.1 or newer" in said.splitlines()[-1]


def test_ci_anywhere_else(desk: Desk) -> None:
    desk.run(block("docs/ci.md", "In CI", 1).text.replace("TOKEN", desk.world.token("ORG")), {"CI": "true"})
    assert desk.installed and desk.provider_runs == 0


def test_a_server_of_ones_own(desk: Desk) -> None:
    desk.world.feed("tfs", "FEED", project="COLLECTION", host=SERVER).add("PACKAGE")
    desk.run(
        block("docs/servers.md", "Servers of your own, proxies, certificate authorities").text.replace(
            "TOKEN", desk.world.token("tfs")
        )
    )
    assert desk.installed and desk.provider_runs == 0


# A build without network


def test_a_build_without_network(archive: Callable[[str], sources.Archive], lock: Pin, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    key = targets.resolve({}).target.key
    clone = copy_tree(ROOT, tmp_path / "clone")
    (clone / "DIR").mkdir()
    shutil.copyfile(archive(key).path, clone / "DIR" / (lock.targets[key].index_file or lock.targets[key].asset).name)
    environ = {"PATH": f"{Path(sys.executable).parent}:{PLAIN}", "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
    offline = block("docs/building.md", "Building").text
    script = f"unshare -rn bash -euc {offline!r}".replace("\\n", "'$'\\n''")
    bash(script, clone, environ)
    assert [path.name for path in (clone / "dist").iterdir()]


# Containers


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables that make podman use BASE: an empty image in which SYSTEM, mounted, is the system."""
    if lacking := podman.missing():
        pytest.skip(f"a container needs {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("podman")
    for name in ("etc", "tmp", "proc", "dev", "sys", *(path.strip("/") for path in SYSTEM)):
        (folder / "root" / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (folder / "root" / link).symlink_to(f"usr/{link}")
    make = f"tar -C root -c . | podman import -q - {BASE}"
    with podman.store(folder) as variables:
        bash(make, folder, {**os.environ, **variables})
        yield variables


def test_a_container_without_the_token_in_it(
    containers: dict[str, str], desk: Desk, wheel: Callable[[str], Path], tmp_path: Path
) -> None:
    token = desk.world.token("ORG")
    text = block("docs/containers.md", "In containers", 0).text
    assert text.count("FROM python:3.13-slim") == 2
    given = f"ENV PIP_CERT={podman.BUNDLE} PIP_FIND_LINKS=/wheels PATH=/python/bin:$PATH"
    # The oldest pip that knows the provider which the block names; a virtual environment may have an older one.
    python = f"RUN {sys.base_prefix}/bin/python3 -m venv /python && python3 -m pip install -q 'pip>=23.1'"
    text = text.replace("FROM python:3.13-slim AS build", f"FROM {BASE} AS build\n{given}\n{python}")
    text = text.replace("FROM python:3.13-slim", f"FROM {BASE}")
    reach = f"HTTPS_PROXY={desk.environ['HTTPS_PROXY']} PIP_CERT=/world/ca.pem PIP_CONFIG_FILE=/dev/null \\\n    "
    text = text.replace("PIP_NO_INPUT=1", f"{reach}PIP_NO_INPUT=1")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(text)
    (context / "token.txt").write_text(token + "\n")
    command = block("docs/containers.md", "In containers", 1).text
    assert command.startswith("docker build ")
    system = " ".join(f"-v {path}:{path}:ro" for path in SYSTEM)
    mounts = f"{system} -v {desk.world.ca_file.parent}:/world:ro -v {wheel('linux-x64').parent}:/wheels:ro"
    environ = {**os.environ, **containers}
    bash(command.replace("docker build", f"podman build -t localhost/shop {mounts}"), context, environ)
    code = "import package; print(package.VERSION)"
    run = f"podman run --rm {system} localhost/shop {sys.base_prefix}/bin/python3 -c '{code}'"
    assert bash(run, context, environ).strip() == "1.0"
    bash(
        "podman save -q -o shop.tar localhost/shop && podman history --no-trunc localhost/shop > shop.txt",
        context,
        environ,
    )
    assert token.encode() not in (context / "shop.tar").read_bytes() + (context / "shop.txt").read_bytes()


# All of them


def test_every_block_has_who_runs_it_or_why_none_does() -> None:
    assert sorted(BLOCKS) == sorted([*ELSEWHERE, *RUNNERS, *test_recipes.RUNNERS])
    assert all(callable(globals()[name]) for name in RUNNERS.values())
