"""Following the provider: what the release page says of its newest release, and what comes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from credprovider import lockfile, targets
from credprovider.build import reproducible
from credprovider.errors import ReleaseError
from credprovider.fetch.download import Patience
from credprovider.lockfile import Pin
from credprovider.maintain import pin_diff, vendor_releases

from tests.conftest import ROOT
from tests.fakes.archives import contents as by_vendors_path
from tests.fakes.pinned_project import Content, Trees, environment, pack, reduced, tree_of, versioned
from tests.fakes.release_page import PROJECT, ReleasePage, release_page
from tests.fakes.servers import content

pytestmark = pytest.mark.posix

QUICK = Patience(attempts=1, first_contact=1, pause=0.01, longest_pause=1.0, total=10.0)


@pytest.fixture
def page() -> Iterator[ReleasePage]:
    with release_page() as made:
        yield made


def publish(page: ReleasePage, version: str) -> None:
    answer = json.dumps(page.release(version, [])).encode()
    page.api.answers[f"/repos/{PROJECT}/releases/latest"] = content(answer, "application/json; charset=utf-8")


def follow(page: ReleasePage, *arguments: str, tree: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/pin.py", "--latest", "--api", page.api.url, *arguments]
    clean = {name: value for name, value in os.environ.items() if name != "GITHUB_OUTPUT"}
    return subprocess.run(command, cwd=tree, env={**clean, **environ}, capture_output=True, text=True, check=False)


def test_the_newest_release_is_asked_for(page: ReleasePage) -> None:
    publish(page, "2.1.0")
    assert vendor_releases.newest(page.api.url, PROJECT, {}, QUICK) == "2.1.0"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tag_name": 3}', '{"tag_name": "v"}', '{"tag_name": "v1 && x"}'])
def test_an_answer_without_a_version_is_refused(text: str) -> None:
    with pytest.raises(ReleaseError, match="look at"):
        vendor_releases.parse_newest(text)


def test_only_a_newer_version_counts(lock: Pin) -> None:
    assert vendor_releases.is_newer("999.0", lock)
    assert not vendor_releases.is_newer(lock.version, lock) and not vendor_releases.is_newer("0.1", lock)


def test_nothing_that_was_said_is_markup_in_the_pull_request(lock: Pin) -> None:
    text = pin_diff.pull_request("9.9", lock, "a\n````\n[x](y)\n")
    assert text.endswith("`````text\na\n````\n[x](y)\n`````\n") and lock.version in text


def test_the_pinned_version_is_the_newest(page: ReleasePage, lock: Pin, tmp_path: Path) -> None:
    publish(page, lock.version)
    output = tmp_path / "output"
    done = follow(page, "--write", "--body", str(tmp_path / "pin.md"), GITHUB_OUTPUT=str(output))
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_pinned_writes_nothing(page: ReleasePage, tmp_path: Path) -> None:
    publish(page, "999.0.0")
    output = tmp_path / "output"
    done = follow(page, "--write", "--body", str(tmp_path / "pin.md"), GITHUB_OUTPUT=str(output))
    assert done.returncode == 1 and "there is no such release" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_newer_release_is_written_and_the_pull_request_has_its_text(
    page: ReleasePage, payload_tree: Trees, tmp_path: Path
) -> None:
    tree, version = reproducible.copy_tree(ROOT, tmp_path / "tree"), "999.0.0"
    before = lockfile.load(tree / lockfile.LOCK_NAME)
    contents = {key: versioned(excerpt(payload_tree(key)), version) for key in targets.KEYS}
    names = {key: before.targets[key].asset.name for key in targets.KEYS}
    answer = page.publish(version, {names[key]: pack(contents[key], names[key]) for key in targets.KEYS})
    latest = content(json.dumps(answer).encode(), "application/json")
    page.api.answers[f"/repos/{PROJECT}/releases/latest"] = latest
    body, output = tmp_path / "new" / "pin.md", tmp_path / "output"
    own = environment(tmp_path, tmp_path, page.storage)
    done = follow(page, "--write", "--body", str(body), tree=tree, **own, GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    after = lockfile.load(tree / lockfile.LOCK_NAME)
    assert after.version == version and after.targets["win-x64"].tree == tree_of(contents["win-x64"])
    assert output.read_text() == f"version={version}\n"
    assert f"{version} is out; pinned is {before.version}" in body.read_text() and "+version = " in body.read_text()


def excerpt(root: Path) -> Content:
    """The reduced payload, and what decides about the floor of macOS."""
    deciders = {
        path: data for path, data in by_vendors_path(root).items() if "msalruntime" in path and path.endswith(".dylib")
    }
    return {**reduced(root), **deciders}
