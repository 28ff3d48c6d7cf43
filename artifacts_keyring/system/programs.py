"""Find a program by its name: in the absolute entries of PATH, and nowhere else; or where an absolute path says.

shutil.which and a bare name given to subprocess both look into the current folder, on Windows even unasked. A checkout
that a client happens to run in must not choose the program that gets to see credentials.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

_EXTENSIONS = ".COM;.EXE;.BAT;.CMD"  # what Windows takes PATHEXT for where it is not set


def find(name: str, environ: Mapping[str, str], platform: str = sys.platform) -> Optional[Path]:
    """The program *name* that PATH leads to, as an absolute path, which *name* may be; None where there is none."""
    return next(found(name, environ, platform), None)


def found(name: str, environ: Mapping[str, str], platform: str = sys.platform) -> Iterator[Path]:
    """Every program *name* in the folders of PATH, in their order; of an absolute path that one."""
    path = Path(name)
    if path.name != name and not path.is_absolute():
        return  # it would be looked for below the current folder, or one of another drive
    files = _spellings(path.name, environ) if platform == "win32" else [path.name]
    for folder in [path.parent] if path.is_absolute() else _folders(environ, platform):
        yield from (path for path in map(folder.joinpath, files) if is_program(path))


def is_program(path: Path) -> bool:
    """Whether it is a file that may be executed. Never raises."""
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113 (Path.is_file raises where access is denied)


def _folders(environ: Mapping[str, str], platform: str) -> Iterator[Path]:
    # os.defpath begins with the current folder on Windows, and goes on with one that everybody may write to.
    entries = environ.get("PATH", "" if platform == "win32" else os.defpath).split(os.pathsep)
    for entry in entries:
        folder = Path(entry.strip('"') if platform == "win32" else entry)
        if folder.is_absolute():
            yield folder


def _spellings(name: str, environ: Mapping[str, str]) -> list[str]:
    extensions = [extension for extension in (environ.get("PATHEXT") or _EXTENSIONS).lower().split(";") if extension]
    return [name] if name.lower().endswith(tuple(extensions)) else [name + extension for extension in extensions]
