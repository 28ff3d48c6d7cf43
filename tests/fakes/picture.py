"""A terminal as an SVG file: text that can be selected, no font to fetch."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.text import Text

COLUMNS = 100
_TEMPLATE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(lines: list[str]) -> str:
    """The lines as a person sees them; one that begins with ``$ `` was typed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text(line, style="bold" if line.startswith("$ ") else ""), soft_wrap=False)
    return console.export_svg(title="artifacts-keyring", code_format=_TEMPLATE, unique_id="terminal")


def words(svg: str) -> str:
    """What it shows, without spaces, because long lines are wrapped; without our version and sizes of files."""
    shown = "".join(re.findall(r"<text class=\"terminal-r[^>]*>([^<]*)</text>", svg))
    return re.sub(r"\s|&#160;|\(\d+bytes\)|(?<=installed)artifacts-keyring-[0-9a-z.]+", "", shown)
