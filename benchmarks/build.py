"""How fast and how small: a whole release against plain deflate of the same bytes.

`python benchmarks/build.py` builds everything from the warm cache, then deflates the same payloads
with zlib on as many processes, and prints the ratio; then what libdeflate's levels would save. The
figures are ratios within one run: absolute times are this machine's alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import environment

# Published sizes of the predecessor's 2.0.0rc5, in MB: its wheel per platform, and its release of 36 files.
PREDECESSOR_RELEASE_MB = 1256.7
LEVEL = 6  # what hatchling always uses


def main() -> int:
    """Print the figures; with ``--json FILE``, write them too."""
    environment.ensure("hatchling", "httpx", "platformdirs", "pip")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = measure(options.runs)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def measure(runs: int) -> dict[str, float]:
    """Times in seconds (best of `runs`), sizes in MB, memory in MB, and the ratios."""
    from credprovider import building, targets

    jobs = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        trees = _trees(scratch)
        request = building.Request(environment.ROOT, building.RELEASE, scratch / "dist", jobs)
        release = min(_seconds(lambda: building.build(request, _silent)) for _ in range(runs))
        work = [trees[targets.NON_SC if what == building.SDIST else what] for what in building.RELEASE]
        with ProcessPoolExecutor(jobs) as pool:
            plain = min(_seconds(lambda: list(pool.map(_deflate, work))) for _ in range(runs))
        size = sum(path.stat().st_size for path in (scratch / "dist").iterdir()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    return {
        "release_seconds": round(release, 2),
        "plain_deflate_seconds": round(plain, 2),
        "release_to_plain_deflate": round(release / plain, 3),
        "largest_process_MB": round(max(peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3), 1),
        "release_MB": round(size, 2),
        "release_to_predecessor": round(size / PREDECESSOR_RELEASE_MB, 3),
    }


def _trees(scratch: Path) -> dict[str, Path]:
    from credprovider import payload, pin, sources

    pinned = pin.load(environment.ROOT / pin.LOCK_NAME)
    settings = sources.Settings.from_environ(os.environ)
    return {
        key: payload.unpack(sources.obtain(pinned, target, settings, _silent), target.tree, scratch / key)
        for key, target in pinned.targets.items()
    }


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
            squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
            total += len(squeeze.compress(path.read_bytes())) + len(squeeze.flush())
    return total


if __name__ == "__main__":
    raise SystemExit(main())
