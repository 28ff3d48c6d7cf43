"""The results as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

from benchmarks import goals
from benchmarks.results import BARE, CACHED, DECLARED, FOREIGN, LARGE, NOFUSS, OURS, PREDECESSOR, LookUp, Results

NOTHING = "–"


def lines(results: Results) -> Iterator[str]:
    """Every line of the report."""
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    yield f"{results.date}, medians of {results.runs} interleaved runs, {facts}"
    for title, table in (
        ("look-ups (keyring get)", _look_ups(results)),
        ("import of the backend, keyring itself loaded", _imports(results)),
        ("wheel of this platform", _sizes(results)),
        ("release, all files", _releases(results)),
        ("goals", _goals(results)),
    ):
        yield ""
        yield title
        yield from aligned(table)
    yield ""
    yield "* beyond those that keyring starts by itself; received: TLS and the provider's own traffic included"


def comparison(results: Results) -> Iterator[str]:
    """The rows of README's table: what is measured, and the values of ours, of the predecessor and of nofuss."""
    everyone = (OURS, PREDECESSOR, NOFUSS)

    def row(what: str, values: Iterable[Optional[float]], form: str) -> str:
        return f"| {what} | {' | '.join(number(value, form) for value in values)} |"

    def times_bare(who: str, case: str) -> Optional[float]:
        mine, bare = results.seconds(who, case), results.seconds(BARE, case)
        return mine / bare if mine is not None and bare else None

    def received(who: str) -> Optional[float]:
        found = results.lookup(who, CACHED, 0, LARGE)
        return None if found is None or found.received is None else found.received / 1e3

    sizes, releases = [results.size(who) for who in everyone], [results.release(who) for who in everyone]
    for case, what in ((FOREIGN, "a service that is no feed"), (DECLARED, "a declared credential")):
        yield row(f"{what}: time / bare keyring", (times_bare(who, case) for who in everyone), ".1f")
    yield row("a cached token: time / bare keyring", (times_bare(who, CACHED) for who in everyone), ".1f")
    yield row("the same on an index page of 20 MB: kB received", map(received, everyone), ",.0f")
    yield row("a wheel: MB", (size.wheel / 1e6 if size else None for size in sizes), ".2f")
    yield row("all files of a release: MB", (one.bytes / 1e6 if one else None for one in releases), ",.0f")


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The rows with their columns one below the other, two spaces between."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def case_name(case: str, latency_ms: int, index_bytes: int) -> str:
    """A case in words."""
    index = f", index of {index_bytes / 1e6:.0f} MB" if index_bytes else ""
    return f"{case}, {latency_ms} ms a request{index}"


def number(value: Optional[float], form: str, factor: float = 1.0) -> str:
    """The value, or a dash where there is none."""
    return NOTHING if value is None else format(value * factor, form)


def count(value: Optional[int]) -> str:
    """The same for a number of things."""
    return NOTHING if value is None else str(value)


def _look_ups(results: Results) -> Iterator[Sequence[str]]:
    head = ("case", "who", "ms", "/ bare", "requests", "connections", "kB received", "peak MB", "processes*", "modules")
    yield (*head, "note")
    for row in results.lookups:
        bare = results.lookup(BARE, row.case, row.latency_ms, row.index_bytes)
        yield _look_up(row, bare or row)


def _look_up(row: LookUp, bare: LookUp) -> Sequence[str]:
    ratio = row.seconds / bare.seconds if row.seconds is not None and bare.seconds else None
    return (
        case_name(row.case, row.latency_ms, row.index_bytes),
        row.who,
        number(row.seconds, ".1f", 1e3),
        number(ratio, ".2f"),
        count(row.requests),
        count(row.connections),
        number(row.received, ".1f", 1e-3),
        number(row.peak, ".1f", 1e-6),
        count(goals.beyond(row, bare)),
        count(row.modules),
        row.note,
    )


def _imports(results: Results) -> Iterator[Sequence[str]]:
    yield ("who", "ms", "modules")
    for row in results.imports:
        yield (row.who, number(row.seconds, ".1f", 1e3), str(row.modules))


def _sizes(results: Results) -> Iterator[Sequence[str]]:
    yield ("who", "wheel MB", "unpacked MB", "files", "install s")
    for row in results.sizes:
        sizes = number(row.wheel, ".2f", 1e-6), number(row.unpacked, ".2f", 1e-6)
        yield (row.who, *sizes, str(row.files), number(row.install_seconds, ".2f"))


def _releases(results: Results) -> Iterator[Sequence[str]]:
    yield ("who", "version", "files", "MB", "from")
    for row in results.releases:
        yield (row.who, row.version, str(row.files), number(row.bytes, ".1f", 1e-6), row.origin)


def _goals(results: Results) -> Iterator[Sequence[str]]:
    yield ("goal", "at most", "ours", "", "predecessor", "nofuss")
    for goal in goals.goals(results):
        values = [number(value, ".6g" if goal.limit >= 1000 else ".3g") for value in (goal.predecessor, goal.nofuss)]
        ours = number(goal.ours, ".6g" if goal.limit >= 1000 else ".3g")
        yield (goal.name, f"{goal.limit:g}", ours, goal.verdict, *values)
