"""Credentials that environment variables declare: found without a process and without the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple, Optional

from . import feeds, urls, value_checks
from .credential import DEFAULT_USERNAME, Credential
from .feeds import ORGANISATION_HOSTS, SHARED_HOSTS, Feed, Place
from .urls import Address
from .variables import (
    ACCESS_TOKEN,
    EXTERNAL_ENDPOINTS,
    HOSTS_OF_PROVIDER,
    IDENTITIES,
    PIPELINE,
    PREFIXES,
    in_force,
    value,
)

_FORM = '{"endpointCredentials": [{"endpoint": "URL", "username": "…", "password": "…"}]}'

Warn = Callable[[str], None]
# Organisation, project, feed and view, in lower case; None where a URL does not say.
Names = tuple[Optional[str], Optional[str], Optional[str], Optional[str]]


class Scope(NamedTuple):
    """What a declared URL covers: everything on this scheme, host and port whose path starts with these segments.

    kind: as a feed's, or "other" for a URL of another protocol than Python's.
    """

    scheme: str
    host: str
    port: Optional[int]
    path: tuple[str, ...]
    kind: str


class Declared(NamedTuple):
    """One declaration, and the variable that holds its secret.

    credential None: an identity that only the provider can turn into one (fields: its entry), unless fault says in
    one line why it cannot be used.
    """

    scope: Scope
    credential: Optional[Credential]
    fields: Mapping[str, object]
    name: str
    fault: str = ""

    def __repr__(self) -> str:
        return f"Declared({self.scope!r})"


class Finding(NamedTuple):
    """What is declared for a feed: the best usable declaration, and the first reason why a better one is not usable."""

    best: Optional[Declared]
    fault: str


def look(feed: Feed, environ: Mapping[str, str]) -> Finding:
    """What *environ* declares for *feed*: the longest match, then in the provider's order.

    If nothing matches, because ids stand for names or only the host is asked for: the one and only credential of its
    organisation. A fault is one line that names the variable, without anything secret; an entry without a usable
    endpoint may be for any feed.
    """
    lines: list[str] = []
    explicit, pipeline = _all(environ, lines.append), _pipeline(environ)
    feed = _placed(feed, [*explicit, *pipeline])
    best = _meant(feed, [one for one in explicit if not one.fault])
    broken = _meant(feed, [one for one in explicit if one.fault], several=True)
    if best is None and not _possible(feed, [one for one in explicit if not one.fault]):
        best = _meant(feed, [one for one in pipeline if not one.fault])
        broken = broken or _meant(feed, [one for one in pipeline if one.fault])
    if broken is not None and (best is None or len(broken.scope.path) > len(best.scope.path)):
        lines.insert(0, broken.fault)
    if best is None and not lines:
        lines += _lonely_token(environ)
    return Finding(best, lines[0] if lines else "")


def candidates(feed: Feed, environ: Mapping[str, str]) -> list[Credential]:
    """The credentials that may be for *feed*, by an id, if `look` cannot tell which; else none."""
    if not feed.url or look(feed, environ).best is not None:
        return []
    usable = [one for one in (*_all(environ, _ignore), *_pipeline(environ)) if not one.fault]
    return [one.credential for one in _possible(feed, usable) if one.credential is not None]


def for_provider(feed: Feed, environ: Mapping[str, str]) -> dict[str, str]:
    """The changes to the provider's environment that make it find the declaration for *feed*.

    It compares …FEED_ENDPOINTS with the URL asked for letter by letter, ignores the whole list if one entry is bad,
    and does not know ARTIFACTS_KEYRING_HOSTS.
    """
    changes: dict[str, str] = {}
    identity = look(feed, environ).best if feed.url and in_force(environ, IDENTITIES) else None
    if identity is not None and identity.credential is None:
        # `look` has rejected the other declarations: the provider must not answer with one of them.
        changes = {name: "" for name in (*EXTERNAL_ENDPOINTS, *PREFIXES, *ACCESS_TOKEN) if environ.get(name)}
        changes[IDENTITIES[0]] = _respelt(identity, feed)
    if not feeds.is_vendors(feed.host) and feeds.is_listed(feed.server, environ):
        known = value(environ, HOSTS_OF_PROVIDER)
        changes[HOSTS_OF_PROVIDER[0]] = f"{known};{feed.host}" if known else feed.host
    return changes


def hosts(environ: Mapping[str, str]) -> frozenset[str]:
    """host[:port] of everything for which *environ* declares a credential; a default port is left out."""
    scopes = [declared.scope for declared in _all(environ, _ignore)]
    return frozenset(f"{scope.host}:{scope.port}" if scope.port else scope.host for scope in scopes)


def covers(address: Address, environ: Mapping[str, str]) -> bool:
    """Whether *environ* declares something for this host and port, even with mistakes.

    A variable that cannot be read covers every host that occurs in its text, so that its user is told.
    """
    texts = [value(environ, names) for names in (EXTERNAL_ENDPOINTS, IDENTITIES, PREFIXES)]
    if not any(address.host in text.lower() or "\\" in text or not text.isascii() for text in texts):
        return False
    host = f"{address.host}:{address.port}" if address.port else address.host
    return host in hosts(environ) or any(_spells(text, host) for text in _unreadable(environ))


def _all(environ: Mapping[str, str], warn: Warn) -> list[Declared]:
    return [*_externals(environ, warn), *_identities(environ, warn), *_prefixes(environ, warn)]


def _meant(feed: Feed, some: list[Declared], several: bool = False) -> Optional[Declared]:
    """The one of *some* that is for *feed*; several: the first, if it could be any of several."""
    best = _best(feed, some)
    if best is not None:
        return best
    possible = _possible(feed, some)
    return possible[0] if possible and (several or len(possible) == 1) else None


def _best(feed: Feed, everything: list[Declared]) -> Optional[Declared]:
    asked = _asked(feed)
    matching = [one for one in everything if _within(asked, one.scope)]
    return max(matching, key=lambda one: _rank(one.scope, feed.kind), default=None)


def _rank(scope: Scope, kind: str) -> tuple[int, bool, bool]:
    return len(scope.path), scope.kind == kind, scope.kind != "other"


def _placed(feed: Feed, everything: list[Declared]) -> Feed:
    """*feed*; for a bare host the only organisation there for which anything is declared."""
    if feed.kind != "host" or feed.organisation is not None:
        return feed
    owners = {_names(one.scope)[0] for one in everything if one.scope[:3] == _origin(feed)}
    return feed._replace(organisation=owners.pop()) if len(owners) == 1 else feed


def _possible(feed: Feed, everything: list[Declared]) -> list[Declared]:
    """The declarations that may be for *feed*, one for each credential or identity."""
    name, _, view = (feed.name or "").partition("@")
    asked = (feed.organisation, feed.project, name or None, view or None)
    here = [one for one in everything if one.scope[:3] == _origin(feed)]
    found = [one for one in here if _may_mean(asked, _names(one.scope, feed.organisation))]
    return list({_secret(one): one for one in reversed(found)}.values())[::-1]


def _secret(one: Declared) -> str:
    # Azure DevOps looks at the password only.
    return one.credential.password if one.credential is not None else repr(_identity(one))


def _may_mean(asked: Names, named: Names) -> bool:
    """Whether an id in one of the two may stand for a name in the other; two names, or two ids, have to be equal."""
    pairs = list(zip(asked, named))[1:]
    if asked[0] is None or asked[0] != named[0] or any(_differ(*pair) for pair in pairs):
        return False
    if asked[2] is None:
        return True
    (project, declared_project), feed, _ = pairs
    # A link by a feed's id does not have to name the project.
    return any(_in_doubt(*pair) for pair in pairs) or (feeds.is_id(feed[0]) and project != declared_project)


def _differ(one: Optional[str], other: Optional[str]) -> bool:
    return bool(one and other) and one != other and feeds.is_id(one) == feeds.is_id(other)


def _in_doubt(asked: Optional[str], named: Optional[str]) -> bool:
    return asked is not None and asked != named and (feeds.is_id(asked) or feeds.is_id(named))


def _names(scope: Scope, owner: Optional[str] = None) -> Names:
    """The names in *scope*. owner: what is known to be an organisation, so that what follows it is a project."""
    at = scope.path.index("_packaging") if "_packaging" in scope.path else len(scope.path)
    organisation, project, _ = feeds.owner(scope.host, list(scope.path[:at]))
    above, _, last = (organisation or "").rpartition("/")
    if above and above == owner and project is None:
        organisation, project = above, last
    name, view = [*scope.path[at + 1 : at + 4 : 2], None, None][:2]
    return organisation, project, name, view


def _origin(feed: Feed) -> tuple[str, str, Optional[int]]:
    return feed.scheme, feed.host, feed.port


def _within(asked: Scope, scope: Scope) -> bool:
    return asked[:3] == scope[:3] and asked.path[: len(scope.path)] == scope.path


def _asked(feed: Feed) -> Scope:
    # A host that many share says in its path whose it is; elsewhere a bare host has no path.
    owner = feed.organisation if feed.host in SHARED_HOSTS else None
    return _scope(feed.server, feed.place if feed.url else Place((owner,) if owner else (), None, ()))


def _scope(address: Address, place: Place) -> Scope:
    # A view shows a part of its feed: what opens the one opens the other. No feed has an @ in its own name.
    feed = () if place.name is None else ("_packaging", *filter(None, place.name.partition("@")))
    # Whatever stands below the feed stands for the feed, that of other protocols too: they share its credential.
    path = tuple(part.lower() for part in (*place.scope, *feed))
    other = place.rest[:1] and place.rest[0].lower() != "pypi"
    return Scope(*address[:3], path, "other" if other else place.kind)


def _externals(environ: Mapping[str, str], warn: Warn) -> Iterator[Declared]:
    for name, number, scope, entry in _endpoints(environ, EXTERNAL_ENDPOINTS, warn):
        fields = _lower(entry)
        password, user = _text(fields.get("password")), _text(fields.get("username"))
        if password is None:
            what = f"{name}: entry {number} has no password that is a text: give it one, or remove the entry"
        else:
            flaw = value_checks.of_value(password)
            what = f"{name}: entry {number} has a password that {flaw}" if flaw else ""
        if user is None or (user and value_checks.of_value(user)):
            user = DEFAULT_USERNAME  # no feed asks for the user's name: what is none costs no credential
        yield Declared(scope, Credential(user, password or "") if not what else None, {}, name, what)


def _identities(environ: Mapping[str, str], warn: Warn) -> Iterator[Declared]:
    for name, number, scope, entry in _endpoints(environ, IDENTITIES, warn):
        yield Declared(scope, None, entry, name, _identity_fault(f"{name}: entry {number}", _lower(entry)))


def _identity_fault(place: str, fields: Mapping[str, object]) -> str:
    if not fields.get("clientid"):
        return f"{place} has no clientId: give it one, or declare a password in {EXTERNAL_ENDPOINTS[0]}"
    named = ((field, value_checks.of_value(item)) for field, item in fields.items() if isinstance(item, str) and item)
    return next((f"{place} has a {field} that {flaw}" for field, flaw in named if flaw), "")


def _prefixes(environ: Mapping[str, str], warn: Warn) -> Iterator[Declared]:
    name = in_force(environ, PREFIXES)
    if name is None:
        return
    holder, token, fault = _token(environ, name)
    flaw = value_checks.of_shape(value_checks.bare(environ[name]))
    if flaw:
        warn(f"{name} {flaw}")
        return
    for number, text in enumerate(filter(None, map(str.strip, environ[name].split(";"))), 1):
        flaw, scope = value_checks.of_url(text), _declared_scope(text)
        if flaw or scope is None:
            warn(f"{name}: entry {number} {flaw or 'is no URL: write https://… and separate entries by ;'}")
        else:
            yield Declared(scope, None if fault else Credential(DEFAULT_USERNAME, token), {}, holder, fault)


def _pipeline(environ: Mapping[str, str]) -> list[Declared]:
    """The token of a job of Azure Pipelines, for its organisation in both spellings of its hosts."""
    name, token = PIPELINE[0], value_checks.bare(environ.get(PIPELINE[0], ""))
    organisation = _of_collection(environ.get(PIPELINE[1], "").strip()) if token else ""
    if not organisation:
        return []
    flaw = value_checks.of_value(token)
    fault = f"{name} {flaw}" if flaw else ""
    known = None if fault else Credential(DEFAULT_USERNAME, token)
    places = ((SHARED_HOSTS[0], (organisation,)), (organisation + ORGANISATION_HOSTS[0], ()))
    return [Declared(Scope("https", host, None, path, "host"), known, {}, name, fault) for host, path in places]


def _of_collection(uri: str) -> str:
    """The organisation of https://dev.azure.com/ORG/ or https://ORG.visualstudio.com/, in lower case; "" for none."""
    address = urls.split(uri) if "://" in uri else None
    place = feeds.locate(address) if address is not None else None
    if address is None or place is None or (address.scheme, address.port) != ("https", None):
        return ""
    if address.host == "dev.azure.com":
        name = "".join(place.scope) if len(place.scope) == 1 else ""
    else:
        name, _, rest = address.host.partition(".")
        name = name if rest == "visualstudio.com" else ""
    return name.lower() if "." not in name else ""


def _token(environ: Mapping[str, str], prefixes: str) -> tuple[str, str, str]:
    """The variable that holds the token for *prefixes*, the token, and what is wrong with it."""
    name = in_force(environ, ACCESS_TOKEN)
    if name is not None:
        token = value_checks.bare(environ[name])
        flaw = value_checks.of_value(token)
        return name, token, f"{name} {flaw}" if flaw else ""
    name = next((name for name in ACCESS_TOKEN if name in environ), None)
    what = f"{name} is empty" if name else f"{ACCESS_TOKEN[PREFIXES.index(prefixes)]} is not set"
    step = f"set it (a build of a fork gets no secrets), or unset {prefixes} to sign in"
    return name or "", "", f"{what}, and {prefixes} gives no credential without it: {step}"


def _lonely_token(environ: Mapping[str, str]) -> Iterator[str]:
    """The provider then refuses every sign-in, and ignores its caches (docs/provider.md#environment)."""
    name = in_force(environ, ACCESS_TOKEN)
    if name is not None and in_force(environ, PREFIXES) is None:
        prefixes = PREFIXES[ACCESS_TOKEN.index(name)]
        yield (
            f"{name} has no effect without {prefixes}, and keeps the provider from signing in: "
            f"set {prefixes} to the URLs that it is for, or unset it"
        )


def _endpoints(
    environ: Mapping[str, str], names: tuple[str, ...], warn: Warn
) -> Iterator[tuple[str, int, Scope, dict[str, object]]]:
    """Variable, number from 1, scope and content of each entry that can be placed."""
    name = in_force(environ, names)
    if name is None:
        return
    for number, entry in enumerate(_entries(name, environ[name], warn), 1):
        endpoint = _text(_lower(entry).get("endpoint")) or ""
        flaw, scope = value_checks.of_url(endpoint) if endpoint else "", _declared_scope(endpoint)
        if flaw:
            warn(f"{name}: entry {number} has an endpoint that {flaw}")
        elif scope is None or not isinstance(entry, dict):
            warn(f"{name}: entry {number} has no usable endpoint: write {_FORM}")
        else:
            yield name, number, scope, entry


def _entries(name: str, text: str, warn: Warn) -> list[object]:
    flaw = value_checks.of_shape(value_checks.bare(text))
    if flaw:
        warn(f"{name} {flaw}")
        return []
    try:
        entries = _lower(_decode(text)).get("endpointcredentials")
    except (ValueError, RecursionError) as error:
        warn(f"{name} is not valid JSON{_where(error)}, nothing in it is used: write {_FORM}")
        return []
    if not isinstance(entries, list):
        warn(f"{name} has no list named endpointCredentials, nothing in it is used: write {_FORM}")
        return []
    return entries


def _decode(text: str) -> object:
    import json  # dear, and only for those who declare something

    return json.loads(value_checks.bare(text))


def _where(error: Exception) -> str:
    # Never the message of the error: it may quote what it stumbled over.
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    return f" (line {line}, column {column})" if line is not None else ""


def _lower(item: object) -> dict[str, object]:
    """An object with its names in lower case, as the provider ignores case; {} for anything else."""
    return {str(name).lower(): part for name, part in item.items()} if isinstance(item, dict) else {}


def _text(item: object) -> Optional[str]:
    """A stripped string, or a whole number as a string; None for anything else."""
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    return value_checks.bare(item) if isinstance(item, str) else None


def _declared_scope(url: str) -> Optional[Scope]:
    address = urls.split(url) if "://" in url else None
    place = feeds.locate(address) if address is not None else None
    return _scope(address, place) if address is not None and place is not None else None


def _respelt(identity: Declared, feed: Feed) -> str:
    import json

    return json.dumps({"endpointCredentials": [{"endpoint": feed.index_url, **_identity(identity)}]})


def _identity(one: Declared) -> dict[str, object]:
    return {name: item for name, item in one.fields.items() if name.lower() != "endpoint"}


def _unreadable(environ: Mapping[str, str]) -> list[str]:
    """The values of the JSON variables that cannot be read."""
    found = []
    for names in (EXTERNAL_ENDPOINTS, IDENTITIES):
        lines: list[str] = []
        name = in_force(environ, names)
        if name is not None and not _entries(name, environ[name], lines.append) and lines:
            found.append(environ[name])
    return found


def _spells(text: str, host: str) -> bool:
    """Whether *text* contains a URL on *host*."""
    import re

    return re.search(rf"//(?:[^/\s\"']*@)?{re.escape(host)}(?=[/?#\"'\s]|$)", text, re.IGNORECASE) is not None


def _ignore(_line: str) -> None:
    return None
