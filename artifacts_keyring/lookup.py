"""The look-up: from a service string to a checked credential. A foreign service loads nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Optional

from . import feeds
from .feeds import Feed
from .memory import CAPACITY, FAILED_FOR, Memory
from .urls import Address
from .variables import DECLARING, LOG_PATH, TOKEN_COMMAND, declares, in_force

if TYPE_CHECKING:
    from .credential import Credential

# What this process knows; one for all backends and threads of it.
MEMORY = Memory()


class LookupFailed(Exception):
    """No credential, and why: one line for users, ending in the next step."""


class Answer(NamedTuple):
    """What a look-up found and where: "foreign", "declared", "memory", "public", "command" or "provider"."""

    credential: Optional[Credential]
    source: str


def look_up(
    service: str,
    username: Optional[str],
    environ: Mapping[str, str],
    *,
    interactive: Optional[bool] = None,
    declared_too: bool = True,
) -> Optional[Credential]:
    """The credential for *service* or None. Never raises; prints one line on stderr on failure.

    username: the one asked for. Azure DevOps ignores it: only the answer changes.
    """
    try:
        credential = find(service, environ, interactive=interactive, declared_too=declared_too).credential
    except LookupFailed as error:
        _say_once(str(error), environ)
        return None
    except Exception as error:  # a client loses keyring for its whole run when a backend raises
        _say_once(unexpected(error, environ), environ)
        return None
    if credential is None:
        return None
    from .credential import DEFAULT_USERNAME

    return credential._replace(username=username or credential.username or DEFAULT_USERNAME)


def find(
    service: str,
    environ: Mapping[str, str],
    *,
    interactive: Optional[bool] = None,
    fresh: bool = False,
    declared_too: bool = True,
) -> Answer:
    """As look_up, but raises LookupFailed and says where the answer came from.

    interactive: None decides by console.can_prompt(environ). fresh: pass over declared
    credentials and the memory of this process (what `login` wants).
    """
    address = feeds.ours(service, environ, _covers)
    refusal = feeds.refusal(address, environ) if address is not None else ""
    if refusal:
        raise LookupFailed(refusal)
    feed = feeds.read(address) if address is not None else None
    if feed is None:
        return Answer(None, "foreign")
    if declared_too and not fresh:
        declared = _declared(feed, environ)
        if declared is not None:
            return Answer(declared, "declared")
    if feed.kind == "host":
        return _on_host(feed, environ)
    if fresh:
        return _from_provider(feed, environ, interactive)
    with MEMORY.turn(_organisation(feed)):
        chosen = _remembered(feed) or (_chosen(feed, environ) if declared_too else None)
        return chosen or _from_provider(feed, environ, interactive)


def feed_of(service: str, environ: Mapping[str, str]) -> Optional[Feed]:
    """The feed or host that *service* means; None when it is none of ours. Never raises.

    None: hosts that neither Azure DevOps owns nor *environ* names or declares a credential for, any scheme but https
    (and http where feeds.refusal allows it), what clients would read differently.
    """
    address = feeds.ours(service, environ, _covers)
    return None if address is None or feeds.refusal(address, environ) else feeds.read(address)


def _covers(address: Address, environ: Mapping[str, str]) -> bool:
    if not any(environ.get(name) for name in DECLARING):
        return False
    from . import declared

    return declared.covers(address, environ)


def _declared(feed: Feed, environ: Mapping[str, str]) -> Optional[Credential]:
    if not declares(environ):
        return None
    from . import declared

    found = declared.look(feed, environ)
    credential = found.best.credential if found.best is not None else None
    # If nothing else is declared, session.py says it; for a bare host that is never asked.
    if found.fault and (found.best is not None or feed.kind == "host"):
        _say_once(found.fault, environ)
    if credential is not None and feed.kind != "host":
        MEMORY.found((*_organisation(feed), feed.index_url), credential)
    return credential


def _on_host(feed: Feed, environ: Mapping[str, str]) -> Answer:
    """What is known of a bare host; where its name is an organisation's, what the provider knows too.

    Without a prompt: clients ask for the feed itself first.
    """
    known, of_host = MEMORY.on_host(_server(feed), feed.port), feeds.of_host(feed)
    if known is not None or of_host is None or in_force(environ, DECLARING):
        return Answer(known, "memory")
    with MEMORY.turn(_organisation(of_host)):
        return _remembered(of_host) or _from_provider(of_host, environ, interactive=False)


def _chosen(feed: Feed, environ: Mapping[str, str]) -> Optional[Answer]:
    """Of several declared credentials that may be meant for *feed* the one that it accepts."""
    if not in_force(environ, DECLARING):
        return None
    from . import declared

    candidates = declared.candidates(feed, environ)
    if not candidates:
        return None
    from . import session

    credential = session.accepted(feed, candidates, environ)
    if credential is None:
        return None
    MEMORY.found(_whole(feed), credential)
    return Answer(credential, "declared")


def _server(feed: Feed) -> str:
    # With the scheme: what was found over https is never handed out for http.
    return f"{feed.scheme}://{feed.host}"


def _organisation(feed: Feed) -> tuple[Hashable, ...]:
    return _server(feed), feed.port, feed.organisation


def _whole(feed: Feed) -> tuple[Hashable, ...]:
    # An upload never takes a feed for public, so that what is known of the one says nothing of the other.
    return (*_organisation(feed), feed.index_url, feed.kind)


def _remembered(feed: Feed) -> Optional[Answer]:
    # A feed that is public as a whole may have pages that are not.
    for key in (_organisation(feed), _whole(feed), (*_whole(feed), feed.page)):
        known = MEMORY.recall(key)
        if known is not None:
            return Answer(known.credential, "memory")
    return None


def _from_provider(feed: Feed, environ: Mapping[str, str], interactive: Optional[bool]) -> Answer:
    """Ask the provider, and remember what came of it."""
    from . import session

    try:
        credential = session.ask(feed, environ, interactive)
    except session.NoCredential as error:
        MEMORY.failed(_whole(feed) if error.this_feed_only else _organisation(feed))
        raise LookupFailed(str(error)) from error
    if credential is None:
        MEMORY.failed((*_whole(feed), feed.page))
        return Answer(None, "public")
    MEMORY.found(_organisation(feed), credential)
    return Answer(credential, "command" if in_force(environ, (TOKEN_COMMAND,)) else "provider")


_SAID: dict[str, float] = {}


def _say_once(line: str, environ: Mapping[str, str]) -> None:
    """Say it, unless it has been said a moment ago: clients ask one question in three spellings."""
    now = time.monotonic()
    if now - _SAID.get(line, -FAILED_FOR) < FAILED_FOR:
        return
    if len(_SAID) >= CAPACITY:
        _SAID.clear()
    _SAID[line] = now
    from . import console

    console.say(line, environ)


def unexpected(error: Exception, environ: Mapping[str, str]) -> str:
    """One line about an unexpected error; the log gets the rest."""
    import traceback

    from . import log

    log.write(environ, traceback.format_exc())
    what = f"unexpected {type(error).__name__}"
    return f"{what}: set {LOG_PATH}, try again, and report what the log then holds"
