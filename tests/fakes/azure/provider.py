"""The real credential provider, run as the package runs it, but with nothing in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from artifacts_keyring.provider import layout

# All a child gets from the machine; lean systems have no ICU data.
_LEAN = {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
if sys.platform == "win32":
    EXE = ".exe"
    DATA = Path("AppData", "Local")  # below the home: where the provider keeps its caches
    SIGN_INS = DATA / ".IdentityService" / "msal.cache"
    # Nothing starts, and no socket opens, without the first three; nobody can be asked by a broker or in a window.
    _KEPT = ("SYSTEMROOT", "TEMP", "TMP", "PATH", "PATHEXT", "COMSPEC")
    _ALONE = ("ARTIFACTS_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER", "ARTIFACTS_CREDENTIALPROVIDER_FORCE_CANSHOWDIALOG_TO")
    BARE: Mapping[str, str] = {
        **_LEAN,
        **dict.fromkeys(_ALONE, "false"),
        "PYTHONUTF8": "1",
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
    }
else:
    EXE = ""
    DATA, SIGN_INS = Path(".local", "share"), Path(".local", ".IdentityService", "msal.cache")
    BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **_LEAN}
SESSIONS = DATA / "MicrosoftCredentialProvider" / "SessionTokenCache.dat"

DEADLINE = 120.0  # seconds; nothing here takes more than three, except on a machine that is very busy


class Outcome(NamedTuple):
    """Exit code, credential if there was one, and everything on stderr."""

    code: int
    credential: Optional[tuple[str, str]]
    stderr: str


def launcher(tree: Path) -> Path:
    """The executable inside an unpacked self-contained payload; a file is taken for the executable itself."""
    return tree / f"{layout.PROGRAM}{EXE}" if tree.is_dir() else tree


@contextlib.contextmanager
def empty_home(folder: Path) -> Iterator[Path]:
    """A home without any cache of the provider; one user of it at a time.

    On Windows the provider asks the system for it, and no variable moves it: it is this user's own, and is emptied.
    """
    if sys.platform != "win32":
        yield folder / "home"
        return
    import msvcrt

    import pytest

    if not os.environ.get("CI"):
        pytest.skip("would remove this user's sign-in; set CI=true where that does no harm")
    home = Path.home()
    with (home / "artifacts-keyring-tests.lock").open("a") as lock:
        while True:
            with contextlib.suppress(OSError):  # tried for ten seconds
                msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                break
        _forget(home)
        try:
            yield home
        finally:
            _forget(home)


def _forget(home: Path) -> None:
    for cache in (home / SESSIONS, home / SIGN_INS):
        shutil.rmtree(cache.parent, ignore_errors=True)


def tokens(home: Path) -> dict[str, str]:
    """URL -> session token, as the provider keeps them below `home`."""
    found = json.loads(_sealed((home / SESSIONS).read_bytes(), "CryptUnprotectData"))
    return {str(url): str(token) for url, token in found.items()}


def remember(home: Path, tokens: Mapping[str, str]) -> None:
    """Keep session tokens below `home` as the provider does."""
    cache = home / SESSIONS
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(_sealed(json.dumps(dict(tokens)).encode(), "CryptProtectData"))


def _sealed(data: bytes, function: str) -> bytes:
    """What Windows makes of `data`; it keeps the file so that its user alone can read it."""
    if sys.platform != "win32":
        return data
    import ctypes

    class Blob(ctypes.Structure):
        _fields_ = (("size", ctypes.c_ulong), ("data", ctypes.c_void_p))

    given, made = Blob(len(data), ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)), Blob()
    no_question = 1
    call = getattr(ctypes.windll.crypt32, function)
    if not call(ctypes.byref(given), None, None, None, None, no_question, ctypes.byref(made)):
        raise ctypes.WinError()
    return ctypes.string_at(made.data, made.size)


def copy_sign_ins(home: Path, other: Path) -> None:
    """Copy the provider's caches below `home` to where they belong below `other`."""
    for cache in (SESSIONS, SIGN_INS):
        shutil.copytree(home / cache.parent, other / cache.parent, dirs_exist_ok=True)


def at_home(home: Path) -> dict[str, str]:
    """The variables that say where a user's files are."""
    if sys.platform == "win32":
        return {"USERPROFILE": str(home), "LOCALAPPDATA": str(home / DATA)}
    return {"HOME": str(home)}


def look_up(
    url: str,
    tree: Path,
    environ: Mapping[str, str],
    *,
    retry: bool = False,
    interactive: bool = False,
    dialog: bool = False,
    verbosity: str = "Information",
) -> Outcome:
    """One run of the provider for `url` with exactly `environ`. Raises subprocess.TimeoutExpired past DEADLINE."""
    options = {
        "-Uri": url,
        "-IsRetry": str(retry).lower(),
        "-NonInteractive": str(not interactive).lower(),
        "-CanShowDialog": str(dialog).lower(),
        "-OutputFormat": "Json",
        "-Verbosity": verbosity,
    }
    command = [str(launcher(tree)), *(word for pair in options.items() for word in pair)]
    done = subprocess.run(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    found = json.loads(done.stdout) if done.stdout.strip() else None
    return Outcome(done.returncode, (found["Username"], found["Password"]) if found else None, done.stderr)
