"""The next pin: fetch what a release or an index offers, measure it, show what changes, write it when told.

Nothing is taken on the word of its place alone: every payload has to name the version that was
asked for, its signatures have to verify, and what the tags promise has to hold.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from credprovider import Say, lockfile, targets
from credprovider.errors import (
    BuildError,
    FloorError,
    LicenceError,
    OutputError,
    PayloadError,
    PinError,
    ProvenanceError,
)
from credprovider.fetch import sources
from credprovider.fetch.download import PATIENT, Patience
from credprovider.fetch.http import Unavailable
from credprovider.fetch.sources import Archive, Settings
from credprovider.hook import LICENSES
from credprovider.lockfile import NO_FILE, Pin, PinnedFile, PinnedTarget
from credprovider.maintain import candidates, measure, pin_diff, vendor_releases
from credprovider.maintain.candidates import Distribution
from credprovider.maintain.measure import Measured
from credprovider.maintain.vendor_releases import Release
from credprovider.payload.tree import LICENSE_FILES


@dataclass(frozen=True)
class Request:
    """What was asked for.

    root: the source tree. version: of the provider. index: ``NAME==VERSION`` of a distribution that
    carries it. api: base URL of a mirror of the release page's API. keys: the targets to look at.
    """

    root: Path
    version: str
    environ: Mapping[str, str]
    write: bool = False
    accept_licences: bool = False
    index: str | None = None
    api: str | None = None
    keys: tuple[str, ...] = targets.KEYS
    patience: Patience = PATIENT


@dataclass(frozen=True)
class Candidate:
    """A target as the next pin would have it. unlike: how release and index differ, if they do."""

    pinned: PinnedTarget
    measured: Measured
    unlike: tuple[str, ...] = ()


def run(request: Request, say: Say) -> None:
    """Make the next pin. Raises BuildError with the first reason why it cannot be."""
    told = _plain(say)
    if not lockfile.is_version(request.version):
        raise PinError(f"{request.version!r} is no version of the provider; valid: such as 2.0.5; correct it")
    old = lockfile.load(request.root / lockfile.LOCK_NAME)
    found = _candidates(request, old, _settings(request), told)
    new = _pin(request, old, found)
    known = measure.committed(request.root / LICENSES)
    _report(request, old, found, known, told)
    _show(pin_diff.of_lock(lockfile.render(old), lockfile.render(new)) or ["the lock file stays as it is"], told)
    _refuse(request, found, known, told)
    _finish(request, old, new, _texts(found[0].measured, known), told)


def _settings(request: Request) -> Settings:
    return dataclasses.replace(Settings.from_environ(request.environ), patience=request.patience)


def _plain(say: Say) -> Say:
    # What is shown comes out of archives and answers; a terminal obeys control characters.
    return lambda text: say("".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text))


# --- collecting


def _candidates(request: Request, old: Pin, settings: Settings, say: Say) -> list[Candidate]:
    released = _released(request, old, say)
    indexed = candidates.distribution(request.index, settings) if request.index else None
    made = []
    for key in request.keys:
        parts = _measured(request, old, released, indexed, key, settings, say)
        made.append(_candidate(request, old, key, *parts))
        say(f"{key}: {_compared(made[-1], *parts)}")
    return made


def _released(request: Request, old: Pin, say: Say) -> Release | None:
    project = vendor_releases.repository(old.release_url)
    try:
        return vendor_releases.ask(
            request.api or vendor_releases.API, project, request.version, request.environ, request.patience
        )
    except Unavailable as reason:
        if not request.index:
            raise
        say(f"the release page is not at hand ({reason}); only the index is looked at")
        return None


Part = tuple[Archive, Measured]


def _measured(
    request: Request,
    old: Pin,
    released: Release | None,
    indexed: Distribution | None,
    key: str,
    settings: Settings,
    say: Say,
) -> tuple[Part | None, Part | None]:
    place = None if request.api else _folder(old, request.version)
    asset = candidates.from_release(released, old, key, place, settings, say) if released else None
    file = candidates.from_index(indexed, old, key, settings, say) if indexed else None
    return (_part(request, old, key, asset) if asset else None), (_part(request, old, key, file) if file else None)


def _part(request: Request, old: Pin, key: str, archive: Archive) -> Part:
    measured = measure.measure(archive, targets.by_key(key), old)
    measured = dataclasses.replace(measured, dist=dataclasses.replace(measured.dist, path=Path(archive.name)))
    if measured.version != request.version:
        raise PayloadError(
            f"{archive.name} carries provider {measured.version or 'of no version'}, {request.version} was asked for; "
            "name the version that it carries, or another source"
        )
    if missing := [name for name in LICENSE_FILES if name not in measured.licences]:
        raise LicenceError(f"{archive.name}: {_first(missing)} is gone; every payload had it; look at the release page")
    _ = measured.components  # raises where no bill of materials, hence no wheel, can be made
    return archive, measured


def _candidate(request: Request, old: Pin, key: str, asset: Part | None, file: Part | None) -> Candidate:
    one = asset or file
    if one is None:
        raise PinError("nothing to pin from; leave out --from-index, or name a distribution in it")
    if asset and asset[1].prefix:
        raise PayloadError(
            f"{asset[0].name} holds its payload below {asset[1].prefix}, not at its top; look at the release"
        )
    present, measured = old.targets[key], one[1]
    pinned = PinnedTarget(
        key,
        _asset(request, old, present, asset, measured),
        _index_file(present, file, measured),
        measured.tree,
    )
    return Candidate(pinned, measured, tuple(pin_diff.between(asset[1], file[1])) if asset and file else ())


def _asset(request: Request, old: Pin, present: PinnedTarget, asset: Part | None, measured: Measured) -> PinnedFile:
    name = present.asset.name
    same = request.version == old.version and measured.tree == present.tree
    sha256 = asset[0].sha256 if asset else present.asset.sha256 if same else None
    return PinnedFile(name, sha256)


def _index_file(present: PinnedTarget, file: Part | None, measured: Measured) -> PinnedFile:
    if file:
        return PinnedFile(file[0].name, file[0].sha256, file[1].prefix)
    return present.index_file if measured.tree == present.tree else NO_FILE


def _folder(old: Pin, version: str) -> str:
    return f"{old.release_url.rpartition('/')[0]}/v{version}"


def _compared(candidate: Candidate, asset: Part | None, file: Part | None) -> str:
    if asset and file:
        return (
            "release page and index give different trees"
            if candidate.unlike
            else "release page and index give one tree"
        )
    archive = (asset or file or (None,))[0]
    vouched = (
        "held against the digest published there" if archive and archive.verified else "no digest is published for it"
    )
    return f"measured {archive.name if archive else ''}, {vouched}"


def _pin(request: Request, old: Pin, found: Iterable[Candidate]) -> Pin:
    """The next pin, checked as the loader checks it."""
    looked_at = {each.pinned.key: each.pinned for each in found}
    folder = _folder(old, request.version)
    rows = {key: looked_at.get(key) or old.targets[key] for key in targets.KEYS}
    named = any(row.index_file for row in rows.values())
    name, _, version = (request.index or f"{old.index_distribution}=={old.index_version}").partition("==")
    new = Pin(request.version, folder, name if named else "", version if named else "", rows)
    return lockfile.parse_text(lockfile.render(new))


# --- showing


def _show(lines: Iterable[str], say: Say) -> None:
    for line in lines:
        say(line)


def _report(request: Request, old: Pin, found: list[Candidate], known: Mapping[str, bytes], say: Say) -> None:
    say(f"provider {old.version} -> {request.version}")
    for each in found:
        say(each.pinned.key)
        present = old.targets[each.pinned.key]
        before = None if each.measured.tree == present.tree else _present(request, old, present.key, say)
        _show(pin_diff.of_target(present, before, each.measured, each.pinned.asset.sha256), say)
        for name, finding in (*measure.provenance(each.measured), *measure.requirements(each.measured)):
            if finding.applies:
                say(f"  {name}: {finding.figures}")
        _show(each.unlike, say)
    for name, text in _texts(found[0].measured, known).items():
        _show(pin_diff.of_text(name, known.get(name, b""), text), say)


def _present(request: Request, old: Pin, key: str, say: Say) -> Measured | None:
    """The payload that is pinned now, if some source still has it."""
    try:
        archive = sources.obtain(old, old.targets[key], _settings(request), say)
        measured = measure.measure(archive, targets.by_key(key), old)
    except BuildError as reason:
        say(f"{pin_diff.LOOK}the present payload cannot be had: {reason}")
        return None
    return measured if measured.tree == old.targets[key].tree else None


def _texts(measured: Measured, known: Mapping[str, bytes]) -> dict[str, bytes]:
    """The legal texts that differ from the project's, as the project would keep them."""
    fresh = {name: _kept(name, data) for name, data in measured.licences.items()}
    return {name: data for name, data in fresh.items() if data != _kept(name, known.get(name, b""))}


def _kept(name: str, data: bytes) -> bytes:
    # The vendor ships the same texts with either kind of line end, by platform.
    return data if name.endswith(".docx") else data.replace(b"\r\n", b"\n")


# --- refusing


def _refuse(request: Request, found: list[Candidate], known: Mapping[str, bytes], say: Say) -> None:
    """Raise the first reason why this cannot be pinned, after telling all of them."""
    errors = list(_objections(request, found, known))
    for error in errors:
        say(f"{pin_diff.LOOK}{error}")
    if errors:
        raise errors[0]


def _objections(request: Request, found: list[Candidate], known: Mapping[str, bytes]) -> Iterator[BuildError]:
    for each in found:
        yield from _of_binaries(each)
    for each in found:
        yield from _of_legal_texts(each, found[0].measured)
    for each in found:
        if each.unlike:
            yield PayloadError(
                f"{each.pinned.key}: release page and index give different trees, which one pin cannot both name; "
                "leave out --from-index to pin the release alone"
            )
    changed = _texts(found[0].measured, known)
    if changed and request.write and not request.accept_licences:
        yield LicenceError(f"{', '.join(changed)} changed; read the difference above, then add --accept-licences")


def _of_binaries(each: Candidate) -> Iterator[BuildError]:
    for name, finding in measure.provenance(each.measured):
        if finding.faults:
            yield ProvenanceError(f"{each.pinned.key}: {name}: {_first(finding.faults)}; this is not to be pinned")
    for name, finding in measure.requirements(each.measured):
        if finding.faults:
            yield FloorError(
                f"{each.pinned.key}: {name}: {_first(finding.faults)}; "
                "correct the tag in scripts/credprovider/targets.py and run this again"
            )


def _of_legal_texts(each: Candidate, first: Measured) -> Iterator[BuildError]:
    key, measured = each.pinned.key, each.measured
    if undeclared := measured.undeclared():
        yield LicenceError(
            f"{key}: {_first(undeclared)} is declared nowhere; read it, and if it is a legal text add it to "
            "LICENSE_FILES in scripts/credprovider/payload.py"
        )
    unlike = [
        name
        for name, data in measured.licences.items()
        if _kept(name, data) != _kept(name, first.licences.get(name, data))
    ]
    if unlike:
        yield LicenceError(
            f"{key}: {_first(unlike)} is another text than in {first.target.key}; one project cannot ship both"
        )


def _first(faults: Iterable[str]) -> str:
    listed = list(faults)
    return listed[0] + (f" (and {len(listed) - 1} more)" if len(listed) > 1 else "")


# --- writing


def _finish(request: Request, old: Pin, new: Pin, texts: Mapping[str, bytes], say: Say) -> None:
    files = {f"{LICENSES}/{LICENSE_FILES[name]}": data for name, data in texts.items()}
    if new != old:
        files[lockfile.LOCK_NAME] = lockfile.render(new).encode("utf-8")
    if not files:
        say("nothing changes; nothing is written")
    elif not request.write:
        say(f"not written: {', '.join(files)}; add --write to write")
    else:
        for name, data in files.items():
            _replace(request.root / name, data)
            say(f"written: {name}")


def _replace(path: Path, data: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); make its folder writable and run this again"
        ) from None
