"""A user with the installed wheel and a whole Azure DevOps on loopback, and a watch over every process they start."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from artifacts_keyring.provider import layout
from tests.fakes import clients
from tests.fakes.azure import AzureWorld, Feed
from tests.fakes.azure.provider import SESSIONS, tokens

PATIENT = 120.0  # seconds; what is waited for takes one or two, except on a machine that is very busy
USER = "VssSessionToken"
LAUNCHER = f"{layout.PACKAGE}/{layout.FOLDER}/{layout.PROGRAM}"
_PR_SET_CHILD_SUBREAPER = 36


class Ended(NamedTuple):
    """How a client ended, and what it said."""

    code: int
    out: str
    err: str


class Scene:
    """Programs with the wheel beside them, a home, a world; `environ` leads a client into it and asks nobody."""

    def __init__(self, world: AzureWorld, programs: Path, folder: Path) -> None:
        self.world, self.programs, self.folder, self.home = world, programs, folder, folder / "home"
        self.provider = clients.site(programs.parent) / LAUNCHER
        self.log = folder / "log"
        self.environ = {
            **world.environ(self.home),
            "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
            "ARTIFACTS_KEYRING_TIMEOUT": str(PATIENT),
            "ARTIFACTS_KEYRING_LOG_PATH": str(self.log),
        }

    @property
    def sessions(self) -> Path:
        """The provider's cache of session tokens."""
        return self.home / SESSIONS

    def signed_in(self, *organisations: str) -> list[Feed]:
        """A private feed in each organisation, and the real caches filled by real logins to them; an empty log."""
        feeds = [self.world.feed(organisation, "feed") for organisation in organisations]
        for feed in feeds:
            self.world.login(feed, self.provider, self.home)
        self.world.forget()
        return feeds

    def remembered(self) -> dict[str, str]:
        """URL -> session token; fails if the provider's cache is not whole."""
        return tokens(self.home)

    def provider_runs(self) -> int:
        """How often the look-ups have started the provider, by the log."""
        return self.log.read_text().count("] run ") if self.log.exists() else 0

    def start(self, *command: object, **environ: str) -> subprocess.Popen[str]:
        """Start a client in a session of its own, as a terminal or a CI agent does."""
        return subprocess.Popen(
            [str(word) for word in command],
            env={**self.environ, **environ},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, url: str, **environ: str) -> subprocess.Popen[str]:
        """Start `keyring get`."""
        return self.start(self.programs / "keyring", "get", url, USER, **environ)

    def answer(self, url: str, **environ: str) -> Ended:
        """What `keyring get` says."""
        return ended(self.ask(url, **environ))

    def at_work(self, client: subprocess.Popen[str], step: str) -> int:
        """The process id of the real provider below `client`, once it is at `step` of its exchange with the world."""
        until(lambda: step in self.world.steps, f"the provider's step {step}")
        (pid,) = [pid for pid in kin(client.pid) if _executable(pid) == self.provider.resolve()]
        return pid


@functools.cache
def programs(wheel: Path, folder: Path) -> Path:
    """The folder of python, pip and keyring in a new environment with `wheel`; made once for all."""
    (pip,) = [client for client in clients.CLIENTS if client.name == "pip import"]
    return clients.programs(clients.environments([pip], wheel, folder)[pip.requirement])


def ended(client: subprocess.Popen[str], within: float = PATIENT) -> Ended:
    """Wait for the end of `client`; else kills it and raises subprocess.TimeoutExpired."""
    try:
        out, err = client.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        client.kill()
        client.communicate()
        raise
    return Ended(client.returncode, out, err)


def until(condition: Callable[[], bool], what: str, within: float = PATIENT) -> None:
    """Wait for `condition`. Raises TimeoutError."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {within:.0f} s")
        time.sleep(0.01)


@contextlib.contextmanager
def no_orphans(within: float = 20.0) -> Iterator[None]:
    """All processes that the block starts, and theirs, end with it or within seconds after. Raises AssertionError.

    Whoever loses its parent becomes a child of this process, so that parentage alone tells who belongs here,
    whatever it is called and whichever session or environment it has.
    """
    before = set(kin(os.getpid()))
    _adopt(True)
    try:
        yield
        try:
            until(lambda: not _living(before), "the end of all processes", within)
        except TimeoutError:
            raise AssertionError(f"left behind: {[_words(pid) for pid in _living(before)]}") from None
    finally:
        for pid in _living(before):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not _living(before), "the end of killed processes")
        _adopt(False)


def kin(pid: int) -> list[int]:
    """The process ids of all that descend from `pid`, zombies too."""
    children: dict[int, list[int]] = {}
    for parent, child in _parents():
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(_fields(stat)[1]), int(stat.parent.name)


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()  # state, parent, …


def _living(before: set[int]) -> list[int]:
    """What has been started since and runs; adopted zombies are reaped on the way."""
    mine = os.getpid()
    alive = []
    for pid in set(kin(mine)) - before:
        with contextlib.suppress(OSError):
            state, parent = _fields(Path(f"/proc/{pid}/stat"))[:2]
            if state != "Z":
                alive.append(pid)
            elif int(parent) == mine:
                os.waitpid(pid, os.WNOHANG)
    return alive


def _executable(pid: int) -> Optional[Path]:
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return None


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return str(pid)


def _adopt(orphans: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(orphans), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel lets no process adopt orphans (Linux 3.4 can)")


def one_line(text: str) -> str:
    """The one line of ours that `text` is. Raises AssertionError."""
    lines = text.splitlines()
    assert len(lines) == 1 and lines[0].startswith("artifacts-keyring: "), text
    return lines[0]


def files(folder: Path) -> Mapping[str, int]:
    """Relative path -> size of every file below `folder`."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
