"""What `doctor` looks at: each check is one line, and a failed one names the next step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional, TextIO

from .. import log, programs, provider
from . import installation
from .check import PATIENCE, Check


def examine(environ: Mapping[str, str], url: Optional[str]) -> list[Check]:
    """All checks, in the order in which they are shown."""
    checks = [installation.version(), *installation.provider_at_work(environ), installation.integrity(environ)]
    checks += [*installation.libraries(environ), *installation.surroundings(environ)]
    checks += [_backend(), _command(environ), *_clients(environ)]
    return [*checks, _look_up(environ, url)] if url else checks


# --- those who ask


def _backend() -> Check:
    from keyring import backend

    from ..backend import ArtifactsKeyringBackend

    seen = any(isinstance(one, ArtifactsKeyringBackend) for one in backend.get_all_keyring())
    step = "reinstall artifacts-keyring with the Python that keyring runs on"
    return Check("keyring sees the backend", seen, "yes" if seen else "no", "" if seen else step)


def _command(environ: Mapping[str, str]) -> Check:
    program = programs.find("keyring", environ)
    if program is None:
        return Check("keyring on PATH", None, "none; clients that run `keyring` (uv, pip's subprocess) need one")
    found = str(program)
    scripts = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")
    # A tool installer puts a link on PATH, and a link to the interpreter into the environment: look at both ends.
    if scripts.resolve() in (program.parent.resolve(), program.resolve().parent):
        return Check("keyring on PATH", True, found)
    if "artifacts_keyring" in _backends(found, environ):
        return Check("keyring on PATH", True, f"{found}, another environment with this backend in it")
    step = f"put {scripts} first on PATH, or install artifacts-keyring beside that keyring"
    return Check("keyring on PATH", False, f"{found} belongs to another environment, without this backend", step)


def _backends(command: str, environ: Mapping[str, str]) -> str:
    """What another environment's keyring says it has; nothing where it does not answer."""
    try:
        done = subprocess.run(
            [command, "--list-backends"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _clients(environ: Mapping[str, str]) -> Iterator[Check]:
    yield Check("pip", None, _pip())
    said = environ.get("UV_KEYRING_PROVIDER")
    uv = f"UV_KEYRING_PROVIDER={said}" if said else "UV_KEYRING_PROVIDER is not set: uv asks keyring only if told to"
    yield Check("uv", None, uv)


def _pip() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.keyring-provider"]
    try:
        # Elsewhere: -m looks into the current folder first, and what it finds there would see every variable.
        done = subprocess.run(command, cwd=sys.prefix, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "does not answer"
    value = os.environ.get("PIP_KEYRING_PROVIDER") or done.stdout.strip()
    return f"keyring-provider is {value}" if value else "keyring-provider is not set: pip uses keyring if importable"


def _look_up(environ: Mapping[str, str], url: str) -> Check:
    from .. import lookup

    shown = provider.without_user(url)
    try:
        answer = lookup.find(url, environ, interactive=False)
    except lookup.LookupFailed as error:
        return Check("look-up", False, f"{shown}: nothing found", str(error))
    if answer.credential is None:
        return Check("look-up", True, f"{shown}: no credential needed ({answer.source})")
    return Check(
        "look-up", True, f"{shown}: user {answer.credential.username}, password {log.HIDDEN} ({answer.source})"
    )


# --- how it is shown


def as_json(checks: list[Check]) -> Iterator[str]:
    """The checks as one JSON array of objects."""
    yield json.dumps([check._asdict() for check in checks], indent=2)


def as_text(checks: list[Check], stream: TextIO, environ: Mapping[str, str]) -> Iterator[str]:
    """One line a check, with the next step below a failed one; colours only for a terminal that wants them."""
    marks = _marks(stream)
    colours = {True: "32", False: "31", None: "2"}
    coloured = stream.isatty() and not environ.get("NO_COLOR")
    for check in checks:
        mark = f"\033[{colours[check.ok]}m{marks[check.ok]}\033[0m" if coloured else marks[check.ok]
        yield f"{mark} {check.name}: {check.detail}"
        if check.step:
            yield f"    {check.step}"


def _marks(stream: TextIO) -> dict[Optional[bool], str]:
    marks: dict[Optional[bool], str] = {True: "✓", False: "✗", None: "·"}
    try:
        "".join(marks.values()).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {True: "ok", False: "FAILED", None: "-"}
    return marks
