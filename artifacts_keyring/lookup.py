"""The look-up: from a service string to a checked credential. Imports nothing heavy for a foreign service."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import NamedTuple, Optional

from . import feeds
from .credential import Credential
from .memory import CAPACITY, FAILED_FOR, Memory
from .variables import DECLARING, TOKEN_COMMAND, in_force

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

    username: the one asked for; Azure DevOps ignores it, so it changes nothing but the answer's.
    """
    try:
        credential = find(service, environ, interactive=interactive, declared_too=declared_too).credential
    except LookupFailed as error:
        _say_once(str(error), environ)
        return None
    except Exception as error:  # a client loses keyring for its whole run when a backend raises
        _say_once(unexpected(error, environ), environ)
        return None
    return credential._replace(username=username) if credential and username else credential


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
    feed = feeds.parse(service, environ)
    if feed is None:
        refusal = feeds.refusal(service, environ)
        if refusal:
            raise LookupFailed(refusal)
        return Answer(None, "foreign")
    if declared_too and not fresh:
        declared = _declared(feed, environ)
        if declared is not None:
            return Answer(declared, "declared")
    if feed.kind == "host":
        return _on_host(feed, environ)
    page = feeds.page(service)
    if fresh:
        return _ask(feed, environ, interactive, page)
    with MEMORY.turn(_organisation(feed)):
        chosen = _remembered(feed, page) or (_chosen(feed, environ) if declared_too else None)
        return chosen or _ask(feed, environ, interactive, page)


def _declared(feed: feeds.Feed, environ: Mapping[str, str]) -> Optional[Credential]:
    from . import declared

    found = declared.look(feed, environ)
    credential = found.best.credential if found.best is not None else None
    # Where nothing else is declared, it is the reason of what follows, and said there; a host alone has none.
    if found.fault and (found.best is not None or feed.kind == "host"):
        _say_once(found.fault, environ)
    if credential is not None and feed.kind != "host":
        MEMORY.found((*_organisation(feed), feed.index_url), credential)
    return credential


def _on_host(feed: feeds.Feed, environ: Mapping[str, str]) -> Answer:
    """What is known of a bare host; where its name is an organisation's, what the provider knows too.

    Without a prompt: clients ask for the feed itself first.
    """
    known, of_host = MEMORY.on_host(_server(feed), feed.port), feeds.of_host(feed)
    if known is not None or of_host is None or in_force(environ, DECLARING):
        return Answer(known, "memory")
    with MEMORY.turn(_organisation(of_host)):
        return _remembered(of_host) or _ask(of_host, environ, interactive=False)


def _chosen(feed: feeds.Feed, environ: Mapping[str, str]) -> Optional[Answer]:
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


def _server(feed: feeds.Feed) -> str:
    # With the scheme: what was found over https is never handed out for http.
    return f"{feed.scheme}://{feed.host}"


def _organisation(feed: feeds.Feed) -> tuple[Hashable, ...]:
    return _server(feed), feed.port, feed.organisation


def _whole(feed: feeds.Feed) -> tuple[Hashable, ...]:
    # An upload never takes a feed for public, so that what is known of the one says nothing of the other.
    return (*_organisation(feed), feed.index_url, feed.kind)


def _remembered(feed: feeds.Feed, page: str = "") -> Optional[Answer]:
    # A feed that is public as a whole may have pages that are not.
    for key in (_organisation(feed), _whole(feed), (*_whole(feed), page)):
        known = MEMORY.recall(key)
        if known is not None:
            return Answer(known.credential, "memory")
    return None


def _ask(feed: feeds.Feed, environ: Mapping[str, str], interactive: Optional[bool], page: str = "") -> Answer:
    """Ask the provider, and remember what came of it."""
    from . import session

    try:
        credential = session.ask(feed, environ, interactive, page)
    except session.NoCredential as error:
        MEMORY.failed(_whole(feed) if error.this_feed_only else _organisation(feed))
        raise LookupFailed(str(error)) from error
    if credential is None:
        MEMORY.failed((*_whole(feed), page))
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
    """One line about what should not have happened; the log gets the rest."""
    import traceback

    from . import log

    log.write(environ, traceback.format_exc())
    what = f"unexpected {type(error).__name__}"
    return f"{what}: set ARTIFACTS_KEYRING_LOG_PATH, try again, and report what the log then holds"
