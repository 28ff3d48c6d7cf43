"""The pin: what exactly is embedded, and where it may come from. Read, check and write it.

The file is `credprovider.lock.toml`. It is data only, made by `scripts/pin.py`; a loader that
accepts anything doubtful would make every later check worthless, so everything is checked here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from credprovider.errors import PinError
from credprovider.targets import KEYS, TARGETS

if sys.version_info >= (3, 11):
    import tomllib
else:  # hatchling brings tomli there
    import tomli as tomllib

LOCK_NAME = "credprovider.lock.toml"
LOCK_VERSION = 2

_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+([-.+]?[a-z0-9])*")
_RELEASE_URL = re.compile(r"https://[A-Za-z0-9.:-]+(/[A-Za-z0-9_~%+-][A-Za-z0-9._~%+-]*)+")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_PREFIX = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._+-]*/)+")

# Bounds of every later step come from the pin, so the pin itself needs some.
MAX_FILES = 5_000
MAX_BYTES = 1 << 30
_SHOWN = 120


@dataclass(frozen=True)
class PinnedFile:
    """A file that carries a payload below its folder `prefix` (empty: at its top). False if there is none.

    sha256: None while it is not known: the vendor publishes no digest, and the file was never fetched from its page.
    """

    name: str
    sha256: str | None
    prefix: str = ""

    def __bool__(self) -> bool:
        return bool(self.name)


# A release may be pinned before any distribution carries it.
NO_FILE = PinnedFile("", None)


@dataclass(frozen=True)
class Tree:
    """The payload itself: digest over its files, their count, and their size in bytes."""

    sha256: str
    files: int
    bytes: int


@dataclass(frozen=True)
class PinnedTarget:
    """Everything the pin says of one target.

    asset: on the vendor's release page. index_file: on a package index; false where none carries the payload.
    """

    key: str
    asset: PinnedFile
    index_file: PinnedFile
    tree: Tree


@dataclass(frozen=True)
class Pin:
    """The whole lock file.

    release_url: the folder of the assets, without a slash at its end.
    index_distribution, index_version: empty where no index carries any of the payloads.
    """

    version: str
    release_url: str
    index_distribution: str
    index_version: str
    targets: Mapping[str, PinnedTarget]

    def asset_url(self, key: str) -> str:
        """Where the vendor publishes the asset of the target `key`."""
        return f"{self.release_url}/{self.targets[key].asset.name}"


def load(path: Path) -> Pin:
    """Read and check the lock file at `path`. Raises PinError with the place and the way out."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PinError(f"{path.name} is missing from {path.parent}; restore it from git") from None
    except (OSError, ValueError, RecursionError) as error:
        # ValueError: not UTF-8, not TOML, or a number with more digits than Python takes.
        raise PinError(f"{path.name} cannot be read: {_one_line(str(error))}; restore it from git") from None
    return parse(data)


def parse_text(text: str) -> Pin:
    """Check the text of a lock file. Raises PinError, and ValueError for what is no TOML."""
    return parse(tomllib.loads(text))


def parse(data: Mapping[str, Any]) -> Pin:
    """Check the parsed lock file and give it its types. Raises PinError."""
    root = _Place(data, "").only("lock-version", "provider", "target", optional=("index",))
    # The type, too: True and 1.0 equal 1.
    if (type(root.data["lock-version"]), root.data["lock-version"]) != (int, LOCK_VERSION):
        root.fail("lock-version", root.data["lock-version"], str(LOCK_VERSION))
    provider = root.table("provider").only("version", "release-url")
    version = provider.text("version", _VERSION, "a version such as 2.0.5")
    release_url = provider.text("release-url", _RELEASE_URL, "an https URL of a folder, without a slash at its end")
    _names_version(provider, "release-url", release_url, version)
    distribution, index_version = _index(root)
    targets = root.table("target").only(*KEYS)
    return Pin(
        version=version,
        release_url=release_url,
        index_distribution=distribution,
        index_version=index_version,
        targets={key: _target(targets.table(key), key, bool(distribution)) for key in KEYS},
    )


def is_version(text: str) -> bool:
    """Whether `text` can stand as a version in the lock file."""
    return bool(_VERSION.fullmatch(text))


def is_distribution(text: str) -> bool:
    """Whether `text` can stand as the name of a distribution in the lock file."""
    return bool(_FILE_NAME.fullmatch(text))


def _index(root: _Place) -> tuple[str, str]:
    if "index" not in root.data:
        return "", ""
    index = root.table("index").only("distribution", "version")
    name = index.text("distribution", _FILE_NAME, "a distribution name")
    return name, index.text("version", _VERSION, "a version")


def _names_version(place: _Place, name: str, url: str, version: str) -> None:
    if f"v{version}" not in url.split("/")[3:]:
        place.fail(name, url, f"a URL with v{version} as one part of its path")


def _target(place: _Place, key: str, indexed: bool) -> PinnedTarget:
    place.only("asset", "tree", optional=("index-file",) if indexed else ())
    return PinnedTarget(
        key=key,
        asset=_asset(place.table("asset")),
        index_file=_index_file(place.table("index-file")) if "index-file" in place.data else NO_FILE,
        tree=_tree(place.table("tree")),
    )


def _asset(place: _Place) -> PinnedFile:
    place.only("name", optional=("sha256",))
    name = place.text("name", _FILE_NAME, "a file name")
    if not name.endswith((".zip", ".tar.gz")):
        place.fail("name", name, "a .zip or .tar.gz file")
    return PinnedFile(name, place.digest("sha256") if "sha256" in place.data else None)


def _index_file(place: _Place) -> PinnedFile:
    place.only("name", "sha256", "prefix")
    name = place.text("name", _FILE_NAME, "a file name")
    if not name.endswith((".whl", ".tar.gz")):
        place.fail("name", name, "a .whl or .tar.gz file")
    prefix = place.text("prefix", _PREFIX, "a folder that ends in a slash, no part of which starts with a dot")
    return PinnedFile(name, place.digest("sha256"), prefix)


def _tree(place: _Place) -> Tree:
    place.only("sha256", "files", "bytes")
    return Tree(place.digest("sha256"), place.count("files", MAX_FILES), place.count("bytes", MAX_BYTES))


@dataclass(frozen=True)
class _Place:
    """A table of the file and the way to it, for messages."""

    data: Mapping[str, Any]
    path: str

    def only(self, *required: str, optional: tuple[str, ...] = ()) -> _Place:
        unknown = sorted(set(self.data) - set(required) - set(optional))
        missing = [name for name in required if name not in self.data]
        where = self.path or "its top level"
        if unknown:
            raise PinError(
                f"{LOCK_NAME}: {where} has the unknown key {_one_line(unknown[0])!r}; "
                f"valid: {', '.join((*required, *optional))}; correct or remove it"
            )
        if missing:
            raise PinError(f"{LOCK_NAME}: {where} lacks {missing[0]!r}; make the pin again with scripts/pin.py")
        return self

    def fail(self, name: str, seen: object, valid: str) -> NoReturn:
        where = f"{self.path}.{name}" if self.path else name
        shown = f"a {type(seen).__name__}" if isinstance(seen, (dict, list)) else _one_line(_text(seen))
        raise PinError(f"{LOCK_NAME}: {where} is {shown}; valid: {valid}; correct it or run scripts/pin.py")

    def table(self, name: str) -> _Place:
        if not isinstance(self.data[name], Mapping):
            self.fail(name, self.data[name], "a table")
        return _Place(self.data[name], f"{self.path}.{name}" if self.path else name)

    def text(self, name: str, pattern: re.Pattern[str], valid: str) -> str:
        value = self.data[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.fail(name, value, valid)
        return str(value)

    def digest(self, name: str) -> str:
        return self.text(name, _SHA256, "64 lower-case hexadecimal digits")

    def count(self, name: str, limit: int) -> int:
        value = self.data[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            self.fail(name, value, f"a whole number from 1 to {limit}")
        return int(value)


def _text(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # a hexadecimal number with more decimal digits than Python prints
        return "a number too large to show"


def _one_line(text: str) -> str:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(character if character.isprintable() else "?" for character in shown)


def render(pin: Pin) -> str:
    """The text of the lock file for `pin`; `load` of it gives an equal pin."""
    head = (
        "# What is embedded, and where it may come from. Made by scripts/pin.py; do not edit by hand.\n"
        f"lock-version = {LOCK_VERSION}\n\n"
        f'[provider]\nversion = "{pin.version}"\nrelease-url = "{pin.release_url}"\n'
    )
    index = f'\n[index]\ndistribution = "{pin.index_distribution}"\nversion = "{pin.index_version}"\n'
    tables = "".join(_render_target(pin.targets[target.key]) for target in TARGETS)
    return head + (index if pin.index_distribution else "") + tables


def _render_target(target: PinnedTarget) -> str:
    known = f'sha256 = "{target.asset.sha256}"\n' if target.asset.sha256 else ""
    name = f"target.{target.key}"
    return (
        f'\n[{name}.asset]\nname = "{target.asset.name}"\n{known}'
        f"{_render_index_file(name, target.index_file)}"
        f'[{name}.tree]\nsha256 = "{target.tree.sha256}"\n'
        f"files = {target.tree.files}\nbytes = {target.tree.bytes}\n"
    )


def _render_index_file(name: str, file: PinnedFile) -> str:
    if not file:
        return ""
    return f'[{name}.index-file]\nname = "{file.name}"\nsha256 = "{file.sha256}"\nprefix = "{file.prefix}"\n'
