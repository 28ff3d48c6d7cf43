"""Credentials that the environment already declares: no process, no network, and where they are not used no import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple, Optional

from . import feeds
from .credential import Credential
from .feeds import SHARED_HOSTS, Address, Feed
from .variables import ACCESS_TOKEN, EXTERNAL_ENDPOINTS, HOSTS_OF_PROVIDER, IDENTITIES, PREFIXES, in_force, value

# What the provider calls the user of a credential that names none (measured).
DEFAULT_USERNAME = "VssSessionToken"
_FORM = '{"endpointCredentials": [{"endpoint": "URL", "username": "…", "password": "…"}]}'

Warn = Callable[[str], None]


class Scope(NamedTuple):
    """What a declared URL covers: everything on this scheme, host and port whose path starts with these segments."""

    scheme: str
    host: str
    port: Optional[int]
    path: tuple[str, ...]
    kind: str


class Declared(NamedTuple):
    """One declaration. credential None: an identity that only the provider can turn into one (fields: its entry)."""

    scope: Scope
    credential: Optional[Credential]
    fields: Mapping[str, object]

    def __repr__(self) -> str:
        return f"Declared({self.scope!r})"


def find(feed: Feed, environ: Mapping[str, str], warn: Warn) -> Optional[Credential]:
    """The credential that *environ* declares for *feed*: the longest match, then in the provider's order.

    None also where an identity of …FEED_ENDPOINTS matches best: that is the provider's business.
    *warn* gets one line, without anything secret, for each declaration that cannot be read.
    """
    best = _best(feed, _all(environ, warn))
    return best.credential if best is not None else None


def for_provider(feed: Feed, environ: Mapping[str, str]) -> dict[str, str]:
    """What must change in the provider's environment so that it finds what is meant for *feed*.

    It compares …FEED_ENDPOINTS with the URL asked for letter by letter, gives up on the whole list for one bad
    entry, and has never heard of ARTIFACTS_KEYRING_HOSTS.
    """
    changes: dict[str, str] = {}
    identity = _best(feed, _identities(environ, _ignore)) if feed.url else None
    if identity is not None:
        changes[IDENTITIES[0]] = _respelt(identity, feed)
    if not feeds.is_vendors(feed.host) and feeds.is_listed(_address(feed), environ):
        known = value(environ, HOSTS_OF_PROVIDER)
        changes[HOSTS_OF_PROVIDER[0]] = f"{known};{feed.host}" if known else feed.host
    return changes


def hosts(environ: Mapping[str, str]) -> frozenset[str]:
    """host[:port] of everything for which *environ* declares a credential; a default port is left out."""
    scopes = [declared.scope for declared in _all(environ, _ignore)]
    return frozenset(f"{scope.host}:{scope.port}" if scope.port else scope.host for scope in scopes)


def covers(address: Address, environ: Mapping[str, str]) -> bool:
    """Whether *environ* declares something for this host and port, however badly it is written.

    A variable that nothing can be read from covers the hosts that it spells out: their users get to hear of it.
    """
    texts = [value(environ, names) for names in (EXTERNAL_ENDPOINTS, IDENTITIES, PREFIXES)]
    if not any(address.host in text.lower() or "\\" in text or not text.isascii() for text in texts):
        return False
    host = f"{address.host}:{address.port}" if address.port else address.host
    return host in hosts(environ) or any(_spells(text, host) for text in _unreadable(environ))


def _all(environ: Mapping[str, str], warn: Warn) -> list[Declared]:
    return [*_externals(environ, warn), *_identities(environ, warn), *_prefixes(environ, warn)]


def _best(feed: Feed, candidates: list[Declared]) -> Optional[Declared]:
    asked = _scope(_address(feed))
    matching = [one for one in candidates if asked is not None and _within(asked, one.scope)]
    return max(matching, key=lambda one: (len(one.scope.path), one.scope.kind == feed.kind), default=None)


def _within(asked: Scope, scope: Scope) -> bool:
    return asked[:3] == scope[:3] and asked.path[: len(scope.path)] == scope.path


def _address(feed: Feed) -> Address:
    address = feeds.split(feed.url) if feed.url else None
    # A host that many share says in its path whose it is; elsewhere a bare host has no path.
    owner = feed.organisation if feed.host in SHARED_HOSTS else None
    return address or Address(feed.scheme, feed.host, feed.port, f"/{_quoted(owner)}" if owner else "")


def _quoted(part: str) -> str:
    from urllib.parse import quote  # loaded already where there is a path to speak of

    return quote(part, safe="")


def _scope(address: Optional[Address]) -> Optional[Scope]:
    place = feeds.locate(address) if address is not None else None
    if address is None or place is None:
        return None
    # A view shows a part of its feed: what opens the one opens the other. No feed has an @ in its own name.
    feed = () if place.name is None else ("_packaging", *filter(None, place.name.partition("@")))
    # Everything that belongs to the feed's Python side stands for the feed; other protocols for themselves.
    rest = () if place.rest[:1] and place.rest[0].lower() == "pypi" else place.rest
    path = tuple(part.lower() for part in (*place.scope, *feed, *rest))
    return Scope(address.scheme, address.host, address.port, path, place.kind)


def _externals(environ: Mapping[str, str], warn: Warn) -> Iterator[Declared]:
    for name, number, scope, entry in _endpoints(environ, EXTERNAL_ENDPOINTS, warn):
        fields = _lower(entry)
        password = _text(fields.get("password"))
        if password:
            user = _text(fields.get("username"))
            yield Declared(scope, Credential(DEFAULT_USERNAME if user is None else user, password), {})
        else:
            warn(f"{name}: entry {number} has no usable password and is passed over; give it one, or remove it")


def _identities(environ: Mapping[str, str], warn: Warn) -> list[Declared]:
    return [Declared(scope, None, entry) for _, _, scope, entry in _endpoints(environ, IDENTITIES, warn)]


def _prefixes(environ: Mapping[str, str], warn: Warn) -> Iterator[Declared]:
    token, name = _token(environ, warn), in_force(environ, PREFIXES)
    if not token or name is None:
        return
    for number, text in enumerate(filter(None, map(str.strip, environ[name].split(";"))), 1):
        scope = _declared_scope(text)
        if scope is None:
            warn(f"{name}: entry {number} is no URL and is passed over; write https://… and separate entries by ;")
        else:
            yield Declared(scope, Credential(DEFAULT_USERNAME, token), {})


def _token(environ: Mapping[str, str], warn: Warn) -> Optional[str]:
    name = in_force(environ, ACCESS_TOKEN)
    if name is None:
        return None
    token = _text(environ[name].strip())
    if token is None:
        warn(f"{name} holds bytes that are no text and is passed over; set it to the token alone")
    return token


def _endpoints(
    environ: Mapping[str, str], names: tuple[str, ...], warn: Warn
) -> Iterator[tuple[str, int, Scope, dict[str, object]]]:
    """Variable, number from 1, scope and content of each entry that can be used."""
    name = in_force(environ, names)
    if name is None:
        return
    for number, entry in enumerate(_entries(name, environ[name], warn), 1):
        scope = _declared_scope(_text(_lower(entry).get("endpoint")) or "")
        if scope is None or not isinstance(entry, dict):
            warn(f"{name}: entry {number} has no usable endpoint and is passed over; write {_FORM}")
        else:
            yield name, number, scope, entry


def _entries(name: str, text: str, warn: Warn) -> list[object]:
    try:
        entries = _lower(_decode(text)).get("endpointcredentials")
    except (ValueError, RecursionError) as error:
        warn(f"{name} is not valid JSON{_where(error)}, nothing in it is used; write {_FORM}")
        return []
    if not isinstance(entries, list):
        warn(f"{name} has no list named endpointCredentials, nothing in it is used; write {_FORM}")
        return []
    return entries


def _decode(text: str) -> object:
    import json  # dear, and only for those who declare something

    return json.loads(text.lstrip("\ufeff"))


def _where(error: Exception) -> str:
    # Never the message of the error: it may quote what it stumbled over.
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    return f" (line {line}, column {column})" if line is not None else ""


def _lower(item: object) -> dict[str, object]:
    """An object with its names in lower case, in which the provider does not care; {} for anything else."""
    return {str(name).lower(): part for name, part in item.items()} if isinstance(item, dict) else {}


def _text(item: object) -> Optional[str]:
    """A text or a whole number as text; None for anything else, and for half a character: no client could send it."""
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    return item if isinstance(item, str) and not any("\ud800" <= sign <= "\udfff" for sign in item) else None


def _declared_scope(url: str) -> Optional[Scope]:
    return _scope(feeds.split(url.strip())) if "://" in url else None


def _respelt(identity: Declared, feed: Feed) -> str:
    import json

    fields = {name: item for name, item in identity.fields.items() if name.lower() != "endpoint"}
    return json.dumps({"endpointCredentials": [{"endpoint": feed.index_url, **fields}]})


def _unreadable(environ: Mapping[str, str]) -> list[str]:
    """The values of the JSON variables from which nothing can be read."""
    found = []
    for names in (EXTERNAL_ENDPOINTS, IDENTITIES):
        lines: list[str] = []
        name = in_force(environ, names)
        if name is not None and not _entries(name, environ[name], lines.append) and lines:
            found.append(environ[name])
    return found


def _spells(text: str, host: str) -> bool:
    """Whether *text* has an URL on *host* in it."""
    import re

    return re.search(rf"//(?:[^/\s\"']*@)?{re.escape(host)}(?=[/?#\"'\s]|$)", text, re.IGNORECASE) is not None


def _ignore(_line: str) -> None:
    return None
