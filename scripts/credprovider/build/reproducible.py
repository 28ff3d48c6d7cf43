"""The proof that a build is reproducible: everything again, differently, and the digests compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from credprovider import Say, targets
from credprovider.build import matrix
from credprovider.build.matrix import Built, Request
from credprovider.errors import OutputError, ReproducibilityError
from credprovider.verify import installing

# Whatever a builder may have set differently and a wheel must not show.
_ELSEWHERE = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "4711"}


def check(request: Request, first: Sequence[Built], pythons: Sequence[str], say: Say) -> int:
    """Build `request` again under other circumstances and compare with `first`.

    Another folder, umask, time zone, locale and hash seed; once for this Python and once for each
    of `pythons`; and the framework-dependent wheel out of the unpacked sdist.
    Returns 0; raises ReproducibilityError naming the files that differ.
    """
    different: list[str] = []
    with _scratch() as scratch:
        tree = copy_tree(request.root, scratch / "another folder")
        for number, python in enumerate([sys.executable, *pythons]):
            own = builder(python, scratch / f"python-{number}") if number else python
            again = replace(request, root=tree, into=scratch / f"out-{number}", python=own, environ=_ELSEWHERE)
            different += _compare(first, _with_umask(again), python, say)
        different += _from_sdist(first, scratch, say)
    if different:
        raise ReproducibilityError(f"not reproducible: {', '.join(sorted(set(different)))}; compare with diffoscope")
    say("reproducible: every digest is equal")
    return 0


@contextmanager
def _scratch() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
            yield Path(name)
    except OSError as error:
        raise OutputError(
            f"the build for comparison has no room in the temporary folder ({error.strerror or error}); "
            "free space there, or let TMPDIR name a folder elsewhere"
        ) from error


def copy_tree(root: Path, into: Path) -> Path:
    """A copy of what git tracks in `root` as it is on disk; without git (an sdist), of everything."""
    if not (root / ".git").exists():
        shutil.copytree(root, into)
        return into
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            # Contents only: times and modes are part of what must not matter.
            (into / name).write_bytes((root / name).read_bytes())
    return into


def builder(python: str, into: Path) -> str:
    """A new environment for `python` with this environment's hatchling; returns its interpreter."""
    try:
        # Only hatchling's version shows in a wheel; the others may be what this Python can have.
        wanted = [f"hatchling=={version('hatchling')}", "httpx"]
        return str(installing.environment(python, into, *wanted))
    except (OSError, OutputError) as error:
        raise OutputError(f"{python} cannot build ({error}); name a Python 3.10 or newer") from None


def _with_umask(request: Request) -> list[Built]:
    before = os.umask(0o077)
    try:
        return matrix.build(request, lambda _line: None)
    finally:
        os.umask(before)


def _compare(first: Sequence[Built], second: Sequence[Built], how: str, say: Say) -> list[str]:
    say(f"again in another folder, umask 077, other time zone and locale, with {how}")
    others = {one.path.name: one.sha256 for one in second}
    for one in first:
        sign = "=" if others[one.path.name] == one.sha256 else "≠"
        say(f"{sign} {one.path.name}  {one.sha256}  {others[one.path.name]}")
    return [one.path.name for one in first if others[one.path.name] != one.sha256]


def _from_sdist(first: Sequence[Built], scratch: Path, say: Say) -> list[str]:
    sdist = next((one for one in first if one.what == matrix.SDIST), None)
    wheel = next((one for one in first if one.what == targets.NON_SC), None)
    if not (sdist and wheel):
        return []
    with tarfile.open(sdist.path) as tar:
        # Python 3.10 and 3.11 have filters from a bug-fix release on only; the sdist was made here a moment ago.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(scratch / "sdist")  # noqa: S202
    (root,) = (scratch / "sdist").iterdir()
    request = Request(root, (targets.NON_SC,), scratch / "out-sdist", 1)
    return _compare([wheel], matrix.build(request, lambda _line: None), "out of the unpacked sdist", say)
