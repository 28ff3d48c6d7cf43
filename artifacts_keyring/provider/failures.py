"""Why the provider could not be started, or died: one line each, with what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ..system import access, windows
from ..variables import COMMAND, CREDENTIALPROVIDER_PATH
from . import caches, diagnostics, dotnet

_WRONG_MACHINE = (193, 216)  # winerror; elsewhere it is ENOEXEC
_SHARED = Path("/tmp/.dotnet")  # noqa: S108 (where .NET keeps what its processes share, whatever TMPDIR says)
_CHECK = f"check it with `{COMMAND} doctor`"
_UNHEARD = (
    "the credential provider died without a word (exit code -1): "
    f"the host of the feed cannot be reached, or a security program ended it; {_CHECK}"
)


def not_executable(path: Path) -> str:
    """The file is there, and may not be executed."""
    if path.stat().st_mode & 0o111:
        return f"{path} may not be executed by you: check whose it is, and for a noexec mount"
    return f"the credential provider is not executable: run `chmod +x {path}`, or reinstall artifacts-keyring"


def missing(named: Optional[str], bundled: Path) -> str:
    """There is no provider where one is *named*, or at the place of the *bundled* one."""
    if named:
        return (
            f"{CREDENTIALPROVIDER_PATH}={named} is no credential provider: name its folder, its executable or its .dll"
        )
    archive = next((place for place in bundled.parents if place.is_file()), None)
    if archive is not None:
        return (
            f"artifacts-keyring runs from the archive {archive}, and no program can be started out of one: unpack it "
            f"before it runs (shiv and pex do), or name a provider in {CREDENTIALPROVIDER_PATH}"
        )
    return (
        f"this installation has no credential provider below {bundled}: reinstall artifacts-keyring, "
        f"or name one in {CREDENTIALPROVIDER_PATH}"
    )


def no_dotnet(environ: Mapping[str, str]) -> str:
    """The provider needs a .NET runtime, and none that is found will do."""
    seen = [
        f"{item.path} has {', '.join(map(str, item.majors or ())) or 'none'}" for item in dotnet.candidates(environ)
    ]
    return (
        f"the credential provider here needs a .NET runtime of version {dotnet.MINIMUM} or newer; "
        f"{'; '.join(seen) or 'no dotnet in DOTNET_ROOT, PATH or the usual places'}: install one, "
        "install artifacts-keyring from the wheel of your platform (it needs no .NET), "
        f"or name a self-contained provider in {CREDENTIALPROVIDER_PATH}"
    )


def unkept(environ: Mapping[str, str]) -> str:
    """Why an earlier sign-in may not have been found; "" where nothing is in the way."""
    in_the_way = caches.obstacle(environ, caches.SIGN_INS)
    return f"its cache cannot be used: {in_the_way}" if in_the_way else ""


def not_started(command: str, path: Path, error: OSError, platform: str = sys.platform) -> str:
    """Why a program could not be started, and what to do, as one line."""
    winerror = getattr(error, "winerror", None)
    if winerror in _WRONG_MACHINE or (platform != "win32" and error.errno == errno.ENOEXEC):
        return (
            f"{path} is for another processor or system than this one: install artifacts-keyring "
            f"from the wheel of this platform, or name a provider in {CREDENTIALPROVIDER_PATH}"
        )
    if platform == "win32":
        sentence = windows.not_started(winerror, error.strerror)
        return f"{command} {sentence or f'cannot be started ({error.strerror}): {_CHECK}'}"
    if error.errno == errno.ENOENT and access.is_file(path):
        return (
            f"{path} cannot be started because its loader is missing (a glibc program on a musl system?): "
            "install artifacts-keyring from its sdist together with the distribution's .NET 8"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        what = f"{command} may not be executed ({error.strerror})"
        return f"{what}: run `chmod +x` on it, and check for a noexec mount"
    return f"{command} cannot be started ({error.strerror}): {_CHECK}"


def died(code: int, stderr: str, environ: Mapping[str, str], platform: str = sys.platform) -> tuple[str, bool]:
    """What an exit code that is neither 0 nor 2 means; and whether the provider left no hint.

    stderr: without anything secret.
    """
    known = diagnostics.startup_reason(stderr)
    if known:
        return f"the credential provider cannot run: {known}", False
    if code < 0:
        return f"the credential provider was ended by signal {-code}: try again, or {_CHECK}", False
    words = diagnostics.login_reason(stderr) or diagnostics.unprefixed_words(stderr)
    shown = windows.end(code) if platform == "win32" else str(code)
    if shown in ("255", "-1") and not words:
        return _silent_death(environ) if platform != "win32" else (_UNHEARD, True)
    hint = f" ({words})" if words else ""
    return f"the credential provider failed with exit code {shown}{hint}: {_CHECK}", False


def _silent_death(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Which known reason for exit code 255 it was, if it can be seen (docs/sign-in.md#a-death-without-a-word)."""
    what = "the credential provider died without a word (exit code 255): "
    if access.is_folder(_SHARED) and not os.access(_SHARED, os.W_OK | os.X_OK):
        return f"{what}{_SHARED} is not writable for you, make it so", False
    in_the_way = caches.why_dead(environ)
    if in_the_way:
        return f"{what}{in_the_way}", False
    guess = f"its folder {_SHARED} or HOME cannot be written, or the host of the feed cannot be reached; {_CHECK}"
    return what + guess, True
