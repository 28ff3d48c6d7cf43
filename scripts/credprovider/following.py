"""Is there a newer provider than the pinned one? What `scripts/follow.py` asks and writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from credprovider import lockfile
from credprovider.errors import ReleaseError
from credprovider.fetch.download import PATIENT, Patience, persist
from credprovider.fetch.http import Access, check_address
from credprovider.lockfile import Pin
from credprovider.maintain import vendor_releases

OUTPUT_VARIABLE = "GITHUB_OUTPUT"


def newest(api: str, project: str, environ: Mapping[str, str], patience: Patience = PATIENT) -> str:
    """The version of the newest release that is neither a draft nor a prerelease.

    GitHub's REST API, "Get the latest release". Raises Unavailable or ReleaseError.
    """
    url = f"{api.rstrip('/')}/repos/{project}/releases/latest"
    check_address(url, Access(environ))
    return parse(persist(lambda: vendor_releases._answer(url, environ), patience))


def parse(text: str) -> str:
    """The version in the API's answer. Raises ReleaseError when it names none that a pin could hold."""
    try:
        tag = json.loads(text)["tag_name"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ReleaseError("the release page's API names no newest release; look at the release page") from None
    version = tag.removeprefix("v") if isinstance(tag, str) else ""
    if not lockfile.is_version(version):
        raise ReleaseError(f"the newest release is called {ascii(tag)[:60]}; valid: such as v2.0.5; look at its page")
    return version


def is_newer(version: str, pinned: Pin) -> bool:
    """Whether `version` is above the pinned one. Raises ReleaseError when they cannot be compared."""
    try:
        return Version(version) > Version(pinned.version)
    except InvalidVersion as error:
        raise ReleaseError(f"{error}; compare {version} with {pinned.version} yourself, then run pin.py") from None


def body(version: str, pinned: Pin, said: str) -> str:
    """The text of the pull request: what pin.py said, fenced so that nothing of it is markup."""
    longest = max((len(run) for run in _backticks(said)), default=0)
    fence = "`" * max(3, longest + 1)
    return (
        f"The provider {version} is out; pinned is {pinned.version}. Lines with `!` want your look.\n"
        "Close and reopen this pull request to run its checks: a run's own token starts none.\n\n"
        f"{fence}text\n{said.rstrip()}\n{fence}\n"
    )


def _backticks(text: str) -> list[str]:
    runs = "".join(char if char == "`" else " " for char in text)
    return runs.split()


def tell_run(version: str, environ: Mapping[str, str]) -> None:
    """Give the steps that follow in this workflow run the version, where there is such a run."""
    if path := environ.get(OUTPUT_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"version={version}\n")
