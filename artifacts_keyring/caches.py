"""Where the provider keeps what it knows, and how to make it forget.

Places as measured with provider 2.0.5 on Linux and documented by its vendor elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SESSIONS = "session tokens"
SESSION_FILE = "SessionTokenCache.dat"
IDENTITY_LOCATION = "ARTIFACTS_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION"
KEYCHAIN_SERVICE = "Microsoft.Developer.IdentityService"
KEYCHAIN_ACCOUNT = "MSALCache"


class Cache(NamedTuple):
    """A file of the provider. kind: "session tokens" or "identity"."""

    kind: str
    path: Path


class Outcome(NamedTuple):
    """What became of one cache: a line for people, and whether it is gone."""

    line: str
    gone: bool


def locate(environ: Mapping[str, str], platform: str = sys.platform) -> list[Cache]:
    """Every place where a cache of the provider may be, whether it is there or not."""
    sessions = [
        Cache(SESSIONS, place / "MicrosoftCredentialProvider" / SESSION_FILE) for place in _data(environ, platform)
    ]
    return [*sessions, Cache("identity", _identity(environ, platform))]


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _data(environ: Mapping[str, str], platform: str) -> Iterator[Path]:
    if platform == "win32":
        yield _local(environ)
        return
    named = environ.get("XDG_DATA_HOME", "")
    yield Path(named) if named else _home(environ) / ".local" / "share"
    if platform == "darwin":
        # .NET 8 moved the folder of local application data there.
        yield _home(environ) / "Library" / "Application Support"


def _local(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("LOCALAPPDATA") or _home(environ) / "AppData" / "Local")


def _identity(environ: Mapping[str, str], platform: str) -> Path:
    named = environ.get(IDENTITY_LOCATION)
    if named:
        return Path(named)
    base = _local(environ) if platform == "win32" else _home(environ) / ".local"
    return base / ".IdentityService" / "msal.cache"


def clear(environ: Mapping[str, str], *, dry_run: bool, platform: str = sys.platform) -> Iterator[Outcome]:
    """Remove every cache that is there; with *dry_run*, only say which. One outcome a cache."""
    for cache in locate(environ, platform):
        yield from _clear(cache, dry_run)
    if platform == "darwin":
        yield _clear_keychain(dry_run)


def _clear(cache: Cache, dry_run: bool) -> Iterator[Outcome]:
    try:
        size = cache.path.stat().st_size
    except FileNotFoundError:
        yield Outcome(f"{cache.kind}: nothing at {cache.path}", True)
        return
    except OSError as error:
        yield Outcome(f"{cache.kind}: {cache.path} cannot be seen: {error.strerror}; remove it yourself", False)
        return
    yield _remove(cache, dry_run)
    if cache.kind == "identity" and not size:
        # An empty file is what the provider leaves where a secret service holds the tokens.
        yield Outcome(
            f"identity: the desktop's secret service holds it; remove {KEYCHAIN_SERVICE} ({KEYCHAIN_ACCOUNT}) there",
            False,
        )


def _remove(cache: Cache, dry_run: bool) -> Outcome:
    if dry_run:
        return Outcome(f"{cache.kind}: would remove {cache.path}", True)
    try:
        cache.path.unlink()
    except OSError as error:
        return Outcome(f"{cache.kind}: {cache.path} cannot be removed: {error.strerror}; remove it yourself", False)
    return Outcome(f"{cache.kind}: removed {cache.path}", True)


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
