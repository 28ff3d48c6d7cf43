"""One interactive login at a time among all processes of a user.

The provider has nothing of the kind: ten clients with cold caches would show five to ten device codes
(docs/sign-in.md#several-at-once). The others wait here, and then find its cache filled.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, Optional

from .. import log
from . import caches

_PAUSE = 0.1  # seconds between two tries


class LockTimeout(Exception):
    """Another process held the lock until the deadline."""


def lock_path(environ: Mapping[str, str], platform: str = sys.platform) -> Optional[Path]:
    """The lock file: in the user's own cache folder, as wide as the provider's caches are; None without a home."""
    folder = _folder(environ, platform)
    return folder / "artifacts-keyring" / "login.lock" if folder else None


def _folder(environ: Mapping[str, str], platform: str) -> Optional[Path]:
    if platform == "win32":
        return next((folder for folder, _ in caches.local_data(environ, platform)), None)
    home = caches.home(environ, platform)
    if platform == "darwin":
        return home / "Library" / "Caches" if home else None
    named = environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):  # any other is to be passed over, says the specification
        return Path(named)
    return home / ".cache" if home else None


@contextlib.contextmanager
def login_lock(environ: Mapping[str, str], deadline: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock.

    deadline: on time.monotonic(). waiting() is called once if we have to wait. Raises LockTimeout.
    Where no lock file can be made, the login goes on without.
    """
    try:
        descriptor = _open(lock_path(environ))
    except (OSError, ValueError) as error:
        log.write(environ, f"no login lock: {error}")
        yield
        return
    try:
        _acquire(descriptor, deadline, waiting)
        yield
    finally:
        os.close(descriptor)  # releases it too


def _open(path: Optional[Path]) -> int:
    if path is None:
        raise FileNotFoundError("no home folder is known")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _acquire(descriptor: int, deadline: float, waiting: Callable[[], None]) -> None:
    if _try(descriptor):
        return
    waiting()
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        if _try(descriptor):
            return
    raise LockTimeout


if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
