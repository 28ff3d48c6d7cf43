"""Which feed a service string means: every spelling that clients use, to one canonical URL.

A service that is no feed of ours costs no import and no more than a few string comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from .variables import DECLARING, HOSTS, HOSTS_OF_PROVIDER, INSECURE_HOSTS, words

# Hosts that the provider takes for Azure DevOps' own; what stands below one of these is not.
SHARED_HOSTS = ("pkgs.dev.azure.com", "pkgs.codedev.ms", "pkgs.codeapp.ms")
# Here everything below belongs to the service, and the name in front of it is the organisation.
ORGANISATION_HOSTS = (".pkgs.visualstudio.com", ".pkgs.vsts.me")

_PORTS = {"https": 443, "http": 80}
_HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_ADDRESS_LETTERS = frozenset("0123456789abcdef:.")
_LONGEST_HOST = 253
_ID_LENGTHS, _ID_LETTERS = [8, 4, 4, 4, 12], frozenset("0123456789abcdef")
_PLAIN = "!$&'()*+,;=:@~"  # may stand in a path segment as it is (RFC 3986, pchar)
_COLLECTION_OF_OLD = "defaultcollection"  # what organisation hosts may say before the project, to no effect


class Address(NamedTuple):
    """A URL taken apart. host is lower-case ASCII; port None is the scheme's own; path as written."""

    scheme: str
    host: str
    port: Optional[int]
    path: str


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
    """

    host: str
    port: Optional[int]
    organisation: Optional[str]
    project: Optional[str]
    name: Optional[str]
    kind: str
    url: str
    scheme: str = "https"

    @property
    def index_url(self) -> str:
        """The one spelling of this feed that the provider gets, for index and upload alike; "" for a host."""
        return f"{self.url.rpartition('/pypi/')[0]}/pypi/simple/" if self.url else ""


def parse(service: str, environ: Mapping[str, str]) -> Optional[Feed]:
    """The feed or host that *service* means; None when it is none of ours. Never raises.

    None: hosts that neither Azure DevOps owns nor *environ* names, any scheme but https (and http where
    it goes to this machine or to a host of ARTIFACTS_KEYRING_INSECURE_HOSTS), what clients would read differently.
    """
    address = _ours(service, environ)
    if address is None or not _may_travel(address, environ):
        return None
    place = locate(address)
    return None if place is None else _feed(address, place)


def refusal(service: str, environ: Mapping[str, str]) -> Optional[str]:
    """Why `parse` refuses a service on a host of ours, as one line; None when it does not. Never raises."""
    address = _ours(service, environ)
    if address is None or _may_travel(address, environ):
        return None
    return (
        f"no credential for http://{address.host}, it would travel in clear text: "
        f"use https, or allow this host with {INSECURE_HOSTS}={address.host}"
    )


def split(text: str) -> Optional[Address]:
    """Take a URL, or a host with or without port, apart; None for what is none. The user part is dropped."""
    scheme, authority, path = _cut(text)
    if scheme not in _PORTS or _ambiguous(authority) or any(map(_is_control, text)):
        return None
    host, port = _host_and_port(authority.rpartition("@")[2].lower())
    if not _is_host(host):
        return None
    return Address(scheme, host, None if port in (0, _PORTS[scheme]) else port, path)


def _cut(text: str) -> tuple[str, str, str]:
    """Scheme, authority and path as written; without a scheme it is https."""
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "https", text
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    return scheme.lower(), rest[:end], rest[end:].partition("#")[0].partition("?")[0]


def _ambiguous(authority: str) -> bool:
    # Some clients end the authority at a backslash, drop blanks and control characters, or refuse brackets
    # in the user part; others do not.
    user = authority.rpartition("@")[0]
    if not authority.isprintable() or any(sign in authority for sign in "\\ ") or "[" in user or "]" in user:
        return True
    return not user.isascii() and _hides_a_delimiter(user)


def _hides_a_delimiter(user: str) -> bool:
    # urllib refuses what Unicode's compatibility forms turn into one, as the wide slash U+FF0F.
    from unicodedata import normalize

    normal = normalize("NFKC", user.replace("@", "").replace(":", ""))
    return any(sign in normal for sign in "/?#@:")


def _is_control(sign: str) -> bool:
    return sign < " " or sign == "\x7f"


def _host_and_port(text: str) -> tuple[str, int]:
    """Host and port, 0 for none; ("", 0) for what is neither."""
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, digits = text, ""
    if len(host) > _LONGEST_HOST or (digits and not _is_port(digits)):
        return "", 0
    return _ascii(host), int(digits or 0)


def _is_port(digits: str) -> bool:
    return len(digits) <= 5 and digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536


def _ascii(host: str) -> str:
    """*host* as it stands in the name system; "" where clients would not agree on that."""
    if host.isascii():
        return host
    try:
        coded = host.encode("idna")
        return coded.decode("ascii") if coded.decode("idna") == host else ""
    except UnicodeError:
        return ""


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return ":" in host and _ADDRESS_LETTERS.issuperset(host[1:-1])
    return _HOST_LETTERS.issuperset(host) and all(host.split("."))


def _ours(service: str, environ: Mapping[str, str]) -> Optional[Address]:
    # The type is what a caller promises, and keyring passes on whatever it was called with.
    if not isinstance(service, str) or not (_cut(service)[1].rpartition("@")[2].isascii() or _names_unicode(environ)):
        return None
    address = split(service)
    return address if address is not None and _is_ours(address, environ) else None


def _names_unicode(environ: Mapping[str, str]) -> bool:
    # Only then is it worth loading the codec: no host of Azure DevOps' own has other letters.
    listed = (environ.get(name, "") for name in (HOSTS, INSECURE_HOSTS, *HOSTS_OF_PROVIDER, *DECLARING))
    return any(not text.isascii() or "xn--" in text.lower() or "\\u" in text for text in listed)


def is_vendors(host: str) -> bool:
    """Whether the provider takes *host* for Azure DevOps' own without being told."""
    # Organisations have ASCII names; of coded ones some are none at all, and not every client gets over that.
    return host in SHARED_HOSTS or (host.endswith(ORGANISATION_HOSTS) and "xn--" not in host)


def _is_ours(address: Address, environ: Mapping[str, str]) -> bool:
    if is_vendors(address.host) or is_listed(address, environ):
        return True
    if not any(environ.get(name) for name in DECLARING):
        return False
    from .declared import covers

    return covers(address, environ)


def is_listed(address: Address, environ: Mapping[str, str]) -> bool:
    """Whether a variable that lists hosts names this one."""
    listed = [(text, True) for text in words(environ, HOSTS)]
    # The provider takes its own lists by the letter: a whole name, or with a leading dot all below (measured).
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


def _may_travel(address: Address, environ: Mapping[str, str]) -> bool:
    """Whether a credential may be sent there: encrypted, to this machine, or because the user said so."""
    if address.scheme == "https" or _is_loopback(address.host):
        return True
    return any(_names(text, address, below=False) for text in words(environ, INSECURE_HOSTS))


def _is_loopback(host: str) -> bool:
    parts = host.split(".")
    numbers = len(parts) == 4 and all(part.isdecimal() and str(int(part)) == part for part in parts)
    return host in ("localhost", "[::1]") or (numbers and parts[0] == "127" and all(int(part) < 256 for part in parts))


def locate(address: Address) -> Optional[Place]:
    """What the path of *address* says; None for one that a server would not read as it is written."""
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
    from urllib.parse import unquote

    try:
        parts = tuple(unquote(part, errors="strict") for part in path.split("/") if part)
        "".join(parts).encode()
    except UnicodeError:
        return None
    return parts if all(map(_is_segment, parts)) else None


def _is_segment(part: str) -> bool:
    return part not in (".", "..") and not any(_is_control(sign) or sign in "/\\" for sign in part)


def _feed(address: Address, place: Place) -> Feed:
    organisation, project, complete = owner(address.host, [part.lower() for part in place.scope])
    known = Feed(address.host, address.port, organisation, project, None, "host", "", address.scheme)
    if not place.name or not complete:
        return known
    return known._replace(name=place.name.lower(), kind=place.kind, url=_url(address, place))


def of_organisation(feed: Feed) -> Optional[Feed]:
    """The feed of the same name that would belong to the organisation itself; None where *feed* is no project's.

    Only projects can have public feeds: what this one's URL asks for is a member of the organisation, whether
    there is such a feed or not.
    """
    address = split(feed.url) if feed.project and is_vendors(feed.host) else None
    place = locate(address) if address is not None else None
    if address is None or place is None or not place.name:
        return None
    return _feed(address, Place(place.scope[:-1], place.name, ()))


def of_host(feed: Feed) -> Optional[Feed]:
    """A feed to ask for in place of a bare host that names its organisation; None for all else. See of_organisation."""
    if feed.kind != "host" or feed.scheme != "https" or not feed.host.endswith(ORGANISATION_HOSTS):
        return None
    return _feed(Address(feed.scheme, feed.host, feed.port, ""), Place((), feed.organisation, ()))


def page(service: str) -> str:
    """The package page or download of ours that *service* names, as one URL without a user; "" for anything else."""
    address = split(service)
    place = locate(address) if address is not None else None
    if address is None or place is None or not place.name or len(place.rest) < 3:
        return ""
    lower = [part.lower() for part in place.rest[:2]]
    if lower == ["pypi", "simple"]:
        return f"{_below_feed(address, place, place.rest[:3])}/"
    return _below_feed(address, place, place.rest) if lower == ["pypi", "download"] else ""


def is_id(part: Optional[str]) -> bool:
    """Whether *part*, in lower case, is an id, by which Azure DevOps calls projects, feeds and views in links."""
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


def _url(address: Address, place: Place) -> str:
    return f"{_below_feed(address, place, ('pypi', 'upload' if place.kind == 'upload' else 'simple'))}/"


def _below_feed(address: Address, place: Place, rest: tuple[str, ...]) -> str:
    from urllib.parse import quote

    port = f":{address.port}" if address.port else ""
    path = "/".join(quote(part, safe=_PLAIN) for part in (*place.scope, "_packaging", place.name or "", *rest))
    return f"{address.scheme}://{address.host}{port}/{path}"
