"""Archives that may become the next pin: fetched from a release, or from a package index.

Nothing of them is pinned yet, so what is fetched is bounded by what the pin format admits, and
held against the digest that the place itself publishes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from credprovider import Say, lockfile, targets
from credprovider.errors import ChecksumError, ReleaseError, SourceError
from credprovider.fetch import cache, package_index
from credprovider.fetch.download import Download, Page, Patience, adopt, fetch, read_page
from credprovider.fetch.http import Access, Unavailable, Web, redact
from credprovider.fetch.package_index import Link
from credprovider.fetch.sources import Archive, Settings, kind_of
from credprovider.lockfile import MAX_BYTES, Pin
from credprovider.maintain.vendor_releases import Release, ReleaseAsset

# --- release


def from_release(release: Release, pinned: Pin, key: str, place: str | None, settings: Settings, say: Say) -> Archive:
    """The asset of `release` for the target `key`, fetched.

    place: the folder where assets must stand; None when the user named another API.
    Raises ReleaseError, ChecksumError or Unavailable.
    """
    name = pinned.targets[key].asset.name
    asset = release.assets.get(name)
    if asset is None:
        there = ", ".join(sorted(release.assets)) or "nothing"
        raise ReleaseError(
            f"release v{release.version} has no {name} (for {key}); it has {there}; "
            "correct the name in the lock file if it was renamed"
        )
    if place is not None and asset.url != f"{place}/{name}":
        raise ReleaseError(f"{name} stands at {redact(asset.url)} instead of {place}/{name}; look at the release page")
    got = _fetch_asset(asset, settings, say)
    if got.size != asset.size:
        raise ChecksumError(
            f"{name} has {got.size} bytes, the release page says {asset.size}; look at the release page"
        )
    return Archive(got.path, kind_of(name), "", got.sha256, asset.sha256 is not None, redact(asset.url), name=name)


def _fetch_asset(asset: ReleaseAsset, settings: Settings, say: Say) -> Download:
    if asset.sha256 and (path := settings.cache.find(asset.sha256)):
        say(f"{asset.name} is in the cache")
        return Download(path, asset.sha256, path.stat().st_size)
    say(f"fetching {redact(asset.url)}")
    with Web(Access(settings.environ)) as web:
        into = _folder(settings, say)
        return fetch(asset.url, into, limit=asset.size, sha256=asset.sha256, web=web, patience=settings.patience)


def _folder(settings: Settings, say: Say) -> Path:
    """Where fetched files go, named by their sha256."""
    return cache.writable(settings.cache, say).entry("x").parent


# --- package index


@dataclass(frozen=True)
class Distribution:
    """A distribution's version on the configured index, and the names of its files there."""

    name: str
    version: str
    config: package_index.Configuration
    files: tuple[str, ...]


def distribution(requirement: str, settings: Settings) -> Distribution:
    """What ``NAME==VERSION`` has on the user's index. Raises SourceError or Unavailable."""
    name, _, version = requirement.partition("==")
    if not lockfile.is_distribution(name) or not lockfile.is_version(version):
        raise SourceError(f"{requirement!r} names no version of a distribution; valid: artifacts-keyring==2.0.0rc5")
    config = package_index.configuration(settings.environ)
    with Web(config.access(settings.environ)) as web:
        names = sorted({file for file in _names(config, name, web, settings.patience) if _is_of(file, name, version)})
    if not names:
        raise SourceError(f"the configured package index has no file of {name}=={version}; look at its versions there")
    return Distribution(name, version, config, tuple(names))


def _names(config: package_index.Configuration, name: str, web: Web, patience: Patience) -> Iterator[str]:
    folder = re.sub(r"[-_.]+", "-", name).lower()
    for place in (*config.find_links, *(f"{base.rstrip('/')}/{folder}/" for base in config.indexes)):
        local = Link(place).local
        if local is not None:
            yield from _local_names(local)
        else:
            page = read_page(place, package_index.ACCEPT, web, patience)
            yield from (package_index.file_name(link.url) for link in package_index.links_in(page))


def _local_names(path: Path) -> Iterator[str]:
    """The names of the files in a folder, and of what its page, if it has one, links to."""
    page = path / "index.html" if path.is_dir() else path
    try:
        yield from (each.name for each in path.glob("*"))
        text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror or error})") from None
    yield from (
        package_index.file_name(link.url) for link in package_index.links_in(Page(page.as_uri(), "text/html", text))
    )


def _is_of(file: str, name: str, version: str) -> bool:
    stem = re.sub(r"[-_.]+", "_", name).lower()
    if file.endswith(".tar.gz"):
        return re.sub(r"[-_]", "_", file.lower()) == f"{stem}_{version}.tar.gz"
    try:
        found, seen, _, _ = parse_wheel_filename(file)
        return found.replace("-", "_") == stem and seen == Version(version)
    except (InvalidWheelFilename, InvalidVersion):
        return False


def choose(found: Distribution, pinned: Pin, key: str) -> str:
    """The name of the file in `found` that carries the payload of `key`. Raises SourceError.

    Wheels of several Pythons carry the same payload: the present pin's Python is kept, or else the newest taken.
    """
    names = [name for name in found.files if _serves(name, key)]
    if not names:
        raise SourceError(
            f"{found.name}=={found.version} has no file for {key}; it has {', '.join(found.files)}; "
            "leave out --from-index"
        )
    python = _python(pinned.targets[key].index_file.name)
    return max(names, key=lambda name: (_python(name) == python, _python(name), name))


def _serves(name: str, key: str) -> bool:
    if key == targets.NON_SC:
        return name.endswith(".tar.gz")
    # The numbers in a tag are floors of that wheel, which may differ from ours.
    pattern = re.sub(r"\\?_\d+\\?_\d+", r"_\\d+_\\d+", re.escape(targets.by_key(key).tag))
    platforms = name.removesuffix(".whl").rpartition("-")[2].split(".")
    return name.endswith(".whl") and any(re.fullmatch(pattern, platform) for platform in platforms)


def _python(name: str) -> tuple[int, ...]:
    found = re.search(r"-(?:cp|py)(\d)(\d*)", name)
    return (int(found[1]), int(found[2] or 0)) if found else ()


def from_index(found: Distribution, pinned: Pin, key: str, settings: Settings, say: Say) -> Archive:
    """The file of `found` for the target `key`, fetched. Raises SourceError, ChecksumError or Unavailable."""
    name, reasons = choose(found, pinned, key), []
    with Web(found.config.access(settings.environ)) as web:
        for link in package_index.search(found.config, found.name, name, web, settings.patience):
            try:
                return _from_link(link, name, web, settings, say)
            except Unavailable as reason:
                reasons.append(str(reason))
    raise SourceError(f"{name} could not be fetched: {'; '.join(reasons)}; try again later")


def _from_link(link: Link | Unavailable, name: str, web: Web, settings: Settings, say: Say) -> Archive:
    if isinstance(link, Unavailable):
        raise link
    origin = str(link.local or redact(link.url))
    if path := settings.cache.find(link.sha256):
        say(f"{name} is in the cache")
        return Archive(path, kind_of(name), "", str(link.sha256), True, origin, name=name)
    say(f"fetching {origin}")
    if link.local:
        got = adopt(link.local, _folder(settings, say), limit=MAX_BYTES, sha256=link.sha256)
    else:
        got = fetch(
            link.url, _folder(settings, say), limit=MAX_BYTES, sha256=link.sha256, web=web, patience=settings.patience
        )
    return Archive(got.path, kind_of(name), "", got.sha256, link.sha256 is not None, origin, name=name)
