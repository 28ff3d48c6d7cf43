"""How large: wheels, what they unpack to, the time to install one, and all files of a release."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from credprovider.fetch import package_index
from credprovider.fetch.download import Patience, read_page
from credprovider.fetch.http import Unavailable, Web

from benchmarks import measuring
from benchmarks.contestants import PREDECESSOR_REQUIREMENT, Contestant, install_file
from benchmarks.results import PREDECESSOR, BenchmarkError, Release, Size


def wheels(contestants: Mapping[str, Contestant], scratch: Path, runs: int) -> Iterator[Size]:
    """The wheels of all contestants that have one, installed `runs` times in turn."""
    files = {name: one.wheel for name, one in contestants.items() if one.wheel}
    turns = {name: partial(_install, wheel, scratch / "prefix") for name, wheel in files.items()}
    seconds = measuring.medians(turns, runs)
    for name, wheel in files.items():
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        unpacked = sum(member.file_size for member in members)
        yield Size(name, wheel.stat().st_size, unpacked, len(members), round(seconds[name], 3))


def _install(wheel: Path, prefix: Path) -> float:
    started = time.perf_counter()
    install_file(wheel, prefix)
    seconds = time.perf_counter() - started
    shutil.rmtree(prefix)
    return seconds


def predecessor_release() -> Release:
    """All files of the predecessor's release, by the sizes that the user's index names. Raises BenchmarkError."""
    name, _, version = PREDECESSOR_REQUIREMENT.partition("==")
    reasons = ["no index is configured"]
    config = package_index.configuration(os.environ)
    with Web(config.access(os.environ)) as web:
        for base in config.indexes:
            if "://" not in base or base.startswith("file:"):
                continue
            try:
                page = read_page(f"{base.rstrip('/')}/{name}/", package_index.ACCEPT, web, Patience())
                return _release(json.loads(page.text)["files"], name, version)
            except (Unavailable, ValueError, KeyError, TypeError) as reason:
                reasons.append(type(reason).__name__)
    raise BenchmarkError(
        f"no configured index says how large the files of {PREDECESSOR_REQUIREMENT} are ({reasons[-1]}): "
        "configure one in pip that serves JSON with sizes (PEP 700)"
    )


def _release(files: list[dict[str, object]], name: str, version: str) -> Release:
    stem = re.escape(name.replace("-", "_") + "-" + version)
    sizes = [int(str(file["size"])) for file in files if re.match(rf"{stem}(-|\.tar\.gz$)", str(file["filename"]))]
    if not sizes:
        raise ValueError(version)
    return Release(PREDECESSOR, version, len(sizes), sum(sizes), "the sizes that the package index names")
