"""Which backend keyring chooses here, and which `keyring` a client would run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ..system import programs
from .check import Check, ask

VARIABLE = "PYTHON_KEYRING_BACKEND"
_OURS = "artifacts_keyring"
_PIP = f"{sys.executable} -m pip install"


def chosen(environ: Mapping[str, str]) -> Check:
    """Whether ours is among what keyring asks in this Python."""
    name = "keyring asks"
    try:
        import keyring

        backend = keyring.get_keyring()
        asked = list(getattr(backend, "backends", [backend]))  # the chainer's, in its order
    except Exception as error:  # whatever a backend's import, or a keyring too old for this Python, may raise
        line = " ".join(f"{type(error).__name__}: {error}".split())
        homeless = isinstance(error, RuntimeError) and "home directory" in line  # of pathlib, for keyring's file
        remedy = "set HOME to a folder of yours" if homeless else f"upgrade it: {_PIP} --upgrade keyring"
        remedy = _remedy(environ, remedy)
        return Check(name, False, f"keyring itself fails ({line})", f"keyring itself fails ({line}): {remedy}")
    shown = ", ".join(f"{type(one).__module__}.{type(one).__qualname__}" for one in asked) or "no backend at all"
    if any(type(one).__module__.partition(".")[0] == _OURS for one in asked):
        return Check(name, True, shown)
    remedy = _remedy(environ, f"reinstall this package where keyring is: {_PIP} --force-reinstall artifacts-keyring")
    return Check(name, False, f"{shown}, not this backend", f"keyring asks {shown}, not this backend: {remedy}")


def _remedy(environ: Mapping[str, str], otherwise: str) -> str:
    """What to do about it: the variable wins over the file, as in keyring."""
    if VARIABLE in environ:
        return f"unset {VARIABLE}, which is {environ[VARIABLE]!r}"
    file = _configuration()
    if file is not None:
        return f"remove {file}, or its default-keyring (`keyring --disable` writes it)"
    return otherwise


def _configuration() -> Optional[Path]:
    """keyring's configuration file, if it names a backend."""
    try:
        from keyring.util import platform_

        file = Path(platform_.config_root(), "keyringrc.cfg")
        return file if "default-keyring" in file.read_text(encoding="utf-8", errors="replace") else None
    except Exception:  # no such file, not readable, no home, or a keyring that does not load at all
        return None


def scripts() -> Path:
    """The folder of the programs of this Python."""
    return Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")


def find(environ: Mapping[str, str], but: Optional[Path] = None) -> Optional[Path]:
    """The `keyring` on PATH; *but*: a folder that is passed over, as pip does it."""
    found = programs.found("keyring", environ)
    return next((path for path in found if but is None or path.parent.resolve() != but.resolve()), None)


def on_path(environ: Mapping[str, str]) -> Check:
    """The `keyring` that uv runs, and pip's subprocess where it stands outside pip's own environment."""
    name, program = "keyring on PATH", find(environ)
    if program is None:
        return Check(name, None, "none; clients that run `keyring` (uv, pip's subprocess) need one")
    # A tool installer puts a link on PATH, and a link to the interpreter into the environment: look at both ends.
    if scripts().resolve() in (program.parent.resolve(), program.resolve().parent):
        return Check(name, True, str(program))
    if has_ours(program, environ):
        return Check(name, True, f"{program}, another environment with this backend in it")
    what = f"{program} belongs to another environment, without this backend"
    step = f"{program}, first on PATH, is without this backend: put {scripts()} first, or install this package there"
    return Check(name, False, what, step)


def has_ours(program: Path, environ: Mapping[str, str]) -> bool:
    """Whether another environment's keyring says that it has this backend."""
    done = ask([str(program), "--list-backends"], environ)
    return done is not None and _OURS.encode() in done.stdout
