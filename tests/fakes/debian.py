"""Minimal Debians: old, new and lean systems, and real older and newer Pythons for any machine with Debian's tools.

mmdebstrap makes each system once, from the distribution's own packages, below the user's cache. It is made again
when this recipe changes, and every month, because the newest suite moves. A system is not to be written to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from credprovider.verify.emulators import debian_mirror

assert sys.platform != "win32"
import fcntl  # noqa: E402

# By the version of their Python; what is newest of all has no number that stays.
SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie", "newest": "testing"}
_OPTIONS = (
    "--variant=essential",
    "--include=python3,python3-venv,libstdc++6,libfaketime",
    # The lists of testing are good for a week, and not every mirror is as fresh.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
_CACHE = platformdirs.user_cache_path("artifacts-keyring-tests", appauthor=False)  # before a test moves HOME
_KEPT = 60 * 86400.0  # seconds


def missing() -> list[str]:
    """What this machine lacks to make a system; empty when it lacks nothing."""
    lacking = [tool for tool in ("mmdebstrap", "unshare", "chroot", "patchelf") if shutil.which(tool) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root"]


def system(suite: str) -> Path:
    """The top folder of the system `suite`; made when there is none."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    made = _CACHE / f"{suite}-{time.strftime('%Y-%m')}-{recipe}"
    with _one_at_a_time(suite):
        if not made.is_dir():
            for old in _CACHE.glob(f"{suite}-*-*"):
                if old.stat().st_mtime < time.time() - _KEPT:
                    shutil.rmtree(old)
            _make(suite, made)
    return made / "system"


def python(suite: str) -> str:
    """The Python of the system `suite`, as a program of this machine."""
    (program,) = (system(suite).parent / "python" / "bin").iterdir()
    return str(program)


def copy(suite: str, into: Path) -> Path:
    """A copy of the system `suite` at `into`, to be written to."""
    subprocess.run(["cp", "-a", "--reflink=auto", system(suite), into], check=True)
    return into


@contextmanager
def _one_at_a_time(suite: str) -> Iterator[None]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(suite: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-", dir=_CACHE) as name:
        folder = Path(name) / suite
        folder.mkdir()
        command = ["mmdebstrap", "--quiet", *_OPTIONS, suite, str(folder / "system"), *debian_mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mmdebstrap {suite} ended with {done.returncode}:\n{done.stderr}")
        (folder / "system").chmod(0o755)
        _take_out_the_python(folder, into)
        folder.rename(into)


def _take_out_the_python(folder: Path, final: Path) -> None:
    """A Python that runs outside, on the loader and the libraries of its own system, and finds its own modules there.

    The paths in it are those of `final`, where `folder` is to stand. In the system itself all stays as it is.
    """
    inside = folder / "system"
    (library,) = (inside / "usr" / "lib").glob("python3.*")
    program = folder / "python" / "bin" / library.name
    program.parent.mkdir(parents=True)
    (folder / "python" / "lib").symlink_to("../system/usr/lib")
    shutil.copy2(inside / "usr" / "bin" / library.name, program)
    (loader,) = (inside / "lib").glob("*-linux-gnu/ld-linux-*.so.*")
    libraries = [final / "system" / top / loader.parent.name for top in ("lib", "usr/lib")]
    interpreter = str(final / loader.relative_to(folder))
    command = ["patchelf", "--set-interpreter", interpreter, "--force-rpath", "--set-rpath"]
    subprocess.run([*command, ":".join(map(str, libraries)), str(program)], check=True)
