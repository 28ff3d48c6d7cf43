"""From built files to published ones: two builds compared, checksums and notes written, the release announced."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

from packaging.version import Version

from credprovider import building, lastrelease, recompress
from credprovider.download import hash_file
from credprovider.errors import OutputError, RefusedError, ReproducibilityError
from credprovider.releasing import State, notes

SUMS = "SHA256SUMS"
NOTES = "NOTES.md"
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"

Say = Callable[[str], None]


def files(folder: Path) -> list[Path]:
    """The files of a release in `folder`: every part of it once and nothing else. Raises RefusedError."""
    found = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    keys = [lastrelease.key_of(path.name) for path in found]
    strange = [path.name for path, key in zip(found, keys) if key not in building.RELEASE]
    missing = [key for key in building.RELEASE if key not in keys]
    twice = sorted({key for key in keys if key and keys.count(key) > 1})
    for fault, names in (("does not belong to a release", strange), ("is missing", missing), ("is there twice", twice)):
        if names:
            raise RefusedError(f"{folder}: {', '.join(names)} {fault}; empty the folder and run scripts/build.py")
    return found


# --- two builds


def compare(built: Path, native: Path, say: Say) -> None:
    """Hold the wheels that each platform built for itself against the release's.

    Both are deflated alike first (libdeflate), so that what is compared is everything in a wheel but
    the habits of one platform's zlib. Wheels from Windows know no modes: their contents are compared.
    Raises ReproducibilityError or RefusedError.
    """
    others = {lastrelease.key_of(path.name): path for path in sorted(native.rglob("*.whl"))}
    wheels = [path for path in files(built) if path.suffix == ".whl"]
    lacking = [path.name for path in wheels if lastrelease.key_of(path.name) not in others]
    if lacking:
        raise RefusedError(f"{native} has no native build of {', '.join(lacking)}; run release.yml's native jobs")
    different = [path.name for path in wheels if not _same(path, others[lastrelease.key_of(path.name)], say)]
    if different:
        raise ReproducibilityError(f"not what the native runners build: {', '.join(different)}; use diffoscope")


def _same(ours: Path, theirs: Path, say: Say) -> bool:
    windows = str(lastrelease.key_of(ours.name)).startswith("win-")
    of = _contents if windows else _deflated
    equal = ours.name == theirs.name and of(ours) == of(theirs)
    say(f"{'=' if equal else '≠'} {ours.name}  {'contents' if windows else 'every byte'}")
    return equal


def _deflated(path: Path) -> object:
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / path.name))
        recompress.smallest(copy)
        return hash_file(copy)


def _contents(path: Path) -> object:
    with zipfile.ZipFile(path) as wheel:
        return sorted((entry.filename, entry.file_size, entry.CRC) for entry in wheel.infolist())


# --- papers


def papers(built: Path, into: Path, state: State, environ: Mapping[str, str]) -> list[Path]:
    """Write checksums and release notes into `into`; append both to the run's summary where there is one."""
    found = files(built)
    sums = "".join(f"{hash_file(path)}  {path.name}\n" for path in found)
    text = "\n".join([notes(state), *_markdown(found), ""])
    try:
        into.mkdir(parents=True, exist_ok=True)
        written = [into / SUMS, into / NOTES]
        for path, content in zip(written, (sums, text)):
            path.write_text(content, encoding="utf-8", newline="\n")
        if summary := environ.get(SUMMARY_VARIABLE):
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(f"# artifacts-keyring {state.version}\n\n{text}")
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be written: {error.strerror}; choose another folder") from None
    return written


def _markdown(found: Sequence[Path]) -> Iterator[str]:
    yield "| file | MB | sha256 |"
    yield "| --- | ---: | --- |"
    for path in found:
        yield f"| {path.name} | {path.stat().st_size / 1e6:.2f} | `{hash_file(path)}` |"


def announcement(built: Path, into: Path, state: State) -> list[str]:
    """The command that makes the release page, with every file on it."""
    pre = ["--prerelease"] if Version(state.version).is_prerelease else []
    attached = [*map(str, files(built)), str(into / SUMS)]
    title = f"artifacts-keyring {state.version}"
    options = ["--verify-tag", "--title", title, "--notes-file", str(into / NOTES), *pre]
    return ["gh", "release", "create", state.wanted, *options, *attached]


def foreign(folder: Path, version: str) -> list[str]:
    """What is in an output folder that a build of `version` would leave there beside its own."""
    names = sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))
    stem = f"artifacts_keyring-{version}"
    return [
        name
        for name in names
        if lastrelease.key_of(name) not in building.RELEASE or not name.startswith((f"{stem}-", f"{stem}.tar.gz"))
    ]
