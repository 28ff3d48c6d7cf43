"""What the hook does with a request, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Callable

import pytest
from credprovider import hook, lockfile, targets
from credprovider.errors import BuildError, PayloadError, PinError
from credprovider.lockfile import Pin
from credprovider.payload import tree as trees

from artifacts_keyring.provider import layout
from tests.conftest import ROOT

pytestmark = pytest.mark.posix


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with just what a build reads."""
    shutil.copy(ROOT / lockfile.LOCK_NAME, tmp_path)
    shutil.copytree(ROOT / hook.LICENSES, tmp_path / hook.LICENSES)
    return tmp_path


@pytest.fixture
def unpacked(tree: Path, payload_tree: Callable[[str], Path]) -> Path:
    """The same as an unpacked sdist, with its payload."""
    (tree / "PKG-INFO").write_text("Name: artifacts-keyring\n")
    shutil.copytree(payload_tree("any"), tree / hook.BIN)
    return tree


def build(root: Path, said: list[str], scratch: Path, **environ: str) -> hook.Staged:
    return hook.prepare(hook.Build(root, "wheel", "standard", environ), scratch, said.append)


def test_a_wheel_from_an_sdist_uses_the_payload_in_it(unpacked: Path, tmp_path: Path, lock: Pin) -> None:
    said: list[str] = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    staged = build(unpacked, said, scratch)
    assert (staged.tag, staged.pure_python) == ("py3-none-any", True)
    record = json.loads((scratch / "payload.json").read_text())
    assert record["tree_sha256"] == lock.targets["any"].tree.sha256
    assert "from the sdist itself" in "".join(said)


def test_a_payload_changed_in_an_sdist_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / hook.BIN / "legal" / "LICENSE").write_bytes(b"changed")
    with pytest.raises(PayloadError, match="LICENSE|sha256|bytes"):
        build(unpacked, [], tmp_path)


def test_licences_that_are_not_the_payloads_are_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / hook.LICENSES / "ThirdPartyNotices.txt").write_text("less\n")
    with pytest.raises(PayloadError, match="licenses/provider/ThirdPartyNotices.txt is not what the payload carries"):
        build(unpacked, [], tmp_path)


def test_an_editable_install_replaces_what_an_older_one_staged_in_the_vendors_folders(
    tree: Path, payload_tree: Callable[[str], Path], archive: Callable[[str], object], tmp_path: Path, lock: Pin
) -> None:
    archive("linux-x64")
    staged, old = tree / hook.BIN, tree / hook.BIN / layout.VENDORS
    shutil.copytree(payload_tree("linux-x64"), old)
    (old / "legal" / "LICENSE").rename(staged / "LICENSE")
    said: list[str] = []
    request = hook.Build(tree, "wheel", "editable", {targets.RID_VARIABLE: "linux-x64"})
    for origin in ("payload from", "editable install"):  # the second time it is there
        hook.prepare(request, tmp_path, said.append)
        assert origin in said[1]
        assert trees.measure(staged) == lock.targets["linux-x64"].tree and not old.exists()
        said.clear()
    assert sorted(path.name for path in staged.parent.iterdir()) == ["bin", "payload.json"]


def test_an_sdist_needs_nothing_beyond_hatchling(unpacked: Path) -> None:
    assert hook.requirements(unpacked, {}) == []
    assert hook.requirements(unpacked, {targets.RID_VARIABLE: "win-x64"}) != []
    assert any(name.startswith("httpx") for name in hook.requirements(ROOT, {}))


def test_unknown_settings_of_the_hook_are_refused() -> None:
    with pytest.raises(PinError, match="'chekcsums'"):
        hook.refuse_unknown_settings({"path": "hatch_build.py", "chekcsums": False})


def test_contradicting_variables_stop_the_build(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="contradict"):
        build(tree, [], tmp_path, **{targets.RID_VARIABLE: "win-x64", targets.NON_SC_VARIABLE: "1"})


def test_a_wrong_tree_stops_the_build_and_the_next_one_recovers(
    tree: Path, tmp_path: Path, lock: Pin, archive: Callable[[str], object]
) -> None:
    archive("linux-x64")
    good = (tree / lockfile.LOCK_NAME).read_text()
    digest = lock.targets["linux-x64"].tree.sha256
    (tree / lockfile.LOCK_NAME).write_text(good.replace(digest, "0" * 64))
    environ = {targets.RID_VARIABLE: "linux-x64"}
    for text, accepted in ((good.replace(digest, "0" * 64), False), (good, True)):
        (tree / lockfile.LOCK_NAME).write_text(text)
        scratch = tmp_path / str(accepted)
        scratch.mkdir()
        if accepted:
            assert build(tree, [], scratch, **environ).tag == "py3-none-manylinux_2_23_x86_64"
        else:
            with pytest.raises(PayloadError, match=digest):
                build(tree, [], scratch, **environ)
            assert not (scratch / "bin").exists()
