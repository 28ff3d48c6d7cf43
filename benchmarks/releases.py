"""A whole release of ours: how long its build takes beside plain deflate of the same bytes, and how large it is.

Times are ratios within one run: absolute ones are this machine's alone.
"""

from __future__ import annotations

import os
import resource
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from credprovider import lockfile, targets
from credprovider.build import matrix
from credprovider.errors import BuildError
from credprovider.fetch import sources
from credprovider.payload import tree

import artifacts_keyring
from benchmarks.results import OURS, Build, Release

_LEVEL = 6  # what hatchling always uses
_OFFLINE = "ARTIFACTS_CREDENTIAL_PROVIDER_OFFLINE"


def native_wheel(root: Path, into: Path) -> Path:
    """This platform's wheel as releases have it. Raises BuildError."""
    key = targets.resolve(os.environ).target.key
    (built,) = matrix.build(_request(root, (key,), into, smallest=True), _silent)
    return built.path


def at_hand(root: Path) -> bool:
    """Whether every archive of a release is on this machine."""
    try:
        _archives(root, {**os.environ, _OFFLINE: "true"})
    except BuildError:
        return False
    return True


def measure(root: Path, scratch: Path, runs: int) -> tuple[Release, Build]:
    """Build everything `runs` times, and once as releases are. Raises BuildError."""
    work = _trees(root, scratch / "trees")
    request = _request(root, matrix.RELEASE, scratch / "plain", smallest=False)
    with ProcessPoolExecutor(request.jobs) as pool:
        turns = {
            "release": lambda: matrix.build(request, _silent),
            "plain": lambda: list(pool.map(_deflate, work)),
        }
        seconds = {name: [_seconds(turn)] for name, turn in turns.items()}
        for _ in range(runs - 1):
            for name, turn in turns.items():
                seconds[name].append(_seconds(turn))
        # Only children that have ended count, so not those of the pool.
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    smallest = _request(root, matrix.RELEASE, scratch / "smallest", smallest=True)
    smallest_seconds = _seconds(lambda: matrix.build(smallest, _silent))
    sizes = [path.stat().st_size for path in smallest.into.iterdir()]
    release = Release(OURS, artifacts_keyring.__version__, len(sizes), sum(sizes), "scripts/build.py --smallest")
    best = {name: round(min(found), 2) for name, found in seconds.items()}
    return release, Build(best["release"], best["plain"], round(smallest_seconds, 2), largest, request.jobs)


def _request(root: Path, what: tuple[str, ...], into: Path, *, smallest: bool) -> matrix.Request:
    return matrix.Request(root, what, into, os.cpu_count() or 1, smallest=smallest)


def _archives(root: Path, environ: Mapping[str, str]) -> dict[str, sources.Archive]:
    pinned = lockfile.load(root / lockfile.LOCK_NAME)
    settings = sources.Settings.from_environ(environ)
    return {key: sources.obtain(pinned, target, settings, _silent) for key, target in pinned.targets.items()}


def _trees(root: Path, into: Path) -> list[Path]:
    """The payload folder of each file of a release; largest first, as a scheduler would like them."""
    pinned = lockfile.load(root / lockfile.LOCK_NAME)
    archives = _archives(root, os.environ)
    trees = [tree.unpack(archive, pinned.targets[key].tree, into / key) for key, archive in archives.items()]
    return sorted(trees, key=lambda tree: -pinned.targets[tree.name].tree.bytes)


def _silent(_line: str) -> None:
    return None


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _deflate(root: Path) -> int:
    """Deflate every file below `root` by itself, as a zip file does; return the sum in bytes."""
    total = 0
    for path in sorted(root.rglob("*")):
        if path.is_file():
            squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
            total += len(squeeze.compress(path.read_bytes())) + len(squeeze.flush())
    return total
