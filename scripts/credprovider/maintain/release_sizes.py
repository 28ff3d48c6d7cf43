"""How large the files of a release are, beside those of the one before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from credprovider import targets
from credprovider.build.matrix import SDIST
from credprovider.errors import BuildError, SourceError
from credprovider.fetch import package_index
from credprovider.fetch.http import Unavailable, Web
from credprovider.fetch.package_index import Link
from credprovider.maintain import candidates
from credprovider.maintain.candidates import Distribution, Means

# Any release's wheels, also one a Python version or with another floor: the machine decides.
_MACHINES: Mapping[str, str] = {
    "linux-x64": r"manylinux\w*_x86_64",
    "linux-arm64": r"manylinux\w*_aarch64",
    "osx-x64": r"macosx_\w+_x86_64",
    "osx-arm64": r"macosx_\w+_arm64",
    "win-x64": r"win_amd64",
    "win-x86": r"win32",
    "win-arm64": r"win_arm64",
    targets.NON_SC: r"any",
}


def key_of(name: str) -> str | None:
    """Which part of a release the file `name` is: a target's key, ``sdist``, or None."""
    if name.endswith(".tar.gz"):
        return SDIST
    tag = name.removesuffix(".whl").rpartition("-")[2] if name.endswith(".whl") else ""
    matches = [key for key, pattern in _MACHINES.items() if re.fullmatch(rf"(?:.*\.)?{pattern}", tag)]
    return matches[0] if len(matches) == 1 else None


def in_folder(folder: Path) -> dict[str, int]:
    """The sizes in bytes of the files of a release in `folder`, by key."""
    sizes = {key_of(path.name): path.stat().st_size for path in sorted(folder.glob("*")) if path.is_file()}
    return {key: size for key, size in sizes.items() if key}


def on_index(requirement: str, means: Means) -> dict[str, int]:
    """The sizes in bytes of ``NAME==VERSION`` on the user's index, by key. Raises BuildError.

    Nothing is downloaded: every answer is left after its headers.
    """
    found = candidates.distribution(requirement, means)
    with Web(found.config.access(means.environ)) as web:
        sizes = {key_of(name): _size(found, name, web, means) for name in found.files}
    return {key: size for key, size in sizes.items() if key}


def _size(found: Distribution, name: str, web: Web, means: Means) -> int:
    for link in package_index.search(found.config, found.name, name, web, means.patience):
        if isinstance(link, Unavailable):
            continue
        return link.local.stat().st_size if link.local else _announced(link, name, web)
    raise SourceError(f"{name} cannot be had from the configured index; name a folder with --last")


def _announced(link: Link, name: str, web: Web) -> int:
    with web.get(link.url, {"Accept-Encoding": "identity"}) as response:
        length = response.headers.get("content-length", "")
    if not length.isdigit():
        raise SourceError(f"the index does not say how large {name} is; name a folder with --last")
    return int(length)


def had(source: str | Path, means: Means) -> tuple[dict[str, int], str]:
    """The last release's sizes and, where they cannot be had, why: a table is no reason to stop a release."""
    try:
        sizes = in_folder(source) if isinstance(source, Path) else on_index(source, means)
    except (BuildError, OSError) as error:
        return {}, f"the sizes of {source} cannot be had: {error}"
    return sizes, "" if sizes else f"{source} has no file of a release; name a folder with --last"


def table(now: Mapping[str, int], before: Mapping[str, int], version: str, last: str) -> Iterator[str]:
    """One line per file: its size in MB now and before, and the change; then the sums of what is in both."""
    rows = [("file", version, last, "change")]
    rows += [_row(key, now.get(key), before.get(key)) for key in _ordered({*now, *before})]
    both = [key for key in now if key in before]
    if both:
        rows.append(_row("in both", sum(now[key] for key in both), sum(before[key] for key in both)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield f"{row[0]:<{widths[0]}}  " + "  ".join(f"{row[column]:>{widths[column]}}" for column in (1, 2, 3))


def _ordered(keys: Iterable[str]) -> list[str]:
    order = [*targets.KEYS, SDIST]
    return sorted(keys, key=order.index)


def _row(key: str, now: int | None, before: int | None) -> tuple[str, str, str, str]:
    change = f"{(now - before) / before:+.1%}" if now is not None and before else ""
    return key, _megabytes(now), _megabytes(before), change


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.2f} MB"
