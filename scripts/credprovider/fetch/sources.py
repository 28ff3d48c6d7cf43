"""Where an archive can come from, in order, and why each place could not serve.

Archive folder, cache, release page or mirror, package index. Only the last two use the network,
and only they need httpx.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from credprovider import Say
from credprovider.errors import BuildError, ChecksumError, SourceError
from credprovider.fetch.cache import CACHE_VARIABLE, Cache, locate, remember, writable
from credprovider.fetch.download import PATIENT, Download, Patience, adopt, fetch, hash_file
from credprovider.fetch.http import Access, Unavailable, Web, check_address, redact
from credprovider.fetch.package_index import Link, configuration, search
from credprovider.lockfile import Pin, PinnedTarget
from credprovider.payload import tree
from credprovider.targets import Keyed

ARCHIVE_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR"
MIRROR_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_MIRROR"
OFFLINE_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_OFFLINE"
# Archives are smaller than their trees; the room is for what the payload drops.
_SLACK = 16 << 20
_FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Archive:
    """A file that holds a payload below `prefix` (empty: at its top).

    verified: its own sha256 was pinned, or published at its place, and matched; otherwise its tree has yet to decide.
    origin: where it came from, fit to be shown. cached: it is ours to remove. record: where
    it is written that its tree matched, None when there is nothing to write. name: as its place calls it.
    """

    path: Path
    kind: Literal["tar.gz", "zip"]
    prefix: str
    sha256: str
    verified: bool
    origin: str
    cached: bool = False
    record: Path | None = None
    name: str = ""


@dataclass(frozen=True)
class Settings:
    """What the user asked for through the environment."""

    archive_dir: Path | None
    cache: Cache
    mirror: str | None = field(repr=False)
    offline: bool
    environ: Mapping[str, str] = field(repr=False)
    patience: Patience = PATIENT

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the five variables. Raises SourceError for a value that cannot be used."""
        folder = environ.get(ARCHIVE_VARIABLE)
        if folder and not Path(folder).expanduser().is_dir():
            raise SourceError(f"{ARCHIVE_VARIABLE}={folder} is not a folder; name one with the archives, or unset it")
        return cls(
            archive_dir=Path(folder).expanduser().absolute() if folder else None,
            cache=locate(environ),
            mirror=_mirror(environ),
            offline=environ.get(OFFLINE_VARIABLE, "").strip().lower() not in _FALSE,
            environ=environ,
        )


def _mirror(environ: Mapping[str, str]) -> str | None:
    """The base URL of a mirror: below it, assets stand at ``v<version>/<asset>``."""
    mirror = environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return None
    try:
        parts = check_address(mirror, Access(environ))
    except Unavailable as reason:
        raise SourceError(f"{MIRROR_VARIABLE}: {reason}") from None
    if parts.query or parts.fragment:
        raise SourceError(f"{MIRROR_VARIABLE}={redact(mirror)} has a query or fragment; name what is above v<version>/")
    return mirror.rstrip("/")


@dataclass(frozen=True)
class _Order:
    """One archive that is wanted, and by which means."""

    pin: Pin
    target: PinnedTarget
    settings: Settings
    say: Say

    @property
    def limit(self) -> int:
        return self.target.tree.bytes + _SLACK

    @property
    def names(self) -> str:
        """The files that would do."""
        return " or ".join(filter(None, (self.target.asset.name, self.target.index_file.name)))

    @property
    def record(self) -> Path:
        return self.settings.cache.record(self.target.tree.sha256, self.target.asset.name)

    def asset(self, path: Path, sha256: str, origin: str, *, cached: bool) -> Archive:
        known = self.target.asset.sha256
        record = self.record if cached and not known else None
        return Archive(path, kind_of(self.target.asset.name), "", sha256, bool(known), origin, cached, record)

    def index_file(self, path: Path, origin: str, *, cached: bool) -> Archive:
        wanted = self.target.index_file
        return Archive(path, kind_of(wanted.name), wanted.prefix, str(wanted.sha256), True, origin, cached)

    def into(self) -> Path:
        return writable(self.settings.cache, self.say).entry("x").parent


def kind_of(name: str) -> Literal["tar.gz", "zip"]:
    """The container of a file, by its name: a wheel is a zip file."""
    return "tar.gz" if name.endswith(".tar.gz") else "zip"


def obtain(pin: Pin, target: Keyed, settings: Settings, say: Say) -> Archive:
    """The first archive for `target` that a source can serve, verified where its sha256 is pinned.

    Raises ChecksumError for bytes that are not the pinned ones, DownloadError when the cache
    cannot be written, SourceError with what every source said when none could serve.
    """
    order = _Order(pin, pin.targets[target.key], settings, say)
    reasons: list[str] = []
    for name, source in _SOURCES:
        try:
            return source(order)
        except Unavailable as reason:
            reasons.append(f"{name}: {reason}")
            if source in _REMOTE and not settings.offline:
                say(f"{name}: {reason}")
    raise SourceError(
        f"no source has provider {pin.version} for {target.key}. {'. '.join(reasons)}. "
        f"Get {order.names} by other means, "
        f"and name its folder in {ARCHIVE_VARIABLE}"
    )


def unpack(pin: Pin, target: Keyed, settings: Settings, into: Path, say: Say) -> Archive:
    """Put the payload of `target`, whose tree is the pinned one, at `into`; the archive that it came in.

    An archive with another tree is removed from the cache, so that the next build recovers.
    Raises what `obtain` raises, ArchiveError and PayloadError.
    """
    archive = obtain(pin, target, settings, say)
    try:
        tree.unpack(archive, pin.targets[target.key].tree, into)
    except BuildError:
        _reject(archive)
        raise
    _confirm(archive)
    return archive


def _confirm(archive: Archive) -> None:
    """The tree in `archive` has matched the pin: the next build may use it again."""
    if archive.record is not None:
        remember(archive.record, archive.sha256)


def _reject(archive: Archive) -> None:
    """The tree did not match: forget `archive`. A file in the user's own folder stays."""
    if archive.record is not None:
        archive.record.unlink(missing_ok=True)
    if archive.cached:
        archive.path.unlink(missing_ok=True)


def _from_folder(order: _Order) -> Archive:
    folder = order.settings.archive_dir
    if folder is None:
        raise Unavailable(f"{ARCHIVE_VARIABLE} is not set")
    asset, index_file = order.target.asset, order.target.index_file
    for base in (folder, folder / f"v{order.pin.version}"):
        if (path := base / asset.name).is_file():
            return order.asset(path, _checked(path, asset.sha256), str(path), cached=False)
        if index_file and (path := base / index_file.name).is_file():
            _checked(path, index_file.sha256)
            return order.index_file(path, str(path), cached=False)
    raise Unavailable(f"{folder} does not hold {order.names}")


def _checked(path: Path, expected: str | None) -> str:
    try:
        seen = hash_file(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error}); make it readable") from None
    if expected and seen != expected:
        raise ChecksumError(
            f"{path}: sha256 {expected} was expected, {seen} was seen; replace the file, "
            f"or take it out of {ARCHIVE_VARIABLE}"
        )
    return seen


def _from_cache(order: _Order) -> Archive:
    cache, asset, index_file = order.settings.cache, order.target.asset, order.target.index_file
    known = asset.sha256 or cache.recall(order.record)
    if known and (path := cache.find(known)):
        return order.asset(path, known, f"cache, {asset.name}", cached=True)
    if index_file and (path := cache.find(index_file.sha256)):
        return order.index_file(path, f"cache, {index_file.name}", cached=True)
    raise Unavailable(f"{cache.root} does not have it yet")


def _from_release(order: _Order) -> Archive:
    asset, settings = order.target.asset, order.settings
    base = f"{settings.mirror}/v{order.pin.version}" if settings.mirror else order.pin.release_url
    url = f"{base}/{asset.name}"
    _need_network(order)
    with Web(Access(settings.environ)) as web:
        order.say(f"fetching {redact(url)}")
        got = fetch(url, order.into(), limit=order.limit, sha256=asset.sha256, web=web, patience=settings.patience)
    return order.asset(got.path, got.sha256, redact(url), cached=True)


def _from_index(order: _Order) -> Archive:
    settings, wanted = order.settings, order.target.index_file
    if not wanted:
        raise Unavailable("the pin names no file of an index")
    _need_network(order)
    config = configuration(settings.environ)
    reasons: list[str] = []
    with Web(config.access(settings.environ)) as web:
        for found in search(config, order.pin.index_distribution, wanted.name, web, settings.patience):
            try:
                got, origin = _from_link(order, found, web)
                return order.index_file(got.path, origin, cached=True)
            except Unavailable as reason:
                reasons.append(str(reason))
    raise Unavailable("; ".join(reasons) or "pip is configured with neither an index nor find-links")


def _from_link(order: _Order, found: Link | Unavailable, web: Web) -> tuple[Download, str]:
    if isinstance(found, Unavailable):
        raise found
    wanted = order.target.index_file
    origin = str(found.local or redact(found.url))
    if found.sha256 and found.sha256 != wanted.sha256:
        raise Unavailable(f"{origin} is another file (sha256 {found.sha256} instead of {wanted.sha256})")
    if found.local:
        return adopt(found.local, order.into(), limit=order.limit, sha256=wanted.sha256), origin
    order.say(f"fetching {origin}")
    patience = order.settings.patience
    got = fetch(found.url, order.into(), limit=order.limit, sha256=wanted.sha256, web=web, patience=patience)
    return got, origin


def _need_network(order: _Order) -> None:
    if order.settings.offline:
        raise Unavailable(f"not asked, {OFFLINE_VARIABLE} is set")


_REMOTE = (_from_release, _from_index)
_SOURCES: tuple[tuple[str, Callable[[_Order], Archive]], ...] = (
    ("archive folder", _from_folder),
    ("cache", _from_cache),
    ("release page or mirror", _from_release),
    ("package index", _from_index),
)
__all__ = [
    "ARCHIVE_VARIABLE", "CACHE_VARIABLE", "MIRROR_VARIABLE", "OFFLINE_VARIABLE",
    "Archive", "Settings", "kind_of", "obtain", "unpack",
]  # fmt: skip
