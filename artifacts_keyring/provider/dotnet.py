"""Find a .NET runtime that can run the framework-dependent provider."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from ..system import access, programs
from . import caches

MINIMUM = 8  # the provider's runtimeconfig.json: net8.0, rollForward Major
_NAME = "dotnet.exe" if sys.platform == "win32" else "dotnet"
_USUAL = (
    "/usr/share/dotnet",
    "/usr/lib/dotnet",
    "/usr/lib64/dotnet",
    "/usr/local/share/dotnet",
    "/usr/local/share/dotnet/x64",
    "/opt/homebrew/opt/dotnet/libexec",
    "/snap/dotnet-sdk/current",
)


class Runtime(NamedTuple):
    """A `dotnet` and the majors of the runtimes beside it; None: it did not say."""

    path: Path
    majors: Optional[tuple[int, ...]]

    @property
    def fits(self) -> bool:
        """Whether it can run the provider, as far as can be seen without starting it."""
        return self.majors is None or max(self.majors, default=0) >= MINIMUM


def find(environ: Mapping[str, str]) -> Optional[Path]:
    """The first `dotnet` with a runtime that is new enough, else None."""
    return next((runtime.path for runtime in candidates(environ) if runtime.fits), None)


def candidates(environ: Mapping[str, str]) -> list[Runtime]:
    """Every `dotnet` in the places that are looked at, those of known version first."""
    seen: dict[Path, Runtime] = {}
    for path in filter(Path.is_absolute, _places(environ)):  # a variable, too, may lead into the current folder
        real = Path(os.path.realpath(path))  # resolve() raises over a link loop
        if real not in seen and programs.is_program(real):
            seen[real] = Runtime(path, _majors(real.parent))
    return sorted(seen.values(), key=lambda runtime: runtime.majors is None)


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    for variable in ("DOTNET_ROOT", "DOTNET_ROOT_X64", "DOTNET_ROOT_ARM64", "DOTNET_ROOT(x86)"):
        if environ.get(variable):
            yield Path(environ[variable]) / _NAME
    yield from programs.found(_NAME, environ)
    for folder in _usual(environ):
        yield folder / _NAME


def _usual(environ: Mapping[str, str]) -> Iterator[Path]:
    for variable in ("ProgramW6432", "ProgramFiles", "ProgramFiles(x86)"):
        if environ.get(variable):
            yield Path(environ[variable]) / "dotnet"
    home = caches.home(environ)
    if home:
        yield home / ".dotnet"
    if sys.platform != "win32":
        yield from map(Path, _USUAL)


def _majors(root: Path) -> Optional[tuple[int, ...]]:
    """The majors below *root*; None for a wrapper (snap, a shim) that keeps its runtimes elsewhere."""
    try:
        names = [folder.name for folder in (root / "shared" / "Microsoft.NETCore.App").iterdir()]
    except OSError:
        return () if access.is_folder(root / "host") else None
    majors = (name.partition(".")[0] for name in names)
    return tuple(sorted(int(major) for major in majors if major.isdigit()))
