"""Bar charts as small SVG files that always come out the same, and can be read in light and dark surroundings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional
from xml.sax.saxutils import escape

WIDTH = 860
_LEFT, _RIGHT, _TEXT = 230, 170, 20  # room for labels, for values, and the margin
_BAR, _STEP, _GAP = 15, 19, 12
_MEAN_CHARACTER = 6.6  # of the legend's font, in pixels

# Its own ground, because a page's light or dark setting does not always reach an embedded image.
_STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .panel { font-size: 13px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .none { font-style: italic; fill: #59636e }
  .end { text-anchor: end }
  .ground { fill: #ffffff; stroke: #d1d9e0 }
  .axis { stroke: #818b98 }
  .c0 { fill: #0969da } .c1 { fill: #bc4c00 } .c2 { fill: #8250df } .c3 { fill: #818b98 } .c4 { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small, .none { fill: #9198a1 }
    .ground { fill: #0d1117; stroke: #3d444d }
    .axis { stroke: #656c76 }
    .c0 { fill: #4493f8 } .c1 { fill: #db6d28 } .c2 { fill: #ab7df8 } .c3 { fill: #656c76 } .c4 { fill: #3fb950 }
  }
"""


@dataclass(frozen=True)
class Bar:
    """One bar; value None: there is none, and `text` says why. `text` stands at its end. colour: 0 to 4."""

    value: Optional[float]
    text: str
    colour: int


@dataclass(frozen=True)
class Group:
    """Bars below each other with one label."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Panel:
    """Groups that share a scale, which begins at zero; the title names the unit."""

    title: str
    groups: Sequence[Group]


@dataclass(frozen=True)
class Chart:
    """A picture; legend: name -> colour; caption: lines below, the command that made it among them."""

    title: str
    legend: Mapping[str, int]
    panels: Sequence[Panel]
    caption: Sequence[str]


def draw(chart: Chart) -> str:
    """The SVG file's text."""
    body: list[str] = []
    y = _title(chart, body)
    for panel in chart.panels:
        y = _panel(panel, y, body)
    for line in chart.caption:
        y += 16
        body.append(_words(_TEXT, y, line, "small"))
    height = y + 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(chart.title, {chr(34): "&quot;"})}">'
    )
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    title = f"<title>{escape(chart.title)}</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", ground, *body, "</svg>"]) + "\n"


def _title(chart: Chart, body: list[str]) -> int:
    body.append(_words(_TEXT, 30, chart.title, "title"))
    x = float(_TEXT)
    for name, colour in chart.legend.items():
        body.append(f'<rect class="c{colour}" x="{x:.0f}" y="45" width="12" height="12" rx="2"/>')
        body.append(_words(round(x) + 17, 55, name))
        x += 17 + len(name) * _MEAN_CHARACTER + 18
    return 66


def _panel(panel: Panel, y: int, body: list[str]) -> int:
    y += 24
    body.append(_words(_TEXT, y, panel.title, "panel"))
    y += 12
    top = y
    most = max((bar.value for group in panel.groups for bar in group.bars if bar.value), default=1.0)
    for group in panel.groups:
        body.extend(_group(group, y, (WIDTH - _LEFT - _RIGHT) / most))
        y += len(group.bars) * _STEP + _GAP
    body.append(f'<line class="axis" x1="{_LEFT}" y1="{top - 4}" x2="{_LEFT}" y2="{y - _GAP + 2}"/>')
    return y


def _group(group: Group, y: int, scale: float) -> Iterator[str]:
    middle = y + len(group.bars) * _STEP / 2 + 2
    yield _words(_LEFT - 10, round(middle), group.label, "end")
    for number, bar in enumerate(group.bars):
        top = y + number * _STEP
        length = max((bar.value or 0.0) * scale, 1.0)
        if bar.value is None:
            yield _words(_LEFT + 6, top + 12, bar.text, "none")
            continue
        yield f'<rect class="c{bar.colour}" x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}"/>'
        yield _words(round(_LEFT + length) + 6, top + 12, bar.text)


def _words(x: int, y: int, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x}" y="{y}">{escape(text)}</text>'
