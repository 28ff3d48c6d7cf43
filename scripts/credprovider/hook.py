"""From a build request to staged files: what the hook puts where.

Three kinds of build end here: a wheel or an sdist from the tree (the payload is obtained), a
wheel from an unpacked sdist (the payload is there and verified again), and an editable install
(the payload goes into the package's own, git-ignored folder).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from artifacts_keyring.provider.layout import FOLDER, PACKAGE
from credprovider import lockfile, targets
from credprovider.errors import PayloadError, PinError
from credprovider.lockfile import Pin
from credprovider.payload import sbom
from credprovider.payload import tree as trees
from credprovider.targets import Resolved, Target

BIN = f"{PACKAGE}/{FOLDER}"
RECORD = f"{PACKAGE}/payload.json"
SBOM_NAME = "artifacts-credprovider.cdx.json"
LICENSES = "licenses/provider"

# What downloading needs; a build that finds its payload in an unpacked sdist needs none of it.
_DOWNLOAD = ["httpx>=0.27", "pip>=24", "truststore>=0.9; python_version >= '3.10'"]


@dataclass(frozen=True)
class Build:
    """What hatchling was asked for.

    kind: ``wheel`` or ``sdist``; version: ``standard`` or ``editable``; dist_info: name of the
    wheel's metadata folder.
    """

    root: Path
    kind: str
    version: str
    environ: Mapping[str, str]
    dist_info: str = ""

    @property
    def unpacked(self) -> bool:
        """Whether the root is an unpacked sdist: only there is a PKG-INFO."""
        return (self.root / "PKG-INFO").is_file()


@dataclass(frozen=True)
class Staged:
    """What the hook hands to hatchling. tag is empty for an sdist and an editable install."""

    force_include: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    pure_python: bool = True


def requirements(root: Path, environ: Mapping[str, str]) -> list[str]:
    """Requirements of a build in `root` beyond hatchling."""
    own = Build(root, "wheel", "standard", environ)
    return [] if own.unpacked and not environ.get(targets.RID_VARIABLE) else list(_DOWNLOAD)


def refuse_unknown_settings(config: Mapping[str, Any]) -> None:
    """hatchling ignores unknown keys of a hook's table; a typing error there must not pass."""
    unknown = sorted(set(config) - {"path", "dependencies", "enable-by-default"})
    if unknown:
        raise PinError(f"[tool.hatch.build.hooks.custom] has the unknown key {unknown[0]!r}; remove it")


def prepare(build: Build, scratch: Path, say: Callable[[str], None]) -> Staged:
    """Stage everything for `build` below `scratch`. Raises BuildError."""
    pinned = lockfile.load(build.root / lockfile.LOCK_NAME)
    resolved = _resolve(build)
    target = resolved.target
    shape = "" if build.kind == "sdist" or build.version == "editable" else f", wheel tag {target.wheel_tag}"
    say(f"artifacts-keyring: target {target.key} ({resolved.reason}){shape}")
    if build.version == "editable":
        _stage_in_tree(build, pinned, target, say)
        return Staged()
    root = _tree(build, pinned, target, scratch / "bin", say)
    _same_licences(root, build.root / LICENSES)
    if build.kind == "sdist":
        return Staged({str(root): BIN})
    return _wheel(build, pinned, target, root, scratch)


def _resolve(build: Build) -> Resolved:
    if build.kind == "sdist":
        return Resolved(targets.by_key(targets.NON_SC), "an sdist carries the framework-dependent payload")
    if build.unpacked and not build.environ.get(targets.RID_VARIABLE):
        return Resolved(targets.by_key(targets.NON_SC), "built from an sdist, which carries this payload")
    return targets.resolve(build.environ)


def _wheel(build: Build, pinned: Pin, target: Target, root: Path, scratch: Path) -> Staged:
    record = _write(scratch / "payload.json", describe(pinned, target))
    bill = _write(scratch / SBOM_NAME, sbom.render(root, pinned, target))
    # PEP 770's place. Not hatchling's `sbom_files`: Python 3.9's newest hatchling drops them in silence.
    place = f"{build.dist_info}/sboms/{SBOM_NAME}"
    files = {str(root): BIN, str(record): RECORD, str(bill): place}
    return Staged(files, target.wheel_tag, pure_python=not target.self_contained)


def describe(pinned: Pin, target: Target) -> str:
    """The text of `payload.json`: what an installed wheel says of the payload it was built with."""
    tree = pinned.targets[target.key].tree
    facts = {
        "version": pinned.version,
        "target": target.key,
        "tag": target.wheel_tag,
        "tree_sha256": tree.sha256,
        "files": tree.files,
        "bytes": tree.bytes,
    }
    return json.dumps(facts, indent=2) + "\n"


def _tree(build: Build, pinned: Pin, target: Target, into: Path, say: Callable[[str], None]) -> Path:
    tree = pinned.targets[target.key].tree
    if build.unpacked and target.key == targets.NON_SC:
        trees.stage(build.root / BIN, tree, into)
        say(f"artifacts-keyring: payload from the sdist itself, {_figures(pinned, target)}")
        return into
    return _obtain(build, pinned, target, into, say)


def _obtain(build: Build, pinned: Pin, target: Target, into: Path, say: Callable[[str], None]) -> Path:
    # Only here, so that a build from an unpacked sdist imports no downloader.
    from credprovider.fetch import sources

    archive = sources.unpack(pinned, target, sources.Settings.from_environ(build.environ), into, say)
    say(f"artifacts-keyring: payload from {archive.origin}, {_figures(pinned, target)}")
    return into


def _figures(pinned: Pin, target: Target) -> str:
    tree = pinned.targets[target.key].tree
    return f"provider {pinned.version}, {tree.files} files, {tree.bytes} bytes, tree sha256 {tree.sha256}"


def _stage_in_tree(build: Build, pinned: Pin, target: Target, say: Callable[[str], None]) -> None:
    into = build.root / BIN
    tree = pinned.targets[target.key].tree
    if not (into.is_dir() and _holds(into, tree)):
        fresh = into.with_name("bin.new")
        shutil.rmtree(fresh, ignore_errors=True)
        _tree(build, pinned, target, fresh, say)
        shutil.rmtree(into, ignore_errors=True)
        fresh.replace(into)
    _write(build.root / RECORD, describe(pinned, target))
    say(f"artifacts-keyring: editable install, payload in {BIN}, {_figures(pinned, target)}")


def _holds(root: Path, tree: lockfile.Tree) -> bool:
    try:
        trees.verify(root, tree)
    except PayloadError:
        return False
    return True


def _same_licences(root: Path, committed: Path) -> None:
    """hatchling collects licence files before any hook runs, so they are committed: hold them to the payload's."""
    for path, name in zip(trees.license_files(root), trees.LICENSE_FILES.values()):
        ours = committed / name
        if not ours.is_file() or _text(ours) != _text(path):
            raise PayloadError(
                f"{LICENSES}/{name} is not what the payload carries as {path.name}; "
                "look at what changed and run scripts/pin.py --write"
            )


def _text(path: Path) -> bytes:
    # The vendor ships the same texts with either kind of line end, by platform.
    return path.read_bytes().replace(b"\r\n", b"\n")


def _write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))  # bytes: no platform changes the line ends
    return path
