"""`logout`: remove what the provider keeps on this machine, and say what still answers look-ups."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..provider import caches
from ..provider.caches import SESSIONS, SIGN_INS, Cache
from ..system import access
from ..variables import ACCESS_TOKEN, EXTERNAL_ENDPOINTS, IDENTITIES, PREFIXES, in_force

_KEYCHAIN_SERVICE = "Microsoft.Developer.IdentityService"
_KEYCHAIN_ACCOUNT = "MSALCache"


class Outcome(NamedTuple):
    """What happened to one cache: a line for people, and whether it is gone."""

    line: str
    gone: bool


def clear(environ: Mapping[str, str], *, dry_run: bool, platform: str = sys.platform) -> Iterator[Outcome]:
    """Remove every cache that is there; with *dry_run*, only say which. One outcome for each cache.

    A variable that still answers look-ups has an outcome, too.
    """
    places = caches.locate(environ, platform)
    for cache in places:
        yield from _clear(cache, dry_run, platform)
    if not places:
        yield Outcome(f"no cache can be found: {caches.homeless(platform)}", False)
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
            f"{cache.kind}: {cache.path} (by {cache.by}) is a different file in each folder; remove those in other "
            f"folders yourself, and name an absolute path in {cache.by}",
            False,
        )


def _nothing(cache: Cache) -> Iterator[Outcome]:
    if cache.in_use or cache.kind == SESSIONS:
        yield Outcome(f"{cache.kind}: nothing at {cache.path}", True)


def _in_secret_service(cache: Cache) -> Outcome:
    # The provider leaves an empty file if a secret service holds the tokens (docs/sign-in.md#caches). It stays, so that
    # each logout says so again until the user has removed both: the sign-in still answers.
    return Outcome(
        f"{cache.kind}: the desktop's secret service holds it; remove {_KEYCHAIN_SERVICE} ({_KEYCHAIN_ACCOUNT}) there, "
        f"then the empty file {cache.path}, or logout says this again",
        False,
    )


def _remove(cache: Cache, dry_run: bool) -> Outcome:
    # Of a link both ends: the other one holds the tokens.
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

    what = f"{_KEYCHAIN_SERVICE}, account {_KEYCHAIN_ACCOUNT}"
    if dry_run:
        return Outcome(f"identity: would remove {what} from the keychain", True)
    command = ["/usr/bin/security", "delete-generic-password", "-s", _KEYCHAIN_SERVICE, "-a", _KEYCHAIN_ACCOUNT]
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
