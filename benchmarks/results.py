"""What a run of the benchmarks found: plain data, written as JSON and read back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

OURS, PREDECESSOR, NOFUSS, BARE = "ours", "predecessor", "nofuss", "bare keyring"
BEFORE = "ours before"  # an earlier commit of this project
# No contestants, but what a look-up through the provider cannot do without.
PROVIDER, REQUEST, ALONE = "provider alone", "one request", "command alone"

FOREIGN, DECLARED, COMMAND, CACHED, EXPIRED = "foreign", "declared", "token command", "cached", "expired"
SMALL, LARGE = 0, 20_000_000  # bytes that an index page is padded to


class BenchmarkError(Exception):
    """A measurement that cannot be made; the message is one line that ends with the next step."""


@dataclass(frozen=True)
class LookUp:
    """One contestant in one case, or a reference measured in the same rounds.

    seconds: median wall time; None when it cannot do this, and `note` says why. received: bytes that came
    back over the wire, TLS and all processes included. peak: bytes of memory of the client process alone.
    """

    case: str
    latency_ms: int
    index_bytes: int
    who: str
    seconds: Optional[float]
    requests: Optional[int] = None
    connections: Optional[int] = None
    received: Optional[int] = None
    peak: Optional[int] = None
    processes: Optional[int] = None
    modules: Optional[int] = None
    note: str = ""


@dataclass(frozen=True)
class Import:
    """What keyring pays when it loads a backend: median seconds, and modules that nothing had loaded before."""

    who: str
    seconds: float
    modules: int


@dataclass(frozen=True)
class Size:
    """A wheel for this platform, in bytes, and the median seconds of installing the file alone."""

    who: str
    wheel: int
    unpacked: int
    files: int
    install_seconds: float


@dataclass(frozen=True)
class Release:
    """All files of one release, and where the numbers come from."""

    who: str
    version: str
    files: int
    bytes: int
    origin: str


@dataclass(frozen=True)
class Build:
    """The whole release from a warm cache; plain: zlib alone over the same bytes, on as many processes.

    Best of the runs, in seconds; largest_process in bytes; jobs: how many run at once.
    """

    seconds: float
    plain_seconds: float
    smallest_seconds: float
    largest_process: int
    jobs: int


@dataclass(frozen=True)
class Results:
    """Everything, with the machine's facts; versions: contestant -> distribution -> version."""

    date: str
    runs: int
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    lookups: tuple[LookUp, ...]
    imports: tuple[Import, ...]
    sizes: tuple[Size, ...]
    releases: tuple[Release, ...]
    build: Optional[Build] = None

    def lookup(self, who: str, case: str, latency_ms: int = 0, index_bytes: int = SMALL) -> Optional[LookUp]:
        """The row of `who` in a case, or None."""
        wanted = (who, case, latency_ms, index_bytes)
        rows = (row for row in self.lookups if (row.who, row.case, row.latency_ms, row.index_bytes) == wanted)
        return next(rows, None)

    def seconds(self, who: str, case: str, latency_ms: int = 0) -> Optional[float]:
        """The median of `who` in a case with a small index, or None."""
        row = self.lookup(who, case, latency_ms)
        return row.seconds if row else None

    def size(self, who: str) -> Optional[Size]:
        """The wheel of `who`, or None."""
        return next((row for row in self.sizes if row.who == who), None)

    def release(self, who: str) -> Optional[Release]:
        """The release of `who`, or None when it was not measured."""
        return next((row for row in self.releases if row.who == who), None)


def render(results: Results) -> str:
    """The JSON text."""
    return json.dumps(asdict(results), indent=1) + "\n"


def load(path: Path) -> Results:
    """What `render` wrote. Raises BenchmarkError."""
    try:
        return _from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchmarkError(f"{path} holds no results ({error!r}): make them with benchmarks/run.py") from None


def _from(document: dict[str, Any]) -> Results:
    tables = {"lookups": LookUp, "imports": Import, "sizes": Size, "releases": Release}
    rows = {name: tuple(kind(**row) for row in document[name]) for name, kind in tables.items()}
    build = Build(**document["build"]) if document["build"] else None
    return Results(**{**document, **rows, "build": build})
