"""Find the feed that an address means: every spelling that clients use leads to one canonical URL.

A service that is not a feed costs a few string comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple, Optional
from urllib.parse import quote, unquote  # loaded with keyring

from .urls import Address, is_control, split
from .variables import DECLARING, HOSTS, HOSTS_OF_PROVIDER, INSECURE_HOSTS, words

# Hosts that the provider takes for Azure DevOps' own (docs/provider.md#hosts); what stands below one of these is not.
SHARED_HOSTS = ("pkgs.dev.azure.com", "pkgs.codedev.ms", "pkgs.codeapp.ms")
# Here everything below belongs to the service, and the name in front of it is the organisation.
ORGANISATION_HOSTS = (".pkgs.visualstudio.com", ".pkgs.vsts.me")

_ID_LENGTHS, _ID_LETTERS = [8, 4, 4, 4, 12], frozenset("0123456789abcdef")
_PLAIN = "!$&'()*+,;=:@~"  # may stand in a path segment as it is (RFC 3986, pchar)
_COLLECTION_OF_OLD = "defaultcollection"  # what organisation hosts may say before the project, to no effect


class Place(NamedTuple):
    """What a path says, decoded, as written.

    scope: what stands before `_packaging`. name: what follows it; "" for nothing, None without a
    `_packaging`. rest: what follows the name.
    """

    scope: tuple[str, ...]
    name: Optional[str]
    rest: tuple[str, ...]

    @property
    def kind(self) -> str:
        """index or upload for a feed, else host."""
        if not self.name:
            return "host"
        return "upload" if [part.lower() for part in self.rest[:2]] == ["pypi", "upload"] else "index"


class Feed(NamedTuple):
    """A feed, or with kind "host" a host of ours without one.

    host: lower-case ASCII; port: None is the scheme's own. organisation, project, name: lower-case,
    None where the service does not say. kind: "index", "upload" or "host". url: the canonical URL of
    the service, never with a user; "" for a host. scheme: "https", or "http" where that is allowed.
    page: the URL of the package page or download that the service names, or "". place: the names as written.
    """

    host: str
    port: Optional[int]
    organisation: Optional[str]
    project: Optional[str]
    name: Optional[str]
    kind: str
    url: str
    scheme: str = "https"
    page: str = ""
    place: Place = Place((), None, ())

    @property
    def server(self) -> Address:
        """The address without a path."""
        return Address(self.scheme, self.host, self.port, "")

    @property
    def index_url(self) -> str:
        """The URL of this feed that the provider gets, for index and upload alike; "" for a host."""
        return f"{self.url.rpartition('/pypi/')[0]}/pypi/simple/" if self.url else ""


def ours(
    service: str, environ: Mapping[str, str], covers: Callable[[Address, Mapping[str, str]], bool]
) -> Optional[Address]:
    """The address that *service* means; None for hosts that neither Azure DevOps owns nor *environ* names.

    covers: asked last whether a declared credential is for that host. Never raises.
    """
    # keyring passes on anything that it was called with, also what is not a string.
    address = split(service, service.isascii() or _names_unicode(environ)) if isinstance(service, str) else None
    if address is None or not (is_vendors(address.host) or is_listed(address, environ) or covers(address, environ)):
        return None
    return address


def refusal(address: Address, environ: Mapping[str, str]) -> str:
    """Why no credential may be sent to *address*, as one line; "" where it may.

    It may where the way is encrypted or does not leave this machine, or because the user said so.
    """
    if address.scheme == "https" or _is_loopback(address.host):
        return ""
    if any(_names(text, address, below=False) for text in words(environ, INSECURE_HOSTS)):
        return ""
    return (
        f"no credential for http://{address.host}, it would travel in clear text: "
        f"use https, or allow this host with {INSECURE_HOSTS}={address.host}"
    )


def read(address: Address) -> Optional[Feed]:
    """The feed or host that *address* means; None if servers would read its path differently."""
    place = locate(address)
    return None if place is None else _feed(address, place)


def _names_unicode(environ: Mapping[str, str]) -> bool:
    # Only then is it worth loading the codec: no host of Azure DevOps' own has other letters.
    listed = (environ.get(name, "") for name in (HOSTS, INSECURE_HOSTS, *HOSTS_OF_PROVIDER, *DECLARING))
    return any(not text.isascii() or "xn--" in text.lower() or "\\u" in text for text in listed)


def is_vendors(host: str) -> bool:
    """Whether the provider knows *host* as one of Azure DevOps."""
    # Organisations have ASCII names; some coded ones are invalid, and not every client can handle that.
    return host in SHARED_HOSTS or (host.endswith(ORGANISATION_HOSTS) and "xn--" not in host)


def is_listed(address: Address, environ: Mapping[str, str]) -> bool:
    """Whether a variable that lists hosts names this one."""
    listed = [(text, True) for text in words(environ, HOSTS)]
    # The provider takes its own lists by the letter: a name, or with a leading dot all below
    # (docs/provider.md#environment).
    for name in (INSECURE_HOSTS, *HOSTS_OF_PROVIDER):
        listed += [(text, False) for text in words(environ, name)]
    return any(_names(text, address, below) for text, below in listed)


def _names(text: str, address: Address, below: bool) -> bool:
    """Whether the entry *text* (host, host:port, .domain, *.domain or a URL) names the host of *address*."""
    bare = text.lstrip("*")
    entry = split(bare.lstrip("."))
    if entry is None or entry.port not in (None, address.port):
        return False
    if address.host == entry.host:
        return not bare.startswith(".") or below
    return (below or bare.startswith(".")) and address.host.endswith(f".{entry.host}")


def _is_loopback(host: str) -> bool:
    parts = host.split(".")
    numbers = len(parts) == 4 and all(part.isdecimal() and str(int(part)) == part for part in parts)
    return host in ("localhost", "[::1]") or (numbers and parts[0] == "127" and all(int(part) < 256 for part in parts))


def locate(address: Address) -> Optional[Place]:
    """What the path of *address* says; None if servers would read it differently."""
    segments = _segments(address.path)
    if segments is None:
        return None
    lower = [part.lower() for part in segments]
    at = lower.index("_packaging") if "_packaging" in lower else len(segments)
    scope, tail = segments[:at], segments[at + 1 :]
    if address.host.endswith(ORGANISATION_HOSTS) and lower[:1] == [_COLLECTION_OF_OLD]:
        scope = scope[1:]
    name = None if at == len(segments) else "".join(tail[:1])
    return Place(scope, name, tail[1:])


def _segments(path: str) -> Optional[tuple[str, ...]]:
    try:
        parts = tuple(unquote(part, errors="strict") for part in path.split("/") if part)
        "".join(parts).encode()
    except UnicodeError:
        return None
    return parts if all(map(_is_segment, parts)) else None


def _is_segment(part: str) -> bool:
    return part not in (".", "..") and not any(is_control(sign) or sign in "/\\" for sign in part)


def _feed(address: Address, place: Place) -> Feed:
    organisation, project, complete = owner(address.host, [part.lower() for part in place.scope])
    known = Feed(address.host, address.port, organisation, project, None, "host", "", address.scheme)
    if not place.name or not complete:
        return known
    end = "upload" if place.kind == "upload" else "simple"
    url = f"{_below_feed(address, place, ('pypi', end))}/"
    page, written = _page(address, place), Place(place.scope, place.name, ())
    return known._replace(name=place.name.lower(), kind=place.kind, url=url, page=page, place=written)


def _page(address: Address, place: Place) -> str:
    """The URL of the package page or download, without a user; "" where the path names none."""
    lower = [part.lower() for part in place.rest[:2]]
    if len(place.rest) > 2 and lower == ["pypi", "simple"]:
        return f"{_below_feed(address, place, place.rest[:3])}/"
    return _below_feed(address, place, place.rest) if len(place.rest) > 2 and lower == ["pypi", "download"] else ""


def of_organisation(feed: Feed) -> Optional[Feed]:
    """The feed of the same name that would belong to the organisation itself; None where *feed* is no project's.

    Only projects can have public feeds: what this one's URL asks for is a member of the organisation, whether
    there is such a feed or not.
    """
    if not feed.url or not feed.project or not is_vendors(feed.host):
        return None
    return _feed(feed.server, feed.place._replace(scope=feed.place.scope[:-1]))


def of_host(feed: Feed) -> Optional[Feed]:
    """The feed to ask for instead of a bare host that names its organisation; None for anything else."""
    if feed.kind != "host" or feed.scheme != "https" or not feed.host.endswith(ORGANISATION_HOSTS):
        return None
    return _feed(feed.server, Place((), feed.organisation, ()))


def is_id(part: Optional[str]) -> bool:
    """Whether *part*, in lower case, is an id: Azure DevOps has one for each project, feed and view."""
    pieces = (part or "").split("-")
    return [len(piece) for piece in pieces] == _ID_LENGTHS and _ID_LETTERS.issuperset("".join(pieces))


def owner(host: str, scope: list[str]) -> tuple[Optional[str], Optional[str], bool]:
    """Organisation, project, and whether a feed can stand below these segments, which are in lower case."""
    if host.endswith(ORGANISATION_HOSTS):
        organisation = next(host[: -len(end)] for end in ORGANISATION_HOSTS if host.endswith(end))
        return organisation, _at(scope, 0), len(scope) <= 1
    if host in SHARED_HOSTS:
        return _at(scope, 0), _at(scope, 1), 1 <= len(scope) <= 2
    if scope[:1] == ["tfs"]:  # where a server stands unless it was set up otherwise
        return _at(scope, 1), _at(scope, 2), 2 <= len(scope) <= 3
    if len(scope) == 2 and is_id(scope[1]):  # no collection is called like that
        return scope[0], scope[1], True
    # folder/collection or collection/project? Taken for one name, at worst a project is asked for once more.
    return "/".join(scope[:2]) or None, _at(scope, 2), len(scope) <= 3


def _at(parts: list[str], index: int) -> Optional[str]:
    return parts[index] if index < len(parts) else None


def _below_feed(address: Address, place: Place, rest: tuple[str, ...]) -> str:
    port = f":{address.port}" if address.port else ""
    path = "/".join(quote(part, safe=_PLAIN) for part in (*place.scope, "_packaging", place.name or "", *rest))
    return f"{address.scheme}://{address.host}{port}/{path}"
