"""Cutting a release: what may be released, and every refusal with its next step."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import pytest
from credprovider import targets
from credprovider.build import matrix, recompress
from credprovider.errors import RefusedError, ReproducibilityError
from credprovider.maintain import preflight, publish
from credprovider.maintain.preflight import Section, State

from tests.conftest import ROOT

pytestmark = pytest.mark.posix

READY = State(
    version="3.1.0",
    sections=(Section("3.1.0", "2026-11-23", "* Better."), Section("3.0.0", "2026-11-01", "* Good.")),
    changes=(),
    commit="0123456789abcdef0123456789abcdef01234567",
    branch="main",
    tags=frozenset({"v3.0.0", "v2.9.0", "nightly"}),
)


def but(**changed: object) -> State:
    return dataclasses.replace(READY, **changed)  # type: ignore[arg-type]


def test_a_clean_commit_of_main_may_be_released() -> None:
    assert preflight.objections(READY) == ()


def test_a_run_for_the_tag_may_stand_on_no_branch() -> None:
    assert preflight.objections(but(branch="", ref="refs/tags/v3.1.0", tags=READY.tags | {"v3.1.0"})) == ()


REFUSALS = [
    (but(changes=(" M setup", "?? new")), "setup, new: not committed", "commit, ignore or remove"),
    (but(changes=tuple(f"?? f{n}" for n in range(9))), "f4 and 4 more: not committed", "`git status`"),
    (but(branch="topic"), "HEAD is on branch topic", "`git switch main`"),
    (but(branch=""), "HEAD is on no branch", "`git switch main`"),
    (but(version="3.1.0", sections=()), "no heading such as `## 3.1.0", "write one"),
    (but(sections=READY.sections[1:]), "begins with 3.0.0, artifacts_keyring/__init__.py says 3.1.0", "make them one"),
    (but(sections=(Section("3.1.0", "unreleased", "x"),)), "3.1.0 has (unreleased)", "write the day"),
    (but(sections=(Section("3.1.0", "", "x"),)), "3.1.0 has no date", "write the day"),
    (but(sections=(Section("3.1.0", "2026-13-01", "x"),)), "3.1.0 has (2026-13-01)", "valid: such as"),
    (but(sections=(Section("3.1.0", "2026-11-23", ""),)), "says nothing of what changed", "release notes"),
    (but(tags=READY.tags | {"v3.1.0"}), "the tag v3.1.0 is there already", "raise the version"),
    (but(tags=READY.tags | {"v3.2.0"}), "v3.2.0 is there already", "raise the version"),
    (but(ref="refs/tags/v3.1.1"), "this run is for the tag v3.1.1, the tree says 3.1.0", "tag the commit"),
    (but(ref="refs/heads/main"), "this run is for refs/heads/main, a release runs for its tag", "start it on v3.1.0"),
    (but(merged=False), "0123456789ab is no part of main as it was reviewed", "merge it there"),
    (but(merged=False, branch="", ref="refs/tags/v3.1.0"), "is no part of main as it was reviewed", "`git fetch`"),
]


@pytest.mark.parametrize(("state", "why", "what_to_do"), REFUSALS, ids=[why for _, why, _ in REFUSALS])
def test_a_refusal_says_why_and_what_to_do(state: State, why: str, what_to_do: str) -> None:
    (said,) = preflight.objections(state)
    assert why in said and what_to_do in said and "\n" not in said


@pytest.mark.parametrize(
    ("version", "why"),
    [("three", "is no version"), ("3.01.0", "would be published as 3.1.0"), ("3.1.0+mine", "has a local part")],
)
def test_a_version_that_no_index_takes_is_refused(version: str, why: str) -> None:
    state = but(version=version, sections=(Section(version, "2026-11-23", "x"),), tags=frozenset())
    (said,) = preflight.objections(state)
    assert why in said


def test_a_changelog_is_its_headings() -> None:
    text = "# Changelog\n\n## 2.0 (2026-01-02)\n\n* A.\n### Not a heading\n* B.\n\n## 1.0\n"
    assert preflight.sections(text) == (
        Section("2.0", "2026-01-02", "* A.\n### Not a heading\n* B."),
        Section("1.0", "", ""),
    )


def test_the_notes_are_this_versions_part() -> None:
    assert preflight.notes(READY) == "* Better.\n"
    with pytest.raises(RefusedError, match=r"no heading for 9.9"):
        preflight.notes(but(version="9.9"))


def test_the_commands_name_tag_and_commit() -> None:
    sign, push = preflight.tag_commands(READY, READY.commit)
    assert sign == f'git tag --sign v3.1.0 --message "artifacts-keyring 3.1.0" {READY.commit}'
    assert push == "git push origin v3.1.0"


# --- a real tree


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "artifacts_keyring").mkdir(parents=True)
    (root / preflight.VERSION_FILE).write_text('"""Docs."""\n__version__ = "3.1.0"\n')
    (root / preflight.CHANGELOG).write_text("# Changelog\n\n## 3.1.0 (2026-11-23)\n\n* Better.\n")
    git(root, "init", "--initial-branch", "main")
    git(root, "add", ".")
    git(root, "commit", "--message", "x")
    return root


def test_the_state_is_read_from_git_version_and_changelog(tree: Path) -> None:
    state = preflight.gather(tree, {})
    assert (state.version, state.branch, state.changes, state.tag) == ("3.1.0", "main", (), "")
    assert state.sections == (Section("3.1.0", "2026-11-23", "* Better."),)
    assert len(state.commit) == 40 and preflight.objections(state) == ()


def test_a_run_of_the_release_workflow_knows_its_tag(tree: Path) -> None:
    git(tree, "tag", "v3.1.0")
    git(tree, "checkout", "--detach", "v3.1.0")
    assert preflight.objections(preflight.gather(tree, {"GITHUB_REF": "refs/tags/v3.1.0"})) == ()
    # on no branch, not for its tag, and the tag is there already
    assert len(preflight.objections(preflight.gather(tree, {"GITHUB_REF": "refs/heads/main"}))) == 3


def test_a_tag_on_what_nobody_merged_is_refused(tree: Path, tmp_path: Path) -> None:
    git(tree, "clone", str(tree), str(tmp_path / "clone"))
    clone = tmp_path / "clone"
    assert preflight.objections(preflight.gather(clone, {})) == ()
    git(clone, "commit", "--allow-empty", "--message", "mine alone")
    git(clone, "tag", "v3.1.0")
    tagged = {"GITHUB_REF": "refs/tags/v3.1.0"}
    for environ in ({}, tagged):
        assert "no part of main" in preflight.objections(preflight.gather(clone, environ))[0]
    git(clone, "remote", "remove", "origin")
    git(clone, "checkout", "--detach")
    git(clone, "branch", "--delete", "--force", "main")
    assert not preflight.gather(clone, tagged).merged


def test_what_is_not_committed_is_seen(tree: Path) -> None:
    (tree / "stray").write_text("x")
    assert preflight.gather(tree, {}).changes == ("?? stray",)


def test_what_is_no_checkout_or_names_no_version_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / preflight.VERSION_FILE).write_text("version = 3\n")
    with pytest.raises(RefusedError, match="has no line __version__"):
        preflight.gather(tree, {})
    (tree / preflight.VERSION_FILE).write_text('__version__ = "3.1.0"\n')
    (tree / ".git").rename(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="made from a git checkout"):
        preflight.gather(tree, {})


@pytest.mark.parametrize("name", [preflight.VERSION_FILE, preflight.CHANGELOG])
def test_a_file_that_decides_and_cannot_be_read_is_named(name: str, tree: Path) -> None:
    (tree / name).write_bytes(b"\xff")
    with pytest.raises(RefusedError, match=rf"{name} cannot be read: it is no UTF-8; a release needs it; `git restore"):
        preflight.gather(tree, {})
    (tree / name).unlink()
    with pytest.raises(RefusedError, match=rf"{name} cannot be read: No such file"):
        preflight.gather(tree, {})


def test_this_tree_says_one_version() -> None:
    state = preflight.gather(ROOT, {})
    assert state.sections[0].version == state.version and state.sections[0].text


# --- the files of a release


def make(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name.endswith(".whl"):
            with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as wheel:
                entry = zipfile.ZipInfo("artifacts_keyring/backend.py", (2020, 2, 2, 0, 0, 0))
                entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
                wheel.writestr(entry, f"{name} " * 200)
        else:
            (folder / name).write_bytes(b"sdist")
    return folder


WHEELS = [f"artifacts_keyring-3.1.0-{target.wheel_tag}.whl" for target in targets.TARGETS if target.self_contained]
FILES = [*WHEELS, "artifacts_keyring-3.1.0.tar.gz"]


def test_a_release_is_every_part_once_and_nothing_else(tmp_path: Path) -> None:
    dist = make(tmp_path / "dist", FILES)
    assert [path.name for path in publish.files(dist)] == sorted(FILES)
    extra = make(dist, ["artifacts_keyring-3.1.0-py3-none-any.whl"]) / "artifacts_keyring-3.1.0-py3-none-any.whl"
    with pytest.raises(RefusedError, match=r"py3-none-any.whl does not belong to a release; empty the folder"):
        publish.files(dist)
    extra.unlink()
    make(dist, ["artifacts_keyring-3.0.0-py3-none-win32.whl"])
    with pytest.raises(RefusedError, match="win-x86 is there twice"):
        publish.files(dist)
    for path in dist.glob("*win32.whl"):
        path.unlink()
    with pytest.raises(RefusedError, match="win-x86 is missing"):
        publish.files(dist)


def test_what_a_build_would_leave_beside_its_own_is_known_before_it(tmp_path: Path) -> None:
    dist = make(
        tmp_path, [*FILES, "artifacts_keyring-3.0.0.tar.gz", "artifacts_keyring-3.1.0-py3-none-any.whl", "notes"]
    )
    assert publish.foreign(dist, "3.1.0") == [
        "artifacts_keyring-3.0.0.tar.gz",
        "artifacts_keyring-3.1.0-py3-none-any.whl",
        "notes",
    ]
    assert publish.foreign(tmp_path / "none", "3.1.0") == []


def native(folder: Path) -> Path:
    """The same wheels as other runners build them: another zlib, one folder a runner, no modes on Windows."""
    make(folder / "sdist", FILES[-1:])
    for name in WHEELS:
        own = make(folder / Path(name).stem, [name]) / name
        with zipfile.ZipFile(own) as wheel:
            entry, data = wheel.infolist()[0], wheel.read(wheel.infolist()[0])
        if "win" in name:
            entry.external_attr, entry.create_system = 0, 0
        with zipfile.ZipFile(own, "w") as wheel:
            wheel.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=1)
    return folder


def edit(path: Path, change: Callable[[zipfile.ZipInfo], None], data: bytes | None = None) -> None:
    with zipfile.ZipFile(path) as wheel:
        entry, old = wheel.infolist()[0], wheel.read(wheel.infolist()[0])
    change(entry)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(entry, old if data is None else data)


def released(folder: Path) -> Path:
    """The files as `build.py --smallest` makes them."""
    for path in make(folder, FILES).glob("*.whl"):
        recompress.smallest(path)
    return folder


def test_two_builds_are_compared_to_the_byte_whatever_deflated_them(tmp_path: Path) -> None:
    said: list[str] = []
    publish.compare(released(tmp_path / "dist"), native(tmp_path / "native"), said.append)
    assert [line[0] for line in said] == ["="] * 8
    assert sum(line.endswith("  every byte, deflated alike") for line in said) == 4
    assert sum(line.endswith("  every byte, deflated alike, but for modes") for line in said) == 3
    assert [line for line in said if line.endswith("  every byte as it is")] == [f"= {FILES[-1]}  every byte as it is"]


@pytest.mark.parametrize("hidden", ["prefix", "comment", "extra", "timestamp", "level"])
def test_what_no_unpacked_file_shows_is_compared_too(hidden: str, tmp_path: Path) -> None:
    dist, other = released(tmp_path / "dist"), native(tmp_path / "native")
    (path,) = dist.glob("*win32.whl")
    with zipfile.ZipFile(path) as wheel:
        entry, data = wheel.infolist()[0], wheel.read(wheel.infolist()[0])
    if hidden == "prefix":
        path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    elif hidden == "comment":
        with zipfile.ZipFile(path, "a") as wheel:
            wheel.comment = b"hello"
    else:
        entry.extra = b"\x99\x99\x00\x00" if hidden == "extra" else b""
        entry.date_time = (2021, 2, 2, 0, 0, 0) if hidden == "timestamp" else entry.date_time
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(entry, data)
        if hidden == "timestamp":
            recompress.smallest(path)
    with pytest.raises(ReproducibilityError, match=r"not what other machines build: \S*win32.whl; if it was built"):
        publish.compare(dist, other, lambda _line: None)


def test_one_other_byte_or_mode_in_a_native_wheel_is_found(tmp_path: Path) -> None:
    dist = released(tmp_path / "dist")
    other = native(tmp_path / "native")

    def executable(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = 0o100755 << 16

    (linux,) = other.rglob("*manylinux*x86_64.whl")
    (windows,) = other.rglob("*win32.whl")
    edit(linux, executable)
    edit(windows, lambda _entry: None, b"another")
    (other / "sdist" / FILES[-1]).write_bytes(b"sdist!")
    with pytest.raises(ReproducibilityError, match=r"build: \S*x86_64.whl, \S*win32.whl, \S*3.1.0.tar.gz;"):
        publish.compare(dist, other, lambda _line: None)


def test_every_other_build_has_to_agree(tmp_path: Path) -> None:
    dist, other = released(tmp_path / "dist"), native(tmp_path / "native")
    (make(other / "twice", FILES[-1:]) / FILES[-1]).write_bytes(b"another sdist")
    with pytest.raises(ReproducibilityError, match=r"3.1.0.tar.gz"):
        publish.compare(dist, other, lambda _line: None)


def test_another_builds_version_is_another_file(tmp_path: Path) -> None:
    dist, other = released(tmp_path / "dist"), native(tmp_path / "native")
    (wheel,) = other.rglob("*win32.whl")
    wheel.rename(wheel.with_name(wheel.name.replace("3.1.0", "3.1.1")))
    with pytest.raises(ReproducibilityError, match=r"3.1.0-py3-none-win32.whl"):
        publish.compare(dist, other, lambda _line: None)


@pytest.mark.parametrize("missing", ["*arm64.whl", "*.tar.gz"])
def test_another_build_that_is_missing_is_no_proof(missing: str, tmp_path: Path) -> None:
    dist, other = released(tmp_path / "dist"), native(tmp_path / "native")
    next(other.rglob(missing)).unlink()
    with pytest.raises(RefusedError, match="has no other build of"):
        publish.compare(dist, other, lambda _line: None)


def test_checksums_and_notes_are_files_and_the_runs_summary(tmp_path: Path) -> None:
    dist, summary = make(tmp_path / "dist", FILES), tmp_path / "summary.md"
    sums, text = publish.papers(dist, tmp_path / "papers", READY, {"GITHUB_STEP_SUMMARY": str(summary)})
    digests = [f"{hashlib.sha256((dist / name).read_bytes()).hexdigest()}  {name}" for name in sorted(FILES)]
    assert sums.read_text().splitlines() == digests
    assert text.read_text().startswith("* Better.\n\n| file | MB | sha256 |\n| --- | ---: | --- |\n")
    assert summary.read_text() == f"# artifacts-keyring 3.1.0\n\n{text.read_text()}"


def test_the_release_page_gets_every_file_and_the_checksums(tmp_path: Path) -> None:
    dist, into = make(tmp_path / "dist", FILES), tmp_path / "papers"
    command = publish.announcement(dist, into, READY)
    assert command[:5] == ["gh", "release", "create", "v3.1.0", "--verify-tag"]
    assert command[-9:] == [*(str(dist / name) for name in sorted(FILES)), str(into / "SHA256SUMS")]
    assert "--prerelease" not in command
    assert "--prerelease" in publish.announcement(dist, into, but(version="3.1.0rc1"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((f"a-1-{target.wheel_tag}.whl", target.key) for target in targets.TARGETS),
        ("a-1.tar.gz", matrix.SDIST),
        ("a-1-cp312-cp312-macosx_14_0_arm64.whl", None),
        ("a-1-py3-none-musllinux_1_2_x86_64.whl", None),
        ("a-1.zip", None),
    ],
)
def test_a_file_name_says_which_part_of_a_release_it_is(name: str, key: str | None) -> None:
    assert publish.key_of(name) == key


# --- the command


def release(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/release.py", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "RELEASE_"))}
    return subprocess.run(command, cwd=ROOT, env={**clean, **environ}, capture_output=True, text=True, check=False)


def test_a_dry_run_tells_all_and_goes_on_and_the_real_one_stops(tmp_path: Path) -> None:
    ref = {"GITHUB_REF": "refs/tags/v0.0.1"}
    dry = release("state", **ref)
    assert dry.returncode == 0 and "this run is for the tag v0.0.1" in dry.stdout and "not ready" in dry.stdout
    for real in (release("state", "--no-dry-run", **ref), release("state", RELEASE_DRY_RUN="false", **ref)):
        assert real.returncode == 1 and "may not be released: fix the" in real.stderr


def test_a_folder_with_other_files_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x")
    done = release("--outdir", str(tmp_path))
    assert done.returncode == 1 and "no file of" in done.stderr and "--outdir" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_step_that_fails_stops_the_release(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = release("--outdir", str(tmp_path / "file"))
    assert done.returncode == 1 and "build.py failed; fix what it says above" in done.stderr
    assert "choose --outdir" in done.stderr and "== check" not in done.stdout and "git tag" not in done.stdout


def test_the_parts_say_how_many_folders_they_take() -> None:
    done = release("compare", "dist")
    assert done.returncode == 2 and "compare takes 2 folders, 1 are named" in done.stderr


def test_the_parts_that_the_workflow_runs(tmp_path: Path) -> None:
    version = preflight.gather(ROOT, {}).version
    names = [name.replace("3.1.0", version) for name in FILES]
    dist, papers = make(tmp_path / "dist", names), tmp_path / "papers"
    done = release("compare", str(dist), str(make(tmp_path / "others", names)))
    assert done.returncode == 0 and done.stdout.count("every byte as it is") == 8, done.stderr
    done = release("compare", str(dist), str(tmp_path / "none"))
    assert done.returncode == 1 and "has no other build of" in done.stderr
    done = release("papers", str(dist), str(papers))
    assert done.returncode == 0 and {path.name for path in papers.iterdir()} == {"SHA256SUMS", "NOTES.md"}, done.stderr
    done = release("announce", str(dist), str(papers))
    assert done.returncode == 0 and done.stdout.startswith(f"gh release create v{version} --verify-tag"), done.stderr
