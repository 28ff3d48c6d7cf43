"""Which part of the code may import which: never one that stands below it here, and never in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A folder stands for all its modules.
ORDER = {
    "artifacts_keyring": (
        "urls variables credential value_checks system",
        "log feeds console",
        "http provider",
        "declared memory messages session lookup",
        "backend plugin",
        "cli",
        "__main__",
    ),
    "scripts/credprovider": (
        "errors targets lockfile",
        "payload",
        "fetch",
        "hook",
        "verify",
        "build",
        "maintain",
    ),
}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below *package* -> file. Its own __init__ is left out: it is how others see the package."""
    found = {path: path.relative_to(package).with_suffix("").parts for path in package.rglob("*.py")}
    return {".".join(parts): path for path, parts in found.items() if parts[-1] != "__init__"}


def imported(package: Path, name: str, known: dict[str, Path]) -> Iterator[str]:
    """The modules of *package* that its module *name* imports, also those that it imports late."""
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = name.split(".")[: -node.level] if node.level else [package.name]
            origin = ".".join([*above, node.module or ""]).removeprefix(f"{package.name}.").strip(".")
            yield from known.keys() & {origin, *(f"{origin}.{each.name}".strip(".") for each in node.names)}


@pytest.mark.parametrize("folder", ORDER)
def test_nothing_is_imported_upwards_or_in_a_circle(folder: str) -> None:
    package, ranks = ROOT / folder, [names.split() for names in ORDER[folder]]
    known = modules(package)
    rank = {name: number for number, names in enumerate(ranks) for name in known if name.split(".")[0] in names}
    assert known.keys() - rank.keys() == set(), f"{__file__} has no place for them"
    graph = {name: set(imported(package, name, known)) for name in known}
    upwards = [f"{folder}: {a} imports {b}" for a in graph for b in graph[a] if rank[b] > rank[a]]
    assert upwards == []
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(known)  # else a CycleError names it


def test_a_look_up_imports_nothing_of_the_command_line() -> None:
    package = ROOT / "artifacts_keyring"
    known = modules(package)
    reached, ahead = set[str](), {"backend"}
    while ahead:
        reached |= ahead
        ahead = {other for name in ahead for other in imported(package, name, known)} - reached
    assert {"lookup", "session", "provider.provider"} < reached
    assert [name for name in reached if name.startswith("cli.")] == []
