"""The pages of docs/: what code and comments cite exists, and links between the pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes import readme

PAGES = sorted((ROOT / "docs").rglob("*.md"))
FOLDERS = ("artifacts_keyring", "scripts", "benchmarks", "tests", ".github")
_CITED = re.compile(r"\b(docs/(?:[a-z-]+/)*[a-z-]+\.md)\b(?:#([\w-]+))?")
_PAGE = re.compile(r"[\w/-]+\.md\b")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def cited() -> list[tuple[str, str, str]]:
    """(file, page, heading or nothing) of every citation in the code."""
    files = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*")) if path.suffix in (".py", ".yml")]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return [(name, page, heading) for name, text in texts.items() for page, heading in _CITED.findall(text)]


def test_every_page_and_heading_that_the_code_cites_exists() -> None:
    citations = cited()
    assert any(page == "docs/sign-in.md" and heading for _, page, heading in citations)
    assert [(name, page) for name, page, _ in citations if not (ROOT / page).is_file()] == []
    assert [each for each in citations if each[2] and each[2] not in readme.anchors(each[1])] == []


def test_the_runtime_cites_pages_by_their_path_from_the_top() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "artifacts_keyring").rglob("*.py")]
    assert [page for text in texts for page in _PAGE.findall(text) if not (ROOT / page).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []
