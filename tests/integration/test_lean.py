"""Old and lean systems: the installed wheel in minimal Debians without libicu, as nobody in particular."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, NamedTuple

import pytest
from credprovider.verify import installing

from tests.conftest import ROOT
from tests.fakes import debian
from tests.fakes.azure import AzureWorld

pytestmark = [pytest.mark.posix, pytest.mark.root]

FEED = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
ASK = f"import artifacts_keyring as a; print(a.CredentialProvider().get_credentials({FEED!r}))"
# A path that is neither ASCII nor free of spaces.
PLACE = "opt/Mein Gerät"
NOBODY = "65534:65534"
HOME = "home/someone"
# Folder -> mount options: the package is nobody's to change.
READ_ONLY: Mapping[str, str] = {PLACE: "ro"}
CA = "srv/ca.pem"
# Moves the wall clock of whatever loads it; a package of the lean system, used by the tests of clocks only.
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


class System(NamedTuple):
    """A minimal Debian: its folder and the version of its Python."""

    root: Path
    python: str


# The oldest, an old one, and what is newest of all: Python, glibc, OpenSSL.
SUITES = {"debian-11": "bullseye", "debian-12": "bookworm", "debian-testing": "testing"}


@pytest.fixture(scope="module", params=list(SUITES.values()), ids=list(SUITES))
def system(
    request: pytest.FixtureRequest, wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> System:
    if lacking := debian.missing():
        pytest.skip(f"a minimal chroot needs {', '.join(lacking)}")
    root = debian.copy(request.param, tmp_path_factory.mktemp("lean") / request.param)
    # Requirements depend on the Python that asks for them: this system's, not the one that runs the tests.
    python = debian.python(request.param)
    installing.folder(python, root / PLACE, wheel("linux-x64"))
    return System(root, Path(python).name.removeprefix("python"))


@pytest.fixture
def world(system: System) -> Iterator[AzureWorld]:
    """A whole Azure DevOps, the only network there is: no look-up below asks a name server, which may be slow."""
    with AzureWorld() as made:
        made.feed("org", "feed")
        shutil.copy(made.ca_file, system.root / CA)
        yield made


@pytest.fixture
def home(system: System) -> Iterator[Path]:
    """An empty home that anybody may write to, in the lean system at /HOME."""
    folder = system.root / HOME
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def inside(
    system: System,
    world: AzureWorld,
    command: list[str],
    environ: Mapping[str, str],
    *,
    user: str = "0:0",
    mounts: Mapping[str, str] = READ_ONLY,
) -> subprocess.CompletedProcess[str]:
    """Run `command` in the chroot with just `environ`, /proc, an own /tmp; `mounts`: folder -> mount options."""
    script = (
        'set -e; cd "$1"; user=$2; shift 2; mount -t proc proc proc; mount -t tmpfs -o mode=1777 tmpfs tmp; '
        'while [ "$1" != -- ]; do mount --bind "$1" "$1"; mount -o "remount,bind,$2" "$1"; shift 2; done; shift; '
        'exec chroot --userspec="$user" . "$@"'
    )
    own = {"PYTHONPATH": f"/{PLACE}", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SSL_CERT_FILE": f"/{CA}"}
    network = {"HTTPS_PROXY": f"http://127.0.0.1:{world.server.server_port}"}
    words = [f"{name}={value}" for name, value in {**own, **network, **environ}.items()]
    folders = [word for mount in mounts.items() for word in mount]
    wrapped = ["unshare", "-m", "sh", "-c", script, "sh", str(system.root), user, *folders, "--", "env", "-i", *words]
    return subprocess.run([*wrapped, *command], capture_output=True, text=True, timeout=120, check=False)


def declared(world: AzureWorld) -> dict[str, str]:
    """The variable that declares a good token for FEED."""
    entry = {"endpoint": FEED, "username": "someone", "password": world.token("org")}
    return {"ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [entry]})}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr of a look-up that found nothing."""
    assert done.stdout in ("", "(None, None)\n"), done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_there_is_no_libicu(system: System, world: AzureWorld) -> None:
    assert not list(system.root.rglob("libicuuc*"))
    done = inside(system, world, ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], {})
    assert done.stdout.strip() == system.python, done.stderr


@pytest.mark.parametrize("home", ["/tmp", "/nowhere", None], ids=["home", "no such home", "HOME unset"])
@pytest.mark.parametrize("user", ["0:0", NOBODY], ids=["root", "unprivileged"])
def test_what_is_declared_needs_no_home(system: System, world: AzureWorld, user: str, home: str | None) -> None:
    environ = {**declared(world), **({"HOME": home} if home else {})}
    done = inside(system, world, ["python3", "-c", ASK], environ, user=user)
    assert done.stdout == "('someone', 'token-org-1')\n", done.stdout + done.stderr
    assert [(r.auth, r.status) for r in world.requests] == [("none", 401), ("basic", 200)]


@pytest.mark.parametrize(
    ("environ", "seen"),
    # Unset: the one of the passwd entry, which does not exist.
    [({"HOME": "/nowhere"}, "/nowhere"), ({}, "/nonexistent")],
    ids=["no such home", "HOME unset"],
)
def test_no_home_and_nothing_declared_is_one_line(
    system: System, world: AzureWorld, environ: dict[str, str], seen: str
) -> None:
    words = f"HOME={seen} is not a folder that you may write to: set HOME to one"
    assert words in one_line(inside(system, world, ["python3", "-c", ASK], environ, user=NOBODY))


def test_keyring_answers_with_the_declared_credential(system: System, world: AzureWorld) -> None:
    command = ["python3", "-m", "keyring", "get", FEED, "anybody"]
    done = inside(system, world, command, {**declared(world), "HOME": "/nowhere"}, user=NOBODY)
    assert done.stdout == "token-org-1\n", done.stdout + done.stderr


@pytest.mark.parametrize("user", ["0:0", NOBODY], ids=["root", "unprivileged"])
@pytest.mark.parametrize("options", ["rw", "ro"], ids=["a home", "a read-only home"])
def test_a_cached_token_is_found(
    system: System, world: AzureWorld, home: Path, payload_tree: Callable[[str], Path], options: str, user: str
) -> None:
    _, token = signed_in(world, home, payload_tree)
    done = inside(
        system,
        world,
        ["python3", "-m", "keyring", "get", FEED, "me"],
        {"HOME": f"/{HOME}"},
        user=user,
        mounts={PLACE: "ro", HOME: options},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{token}\n", "")
    assert [(r.auth, r.status) for r in world.requests] == [("none", 401), ("basic", 200)]


def test_a_renewal_in_a_read_only_home_fails_at_once(
    system: System, world: AzureWorld, home: Path, payload_tree: Callable[[str], Path]
) -> None:
    """Left alone, the provider would try for a minute to lock its cache of sign-ins."""
    _, token = signed_in(world, home, payload_tree)
    world.revoke(token)
    done = inside(system, world, ["python3", "-c", ASK], {"HOME": f"/{HOME}"}, user=NOBODY, mounts={HOME: "ro"})
    line = one_line(done)
    assert f"{FEED} needs a sign-in (the provider cannot write its caches: Read-only file system" in line
    assert "gave no answer" not in line


def test_a_place_that_may_not_be_executed_is_said(system: System, world: AzureWorld) -> None:
    done = inside(system, world, ["python3", "-c", ASK], {"HOME": "/tmp"}, mounts={PLACE: "ro,noexec"})
    assert "check whose it is, and for a noexec mount" in one_line(done)


@pytest.mark.parametrize(
    ("skew", "renewal"),
    [
        ("+400d", ["discovery", "token:refresh_token", "session:SelfDescribing"]),
        ("-400d", ["session:SelfDescribing"]),
    ],
    ids=["fast", "slow"],
)
def test_a_wrong_wall_clock_costs_at_most_a_refresh(
    system: System, world: AzureWorld, home: Path, payload_tree: Callable[[str], Path], skew: str, renewal: list[str]
) -> None:
    """Python and .NET see the moved clock, the servers the true one, by which the sign-in is good for an hour."""
    _, token = signed_in(world, home, payload_tree)
    world.revoke(token)
    moved = {"LD_PRELOAD": FAKETIME, "FAKETIME": skew, "HOME": f"/{HOME}"}
    done = inside(system, world, ["python3", "-c", ASK], moved)
    assert done.stderr == ""
    assert done.stdout == "('VssSessionToken', 'token-org-2')\n"
    # Without a credential, with the revoked one, the provider's own; at the end the check of the renewed one.
    assert world.steps == ["feed", "feed", "feed", *renewal, "feed"]
    valid_to = json.loads(next(r.body for r in world.requests if r.step == renewal[-1]))["validTo"]
    true = datetime.now(timezone.utc)
    assert abs(datetime.fromisoformat(valid_to[:19] + "+00:00") - true - timedelta(days=int(skew[:-1]))) < timedelta(1)


def signed_in(world: AzureWorld, home: Path, payload_tree: Callable[[str], Path]) -> tuple[str, str]:
    """User name and token after a real login with its caches below `home`, readable for everybody; an empty log."""
    feed = world.feed("org", "feed")
    credential = world.login(feed, payload_tree("linux-x64"), home)
    for path in home.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    world.forget()
    return credential


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
