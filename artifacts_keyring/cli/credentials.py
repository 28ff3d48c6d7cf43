"""The credential that a look-up gives, where it came from, and what the feed says to it and to those of clients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple, Optional

from .. import declared, log, lookup
from ..credential import Credential
from ..feeds import Feed
from ..http.probe import Status
from ..provider import caches
from ..provider.provider import ProviderError
from ..variables import PIPELINE, TOKEN_COMMAND, in_force
from .check import Check, plain

Judge = Callable[[Credential], Status]


class Stored(NamedTuple):
    """A user and a password that a client has elsewhere, so that it never asks keyring."""

    client: str
    where: str
    credential: Credential


def look_up(url: str, feed: Feed, environ: Mapping[str, str], judge: Judge) -> Check:
    """One look-up without a person, and the feed's answer to the credential."""
    name, begin = "look-up", time.time()
    try:
        answer = lookup.find(url, environ, interactive=False)
    except lookup.LookupFailed as error:
        step = _unmapped(feed, environ) or plain(str(error))
        return Check(name, False, f"{feed.index_url}: nothing found", step)
    if answer.credential is None:
        return Check(name, True, f"{feed.index_url}: no credential needed ({answer.source})")
    source = _source(feed, environ, answer.source, begin)
    found = f"{feed.index_url}: user {answer.credential.username}, password {log.HIDDEN} ({answer.source}: {source})"
    status = judge(answer.credential)
    detail = f"{found}; the feed answers {_answer(status)}"
    if status.admitted or status.unreachable:
        return Check(name, True, detail)
    if status.refused:
        step = f"the token of {source} is refused ({status.code}) by {feed.index_url}: renew it there"
        return Check(name, False, detail, step)
    step = f"{feed.index_url} answers {_answer(status)}"
    if status.code == 404:
        return Check(name, False, detail, f"{step}, there is no such feed: correct organisation, project or feed")
    return Check(name, False, detail, f"{step}: try again later")


def _unmapped(feed: Feed, environ: Mapping[str, str]) -> str:
    """What to do in a step of Azure Pipelines whose own token would do, and that was not given it; else ""."""
    token = PIPELINE[0]
    if not environ.get("TF_BUILD", "").strip() or environ.get(token, "").strip():
        return ""
    if declaring(feed, {**environ, token: "0" * 52}) != token:
        return ""
    return f"this step of Azure Pipelines has no {token}: add `env: {token}: $(System.AccessToken)` to it"


def command(environ: Mapping[str, str]) -> Iterator[Check]:
    """Which command would be run for a token, if one is named."""
    if in_force(environ, (TOKEN_COMMAND,)):
        from ..provider import token_command

        try:
            program = token_command.locate(environ)
        except ProviderError as error:
            yield Check("token command", False, str(error), str(error))
        else:
            yield Check("token command", True, f"{token_command.shown(program)}, in place of the provider")


def declaring(feed: Feed, environ: Mapping[str, str]) -> Optional[str]:
    """The variable that declares a credential for *feed*, so that the provider is not asked; None for none."""
    best = declared.look(feed, environ).best
    return best.name if best is not None and best.credential is not None else None


def _answer(status: Status) -> str:
    return f"{status.code} {status.detail}".rstrip() if status.code else f"nothing ({status.detail})"


def _source(feed: Feed, environ: Mapping[str, str], source: str, begin: float) -> str:
    name = declaring(feed, environ)
    if name is not None or source == "declared":
        return name or "one of several, chosen by the feed"
    if source == "command":
        return TOKEN_COMMAND
    if source == "provider" and any(_written_since(cache, begin) for cache in caches.locate(environ)):
        return "the earlier sign-in, renewed now"
    return "the provider's token cache"


def _written_since(cache: caches.Cache, begin: float) -> bool:
    try:
        return cache.kind == caches.SESSIONS and cache.path.stat().st_mtime >= begin
    except OSError:
        return False


def judged(stored: Stored, judge: Optional[Judge]) -> Check:
    """The feed's answer to a password that a client sends without keyring; judge: None if it cannot be asked."""
    status = judge(stored.credential) if judge is not None else Status(0, "it cannot be asked")
    user = f"a user ({stored.credential.username}) and " if stored.credential.username else ""
    what = f"{stored.where} has {user}a password for this feed"
    if not status.refused:
        return Check(stored.client, None, f"{what}, sent without asking keyring; the feed answers {_answer(status)}")
    step = f"{what}, which the feed refuses ({status.code}); {stored.client} asks no keyring then: remove it there"
    return Check(stored.client, False, f"{what}, which the feed refuses ({status.code})", step)
