"""What goes wrong in the middle of a look-up: with the installed wheel, the real provider and real clients.

No look-up outlives its deadline or its client, nobody gets a wrong credential, and the next look-up works.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.azure import Answer, Feed
from tests.fakes.azure.provider import SESSIONS, SIGN_INS
from tests.fakes.azure.server import Request
from tests.fakes.azure.world import AzureWorld
from tests.fakes.user_machine import Ended, Scene, ended, files, no_orphans, one_line, programs

pytestmark = [pytest.mark.posix, pytest.mark.provider]

RENEWAL = "session:SelfDescribing"  # what the provider asks for when its session cache has no token
POLL = "token:device_code"  # what it asks for while a person signs in
PROMPT = 30.0  # seconds; whoever waited for the scene's time-out instead would take four times that
# A tmpfs of this size is full after a few files.
SMALL = "100k"


@pytest.fixture
def scene(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Scene]:
    installed = programs(wheel("linux-x64"), tmp_path_factory.getbasetemp() / "installed")
    with AzureWorld() as world, no_orphans():
        yield Scene(world, installed, tmp_path)


@pytest.fixture
def feed(scene: Scene) -> Feed:
    """A private feed with a real login to it behind us, and a session token to be renewed."""
    (feed,) = scene.signed_in("org")
    scene.sessions.unlink()
    return feed


def works_again(scene: Scene, feed: Feed) -> None:
    """The next look-up finds a good credential, and the provider's cache is whole."""
    scene.world.faults.clear()
    said = scene.answer(feed.url)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("token-org-")
    assert scene.remembered() == {feed.url: said.out.strip()}


def failed(said: Ended) -> str:
    """The one line with which a look-up ended that found nothing."""
    assert (said.code, said.out) == (1, "")
    return one_line(said.err)


# The provider dies or hangs


def test_the_provider_is_killed_while_it_renews(scene: Scene, feed: Feed) -> None:
    scene.world.faults[RENEWAL] = "hang"
    client = scene.ask(feed.url)
    os.kill(scene.at_work(client, RENEWAL), signal.SIGKILL)
    assert "the credential provider was ended by signal 9: try again" in failed(ended(client, PROMPT))
    works_again(scene, feed)


def test_the_provider_is_killed_while_a_person_signs_in(scene: Scene) -> None:
    feed = scene.world.feed("org", "feed")
    scene.world.identity.pending = 1000
    login = (scene.programs / "python", "-m", "artifacts_keyring", "login", feed.url)
    client = scene.start(*login)
    os.kill(scene.at_work(client, POLL), signal.SIGKILL)
    said = ended(client, PROMPT)
    assert (said.code, said.out) == (1, "")
    assert "was ended by signal 9: try again" in one_line(said.err.splitlines()[-1])
    scene.world.identity.pending = 0
    assert ended(scene.start(*login)).code == 0  # no lock is left behind
    assert set(scene.remembered()) == {feed.url}


def test_a_provider_that_is_stopped_ends_at_the_deadline(scene: Scene, feed: Feed) -> None:
    scene.world.faults[RENEWAL] = "hang"
    client = scene.ask(feed.url, ARTIFACTS_KEYRING_TIMEOUT="4")
    os.kill(scene.at_work(client, RENEWAL), signal.SIGSTOP)  # no SIGTERM reaches it now
    line = failed(ended(client, PROMPT))
    assert f"gave no answer for {feed.url} within 4 s" in line and "or raise ARTIFACTS_KEYRING_TIMEOUT" in line
    works_again(scene, feed)


# The client is interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_keyring_takes_the_provider_with_it(scene: Scene, feed: Feed, number: signal.Signals) -> None:
    scene.world.faults[RENEWAL] = "hang"
    before = files(scene.home)
    with no_orphans(PROMPT):
        client = scene.ask(feed.url)
        scene.at_work(client, RENEWAL)
        client.send_signal(number)
        said = ended(client, PROMPT)
    assert (said.code, said.out) == (-number, "")
    assert said.err == "" or said.err.endswith("\nKeyboardInterrupt\n")  # keyring's own way to end on Ctrl-C
    assert files(scene.home) == before
    works_again(scene, feed)


@pytest.mark.parametrize(
    ("how", "number", "to_all"),
    [
        ("import", signal.SIGINT, True),
        ("import", signal.SIGTERM, False),
        ("subprocess", signal.SIGINT, True),
        ("subprocess", signal.SIGTERM, True),
        ("subprocess", signal.SIGTERM, False),
    ],
    ids=["import, Ctrl-C", "import, SIGTERM", "Ctrl-C", "SIGTERM to all", "SIGTERM to pip alone"],
)
def test_an_interrupted_pip_takes_the_provider_with_it(
    scene: Scene, feed: Feed, how: str, number: signal.Signals, to_all: bool
) -> None:
    scene.world.faults[RENEWAL] = "hang"
    with no_orphans(PROMPT):
        client = downloading(scene, feed, how)
        scene.at_work(client, RENEWAL)
        os.killpg(client.pid, number) if to_all else client.send_signal(number)
        said = ended(client, PROMPT)
    assert said.code not in (0, None)
    assert not list((scene.folder / "down").glob("*"))
    works_again(scene, feed)


def downloading(scene: Scene, feed: Feed, how: str) -> subprocess.Popen[str]:
    """Start pip, which asks keyring for `feed` in its own process or by the command."""
    feed.add("package0")
    # pip passes over a keyring beside itself.
    elsewhere = scene.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keyring").symlink_to(scene.programs / "keyring")
    words = (scene.programs / "python", "-m", "pip", "download", "--no-input", "--no-cache-dir")
    return scene.start(
        *(*words, "--keyring-provider", how, "--index-url", feed.with_user("me"), "-d", scene.folder / "down"),
        "package0",
        PATH=f"{elsewhere}:/usr/bin:/bin",
        PIP_CONFIG_FILE=os.devnull,
        # If pip alone is ended, the keyring command goes on for itself, at most until its deadline.
        ARTIFACTS_KEYRING_TIMEOUT="6",
    )


# The feed dies between probe and check


@pytest.mark.parametrize("fault", ["reset", "hang", "stall", "500"])
def test_a_feed_that_dies_after_the_first_request_costs_no_credential(scene: Scene, fault: str) -> None:
    (feed,) = scene.signed_in("org")
    tokens = scene.remembered()
    feed.fault, feed.sound = fault, 1
    said = ended(scene.ask(feed.url, ARTIFACTS_KEYRING_TIMEOUT="5"), PROMPT)
    assert said == (0, tokens[feed.url] + "\n", "")
    assert scene.world.requests[0].auth == "none"
    assert scene.remembered() == tokens
    assert scene.provider_runs() == 1  # what nobody refused is not renewed


def test_a_server_that_is_gone_after_the_first_request_costs_no_credential(scene: Scene) -> None:
    (feed,) = scene.signed_in("org")
    server, answer = scene.world.server, scene.world.answer

    def last(request: Request) -> Answer:
        server.shutdown()
        server.socket.close()  # from here on the port refuses
        whole = answer(request)
        return Answer(whole.status, whole.body, (*whole.headers, ("Connection", "close")))

    server.app = last
    said = ended(scene.ask(feed.url), PROMPT)
    assert said == (0, scene.remembered()[feed.url] + "\n", "")
    assert [request.status for request in scene.world.requests] == [401]


def test_a_renewal_that_is_cut_off_is_said(scene: Scene, feed: Feed) -> None:
    scene.world.faults[RENEWAL] = "reset"
    reason = "no session token: An error occurred while sending the request"
    assert f"{feed.url} needs a sign-in ({reason})" in failed(scene.answer(feed.url))
    works_again(scene, feed)


# The disk


@pytest.fixture
def small_disk() -> list[str]:
    """The start of a command line: whatever follows runs with $1 on a small disk of its own that holds a copy of $2."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("unshare cannot make a mount namespace for a small disk here")
    # Two runs: on the full disk, and when there is room again; between them what the first has left.
    script = (
        'mkdir -p "$1"; mount -t tmpfs -o size=$0 tmpfs "$1" && cp -a "$2"/. "$1" && '
        '{ cat /dev/zero >"$1/filler" 2>/dev/null; shift 2; "$@"; echo "code $?"; rm "$DISK/filler"; '
        'find "$DISK" -type f | sort; "$@"; echo "code $?"; }'
    )
    return ["unshare", "-rm", "sh", "-c", script, SMALL]


@pytest.mark.parametrize("cached", ["nothing", "other feeds"])
def test_a_full_disk_under_the_session_cache_costs_no_credential(
    scene: Scene, feed: Feed, small_disk: list[str], cached: str
) -> None:
    """The provider leaves half a cache behind, answers all the same, and renews next time."""
    disk, data = scene.folder / "disk", scene.folder / "data"
    kept = data / SESSIONS.relative_to(".local/share")
    kept.parent.mkdir(parents=True)
    if cached == "other feeds":  # so much that one more entry needs another page
        kept.write_text('{"https://pkgs.dev.azure.com/two/_packaging/feed/pypi/simple/":"' + 4000 * "x" + '"}')
    command = (*small_disk, disk, data, scene.programs / "keyring", "get", feed.url, "me")
    said = ended(scene.start(*command, DISK=str(disk), XDG_DATA_HOME=str(disk)))
    first, code, *_found, second, again = said.out.splitlines()
    assert (code, again, said.err) == ("code 0", "code 0", "")
    assert first.startswith("token-org-") and second.startswith("token-org-") and first != second
    assert scene.world.steps.count(RENEWAL) == 2
    assert "No space left on device" in scene.log.read_text()


def test_a_full_disk_under_the_home_is_said(scene: Scene, feed: Feed, small_disk: list[str]) -> None:
    disk = scene.folder / "disk"
    command = (*small_disk, disk, scene.home, scene.programs / "keyring", "get", feed.url, "me")
    said = ended(scene.start(*command, DISK=str(disk), HOME=str(disk)))
    code, *found, second, again = said.out.splitlines()
    assert "the provider cannot write its caches: No space left on device" in one_line(said.err)
    assert (code, again) == ("code 1", "code 0")
    assert second.startswith("token-org-")
    assert found == [str(disk / SIGN_INS)]  # nothing half-written, nothing of ours


def test_a_log_on_a_full_disk_costs_nothing(scene: Scene, feed: Feed) -> None:
    said = scene.answer(feed.url, ARTIFACTS_KEYRING_LOG_PATH="/dev/full")
    assert (said.code, said.err) == (0, "")


# Caches that are not whole


@pytest.mark.parametrize("left", ["half", "garbage", "a folder"])
def test_a_damaged_session_cache_is_renewed(scene: Scene, left: str) -> None:
    feed, _other = scene.signed_in("org", "two")
    whole = scene.sessions.read_bytes()
    scene.sessions.unlink()
    if left == "a folder":
        scene.sessions.mkdir()
    else:
        scene.sessions.write_bytes(whole[: len(whole) // 2] if left == "half" else b"\0\xff" * 99)
    said = scene.answer(feed.url)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("token-org-")
    assert said.out.strip() not in whole.decode()
    assert scene.world.steps == ["feed", "feed", RENEWAL, "feed"]
    if left != "a folder":
        assert scene.remembered() == {feed.url: said.out.strip()}


def test_a_half_cache_of_sign_ins_is_said(scene: Scene, feed: Feed) -> None:
    sign_ins = scene.home / SIGN_INS
    whole = sign_ins.read_bytes()
    sign_ins.write_bytes(whole[: len(whole) // 2])
    line = failed(scene.answer(feed.url))
    assert "needs a sign-in (the cache of the earlier sign-in was damaged, the provider has removed it)" in line
    assert "AccessToken" not in line
    assert ended(scene.start(scene.programs / "python", "-m", "artifacts_keyring", "login", feed.url)).code == 0
    works_again_with_the_same(scene, feed)


def works_again_with_the_same(scene: Scene, feed: Feed) -> None:
    """The next look-up answers from the cache."""
    assert scene.answer(feed.url) == (0, scene.remembered()[feed.url] + "\n", "")


# Clocks


def test_deadlines_hold_wherever_the_monotonic_clock_stands(scene: Scene, feed: Feed) -> None:
    """A real clock, of a time namespace; the wall clock has a test in test_lean.py."""
    command = ["unshare", "-r", "--time", "--monotonic", "1000000000", "--fork"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("unshare cannot make a time namespace here")
    asking = (*command, scene.programs / "keyring", "get", feed.url, "me")
    said = ended(scene.start(*asking))
    assert (said.code, said.err) == (0, "")
    scene.sessions.unlink()
    scene.world.faults[RENEWAL] = "hang"
    assert "within 3 s" in failed(ended(scene.start(*asking, ARTIFACTS_KEYRING_TIMEOUT="3"), PROMPT))
