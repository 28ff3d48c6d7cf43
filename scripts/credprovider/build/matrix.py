"""Many files from one machine: what `scripts/build.py` does.

The payloads are prebuilt, so any Linux or macOS machine can build for all platforms. Every file
is built in a scratch folder inside the output folder and moved out of it when all are there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from credprovider import Say, lockfile, targets
from credprovider.build import recompress
from credprovider.errors import OutputError
from credprovider.fetch import sources

SDIST = "sdist"
RELEASE = (*targets.RIDS, SDIST)
KINDS = (*RELEASE, targets.NON_SC)


@dataclass(frozen=True)
class Request:
    """What to build of the tree `root`, into which folder, how many at once; smallest: with libdeflate."""

    root: Path
    what: tuple[str, ...]
    into: Path
    jobs: int
    python: str = sys.executable
    smallest: bool = False
    environ: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Built:
    """One finished file. `seconds` is wall time of its build alone."""

    what: str
    path: Path
    origin: str
    size: int
    sha256: str
    seconds: float


def build(request: Request, say: Say) -> list[Built]:
    """Build everything of `request`; all of it or nothing is in the output folder afterwards."""
    if os.name == "nt":
        raise OutputError(
            "wheels built on Windows lose the executable bits of Linux and macOS payloads and are not "
            "reproducible; valid: Linux or macOS; build there, or one wheel with `python -m build --wheel`"
        )
    origins = gather(request, say)
    with _scratch(request.into) as scratch:
        with ThreadPoolExecutor(request.jobs) as pool:
            built = list(pool.map(lambda what: _build_one(request, what, origins[what], scratch, say), request.what))
        return [_deliver(one, request.into) for one in built]


def gather(request: Request, say: Say) -> dict[str, str]:
    """Fetch every archive first, one after another, so that builds only read. Returns where each came from."""
    pinned = lockfile.load(request.root / lockfile.LOCK_NAME)
    settings = sources.Settings.from_environ(os.environ)
    origins = {}
    for what in request.what:
        key = targets.NON_SC if what == SDIST else what
        archive = sources.obtain(pinned, pinned.targets[key], settings, say)
        origins[what] = archive.origin
    return origins


def _build_one(request: Request, what: str, origin: str, scratch: Path, say: Say) -> Built:
    own = scratch / what
    own.mkdir()
    started = time.monotonic()
    kind = SDIST if what == SDIST else "wheel"
    command = [request.python, "-m", "hatchling", "build", "-t", kind, "-d", str(own)]
    environ = {**os.environ, **(request.environ or {}), **_shape(what)}
    done = subprocess.run(command, cwd=request.root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(f"the build of {what} failed: {_last_words(done)}; fix it and run this again")
    (path,) = own.iterdir()
    if request.smallest and kind == "wheel":
        recompress.smallest(path)
    say(f"built {path.name}")
    size, digest = path.stat().st_size, _sha256(path)
    return Built(what, path, origin, size, digest, time.monotonic() - started)


def _shape(what: str) -> dict[str, str]:
    rid = what if what in targets.RIDS else ""
    return {targets.RID_VARIABLE: rid, targets.NON_SC_VARIABLE: "true" if what == targets.NON_SC else ""}


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else f"hatchling ended with {done.returncode} and said nothing"


@contextmanager
def _scratch(into: Path) -> Iterator[Path]:
    # Inside the output folder, so that delivering a file is a rename on one file system.
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=into) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(f"{into} cannot be written: {error.strerror}; free space or choose --outdir") from None


def _deliver(built: Built, into: Path) -> Built:
    final = into / built.path.name
    built.path.replace(final)
    return replace(built, path=final)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _short(origin: str) -> str:
    """Where a file came from in a table: the host of an address, the name of a file. The log has the rest."""
    parts = origin.split("/")
    return parts[2] if "://" in origin else parts[-1]


def table(built: Sequence[Built]) -> Iterator[str]:
    """The lines of the table: file, target, source, size, sha256, seconds; and the sum of the sizes."""
    rows = [("file", "target", "source", "MB", "sha256", "s")]
    rows += [
        (one.path.name, one.what, _short(one.origin), f"{one.size / 1e6:.2f}", one.sha256, f"{one.seconds:.1f}")
        for one in built
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    yield f"{len(built)} files, {sum(one.size for one in built) / 1e6:.2f} MB"
