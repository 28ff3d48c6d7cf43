"""Packages for another Python than the running one, by uv.

uv asks that Python for its version and platform, and so is right about every requirement's marker; a pip
that is told only a version is not. Nothing has to be installed there: neither pip nor ensurepip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from credprovider.errors import OutputError
from credprovider.fetch import package_index
from credprovider.fetch.http import Unavailable


def uv() -> str:
    """uv's path, beside this Python or on PATH. Raises OutputError where there is none."""
    found = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        raise OutputError("uv is missing; it installs for other Pythons; install the dependency group build")
    return found


def environment(python: str | Path, into: Path, *requirements: object) -> Path:
    """A new virtual environment of `python` with `requirements` in it; its interpreter. Raises OutputError."""
    _run("venv", "--python", python, into)
    made = into / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if requirements:
        _run("pip", "install", "--python", made, *requirements)
    return made


def folder(python: str | Path, into: Path, *requirements: object) -> None:
    """Install `requirements` for `python` into the folder `into`, for its PYTHONPATH. Raises OutputError."""
    _run("pip", "install", "--python", python, "--target", into, *requirements)


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for uv, which reads none of pip's settings, with the indexes and the trust that pip has.

    uv's own variables win where they are set, and are all there is where this Python has no pip to ask.
    """
    try:
        config = package_index.configuration(environ)
    except Unavailable:
        return dict(environ)
    given = {
        "UV_DEFAULT_INDEX": next(iter(config.indexes), ""),
        "UV_INDEX": " ".join(config.indexes[1:]),
        "UV_FIND_LINKS": ",".join(config.find_links),
        "UV_NO_INDEX": "" if config.indexes else "1",
        "UV_INSECURE_HOST": " ".join(sorted(config.trusted)),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip's: the best version of all indexes
        "UV_CONSTRAINT": environ.get("PIP_CONSTRAINT", ""),
        "SSL_CERT_FILE": config.cert or "",
        "UV_SYSTEM_CERTS": "true",
    }
    return {**{name: value for name, value in given.items() if value}, **environ}


def _run(*words: object) -> None:
    command = [uv(), "--no-config", "--quiet", *map(str, words)]
    done = subprocess.run(command, env=variables(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(f"uv {' '.join(command[3:])} ended with {done.returncode}:\n{done.stderr.strip()}")
