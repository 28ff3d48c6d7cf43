"""TOML files of the current folder and those above, as far as this Python can read them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

READABLE = sys.version_info >= (3, 11)  # Python's own parser came with it


def above(name: str) -> Iterator[Path]:
    """Every file *name* in the current folder and the folders above it, the nearest first. Never raises."""
    try:
        here = Path.cwd()
    except OSError:
        return
    for folder in (here, *here.parents):
        if exists(folder / name):
            yield folder / name


def exists(path: Path) -> bool:
    """Whether it is a file that can be seen. Never raises."""
    try:
        return path.is_file()
    except OSError:
        return False


def read(path: Path) -> Mapping[str, Any]:
    """The tables of a file; {} where it is not there, no TOML, or cannot be read."""
    if not READABLE:
        return {}
    from importlib import import_module  # type checkers of older Pythons do not know tomllib

    try:
        found: Mapping[str, Any] = import_module("tomllib").loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def table(tables: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The table below these names; {} where there is none."""
    found: Any = tables
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def entries(tables: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    """The tables of the list below these names."""
    found = table(tables, *names[:-1]).get(names[-1])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
