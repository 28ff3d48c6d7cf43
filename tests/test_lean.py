"""Old and lean systems: the installed wheel in minimal Debians without libicu, as nobody in particular."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple

import pytest
from credprovider.emulation import debian_mirror

from tests import interpreters
from tests.azure import AzureWorld
from tests.conftest import ROOT

FEED = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
DECLARED = json.dumps({"endpointCredentials": [{"endpoint": FEED, "username": "someone", "password": "declared"}]})
ASK = f"import artifacts_keyring as a; print(a.CredentialProvider().get_credentials({FEED!r}))"
# A path that is neither ASCII nor free of spaces.
PLACE = "opt/Mein Gerät"
NOBODY = "65534:65534"


class System(NamedTuple):
    """A minimal Debian: its folder and the version of its Python."""

    root: Path
    python: str


@pytest.fixture(scope="module", params=[("bullseye", "3.9"), ("bookworm", "3.11")], ids=["debian-11", "debian-12"])
def system(
    request: pytest.FixtureRequest, wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> System:
    lacking = [tool for tool in ("mmdebstrap", "unshare", "chroot") if shutil.which(tool) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"a minimal chroot needs {', '.join(lacking) or 'root'}")
    suite, python = request.param
    root = tmp_path_factory.mktemp("lean") / suite
    command = ["mmdebstrap", "-q", "--variant=essential", "--include=python3,libstdc++6,libssl3"]
    if suite == "bullseye":
        command[-1] = command[-1].replace("libssl3", "libssl1.1")
    subprocess.run([*command, suite, str(root), *debian_mirror()], check=True, capture_output=True)
    root.chmod(0o755)
    # Requirements depend on the Python that asks for them: this system's, not the one that runs the tests.
    interpreter = interpreters.find(python)
    if interpreter is None:
        pytest.skip(f"no Python {python} on this machine to install for {suite}")
    pip = [interpreter, "-m", "pip", "install", "-q", "--target", str(root / PLACE), str(wheel("linux-x64"))]
    subprocess.run(pip, check=True, cwd=ROOT)
    return System(root, python)


def inside(
    system: System, command: list[str], *, user: str = "0:0", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `command` in the chroot with just `environ`, /proc, an own /tmp, and the package read-only."""
    script = (
        'set -e; cd "$1"; mount -t proc proc proc; mount -t tmpfs -o mode=1777 tmpfs tmp; mount --bind "$2" "$2"; '
        'mount -o remount,bind,ro "$2"; user=$3; shift 3; exec chroot --userspec="$user" . "$@"'
    )
    own = {"PYTHONPATH": f"/{PLACE}", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ}
    words = [f"{name}={value}" for name, value in own.items()]
    wrapped = ["unshare", "-m", "sh", "-c", script, "sh", str(system.root), PLACE, user, "env", "-i", *words, *command]
    return subprocess.run(wrapped, capture_output=True, text=True, timeout=120, check=False)


def test_there_is_no_libicu(system: System) -> None:
    assert not list(system.root.rglob("libicuuc*"))
    done = inside(system, ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    assert done.stdout.strip() == system.python, done.stderr


@pytest.mark.parametrize("home", ["/tmp", "/nowhere", None], ids=["home", "no such home", "HOME unset"])
@pytest.mark.parametrize("user", ["0:0", NOBODY], ids=["root", "unprivileged"])
def test_the_real_provider_answers(system: System, user: str, home: str | None) -> None:
    environ = {"ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": DECLARED, **({"HOME": home} if home else {})}
    done = inside(system, ["python3", "-c", ASK], user=user, **environ)
    if home is None and user == NOBODY:
        # .NET then takes the home of the passwd entry, and nobody's does not exist: one line says so.
        (line,) = done.stderr.splitlines()
        assert "HOME=/nonexistent is not a folder that you may write to" in line
        return
    assert done.stdout == "('someone', 'declared')\n", done.stdout + done.stderr


def test_keyring_answers_with_the_declared_credential(system: System) -> None:
    environ = {"ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": DECLARED, "HOME": "/nowhere"}
    done = inside(system, ["python3", "-m", "keyring", "get", FEED, "anybody"], user=NOBODY, **environ)
    assert done.stdout == "declared\n", done.stdout + done.stderr


def test_no_argument_list_holds_a_secret(tmp_path: Path, payload_tree: Callable[[str], Path]) -> None:
    if shutil.which("strace") is None:
        pytest.skip("argument lists are watched with strace, which is missing")
    trace = tmp_path / "trace"
    with AzureWorld() as world:
        feed = world.feed("org", "feed")
        tree, home = payload_tree("linux-x64"), tmp_path / "home"
        _, token = world.login(feed, tree, home)
        environ = {**world.environ(home), "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(tree)}
        url = feed.url.replace("https://", "https://me:hunter2@")
        code = f"import artifacts_keyring as a; print(a.ArtifactsKeyringBackend().get_password({url!r}, 'me'))"
        script = tmp_path / "ask.py"
        script.write_text(code)
        command = ["strace", "-f", "-qq", "-e", "trace=execve", "-s", "100000", "-o", str(trace)]
        environ["PYTHONPATH"] = str(ROOT)
        done = subprocess.run([*command, sys.executable, str(script)], env=environ, capture_output=True, text=True)
    assert done.stdout == f"{token}\n", done.stderr
    executed = trace.read_text()
    assert executed.count("execve(") >= 2 and "CredentialProvider.Microsoft" in executed
    assert token not in executed and "hunter2" not in executed
