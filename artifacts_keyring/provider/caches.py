"""Where the provider keeps what it knows, whether it can, and how to make it forget.

Places and variables as measured with provider 2.0.5 on Linux and documented by its vendor elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from ..system import access
from ..system.access import Obstacle
from ..variables import (
    ACCESS_TOKEN,
    ENTRA_TOKENS,
    EXTERNAL_ENDPOINTS,
    IDENTITIES,
    PREFIXES,
    SESSION_CACHE,
    SIGN_IN_CACHE,
    SIGN_IN_FILE,
    in_force,
    switched,
)

SESSIONS = "session tokens"
SIGN_INS = "identity"
KEYCHAIN_SERVICE = "Microsoft.Developer.IdentityService"
KEYCHAIN_ACCOUNT = "MSALCache"


class Cache(NamedTuple):
    """A file of the provider.

    kind: SESSIONS or SIGN_INS. in_use: the variables of today lead there; else those of an earlier sign-in may have.
    by: the variable that leads there.
    """

    kind: str
    path: Path
    in_use: bool
    by: str


class State(NamedTuple):
    """What can be seen of a cache. age: seconds since it was written. obstacle: why the provider cannot use it."""

    cache: Cache
    exists: bool
    owner: str
    readable: bool
    writable: bool
    age: Optional[float]
    obstacle: Optional[Obstacle]


class Outcome(NamedTuple):
    """What became of one cache: a line for people, and whether it is gone."""

    line: str
    gone: bool


# --- where


def home(environ: Mapping[str, str], platform: str = sys.platform) -> Optional[Path]:
    """The user's folder, as the provider finds it; None where nothing names one. Never raises."""
    if platform == "win32":
        named = environ.get("USERPROFILE") or environ.get("HOMEDRIVE", "") + environ.get("HOMEPATH", "")
    else:
        named = environ.get("HOME") or _registered()
    return Path(named) if named else None


def _registered() -> str:
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container that runs as any number
        return ""


def local_data(environ: Mapping[str, str], platform: str = sys.platform) -> list[tuple[Path, str]]:
    """Windows' folder for local data and the variable that names it: the one in use first."""
    user = home(environ, platform)
    found = [(Path(environ["LOCALAPPDATA"]), "LOCALAPPDATA")] if environ.get("LOCALAPPDATA") else []
    found += [(user / "AppData" / "Local", "USERPROFILE")] if user else []
    known = _known_folder() if platform == "win32" else None
    return [(known, "USERPROFILE"), *(one for one in found if one[0] != known)] if known else found


def _known_folder() -> Optional[Path]:
    """What Windows itself says, and .NET asks: no variable counts there."""
    if sys.platform != "win32":
        return None
    import ctypes

    buffer = ctypes.create_unicode_buffer(260)
    failed = ctypes.windll.shell32.SHGetFolderPathW(None, 0x1C, None, 0, buffer)  # CSIDL_LOCAL_APPDATA
    return Path(buffer.value) if not failed and buffer.value else None


def locate(environ: Mapping[str, str], platform: str = sys.platform) -> list[Cache]:
    """Every place where a cache of the provider may be, whether it is there or not; empty without a home."""
    found = [*_sessions(environ, platform), *_sign_ins(environ, platform)]
    seen: dict[tuple[str, Path], Cache] = {}
    for cache in found:
        seen.setdefault((cache.kind, cache.path), cache)
    return list(seen.values())


def keeps(environ: Mapping[str, str], kind: str) -> bool:
    """Whether the provider is to keep what is of this *kind*."""
    return not switched_off(environ) if kind == SESSIONS else switched(environ, SIGN_IN_CACHE) is not False


def in_use(environ: Mapping[str, str], kind: str, platform: str = sys.platform) -> Optional[Cache]:
    """The cache of this *kind* that the provider uses today, or would; None where there is no place for it."""
    return next((cache for cache in locate(environ, platform) if cache.kind == kind and cache.in_use), None)


def switched_off(environ: Mapping[str, str]) -> str:
    """The variable that keeps the provider from keeping session tokens; "" where it keeps them."""
    if switched(environ, ENTRA_TOKENS):
        return ENTRA_TOKENS[0]
    return (in_force(environ, SESSION_CACHE) or "") if switched(environ, SESSION_CACHE) is False else ""


def _sessions(environ: Mapping[str, str], platform: str) -> Iterator[Cache]:
    for number, (folder, by) in enumerate(_data(environ, platform)):
        yield Cache(SESSIONS, folder / "MicrosoftCredentialProvider" / "SessionTokenCache.dat", not number, by)


def _data(environ: Mapping[str, str], platform: str) -> Iterator[tuple[Path, str]]:
    """The folders of application data: the one in use first."""
    if platform == "win32":
        yield from local_data(environ, platform)
        return
    user = home(environ, platform)
    if platform == "darwin" and user:
        yield user / "Library" / "Application Support", "HOME"  # since .NET 8
    named = environ.get("XDG_DATA_HOME", "")
    if named.startswith("/"):  # .NET passes over any other
        yield Path(named), "XDG_DATA_HOME"
    if user:
        yield user / ".local" / "share", "HOME"


def _sign_ins(environ: Mapping[str, str], platform: str) -> Iterator[Cache]:
    used = in_force(environ, SIGN_IN_FILE)
    if used:
        yield Cache(SIGN_INS, Path(environ[used]), True, used)
    user = home(environ, platform)
    bases = local_data(environ, platform) if platform == "win32" else [(user / ".local", "HOME")] if user else []
    for number, (base, by) in enumerate(bases):
        yield Cache(SIGN_INS, base / ".IdentityService" / "msal.cache", not used and not number, by)
    for name in SIGN_IN_FILE:
        if environ.get(name, "").strip():
            yield Cache(SIGN_INS, Path(environ[name]), False, name)


# --- whether the provider can use them


def states(environ: Mapping[str, str], platform: str = sys.platform) -> list[State]:
    """What can be seen of the caches that the provider uses today."""
    used = (in_use(environ, kind, platform) for kind in (SESSIONS, SIGN_INS) if keeps(environ, kind))
    return [_state(cache, home(environ, platform)) for cache in used if cache]


def _state(cache: Cache, user: Optional[Path]) -> State:
    try:
        age: Optional[float] = max(0.0, time.time() - cache.path.stat().st_mtime)
    except (OSError, ValueError):
        age = None
    in_the_way = access.obstacle(cache.path, user, _elsewhere(cache, user))
    readable, writable = (os.access(cache.path, mode) for mode in (os.R_OK, os.W_OK))
    return State(cache, age is not None, access.owner(cache.path), readable, writable, age, in_the_way)


def _elsewhere(cache: Cache, user: Optional[Path]) -> Obstacle:
    if cache.by == "HOME" and user:
        return Obstacle(f"HOME={user} is not a folder that you may write to", "set HOME to one")
    return Obstacle(f"{cache.path} (by {cache.by}) may not be written by you", f"set {cache.by} to a place that may")


def obstacle(environ: Mapping[str, str], kind: str, platform: str = sys.platform) -> Optional[Obstacle]:
    """Why the provider cannot keep what is of this *kind*; None where it can, or is told not to."""
    if not keeps(environ, kind):
        return None
    cache = in_use(environ, kind, platform)
    return _state(cache, home(environ, platform)).obstacle if cache else _homeless(platform)


def sign_ins_readable(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether the provider can use its file of sign-ins, and the lock file that it makes beside it.

    Measured: where not, it tries for 15 s to a minute; a file that may only be read serves.
    """
    cache = in_use(environ, SIGN_INS, platform)
    if cache is None:
        return False
    folder = cache.path.parent
    return not obstacle(environ, SIGN_INS, platform) or (
        access.is_file(cache.path) and os.access(cache.path, os.R_OK) and os.access(folder, os.W_OK | os.X_OK)
    )


def why_dead(environ: Mapping[str, str]) -> Optional[Obstacle]:
    """What about the folders it needs keeps the provider from running at all."""
    user = home(environ)
    if user and not access.is_folder(user):  # it would have made one
        return _elsewhere(Cache(SESSIONS, user, True, "HOME"), user)
    return next(filter(None, (obstacle(environ, kind) for kind in (SESSIONS, SIGN_INS))), None)


def _homeless(platform: str) -> Obstacle:
    what = "LOCALAPPDATA" if platform == "win32" else "HOME"
    return Obstacle(f"{what} is not set, and this user has no folder", f"set {what} to one that you may write to")


def holds(environ: Mapping[str, str], password: str, platform: str = sys.platform) -> bool:
    """Whether the session token *password* is kept (on Windows, where the file is encrypted: whether any is)."""
    cache = in_use(environ, SESSIONS, platform)
    kept = b""
    try:
        kept = cache.path.read_bytes() if cache else b""
        return password in json.loads(kept).values()
    except (OSError, ValueError, AttributeError):
        return platform == "win32" and bool(kept)


# --- how to make it forget


def clear(environ: Mapping[str, str], *, dry_run: bool, platform: str = sys.platform) -> Iterator[Outcome]:
    """Remove every cache that is there; with *dry_run*, only say which. One outcome a cache.

    What would still answer a look-up afterwards has an outcome that says so.
    """
    places = locate(environ, platform)
    for cache in places:
        yield from _clear(cache, dry_run, platform)
    if not places:
        yield Outcome(f"no cache can be found: {_homeless(platform)}", False)
    if platform == "darwin":
        yield _clear_keychain(dry_run)
    yield from _declared(environ)


def _declared(environ: Mapping[str, str]) -> Iterator[Outcome]:
    for names in (EXTERNAL_ENDPOINTS, IDENTITIES, PREFIXES):
        name = in_force(environ, names)
        if name and (names is not PREFIXES or in_force(environ, ACCESS_TOKEN)):
            yield Outcome(f"{name} still answers look-ups: unset it", False)


def _clear(cache: Cache, dry_run: bool, platform: str) -> Iterator[Outcome]:
    try:
        size = cache.path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        if cache.path.is_absolute():
            yield from _nothing(cache)
            return
        size = -1
    except (OSError, ValueError) as error:
        yield _failed(cache, "seen", error)
        return
    if size == 0 and cache.kind == SIGN_INS and platform.startswith("linux") and access.is_file(cache.path):
        yield _in_secret_service(cache)
        return
    if size >= 0:
        yield _remove(cache, dry_run)
    if not cache.path.is_absolute():
        yield Outcome(
            f"{cache.kind}: {cache.path} (by {cache.by}) is another file in each folder, and what was kept elsewhere "
            "is still there; remove it yourself, and name an absolute path",
            False,
        )


def _nothing(cache: Cache) -> Iterator[Outcome]:
    if cache.in_use or cache.kind == SESSIONS:
        yield Outcome(f"{cache.kind}: nothing at {cache.path}", True)


def _in_secret_service(cache: Cache) -> Outcome:
    # An empty file is what the provider leaves where a secret service holds the tokens; it stays as the sign of that.
    return Outcome(
        f"{cache.kind}: the desktop's secret service holds it; remove {KEYCHAIN_SERVICE} ({KEYCHAIN_ACCOUNT}) there, "
        f"then {cache.path}",
        False,
    )


def _remove(cache: Cache, dry_run: bool) -> Outcome:
    # A link is not what holds the tokens.
    files = dict.fromkeys((Path(os.path.realpath(cache.path)), cache.path))
    if dry_run:
        return Outcome(f"{cache.kind}: would remove {' and '.join(map(str, files))}", True)
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError as error:
        return _failed(cache, "removed", error)
    return Outcome(f"{cache.kind}: removed {' and '.join(map(str, files))}", True)


def _failed(cache: Cache, what: str, error: Exception) -> Outcome:
    reason = getattr(error, "strerror", None) or error
    return Outcome(f"{cache.kind}: {cache.path} cannot be {what}: {reason}; remove it yourself", False)


def _clear_keychain(dry_run: bool) -> Outcome:
    import subprocess

    what = f"{KEYCHAIN_SERVICE}, account {KEYCHAIN_ACCOUNT}"
    if dry_run:
        return Outcome(f"identity: would remove {what} from the keychain", True)
    command = ["/usr/bin/security", "delete-generic-password", "-s", KEYCHAIN_SERVICE, "-a", KEYCHAIN_ACCOUNT]
    try:
        code = subprocess.run(command, capture_output=True, timeout=30, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return Outcome(f"identity: the keychain does not answer; remove {what} in Keychain Access", False)
    # 44: no such item.
    if code == 44:
        return Outcome("identity: nothing in the keychain", True)
    if code:
        return Outcome(f"identity: {what} cannot be removed ({code}); remove it in Keychain Access", False)
    return Outcome(f"identity: removed {what} from the keychain", True)
