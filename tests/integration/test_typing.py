"""The public API as type checkers see it: a user's script against the installed wheel, mypy and pyright."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import artifacts_keyring

pytestmark = pytest.mark.posix

BIN = Path(sys.executable).parent

SCRIPT = '''
"""What somebody writes who uses the package from Python."""

from __future__ import annotations

from typing import Optional

import artifacts_keyring
from artifacts_keyring import ArtifactsKeyringBackend, CredentialProvider

URL = "https://pkgs.dev.azure.com/ORG/_packaging/FEED/pypi/simple/"


def credential() -> Optional[tuple[str, str]]:
    found = ArtifactsKeyringBackend().get_credential(URL, None)
    return None if found is None else (found.username, found.password)


def password(backend: ArtifactsKeyringBackend, user: str) -> Optional[str]:
    return backend.get_password(URL, user)


def pair() -> tuple[Optional[str], Optional[str]]:
    return CredentialProvider().get_credentials(URL)


version: str = artifacts_keyring.__version__
'''

# One wrong line each; the checkers must see it, or they saw nothing of the package at all.
MISTAKES = {
    "credential = artifacts_keyring.CredentialProvider().get_credentials(1)": '"get_credentials"',
    "answer: int = artifacts_keyring.CredentialProvider().get_credentials('')": "tuple[str | None, str | None]",
    "number: int = artifacts_keyring.__version__": '"str"',
}


class Installed(NamedTuple):
    """A virtual environment with the wheel, and a folder beside it for scripts."""

    python: Path
    folder: Path


@pytest.fixture(scope="module")
def installed(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel that every interpreter takes, installed with what it requires."""
    folder = tmp_path_factory.mktemp("typing")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    venv.create(folder / "venv", with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(wheel("any"))]
    subprocess.run(pip, check=True, cwd=folder)
    return Installed(python, folder)


def run(installed: Installed, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a checker outside the tree, where only the installed package can be found."""
    environ = {**os.environ, "PATH": f"{installed.python.parent}{os.pathsep}{os.environ['PATH']}"}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=installed.folder, env=environ, capture_output=True, text=True, check=False)


def mypy(installed: Installed, script: Path) -> subprocess.CompletedProcess[str]:
    return run(installed, sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.python, script)


def pyright(installed: Installed, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # pyright itself asks a registry for its program at every first start; this build of it brings it along.
    (installed.folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return run(installed, BIN / "basedpyright", "--pythonpath", installed.python, *options, script)


@pytest.fixture
def script(installed: Installed) -> Path:
    path = installed.folder / "script.py"
    path.write_text(SCRIPT)
    return path


def test_a_users_script_is_clean_under_mypy(installed: Installed, script: Path) -> None:
    done = mypy(installed, script)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["3.9", "3.15"])
def test_a_users_script_is_clean_under_pyright(installed: Installed, script: Path, version: str) -> None:
    done = pyright(installed, script, "--pythonversion", version)
    assert "0 errors, 0 warnings" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_seen(
    installed: Installed, script: Path, check: Callable[[Installed, Path], subprocess.CompletedProcess[str]], line: str
) -> None:
    script.write_text(f"import artifacts_keyring\n{line}\n")
    done = check(installed, script)
    assert done.returncode == 1 and MISTAKES[line] in done.stdout, done.stdout + done.stderr


def test_everything_has_a_type_and_a_docstring(installed: Installed) -> None:
    done = run(
        installed, BIN / "basedpyright", "--verifytypes", "artifacts_keyring", "--ignoreexternal", "--outputjson"
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    assert found["packageName"] == "artifacts_keyring" and found["exportedSymbolCounts"]["withKnownType"] > 100
    assert found["exportedSymbolCounts"]["withUnknownType"] == 0
    assert found["missingFunctionDocStringCount"] == found["missingClassDocStringCount"] == 0


def test_all_is_what_can_be_imported() -> None:
    assert artifacts_keyring.__all__ == ["ArtifactsKeyringBackend", "CredentialProvider", "__version__"]
    names: dict[str, object] = {}
    exec("from artifacts_keyring import *", names)  # noqa: S102 - nothing else shows what a star takes
    assert set(artifacts_keyring.__all__) <= set(names)
    assert all(getattr(artifacts_keyring, name).__doc__ for name in artifacts_keyring.__all__)
