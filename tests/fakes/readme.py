"""What the pages for people say, taken apart: code blocks, links, headings, names of variables, command lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.conftest import ROOT

TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
# The facts, which code cites, hold what was measured once: no block of theirs is run (tests/unit/test_docs.py).
FACTS = ("docs/clients.md", "docs/packaging.md", "docs/provider.md", "docs/sign-in.md")
DOCS = tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
PAGES = (*TOP, *(page for page in DOCS if page not in FACTS))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block. `heading` is what it stands under, `number` counts from 0 there, `kind` is its info string."""

    page: str
    heading: str
    number: int
    kind: str
    text: str

    @property
    def name(self) -> str:
        """What tests call it."""
        return f"{self.page}: {self.heading} {self.number}"


def read(page: str) -> str:
    """The text of one of PAGES."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", read(page))


def blocks(page: str) -> list[Block]:
    """All fenced blocks, in order."""
    text, seen = read(page), dict[str, int]()
    found = []
    for match in _FENCE.finditer(text):
        heading = [title for title in _HEADING.findall(_FENCE.sub("", text[: match.start()]))][-1]
        seen[heading] = seen.get(heading, -1) + 1
        found.append(Block(page, heading, seen[heading], match[1], match[2]))
    return found


def anchors(page: str) -> set[str]:
    """What a link may name after #, as GitHub makes it out of headings."""
    titles = (re.sub(r"[`*]", "", title) for title in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: str) -> list[str]:
    """The targets of all links."""
    return _LINK.findall(prose(page))


def inline(page: str) -> list[str]:
    """Everything between single backticks."""
    return _INLINE.findall(prose(page))


def commands(page: str) -> Iterator[str]:
    """Every command line: of inline code, and of blocks with their continued lines joined."""
    yield from inline(page)
    for block in blocks(page):
        if block.kind in ("console", "sh"):
            yield from re.sub(r"\\\n\s*", "", block.text).splitlines()
