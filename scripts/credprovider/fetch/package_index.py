"""Where a file stands on the package index that the user's pip is configured with.

pip is asked for its own configuration (`pip config list`, and the help text for the default
index); the pages are read here. `pip download` would run the build backend of an sdist.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

from credprovider.fetch.download import PAGE_LIMIT, Page, Patience, read_page
from credprovider.fetch.http import Access, Unavailable, Web, redact

# PEP 691 and PEP 503, in the order of preference.
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PIP_SECONDS = 60
_SECTIONS = ("global", "install", "download", ":env:")
_DEFAULT_INDEX = re.compile(r"--index-url\b.*?\(default\s+(https?://[^\s)]+)\)", re.DOTALL)


@dataclass(frozen=True)
class Configuration:
    """What pip would ask: bases of indexes, places of links, and how to reach them."""

    indexes: tuple[str, ...] = field(repr=False)
    find_links: tuple[str, ...] = field(repr=False)
    trusted: frozenset[str] = frozenset()
    proxy: str | None = field(default=None, repr=False)
    cert: str | None = None
    client_cert: str | None = None
    seconds: float | None = None

    def access(self, environ: Mapping[str, str]) -> Access:
        """How these indexes are reached."""
        base = Access(environ)
        read = min(max(self.seconds or base.read, base.read), 300.0)
        return Access(environ, self.trusted, self.proxy, self.cert, self.client_cert, base.connect, read)


@dataclass(frozen=True)
class Link:
    """A file on an index: its address (a local one has scheme file) and the sha256 claimed there."""

    url: str = field(repr=False)
    sha256: str | None = None

    @property
    def local(self) -> Path | None:
        """The file itself when it is on this machine."""
        return _local(self.url)


def configuration(environ: Mapping[str, str]) -> Configuration:
    """pip's configuration, or uv's variables where there is no pip. Raises Unavailable."""
    listed = _ask_pip(environ)
    if listed is None:
        return _from_uv(environ)
    pip, text = listed
    values = parse_config(text, pip.value)
    default = "" if "index-url" in values or _truthy(values.get("no-index")) else pip.default_index()
    return from_values(values, default)


def from_values(values: Mapping[str, str], default: str) -> Configuration:
    """The Configuration that pip options mean; `default` is the index where none is configured."""
    indexes = [values.get("index-url") or default, *values.get("extra-index-url", "").split()]
    timeout = values.get("timeout") or values.get("default-timeout") or ""
    return Configuration(
        indexes=() if _truthy(values.get("no-index")) else tuple(url for url in indexes if url),
        find_links=tuple(values.get("find-links", "").split()),
        trusted=frozenset(values.get("trusted-host", "").lower().split()),
        proxy=values.get("proxy") or None,
        cert=values.get("cert") or None,
        client_cert=values.get("client-cert") or None,
        seconds=float(timeout) if timeout.replace(".", "", 1).isdigit() else None,
    )


def _truthy(value: str | None) -> bool:
    return (value or "").lower() in ("1", "true", "yes", "on", "y", "t")


class _NoPip(Unavailable):
    """There is none where one was looked for."""


class _Pip:
    """A pip that can be run. Its interpreter is this one, or the one behind it."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._command = command
        # A build frontend hides the user's site-packages, and pip with them, by PYTHONPATH.
        hidden = ("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONHOME")
        kept = {name: value for name, value in environ.items() if name not in hidden}
        self._environ = {**kept, "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONSAFEPATH": "1"}

    def run(self, *arguments: str) -> str:
        """What pip prints. Raises Unavailable when it fails."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PIP_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"pip cannot be run: {type(error).__name__}; check the installation of pip") from None
        if done.returncode and b"No module named" in done.stderr:
            raise _NoPip("this interpreter has no pip")
        if done.returncode:
            raise Unavailable(f"pip {arguments[0]} ended with {done.returncode}; see python -m pip config debug")
        return done.stdout.decode("utf-8", "replace")

    def value(self, key: str) -> str:
        """The one value of `key` that is in force."""
        return self.run("config", "get", key).strip()

    def default_index(self) -> str:
        """The address that this pip uses where none is configured. Raises Unavailable."""
        found = _DEFAULT_INDEX.search(self.run("download", "--isolated", "--help"))
        if not found:
            raise Unavailable("pip names no default index; set index-url in pip's configuration")
        return found.group(1)


def _ask_pip(environ: Mapping[str, str]) -> tuple[_Pip, str] | None:
    """The first pip there is, with what its `config list` says. Raises Unavailable when that fails."""
    base = getattr(sys, "_base_executable", sys.executable)
    on_path = shutil.which("pip", path=environ.get("PATH"))
    found = [[sys.executable, "-m", "pip"], *([[on_path]] if on_path else []), [base, "-m", "pip"]]
    for pip in (_Pip(command, environ) for command in found):
        try:
            return pip, pip.run("config", "list")
        except _NoPip:
            continue
    return None


def parse_config(text: str, choose: Callable[[str], str] | None = None) -> dict[str, str]:
    """Options by name out of `pip config list` (lines ``section.key='value'``).

    Sections override each other in pip's order. From 26 on pip lists a key once per file,
    files in no meaningful order; `choose` then names the value.
    """
    seen: dict[str, list[str]] = {}
    for line in text.splitlines():
        full, separator, literal = line.partition("=")
        if separator:
            seen.setdefault(full.strip(), []).append(_unquoted(literal))
    effective = {full: choose(full) if choose and len(set(values)) > 1 else values[-1] for full, values in seen.items()}
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        of_section = {full: value for full, value in effective.items() if full.startswith(f"{section}.") and value}
        merged |= {full[len(section) + 1 :]: value for full, value in of_section.items()}
    return merged


def _unquoted(literal: str) -> str:
    try:
        return str(ast.literal_eval(literal.strip()))
    except (ValueError, SyntaxError):
        return literal.strip()


def _from_uv(environ: Mapping[str, str]) -> Configuration:
    named = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    more = f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}".split()
    # An entry of UV_INDEX may be name=URL; a URL has its :// before any =.
    bare = [re.sub(r"^[\w.-]+=", "", url) for url in (named, *more) if url]
    links = environ.get("UV_FIND_LINKS", "").replace(",", " ").split()
    if not bare and not links:
        raise Unavailable("this interpreter has no pip to ask, and neither UV_DEFAULT_INDEX nor UV_INDEX is set")
    return Configuration(tuple(bare), tuple(links), frozenset(environ.get("UV_INSECURE_HOST", "").lower().split()))


def search(
    config: Configuration, distribution: str, name: str, web: Web, patience: Patience
) -> Iterable[Link | Unavailable]:
    """Every link to the file `name`, and why each place without one has none; cheap places first."""
    folder = re.sub(r"[-_.]+", "-", distribution).lower()
    places = [(place, True) for place in config.find_links] + [(base, False) for base in config.indexes]
    for place, flat in sorted(places, key=lambda item: _local(item[0]) is None):
        found = False
        try:
            for link in _links(place, folder, name, flat, web, patience):
                found = True
                yield link
        except Unavailable as reason:
            yield reason
            continue
        if not found:
            yield Unavailable(f"{_shown(place)} has no {name}")


def _links(place: str, folder: str, name: str, flat: bool, web: Web, patience: Patience) -> list[Link]:
    root = _local(place)
    if root is not None:
        return _local_links(root if flat else root / folder, name)
    url = place if flat else f"{place.rstrip('/')}/{folder}/"
    page = read_page(url, ACCEPT, web, patience)
    return [_with_credentials(link, url) for link in links_in(page) if file_name(link.url) == name]


def _local_links(path: Path, name: str) -> list[Link]:
    if (path / name).is_file():
        return [Link((path / name).absolute().as_uri())]
    page = path / "index.html" if path.is_dir() else path
    if not page.is_file():
        return []
    try:
        text = page.read_bytes()[:PAGE_LIMIT].decode("utf-8", "replace")
    except OSError as error:
        raise Unavailable(f"{page} cannot be read ({error.strerror or error})") from None
    links = links_in(Page(page.absolute().as_uri(), "text/html", text))
    return [link for link in links if file_name(link.url) == name]


def _local(place: str) -> Path | None:
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    # A drive letter looks like a scheme of one letter.
    return None if len(parts.scheme) > 1 and "://" in place else Path(place).expanduser()


def _shown(place: str) -> str:
    return place if _local(place) is not None else redact(place)


def file_name(url: str) -> str:
    """The last part of the path of `url`, decoded."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _with_credentials(link: Link, index: str) -> Link:
    """Files beside a page are asked for as the page was."""
    source, target = urlsplit(index), urlsplit(link.url)
    user, at, place = source.netloc.rpartition("@")
    if not at or "@" in target.netloc or (target.scheme, target.netloc) != (source.scheme, place):
        return link
    return Link(target._replace(netloc=f"{user}@{place}").geturl(), link.sha256)


def links_in(page: Page) -> list[Link]:
    """The links of an index page, JSON (PEP 691) or HTML (PEP 503), absolute. Raises Unavailable."""
    if page.media_type.endswith("json"):
        return _links_in_json(page)
    parser = _Anchors(page.url)
    parser.feed(page.text)
    return parser.links


def _links_in_json(page: Page) -> list[Link]:
    try:
        files = json.loads(page.text)["files"]
        return [Link(urljoin(page.url, str(each["url"])), each.get("hashes", {}).get("sha256")) for each in files]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable(f"{redact(page.url)} is not a page of a package index (PEP 691)") from None


class _Anchors(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self.links: list[Link] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "base" and target:
            self._base = urljoin(self._base, target)
        elif tag == "a" and target:
            url, fragment = urldefrag(urljoin(self._base, target))
            kind, _, digest = fragment.partition("=")
            self.links.append(Link(url, digest.lower() if kind == "sha256" else None))
