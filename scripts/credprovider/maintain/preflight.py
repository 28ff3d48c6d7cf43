"""May this commit be released? What git, the version and the changelog say, and what follows from it.

Everything here is a decision about a State; `gather` is the only place that looks at a tree.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from credprovider.errors import RefusedError

VERSION_FILE = "artifacts_keyring/__init__.py"
CHANGELOG = "CHANGELOG.md"
MAIN = "main"
REF_VARIABLE = "GITHUB_REF"

_VERSION = re.compile(r'^__version__\s*(?::\s*[\w.]+\s*)?=\s*["\']([^"\']*)["\']', re.MULTILINE)
_HEADING = re.compile(r"^## (?P<version>\S+)(?: \((?P<date>[^)]*)\))?\s*$", re.MULTILINE)
_DATE = re.compile(r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_TAGS = "refs/tags/"
_MAIN_REFS = (f"refs/remotes/origin/{MAIN}", f"refs/heads/{MAIN}")
_SHOWN = 5


@dataclass(frozen=True)
class Section:
    """A version's part of the changelog. date: what stands in brackets behind the version, or empty."""

    version: str
    date: str
    text: str


@dataclass(frozen=True)
class State:
    """All that decides about a release.

    version: what the package says. sections: the changelog, newest first. changes: what git says is
    not committed. branch: empty where HEAD is on none. tags: all that exist here. merged: whether
    HEAD is part of the main branch, of the remote's where it is known. ref: what this run of a
    workflow was started for, as ``refs/tags/v3.0.0``; empty on a maintainer's machine.
    """

    version: str
    sections: tuple[Section, ...]
    changes: tuple[str, ...]
    commit: str
    branch: str
    tags: frozenset[str]
    merged: bool = True
    ref: str = ""

    @property
    def tag(self) -> str:
        """The tag that this run was started for; empty if it was for none."""
        return self.ref.removeprefix(_TAGS) if self.ref.startswith(_TAGS) else ""

    @property
    def wanted(self) -> str:
        """The tag that belongs to the version."""
        return f"v{self.version}"


def sections(changelog: str) -> tuple[Section, ...]:
    """The versions of a changelog, in its order."""
    found = list(_HEADING.finditer(changelog))
    ends = [each.start() for each in found[1:]] + [len(changelog)]
    return tuple(
        Section(each["version"], each["date"] or "", changelog[each.end() : end].strip())
        for each, end in zip(found, ends)
    )


def gather(root: Path, environ: Mapping[str, str]) -> State:
    """The state of the tree at `root`. Raises RefusedError where it is no git checkout, lacks a file or a version."""
    found = _VERSION.search(_text(root, VERSION_FILE))
    if not found:
        raise RefusedError(f'{VERSION_FILE} has no line __version__ = "…"; write the version there')
    return State(
        version=found[1],
        sections=sections(_text(root, CHANGELOG)),
        changes=tuple(_git(root, "status", "--porcelain").splitlines()),
        commit=_git(root, "rev-parse", "HEAD").strip(),
        branch=_git(root, "branch", "--show-current").strip(),
        tags=frozenset(_git(root, "tag", "--list").split()),
        merged=_merged(root),
        ref=environ.get(REF_VARIABLE, ""),
    )


def _text(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise RefusedError(f"{name} cannot be read: {said}; a release needs it; `git restore {name}`") from None


def _merged(root: Path) -> bool:
    known = _git(root, "for-each-ref", "--format=%(refname)", *_MAIN_REFS).split()
    # What the remote has was reviewed; a branch of this machine is only what its owner says.
    main = next((ref for ref in _MAIN_REFS if ref in known), None)
    return main is not None and not _git(root, "rev-list", "--max-count=1", f"{main}..HEAD").strip()


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise RefusedError("git is not on PATH; a release is made from a git checkout; install git") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise RefusedError(f"git {arguments[0]} failed ({said}); a release is made from a git checkout") from None


# --- deciding


def objections(state: State) -> tuple[str, ...]:
    """Why this state may not be released: one line each, with what to do. Empty when it may."""
    return (*_of_tree(state), *_of_version(state), *_of_changelog(state), *_of_tags(state))


def _of_tree(state: State) -> Iterator[str]:
    if state.changes:
        names = [line[3:] for line in state.changes[:_SHOWN]]
        more = f" and {len(state.changes) - _SHOWN} more" if len(state.changes) > _SHOWN else ""
        yield (
            f"{', '.join(names)}{more}: not committed, and a release is what a commit holds; "
            "commit, ignore or remove what `git status` lists"
        )
    if state.branch != MAIN and not state.tag:
        where = f"branch {state.branch}" if state.branch else "no branch"
        yield f"HEAD is on {where}; releases are cut from {MAIN}; merge, and `git switch {MAIN}`"
    elif not state.merged:
        yield (
            f"{state.commit[:12]} is no part of {MAIN} as it was reviewed; "
            f"merge it there, `git fetch`, and release the commit that {MAIN} has"
        )


def _of_version(state: State) -> Iterator[str]:
    try:
        plain = str(Version(state.version))
    except InvalidVersion:
        yield f"{state.version!r} in {VERSION_FILE} is no version; valid: such as 3.0.0 or 3.1.0rc1; correct it"
        return
    if plain != state.version:
        yield f"{state.version!r} in {VERSION_FILE} would be published as {plain}; write {plain}"
    if Version(state.version).local:
        yield f"{state.version!r} in {VERSION_FILE} has a local part, which no index takes; remove it"


def _of_changelog(state: State) -> Iterator[str]:
    if not state.sections:
        yield f"{CHANGELOG} has no heading such as `## {state.version} (2026-11-23)`; write one"
        return
    newest = state.sections[0]
    if newest.version != state.version:
        yield (
            f"{CHANGELOG} begins with {newest.version}, {VERSION_FILE} says {state.version}; "
            "make them one: the changelog's first heading is the version being released"
        )
    if not _DATE.fullmatch(newest.date):
        seen = f"({newest.date})" if newest.date else "no date"
        yield f"{newest.version} has {seen} in {CHANGELOG}; valid: such as (2026-11-23); write the day of the release"
    if not newest.text:
        yield f"{newest.version} in {CHANGELOG} says nothing of what changed; its text becomes the release notes"


def _of_tags(state: State) -> Iterator[str]:
    if state.ref and not state.tag:
        yield f"this run is for {state.ref}, a release runs for its tag; start it on {state.wanted}"
    if state.tag and state.tag != state.wanted:
        yield f"this run is for the tag {state.tag}, the tree says {state.version}; tag the commit that says so"
    if not state.tag and state.wanted in state.tags:
        yield f"the tag {state.wanted} is there already; raise the version in {VERSION_FILE} and in {CHANGELOG}"
    newer = [tag for tag in state.tags if _is_later(tag, state)]
    if newer:
        yield f"{max(newer)} is there already and is not older than {state.version}; raise the version above it"


def _is_later(tag: str, state: State) -> bool:
    try:
        return tag != state.wanted and Version(tag.removeprefix("v")) >= Version(state.version)
    except InvalidVersion:
        return False


def notes(state: State) -> str:
    """The release notes: the changelog's part for this version. Raises RefusedError if there is none."""
    for section in state.sections:
        if section.version == state.version:
            return f"{section.text}\n"
    raise RefusedError(f"{CHANGELOG} has no heading for {state.version}; write `## {state.version} (DATE)` there")


def tag_commands(state: State, commit: str) -> tuple[str, ...]:
    """What a maintainer types to release `commit`; release.yml does the rest."""
    sign = f'git tag --sign {state.wanted} --message "artifacts-keyring {state.version}" {commit}'
    return (sign, f"git push origin {state.wanted}")
