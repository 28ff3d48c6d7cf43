"""The project's main job, as its users do it: build with pip, install, ask keyring."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, Optional

import pytest
from credprovider import targets
from credprovider.build.reproducible import copy_tree
from credprovider.lockfile import Pin
from credprovider.payload import tree
from credprovider.verify import installing
from credprovider.verify.dist import BIN

from tests.conftest import NATIVE, ROOT, hatchling_build
from tests.fakes import interpreters, readme
from tests.fakes.azure import AzureWorld, empty_home
from tests.fakes.azure.provider import EXE, at_home

FEED = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
DECLARED = json.dumps({"endpointCredentials": [{"endpoint": FEED, "username": "someone", "password": "declared"}]})
PROVIDER = f"{BIN}CredentialProvider.Microsoft{EXE}"

WHEEL = rf"artifacts_keyring-[^-]+-py3-none-{targets.by_key(NATIVE).tag}\.whl"


def run(*command: object, environ: Optional[Mapping[str, str]] = None, code: int = 0, cwd: Path = ROOT) -> str:
    """What a command printed on stdout; the test fails if it does not exit with `code`."""
    variables = {**os.environ, **(environ or {})}
    done = subprocess.run([str(part) for part in command], env=variables, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(ROOT, tmp_path_factory.mktemp("clone") / "a clone")


@pytest.fixture(scope="module")
def built(clone: Path) -> Path:
    """The wheel that the README's command builds in a clone."""
    command = re.search(r"^python3 -m (pip wheel .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command, "the README has lost its build command"
    run(sys.executable, "-m", *command[1].split(), cwd=clone)
    (path,) = (clone / "dist").iterdir()
    return path


@pytest.fixture(scope="module", params=["3.9", interpreters.NEWEST])
def installed(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with the wheel in it."""
    python = interpreters.need(request.param)
    return installing.environment(python, tmp_path_factory.mktemp(f"venv-{request.param}") / "venv", built).parent


@pytest.mark.provider
def test_the_readme_builds_a_wheel_of_this_platform(built: Path) -> None:
    assert re.fullmatch(WHEEL, built.name)
    assert 30e6 < built.stat().st_size < 40e6


@pytest.mark.provider
def test_keyring_finds_the_backend(installed: Path) -> None:
    assert "artifacts_keyring.backend.ArtifactsKeyringBackend (priority: 9.9)" in run(
        installed / "keyring", "--list-backends"
    )


@pytest.mark.provider
def test_the_installed_provider_is_the_pinned_version(installed: Path, lock: Pin, tmp_path: Path) -> None:
    (provider,) = installed.parent.glob(f"[Ll]ib/**/site-packages/{PROVIDER}")
    # Without TERM its help never ends.
    environ = {**at_home(tmp_path), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "TERM": "dumb"}
    assert f" v{lock.version}+" in run(provider, "-h", environ=environ)


@pytest.mark.provider
def test_a_credential_comes_out_of_the_real_provider(installed: Path, tmp_path: Path) -> None:
    code = f"import artifacts_keyring as a; print(a.CredentialProvider().get_credentials({FEED!r}))"
    environ = {**at_home(tmp_path), "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": DECLARED}
    # Not from the tree: `-c` would import the package that lies there instead of the installed one.
    answer = run(installed / "python", "-c", code, environ=environ, cwd=tmp_path)
    assert answer.strip() == "('someone', 'declared')"


@pytest.mark.provider
def test_a_credential_comes_out_of_keyring(installed: Path, tmp_path: Path) -> None:
    environ = {**at_home(tmp_path), "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": DECLARED}
    assert run(installed / "keyring", "get", FEED, "someone", environ=environ) == "declared\n"
    assert run(installed / "keyring", "--mode", "creds", "get", FEED, environ=environ) == "someone\ndeclared\n"


@pytest.mark.provider
def test_a_sign_in_by_code_with_the_installed_programs(installed: Path, tmp_path: Path) -> None:
    with AzureWorld() as world, empty_home(tmp_path) as home:
        first, second = world.feed("org", "feed"), world.feed("other", "feed")
        environ = world.environ(home)
        assert "logged in to" in run(installed / "artifacts-keyring", "login", first.url, environ=environ)
        token = run(installed / "keyring", "get", first.url, "VssSessionToken", environ=environ)
        assert world.steps.count("devicecode") == 1 and token.startswith("token-org-")
        # One sign-in serves all organisations, until it is removed.
        assert run(installed / "keyring", "get", second.url, "me", environ=environ).startswith("token-other-")
        assert world.steps.count("devicecode") == 1
        assert run(installed / "artifacts-keyring", "logout", environ=environ).count("removed ") == 2
        # And by keyring itself, where a person may be asked.
        asking = {**environ, "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "false"}
        assert run(installed / "keyring", "get", second.url, "me", environ=asking).startswith("token-other-")
        assert world.steps.count("devicecode") == 2


LEGACY = """
import artifacts_keyring, artifacts_keyring.plugin
assert artifacts_keyring.CredentialProvider is artifacts_keyring.plugin.CredentialProvider
assert artifacts_keyring.ArtifactsKeyringBackend().priority > 5
print(*artifacts_keyring.CredentialProvider().get_credentials({url!r}), sep="\\n")
"""


@pytest.mark.posix
@pytest.mark.provider
def test_an_upgrade_from_the_predecessor_keeps_the_sign_in_and_can_be_taken_back(
    wheel: Callable[[str], Path], tmp_path: Path
) -> None:
    there, back = (block.text for block in readme.blocks("docs/upgrade.md"))
    programs = installing.environment(sys.executable, tmp_path / "venv", "pip", back.split()[-1]).parent
    before = run(programs / "python", "-c", "import artifacts_keyring as it; print(it.__version__)", cwd=tmp_path)
    assert before == back.split("==")[1]
    links = " ".join(filter(None, [str(wheel(NATIVE).parent), os.environ.get("PIP_FIND_LINKS", "")]))
    shell = {"PATH": f"{programs}:/usr/bin:/bin", "PIP_FIND_LINKS": links}
    with AzureWorld() as world, empty_home(tmp_path) as home:
        feed = world.feed("org", "feed")
        environ = {**world.environ(home), "REQUESTS_CA_BUNDLE": str(world.ca_file)}

        def ask() -> str:
            return run(programs / "keyring", "get", feed.url, "VssSessionToken", environ=environ)

        token = ask()
        assert world.steps.count("devicecode") == 1 and token.startswith("token-org-")
        run("bash", "-euc", there, environ=shell, cwd=tmp_path)
        assert run(programs / "artifacts-keyring", "--version") != f"artifacts-keyring {before}"
        assert ask() == token
        names = run(programs / "python", "-c", LEGACY.format(url=feed.url), environ=environ, cwd=tmp_path)
        assert names == f"VssSessionToken\n{token}"
        run("bash", "-euc", back, environ=shell, cwd=tmp_path)
        assert ask() == token and world.steps.count("devicecode") == 1


@pytest.mark.slow
def test_another_platforms_wheel_carries_its_tag_and_tree(
    wheel: Callable[[str], Path], lock: Pin, tmp_path: Path
) -> None:
    path = wheel("osx-arm64")
    assert path.name.endswith("-py3-none-macosx_11_0_arm64.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    assert tree.tree_digest(tmp_path / "artifacts_keyring/bin") == lock.targets["osx-arm64"].tree.sha256


@pytest.mark.slow
def test_the_sdist_gives_the_portable_wheel_without_any_source(
    sdist: Path, wheel: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.unpack_archive(sdist, tmp_path, filter="data") if sys.version_info >= (3, 12) else shutil.unpack_archive(
        sdist, tmp_path
    )
    (tree,) = tmp_path.iterdir()
    nowhere = {"ARTIFACTS_CREDENTIAL_PROVIDER_CACHE_DIR": str(tmp_path / "none"), "PIP_NO_INDEX": "1"}
    out = tmp_path / "out"
    again = hatchling_build("wheel", out, nowhere, tree)
    assert again.name.endswith("-py3-none-any.whl")
    assert again.read_bytes() == wheel("any").read_bytes()


@pytest.mark.posix
def test_an_editable_install_stages_the_payload_in_the_tree(clone: Path, lock: Pin, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "-e", clone)
    where = run(python, "-c", "import artifacts_keyring; print(artifacts_keyring.__file__)", cwd=tmp_path).strip()
    staged = Path(where).parent / "bin"
    assert staged == clone / "artifacts_keyring" / "bin"
    key = targets.resolve(os.environ).target.key
    assert tree.tree_digest(staged) == lock.targets[key].tree.sha256


@pytest.mark.posix
def test_a_warm_cache_builds_without_any_network(tmp_path: Path, archive: Callable[[str], object]) -> None:
    archive("linux-x64")
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    command = ["unshare", "-rn", sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    run(*command, "--wheel-dir", tmp_path, ".", environ={targets.RID_VARIABLE: "linux-x64"})
    assert [path.name for path in tmp_path.iterdir()] == [p.name for p in tmp_path.glob("*manylinux_2_23_x86_64.whl")]
