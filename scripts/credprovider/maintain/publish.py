"""From built files to published ones: two builds compared, checksums and notes written, the release announced."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.version import Version

from credprovider import Say, targets
from credprovider.build import matrix, recompress
from credprovider.errors import OutputError, RefusedError, ReproducibilityError
from credprovider.fetch.download import hash_file
from credprovider.maintain.preflight import State, notes

SUMS = "SHA256SUMS"
NOTES = "NOTES.md"
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def key_of(name: str) -> str | None:
    """Which part of a release the file `name` is: a target's key, ``sdist``, or None."""
    ends = {f"-{target.wheel_tag}.whl": target.key for target in targets.TARGETS} | {".tar.gz": matrix.SDIST}
    return next((key for end, key in ends.items() if name.endswith(end)), None)


def files(folder: Path) -> list[Path]:
    """The files of a release in `folder`: every part of it once and nothing else. Raises RefusedError."""
    found = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    keys = [key_of(path.name) for path in found]
    strange = [path.name for path, key in zip(found, keys) if key not in matrix.RELEASE]
    missing = [key for key in matrix.RELEASE if key not in keys]
    twice = sorted({key for key in keys if key and keys.count(key) > 1})
    for fault, names in (("does not belong to a release", strange), ("is missing", missing), ("is there twice", twice)):
        if names:
            raise RefusedError(f"{folder}: {', '.join(names)} {fault}; empty the folder and run scripts/build.py")
    return found


# --- two builds


def compare(built: Path, native: Path, say: Say) -> None:
    """Require that every file in `built` can be had, byte for byte, from one that another machine built.

    A wheel's zlib has the habits of its platform, so another machine's wheel may be deflated again as
    `build.py --smallest` does; on Windows no modes are recorded, so a wheel from there takes ours.
    Ours is never touched: what is compared is what will be published.
    Raises ReproducibilityError or RefusedError.
    """
    ours = files(built)
    others: dict[str | None, list[Path]] = {}
    for path in sorted([*native.rglob("*.whl"), *native.rglob("*.tar.gz")]):
        others.setdefault(key_of(path.name), []).append(path)
    if lacking := [path.name for path in ours if key_of(path.name) not in others]:
        raise RefusedError(f"{native} has no other build of {', '.join(lacking)}; run all of release.yml's native jobs")
    pairs = [(path, other) for path in ours for other in others[key_of(path.name)]]
    try:
        different = sorted({path.name for path, other in pairs if not _same(path, other, say)})
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        raise OutputError(f"{where}: {error.strerror}; free space, or set TMPDIR to where there is some") from None
    if different:
        raise ReproducibilityError(
            f"not what other machines build: {', '.join(different)}; "
            "if it was built with --smallest, look for the difference with diffoscope"
        )


def _same(ours: Path, theirs: Path, say: Say) -> bool:
    ways = _ways(ours, theirs) if ours.name == theirs.name else iter(())
    found = next((how for how, digest in ways if digest == hash_file(ours)), "")
    say(f"{'=' if found else '≠'} {ours.name}  {found or f'not {theirs.name}'}")
    return bool(found)


def _ways(ours: Path, theirs: Path) -> Iterator[tuple[str, str]]:
    """What may have been done to another machine's file, mildest first, and the sha256 that it has then."""
    yield "every byte as it is", hash_file(theirs)
    if theirs.suffix != ".whl":
        return
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        copy = Path(shutil.copyfile(theirs, Path(folder) / theirs.name))
        recompress.smallest(copy)
        yield "every byte, deflated alike", hash_file(copy)
        if str(key_of(ours.name)).startswith("win-"):
            _with_modes_of(ours, theirs, copy)
            recompress.smallest(copy)
            yield "every byte, deflated alike, but for modes", hash_file(copy)


def _with_modes_of(model: Path, source: Path, into: Path) -> None:
    with zipfile.ZipFile(model) as first, zipfile.ZipFile(source) as second, zipfile.ZipFile(into, "w") as sink:
        modes = {entry.filename: (entry.create_system, entry.external_attr) for entry in first.infolist()}
        for entry in second.infolist():
            data = second.read(entry)
            entry.create_system, entry.external_attr = modes.get(entry.filename, (0, 0))
            sink.writestr(entry, data, zipfile.ZIP_STORED)


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
        if key_of(name) not in matrix.RELEASE or not name.startswith((f"{stem}-", f"{stem}.tar.gz"))
    ]
