"""Fetch provider archives ahead of a build: `python scripts/fetch.py [KEY ...] [--all] [--into DIR]`.

Without DIR they are put into the cache, where the next build finds them. DIR can be carried to a
machine without network and named there in ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import environment

if TYPE_CHECKING:
    from credprovider.fetch.sources import Archive, Settings
    from credprovider.lockfile import Pin

_ROW = "{:<12} {:>6}  {:<12}  {:<8}  {}"


def main() -> int:
    """0 when every archive asked for is there, else 1."""
    environment.ensure("httpx", "pip")
    sys.path.insert(1, str(environment.ROOT))  # whom to trust is decided in artifacts_keyring
    from credprovider import lockfile, targets
    from credprovider.errors import BuildError
    from credprovider.fetch import sources

    options = _options(targets.KEYS)
    try:
        pinned = lockfile.load(environment.ROOT / lockfile.LOCK_NAME)
        settings = sources.Settings.from_environ(os.environ)
        keys = targets.KEYS if options.all else tuple(options.key) or (_native(),)
        return _fetch_all(pinned, keys, settings, options.into)
    except BuildError as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fetch.py: interrupted; what is half-done has been removed", file=sys.stderr)
        return 130


def _native() -> str:
    from credprovider import targets

    return targets.resolve(os.environ).target.key


def _fetch_all(pinned: Pin, keys: tuple[str, ...], settings: Settings, into: Path | None) -> int:
    from credprovider.errors import BuildError

    print(_ROW.format("target", "MB", "sha256", "by", "file"), flush=True)
    code = 0
    for key in keys:
        try:
            print(_fetch(pinned, key, settings, into), flush=True)
        except BuildError as error:
            print(f"fetch.py: {key}: {error}", file=sys.stderr)
            code = 1
    return code


def _fetch(pinned: Pin, key: str, settings: Settings, into: Path | None) -> str:
    """Obtain one archive, make sure of it, put it where it was asked for; a row for the table."""
    from credprovider.fetch import sources

    def say(line: str) -> None:
        print(f"  {line}", file=sys.stderr)

    wanted = pinned.targets[key]
    archive = sources.obtain(pinned, wanted, settings, say)
    if not archive.verified:
        with tempfile.TemporaryDirectory(prefix="artifacts-keyring-") as scratch:
            archive = sources.unpack(pinned, wanted, settings, Path(scratch) / "payload", say)
    path = archive.path
    if into is not None:
        path = into / (wanted.index_file if archive.prefix else wanted.asset).name
        _copy(archive, path)
    megabytes = f"{path.stat().st_size / 1e6:.1f}"
    return _ROW.format(key, megabytes, archive.sha256[:12], "checksum" if archive.verified else "tree", path)


def _copy(archive: Archive, path: Path) -> None:
    from credprovider.fetch.download import adopt

    size = archive.path.stat().st_size
    copied = adopt(archive.path, path.parent, limit=size, sha256=archive.sha256).path
    copied.chmod(0o644)  # others may build from this folder
    copied.replace(path)


def _options(keys: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("key", nargs="*", metavar="KEY", help=f"one of {', '.join(keys)}; default: this platform's")
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--into", type=Path, metavar="DIR", help="put copies into this folder (made if need be)")
    options = parser.parse_args()
    for key in options.key:
        if key not in keys:
            parser.error(f"{key!r} is no target; valid: {', '.join(keys)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
