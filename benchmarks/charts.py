"""The pictures of the results: look-ups, a large index, sizes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks import goals
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

COMMAND = "python benchmarks/run.py"
_COLOURS = {OURS: "#0969da", PREDECESSOR: "#bc4c00", NOFUSS: "#8250df", BARE: "#818b98"}
_FLOOR, _FLOOR_COLOUR = "bare keyring + bare provider + one request", "#1a7f37"
_INCHES_A_BAR = 0.22
_CASES = (
    (FOREIGN, 0, "foreign service"),
    (DECLARED, 0, "declared credential"),
    (CACHED, 0, "cached token"),
    (CACHED, 50, "cached token, +50 ms a request"),
    (EXPIRED, 0, "expired token, renewed"),
    (EXPIRED, 50, "expired token, +50 ms a request"),
)


class Bar(NamedTuple):
    """One bar; value None: there is none, and `text`, which stands at its end, says why."""

    value: Optional[float]
    text: str
    colour: str


class Panel(NamedTuple):
    """Groups of bars, by label, on one scale that begins at zero; the title names the unit."""

    title: str
    groups: Mapping[str, Sequence[Bar]]


class Chart(NamedTuple):
    """A picture; legend: name -> colour; caption: lines below, the command that made it among them."""

    title: str
    legend: Mapping[str, str]
    panels: Sequence[Panel]
    caption: Sequence[str]


def draw_all(results: Results) -> dict[str, str]:
    """Every chart: file name -> SVG."""
    charts = {"look-ups.svg": _look_ups(results), "large-index.svg": _large(results), "sizes.svg": _sizes(results)}
    return {name: _svg(chart) for name, chart in charts.items()}


def write(results: Results, folder: Path) -> None:
    """Draw every chart into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in draw_all(results).items():
        (folder / name).write_text(text, encoding="utf-8")


def _svg(chart: Chart) -> str:
    rows = [sum(len(bars) + 1 for bars in panel.groups.values()) + 1 for panel in chart.panels]
    # The same file for the same results, and text that can be selected.
    with rc_context({"svg.hashsalt": "artifacts-keyring", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, sum(rows) * _INCHES_A_BAR + 1.3), layout="constrained")
        figure.suptitle(chart.title, x=0.02, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(len(rows), squeeze=False, height_ratios=rows)[:, 0]
        for panel, each in zip(chart.panels, axes):
            _panel(panel, each)
        handles = [Patch(color=colour, label=name) for name, colour in chart.legend.items()]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=8)
        axes[-1].set_xlabel("\n".join(chart.caption), loc="left", fontsize=8, color="#59636e")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": chart.title})
    return text.getvalue()


def _panel(panel: Panel, axes: Axes) -> None:
    places, row = {}, 0
    for label, bars in panel.groups.items():
        for bar in bars:
            axes.barh(row, bar.value or 0, color=bar.colour, height=0.8)
            axes.annotate(bar.text, (bar.value or 0, row), (4, 0), textcoords="offset points", va="center")
            row += 1
        places[label] = row - (len(bars) + 1) / 2
        row += 1
    axes.set_yticks(list(places.values()), list(places))
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.margins(x=0.35, y=0.02)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _look_ups(results: Results) -> Chart:
    groups = {label: _times(results, case, latency) for case, latency, label in _CASES}
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
        Panel("kilobytes received over the wire", {"cached token": received}),
        Panel("megabytes of memory, the client process at its peak", {"cached token": peak}),
    ]
    return Chart("One keyring get on an index page of 20 MB", _legend(results, who), panels, _caption(results))


def _sizes(results: Results) -> Chart:
    who = (OURS, PREDECESSOR, NOFUSS)
    wheels = {name: results.size(name) for name in who}
    wheel = [_size(row, name, "wheel") for name, row in wheels.items()]
    unpacked = [_size(row, name, "unpacked") for name, row in wheels.items()]
    release = [_release(results, name) for name in (OURS, PREDECESSOR)]
    panels = [
        Panel("megabytes of one wheel (this platform's)", {"wheel": wheel, "unpacked": unpacked}),
        Panel("megabytes of a release, all platforms", {"release": release}),
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


def _legend(results: Results, names: Sequence[str]) -> dict[str, str]:
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
