"""Which pictures are drawn of the results: look-ups, a large index, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from benchmarks import goals, svg
from benchmarks.results import (
    BARE,
    CACHED,
    DECLARED,
    EXPIRED,
    FOREIGN,
    LARGE,
    NOFUSS,
    OURS,
    PREDECESSOR,
    LookUp,
    Results,
    Size,
)
from benchmarks.svg import Bar, Chart, Group, Panel

COMMAND = "python benchmarks/run.py"
_COLOURS = {OURS: 0, PREDECESSOR: 1, NOFUSS: 2, BARE: 3}
_FLOOR, _FLOOR_COLOUR = "bare keyring + bare provider + one request", 4
_CASES = (
    (FOREIGN, 0, "foreign service"),
    (DECLARED, 0, "declared credential"),
    (CACHED, 0, "cached token"),
    (CACHED, 50, "cached token, +50 ms a request"),
    (EXPIRED, 0, "expired token, renewed"),
    (EXPIRED, 50, "expired token, +50 ms a request"),
)


def draw_all(results: Results) -> dict[str, str]:
    """Every chart: file name -> SVG."""
    charts = {"look-ups.svg": _look_ups(results), "large-index.svg": _large(results), "sizes.svg": _sizes(results)}
    return {name: svg.draw(chart) for name, chart in charts.items()}


def write(results: Results, folder: Path) -> None:
    """Draw every chart into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in draw_all(results).items():
        (folder / name).write_text(text, encoding="utf-8")


def _look_ups(results: Results) -> Chart:
    groups = [Group(label, _times(results, case, latency)) for case, latency, label in _CASES]
    legend = {**_legend(results, (OURS, PREDECESSOR, NOFUSS, BARE)), _FLOOR: _FLOOR_COLOUR}
    panel = Panel("milliseconds of wall time", groups)
    return Chart("One keyring get: how long it takes", legend, [panel], _caption(results))


def _times(results: Results, case: str, latency: int) -> list[Bar]:
    # A bare keyring finds nothing: it is the floor where no provider is asked.
    shown = (OURS, PREDECESSOR, NOFUSS, *((BARE,) if case in (FOREIGN, DECLARED) else ()))
    bars = [_bar(results.lookup(who, case, latency), who, "seconds", 1e3, ".0f", "ms") for who in shown]
    floor = goals.reference(results, latency) if case == CACHED else None
    if floor is not None:
        bars.append(Bar(floor * 1e3, f"{floor * 1e3:.0f} ms", _FLOOR_COLOUR))
    return bars


def _large(results: Results) -> Chart:
    who = (OURS, PREDECESSOR, NOFUSS)
    rows = {name: results.lookup(name, CACHED, 0, LARGE) for name in who}
    received = [_bar(row, name, "received", 1e-3, ",.1f", "kB") for name, row in rows.items()]
    peak = [_bar(row, name, "peak", 1e-6, ".1f", "MB") for name, row in rows.items()]
    panels = [
        Panel("kilobytes received over the wire", [Group("cached token", received)]),
        Panel("megabytes of memory, the client process at its peak", [Group("cached token", peak)]),
    ]
    return Chart("One keyring get on an index page of 20 MB", _legend(results, who), panels, _caption(results))


def _sizes(results: Results) -> Chart:
    who = (OURS, PREDECESSOR, NOFUSS)
    wheels = {name: results.size(name) for name in who}
    wheel = [_size(row, name, "wheel") for name, row in wheels.items()]
    unpacked = [_size(row, name, "unpacked") for name, row in wheels.items()]
    release = [_release(results, name) for name in (OURS, PREDECESSOR)]
    panels = [
        Panel("megabytes of one wheel (this platform's)", [Group("wheel", wheel), Group("unpacked", unpacked)]),
        Panel("megabytes of a release, all platforms", [Group("release", release)]),
    ]
    return Chart("What is stored and downloaded", _legend(results, who), panels, _caption(results))


def _size(row: Optional[Size], who: str, field: str) -> Bar:
    value, text = _mega(getattr(row, field) if row else None, ".2f")
    return Bar(value, f"{text}, no provider inside" if who == NOFUSS else text, _COLOURS[who])


def _release(results: Results, who: str) -> Bar:
    row = results.release(who)
    if row is None:
        return Bar(None, "not measured", _COLOURS[who])
    value, text = _mega(row.bytes, ",.1f")
    return Bar(value, f"{text}, {row.files} files", _COLOURS[who])


def _mega(size: Optional[int], form: str) -> tuple[Optional[float], str]:
    return (None, "not measured") if size is None else (size / 1e6, f"{size / 1e6:{form}} MB")


def _bar(row: Optional[LookUp], who: str, field: str, factor: float, form: str, unit: str) -> Bar:
    value = getattr(row, field) if row else None
    if value is None:
        return Bar(None, f"{who}: {row.note if row else 'not measured'}", _COLOURS[who])
    return Bar(value * factor, f"{value * factor:{form}} {unit}", _COLOURS[who])


def _legend(results: Results, names: Sequence[str]) -> dict[str, int]:
    return {_full_name(results, name): _COLOURS[name] for name in names}


def _full_name(results: Results, who: str) -> str:
    distribution = {OURS: "artifacts-keyring", PREDECESSOR: "artifacts-keyring", NOFUSS: "artifacts-keyring-nofuss"}
    if who not in distribution:
        return who
    version = results.versions.get(who, {}).get(distribution[who], "")
    return f"{'this' if who == OURS else who} {version}".rstrip()


def _caption(results: Results) -> Sequence[str]:
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    return (f"{COMMAND}; medians of {results.runs} interleaved runs, {results.date}", facts)
