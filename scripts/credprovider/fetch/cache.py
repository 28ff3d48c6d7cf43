"""What was fetched before: files named by their sha256, and which of them made which tree.

An archive whose own checksum is not known is remembered below ``trees/`` only after the tree
inside it has matched the pin; the record holds the sha256 by which it is checked from then on.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from credprovider.errors import ChecksumError, SourceError
from credprovider.fetch.download import hash_file

CACHE_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_CACHE_DIR"
_NAME = "artifacts-keyring-build"
_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class Cache:
    """The folder `root`. named: whether the user chose it, so that nothing else may replace it."""

    root: Path
    named: bool = False

    def entry(self, digest: str) -> Path:
        """Where the file with this sha256 is or would be."""
        return self.root / "sha256" / digest

    def record(self, tree: str, asset: str) -> Path:
        """Where it is written which archive called `asset` has given the tree with digest `tree`."""
        return self.root / "trees" / tree / asset

    def find(self, digest: str | None) -> Path | None:
        """The file with this sha256, read through once more; None if there is none, or no digest is known.

        Raises ChecksumError, after removing it, when it is damaged.
        """
        if not digest:
            return None
        path = self.entry(digest)
        try:
            seen = hash_file(path)
        except OSError:
            return None
        if seen == digest:
            return path
        path.unlink(missing_ok=True)
        raise ChecksumError(
            f"the cached file {path} was damaged: sha256 {digest} was expected, {seen} was seen; "
            "it has been removed: run the build again"
        )

    def recall(self, record: Path) -> str | None:
        """The sha256 that `confirm` has written to `record`, or None."""
        try:
            text = record.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return text if len(text) == _DIGEST_LENGTH and not set(text) - set("0123456789abcdef") else None


def remember(record: Path, digest: str) -> None:
    """Write `digest` to `record` in one step. A cache that cannot be written is no failure."""
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=record.parent)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(f"{digest}\n")
        Path(name).replace(record)
    except OSError:
        return


def locate(environ: Mapping[str, str]) -> Cache:
    """The cache that the environment names, else the one of this user."""
    named = environ.get(CACHE_VARIABLE)
    if named:
        return Cache(Path(named).expanduser().absolute(), named=True)
    return Cache(_user_cache(environ, sys.platform))


def writable(cache: Cache, say: Callable[[str], None]) -> Cache:
    """`cache`, or a temporary one for this build when the user's cannot be written.

    Raises SourceError when the user has named the folder.
    """
    try:
        cache.entry("x").parent.mkdir(parents=True, exist_ok=True)
        if os.access(cache.entry("x").parent, os.W_OK | os.X_OK):
            return cache
        reason = "not writable"
    except OSError as error:
        reason = error.strerror or str(error)
    if cache.named:
        raise SourceError(f"{CACHE_VARIABLE}={cache.root} cannot be used ({reason}); name a folder that can be written")
    root = tempfile.mkdtemp(prefix=_NAME)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    say(f"the cache {cache.root} is {reason}; what is fetched serves this build only")
    return Cache(Path(root))


def _user_cache(environ: Mapping[str, str], platform: str) -> Path:
    """Where the user's caches are by the rules of each system (XDG Base Directory Specification on Linux)."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or _home()
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path(home, "AppData", "Local"), _NAME, "Cache")
    if platform == "darwin":
        return Path(home, "Library", "Caches", _NAME)
    return Path(environ.get("XDG_CACHE_HOME") or Path(home, ".cache"), _NAME)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry in passwd, as in a container
        return Path(tempfile.gettempdir())
