"""What was promised, beside what was measured: arithmetic on results, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Optional

from benchmarks.results import (
    ALONE,
    BARE,
    BEFORE,
    CACHED,
    COMMAND,
    DECLARED,
    FOREIGN,
    LARGE,
    NOFUSS,
    OURS,
    PREDECESSOR,
    PROVIDER,
    REQUEST,
    LookUp,
    Results,
)


@dataclass(frozen=True)
class Goal:
    """A measured value, the most it may be, and what the others have; None: not measured, or cannot."""

    name: str
    limit: float
    ours: Optional[float]
    predecessor: Optional[float] = None
    nofuss: Optional[float] = None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.ours is None:
            return "not measured"
        return "met" if self.ours <= self.limit else "NOT met"


def goals(results: Results) -> list[Goal]:
    """Every goal, in the order of the table."""
    return [*_times(results), *_counts(results), *_sizes(results), *_builds(results)]


def reference(results: Results, latency_ms: int) -> Optional[float]:
    """Seconds of what a checked answer of the provider cannot do without, one after another.

    keyring's own start (its whole run without a backend), the provider's run, and one request.
    """
    parts = [results.seconds(who, CACHED, latency_ms) for who in (BARE, PROVIDER, REQUEST)]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _times(results: Results) -> Iterator[Goal]:
    yield _each(results, "foreign service: ms more than bare keyring", 3.0, _more)
    yield _each(results, "declared credential / bare keyring", 1.10, _declared)
    yield Goal(
        "token command: ms more than a declared credential, the command alone and one request, httpx loaded for it",
        15.0,
        _command(results),
    )
    for case in (FOREIGN, DECLARED, CACHED):
        if results.seconds(BEFORE, case) is not None:
            yield Goal(
                f"{case} / the version before",
                1.03,
                _ratio(results.seconds(OURS, case), results.seconds(BEFORE, case)),
            )
    for latency in (0, 50):
        name = f"cached token, {latency} ms a request / (bare keyring + bare provider + one request)"
        yield _each(results, name, 1.05, partial(_cached, latency))


def _counts(results: Results) -> Iterator[Goal]:
    yield _count(results, "declared credential: requests", 0, DECLARED, "requests")
    yield _each(results, "declared credential: processes beyond keyring's own", 0, _processes)
    yield _count(results, "cached token: requests", 2, CACHED, "requests")
    yield _count(results, "cached token: connections", 1, CACHED, "connections")
    yield _count(results, "cached token, index of 20 MB: bytes received", 64 * 1024, CACHED, "received", LARGE)


def _sizes(results: Results) -> Iterator[Goal]:
    ours, theirs = results.size(OURS), results.size(PREDECESSOR)
    yield Goal("wheel / the predecessor's", 1.0, ours.wheel / theirs.wheel if ours and theirs else None)
    release, before = results.release(OURS), results.release(PREDECESSOR)
    yield Goal("release: MB", 275.0, release.bytes / 1e6 if release else None, before.bytes / 1e6 if before else None)


def _builds(results: Results) -> Iterator[Goal]:
    build = results.build
    ratio = build.seconds / build.plain_seconds if build else None
    yield Goal("release build / plain deflate of the same bytes", 1.25, ratio)
    yield Goal("release build: MB of its largest process", 400.0, build.largest_process / 1e6 if build else None)


def _each(results: Results, name: str, limit: float, value: Callable[[Results, str], Optional[float]]) -> Goal:
    return Goal(name, limit, *(value(results, who) for who in (OURS, PREDECESSOR, NOFUSS)))


def _more(results: Results, who: str) -> Optional[float]:
    mine, bare = results.seconds(who, FOREIGN), results.seconds(BARE, FOREIGN)
    return (mine - bare) * 1000 if mine is not None and bare is not None else None


def _declared(results: Results, who: str) -> Optional[float]:
    return _ratio(results.seconds(who, DECLARED), results.seconds(BARE, DECLARED))


def _command(results: Results) -> Optional[float]:
    parts = [results.seconds(who, case) for who, case in ((OURS, DECLARED), (ALONE, COMMAND), (REQUEST, COMMAND))]
    known, mine = [part for part in parts if part is not None], results.seconds(OURS, COMMAND)
    return (mine - sum(known)) * 1000 if mine is not None and len(known) == len(parts) else None


def _cached(latency_ms: int, results: Results, who: str) -> Optional[float]:
    return _ratio(results.seconds(who, CACHED, latency_ms), reference(results, latency_ms))


def _ratio(value: Optional[float], base: Optional[float]) -> Optional[float]:
    return value / base if value is not None and base else None


def _processes(results: Results, who: str) -> Optional[float]:
    mine, bare = results.lookup(who, DECLARED), results.lookup(BARE, DECLARED)
    return beyond(mine, bare) if mine and bare else None


def beyond(mine: LookUp, bare: LookUp) -> Optional[int]:
    """How many processes were started that keyring does not start by itself.

    It starts some on Linux: its macOS backend has ctypes look for frameworks, with ldconfig, gcc and ld.
    """
    return mine.processes - bare.processes if mine.processes is not None and bare.processes is not None else None


def _count(results: Results, name: str, limit: float, case: str, field: str, index_bytes: int = 0) -> Goal:
    def value(all_of_it: Results, who: str) -> Optional[float]:
        row: Optional[LookUp] = all_of_it.lookup(who, case, 0, index_bytes)
        found = getattr(row, field) if row else None
        return None if found is None else float(found)

    return _each(results, name, limit, value)
