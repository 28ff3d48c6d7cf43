"""The lowest version of each dependency that may be installed, on the oldest and the newest Python (kind P)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest
from credprovider.verify import installing

from tests.conftest import ROOT
from tests.fakes import interpreters
from tests.fakes.azure import AzureWorld

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.posix, pytest.mark.provider]

DECLARED = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"


@pytest.fixture(params=["3.9", interpreters.NEWEST])
def lowest(request: pytest.FixtureRequest, wheel: Callable[[str], Path], tmp_path: Path) -> Path:
    """The programs of an environment with the wheel and the lowest dependencies that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = ["--resolution", "lowest-direct", *project["dependencies"], wheel("linux-x64")]
    return installing.environment(interpreters.need(request.param), tmp_path / "venv", *bounds).parent


def test_the_lowest_dependencies_answer(lowest: Path, tmp_path: Path) -> None:
    with AzureWorld() as world:
        url = world.feed("org", "feed").url
        entry = {"endpoint": url, "username": "me", "password": world.token("org")}
        environ = {**world.environ(tmp_path / "home"), DECLARED: json.dumps({"endpointCredentials": [entry]})}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [str(lowest / words[0]), *words[1:]]
            return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)

        listed = run("keyring", "--list-backends")
        assert "artifacts_keyring" in listed.stdout, listed.stderr
        done = run("keyring", "get", url, "me")
        assert (done.stdout, done.stderr) == (f"{entry['password']}\n", "")
        doctor = run("artifacts-keyring", "doctor", url, "--json")
        checks = json.loads(doctor.stdout)
        assert "Traceback" not in doctor.stderr and world.requests, checks
        assert [check["ok"] for check in checks if check["name"] == "look-up"] == [True], checks
