"""Where the provider keeps what it knows, and whether it can.

Places and variables as measured on Linux and documented by the vendor elsewhere (docs/sign-in.md#caches).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from ..system import access
from ..system.access import Obstacle
from ..variables import (
    ENTRA_TOKENS,
    SESSION_CACHE,
    SIGN_IN_CACHE,
    SIGN_IN_FILE,
    in_force,
    switched,
)

SESSIONS = "session tokens"
SIGN_INS = "identity"


class Cache(NamedTuple):
    """A file of the provider.

    kind: SESSIONS or SIGN_INS. in_use: the variables of today lead there; else those of an earlier sign-in may have.
    by: the variable that leads there.
    """

    kind: str
    path: Path
    in_use: bool
    by: str


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
    """The folder that Windows itself names; .NET asks it, not the variables."""
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
    """Whether the provider is told to keep this *kind*."""
    return not switched_off(environ) if kind == SESSIONS else switched(environ, SIGN_IN_CACHE) is not False


def in_use(environ: Mapping[str, str], kind: str, platform: str = sys.platform) -> Optional[Cache]:
    """The cache of this *kind* that the provider uses today, or would; None where there is no place for it."""
    return next((cache for cache in locate(environ, platform) if cache.kind == kind and cache.in_use), None)


def switched_off(environ: Mapping[str, str]) -> str:
    """The variable that stops the provider from keeping session tokens; "" if it keeps them."""
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


def blocked(cache: Cache, user: Optional[Path]) -> Optional[Obstacle]:
    """What keeps the provider from using this cache; user: the user's folder."""
    return access.obstacle(cache.path, user, _elsewhere(cache, user))


def _elsewhere(cache: Cache, user: Optional[Path]) -> Obstacle:
    if cache.by == "HOME" and user:
        return Obstacle(f"HOME={user} is not a folder that you may write to", "set HOME to one")
    return Obstacle(f"{cache.path} (by {cache.by}) may not be written by you", f"set {cache.by} to a place that may")


def obstacle(environ: Mapping[str, str], kind: str, platform: str = sys.platform) -> Optional[Obstacle]:
    """Why the provider cannot keep what is of this *kind*; None if it can, or is told not to."""
    if not keeps(environ, kind):
        return None
    cache = in_use(environ, kind, platform)
    return blocked(cache, home(environ, platform)) if cache else homeless(platform)


def sign_ins_readable(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether the provider can use its file of sign-ins, and the lock file that it makes beside it.

    Where not, it tries for 15 s to a minute; a file that may only be read serves (docs/sign-in.md#caches).
    """
    cache = in_use(environ, SIGN_INS, platform)
    if cache is None:
        return False
    folder = cache.path.parent
    return not obstacle(environ, SIGN_INS, platform) or (
        access.is_file(cache.path) and os.access(cache.path, os.R_OK) and os.access(folder, os.W_OK | os.X_OK)
    )


def why_dead(environ: Mapping[str, str]) -> Optional[Obstacle]:
    """What is wrong with the folders without which the provider cannot run."""
    user = home(environ)
    if user and not access.is_folder(user):  # it would have made one
        return _elsewhere(Cache(SESSIONS, user, True, "HOME"), user)
    return next(filter(None, (obstacle(environ, kind) for kind in (SESSIONS, SIGN_INS))), None)


def homeless(platform: str) -> Obstacle:
    """The user has no folder: which variable to set."""
    what = "LOCALAPPDATA" if platform == "win32" else "HOME"
    return Obstacle(f"{what} is not set, and this user has no folder", f"set {what} to one that you may write to")
