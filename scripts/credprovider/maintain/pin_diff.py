"""What a new pin would change, as lines of text; those that start with ``!`` want a person's look."""

from __future__ import annotations

import difflib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping

from credprovider.lockfile import Pin, PinnedTarget, Tree
from credprovider.maintain.measure import Measured

LOOK = "! "
_SAME = "  "
# Longer diffs of a text are cut: a person who accepts a licence reads the file itself.
_DIFF_LINES = 200
_DOCUMENT = "word/document.xml"
_DOCUMENT_BYTES = 8 << 20


def of_target(pinned: PinnedTarget, old: Measured | None, new: Measured, sha256: str | None) -> list[str]:
    """The changes of one target; `old` is None where the present payload is not at hand. sha256: the new asset's."""
    lines = list(_of_asset(pinned, new.tree == pinned.tree, sha256))
    if new.tree == pinned.tree:
        return [*lines, f"{_SAME}the same tree: {_figures(new.tree)}"]
    lines += [f"{_SAME}tree was {_figures(pinned.tree)}", f"{_SAME}tree is  {_figures(new.tree)}"]
    if old is None:
        return [*lines, f"{LOOK}the present payload is not at hand: files, components and floors are not compared"]
    return [*lines, *_of_files(old.files, new.files), *_of_components(old, new), *_of_floors(old, new)]


def _of_asset(pinned: PinnedTarget, same_tree: bool, sha256: str | None) -> Iterator[str]:
    known = pinned.asset.sha256
    if known and sha256 and known != sha256 and same_tree:
        yield f"{LOOK}{pinned.asset.name} holds the same tree in another container: sha256 was {known}, is {sha256}"


def _figures(tree: Tree) -> str:
    return f"{tree.files} files, {tree.bytes} bytes, sha256 {tree.sha256}"


def _of_files(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{LOOK}new file      {path} (sha256 {new[path]})" for path in new if path not in old)
    yield from (f"{LOOK}removed file  {path}" for path in old if path not in new)
    changed = [path for path in new if path in old and old[path] != new[path]]
    yield f"{_SAME}{len(changed)} files have new content, {len(new) - len(changed)} are new or as they were"


def _of_components(old: Measured, new: Measured) -> Iterator[str]:
    was, now = old.components, new.components
    for name in sorted({*was, *now}):
        if name not in was:
            yield f"{LOOK}new component      {name} {now[name]}"
        elif name not in now:
            yield f"{LOOK}removed component  {name} {was[name]}"
        elif was[name] != now[name]:
            yield f"{LOOK}changed component  {name} {was[name]} -> {now[name]}"


def _of_floors(old: Measured, new: Measured) -> Iterator[str]:
    for name in sorted({*old.floors, *new.floors}):
        was, now = old.floors.get(name), new.floors.get(name)
        if was != now:
            raised = now is not None and now > (was or (0, 0))
            word = f"{LOOK}raised" if raised else f"{_SAME}lower"
            yield f"{word} floor: {name} {_dotted(was)} -> {_dotted(now)}"


def _dotted(floor: tuple[int, int] | None) -> str:
    return "none" if floor is None else f"{floor[0]}.{floor[1]}"


def between(release: Measured, index: Measured) -> list[str]:
    """How two payloads of one target differ; nothing if they are one."""
    return [] if release.tree == index.tree else list(_of_files(index.files, release.files))


def of_text(name: str, old: bytes, new: bytes) -> list[str]:
    """A changed text as a unified diff; of a .docx file, its words."""
    was, now = (_lines(name, data) for data in (old, new))
    diff = list(difflib.unified_diff(was, now, f"present {name}", f"new {name}", lineterm="", n=1))
    cut = [f"… and {len(diff) - _DIFF_LINES} lines more"] if len(diff) > _DIFF_LINES else []
    words = diff[:_DIFF_LINES] or ["no word of it differs, only how it is written"]
    return [f"{LOOK}{name} changed:", *(f"    {line}" for line in [*words, *cut])]


def _lines(name: str, data: bytes) -> list[str]:
    text = _words(data) if name.endswith(".docx") else data.decode("utf-8", "replace")
    return text.splitlines()


def _words(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as document, document.open(_DOCUMENT) as stream:
            xml = stream.read(_DOCUMENT_BYTES).decode("utf-8", "replace")
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError):
        return f"(a document of {len(data)} bytes whose words cannot be read)"
    return re.sub(r"<[^>]*>", "", re.sub(r"</w:p>", "\n", xml))


def of_lock(old: str, new: str) -> list[str]:
    """The lock file's own diff."""
    diff: Iterable[str] = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "present lock", "new lock", "", "", 1, ""
    )
    return [f"    {line}" for line in diff]


# --- a pull request


def pull_request(version: str, pinned: Pin, said: str) -> str:
    """The text of the pull request: what pin.py said, fenced so that nothing of it is markup."""
    backticks = "".join(char if char == "`" else " " for char in said).split()
    fence = "`" * max(3, *(len(run) + 1 for run in backticks), 0)
    return (
        f"The provider {version} is out; pinned is {pinned.version}. Lines with `!` want your look.\n"
        "Close and reopen this pull request to run its checks: a run's own token starts none.\n\n"
        f"{fence}text\n{said.rstrip()}\n{fence}\n"
    )
