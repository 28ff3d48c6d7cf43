"""What the vendor's release page says of a release: its assets, their sizes and digests.

The page's API is GitHub's REST API ("Get a release by tag name", and "Rate limits for the REST
API" for its refusals). Assets uploaded before June 2025 have no digest there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from credprovider import lockfile
from credprovider.errors import ReleaseError
from credprovider.fetch.download import PAGE_LIMIT, PATIENT, Patience, persist
from credprovider.fetch.http import HEALING, Access, Unavailable, check_address, redact, retry_after, scrub
from credprovider.lockfile import MAX_BYTES, Pin

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

API = "https://api.github.com"
TOKEN_VARIABLES = ("GH_TOKEN", "GITHUB_TOKEN")

_HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "artifacts-keyring-build",
}
_RELEASE_FOLDER = re.compile(r"https://github\.com/([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)/releases/download/v[^/]+")
_ASSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class ReleaseAsset(NamedTuple):
    """A file of the release. size: in bytes. sha256: None where the page publishes no digest."""

    name: str
    url: str
    size: int
    sha256: str | None


class Release(NamedTuple):
    """A release and its assets by name."""

    version: str
    assets: Mapping[str, ReleaseAsset]


def repository(release_url: str) -> str:
    """``owner/name`` out of the pinned folder of the assets. Raises ReleaseError."""
    found = _RELEASE_FOLDER.fullmatch(release_url)
    if not found:
        raise ReleaseError(f"{release_url} is no release folder on github.com; correct release-url in the lock file")
    return found[1]


def ask(api: str, project: str, version: str, environ: Mapping[str, str], patience: Patience = PATIENT) -> Release:
    """The release of `version` as the API at the base URL `api` describes it.

    Raises Unavailable if no server answers or the rate limit is used up, ReleaseError for the rest.
    """
    url = f"{api.rstrip('/')}/repos/{project}/releases/tags/v{version}"
    check_address(url, Access(environ))
    return parse(persist(lambda: _answer(url, environ), patience), version)


def newest(api: str, project: str, environ: Mapping[str, str], patience: Patience = PATIENT) -> str:
    """The version of the newest release that is neither a draft nor a prerelease.

    GitHub's REST API, "Get the latest release". Raises Unavailable or ReleaseError.
    """
    url = f"{api.rstrip('/')}/repos/{project}/releases/latest"
    check_address(url, Access(environ))
    return parse_newest(persist(lambda: _answer(url, environ), patience))


def parse_newest(text: str) -> str:
    """The version in the API's answer. Raises ReleaseError if it names none that a pin could hold."""
    try:
        tag = json.loads(text)["tag_name"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ReleaseError("the release page's API names no newest release; look at the release page") from None
    version = tag.removeprefix("v") if isinstance(tag, str) else ""
    if not lockfile.is_version(version):
        raise ReleaseError(f"the newest release is called {ascii(tag)[:60]}; valid: such as v2.0.5; look at its page")
    return version


def is_newer(version: str, pinned: Pin) -> bool:
    """Whether `version` is above the pinned one. Raises ReleaseError if they cannot be compared."""
    try:
        return Version(version) > Version(pinned.version)
    except InvalidVersion as error:
        raise ReleaseError(f"{error}; compare {version} with {pinned.version} yourself, then run pin.py") from None


def headers(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Headers for the API. A token of the user's goes to its own API only, never to a mirror."""
    token = next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), "")
    own = urlsplit(url)[:2] == urlsplit(API)[:2]
    return {**_HEADERS, **({"Authorization": f"Bearer {token}"} if token and own else {})}


def _answer(url: str, environ: Mapping[str, str]) -> str:
    import httpx

    from artifacts_keyring.http.trust import TrustError, ssl_context

    timeout = httpx.Timeout(Access(environ).read, connect=Access(environ).connect)
    try:
        # No redirects: the token must not follow one, and a project that moved is worth a look.
        with (
            httpx.Client(verify=ssl_context(environ), timeout=timeout) as client,
            client.stream("GET", url, headers=headers(url, environ)) as response,
        ):
            _check(response, redact(url))
            return _body(response, redact(url))
    except TrustError as error:
        raise Unavailable(str(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = scrub(str(error)) or type(error).__name__
        raise Unavailable(f"{redact(url)}: {said}", heals=isinstance(error, httpx.TransportError)) from None


def _body(response: httpx.Response, where: str) -> str:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > PAGE_LIMIT:
            raise ReleaseError(f"{where} is larger than {PAGE_LIMIT} bytes; no release is; check --api")
    return body.decode("utf-8", "replace")


def _check(response: httpx.Response, where: str) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 404:
        raise ReleaseError(
            f"{where} answered HTTP 404: there is no such release; look at the release page for its version"
        )
    if response.has_redirect_location:
        place = redact(response.headers["location"])
        raise ReleaseError(f"{where} has moved to {place}; look there, and correct release-url in the lock file")
    if status in (403, 429):
        raise _limited(response, where, time.time())
    advice = f"; renew the token in {' or '.join(TOKEN_VARIABLES)}, or unset it" if status == 401 else ""
    raise Unavailable(f"{where} answered HTTP {status}{advice}", heals=status in HEALING, answered=True)


def _limited(response: httpx.Response, where: str, now: float) -> Unavailable:
    wait = retry_after(response.headers.get("retry-after", ""), now)
    reset = response.headers.get("x-ratelimit-reset", "")
    spent = response.headers.get("x-ratelimit-remaining") == "0"
    if wait is None and spent and reset.isdigit() and len(reset) < 12:
        wait = max(0.0, int(reset) - now)
    said = f"{where} answered HTTP {response.status_code}"
    if wait is None and not spent:
        return Unavailable(f"{said}: it refuses this request", heals=response.status_code == 429, answered=True)
    until = "" if wait is None else f" until {time.strftime('%H:%M:%S', time.gmtime(now + wait))} UTC"
    return Unavailable(
        f"{said}: its rate limit is used up{until}; a token of your own in {TOKEN_VARIABLES[0]} has a higher one",
        heals=wait is not None,
        wait=wait,
        answered=True,
    )


# --- the answer


def parse(text: str, version: str) -> Release:
    """The release in the API's answer `text`. Raises ReleaseError naming the place that is wrong."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ReleaseError("the answer of the release page's API is no JSON; check --api") from None
    tag = _of(data, "tag_name", str, "the release")
    if tag != f"v{version}":
        raise ReleaseError(f"v{version} was asked for, the release page's API answered with {tag[:60]!r}; check --api")
    listed = [_asset(item, number) for number, item in enumerate(_of(data, "assets", list, "the release"))]
    assets = {asset.name: asset for asset in listed}
    if len(assets) != len(listed):
        raise ReleaseError(f"release v{version} lists an asset twice; look at the release page")
    return Release(version, assets)


def _asset(item: object, number: int) -> ReleaseAsset:
    where = f"asset {number}"
    name = _of(item, "name", str, where)
    if not _ASSET_NAME.fullmatch(name):
        _strange(f"{where}.name", name)
    state = _of(item, "state", str, name)
    size = _of(item, "size", int, name)
    if state != "uploaded" or not 0 < size <= MAX_BYTES:
        _strange(f"the state and size of {name}", f"{state}, {size}")
    return ReleaseAsset(name, _of(item, "browser_download_url", str, name), size, _digest(item, name))


def _digest(item: object, name: str) -> str | None:
    # The key is there with null for assets from before digests were made.
    if isinstance(item, Mapping) and item.get("digest") is None:
        return None
    digest = _of(item, "digest", str, name)
    found = _DIGEST.fullmatch(digest)
    return found[1] if found else _strange(f"the digest of {name}", digest)


def _of(item: object, key: str, kind: type[T], where: str) -> T:
    value = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        _strange(f"{where}.{key}", value)
    return value


def _strange(place: str, value: object) -> NoReturn:
    shown = ascii(value if isinstance(value, (str, int, float)) else type(value).__name__)[:120]
    raise ReleaseError(
        f"the release page's API says of {place}: {shown}; that cannot be used; look at the release page"
    )
