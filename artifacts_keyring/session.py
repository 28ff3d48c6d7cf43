"""Ask the provider; meanwhile ask the feed itself, check the answer, renew it, or let a person sign in."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from . import feeds, log, messages
from .credential import Credential
from .feeds import Feed
from .provider import caches, provider
from .provider.provider import ProviderError, Query, Reply, Run
from .variables import TIMEOUT, TOKEN_COMMAND, Environment, declares, device_flow, in_force, seconds, unsigned

if TYPE_CHECKING:
    from .declared import Declared, Finding
    from .http.probe import Probe, Status

DEFAULT_TIMEOUT = 30.0  # seconds for everything without a person
_LONGEST_REQUEST = 10.0  # seconds for one request of ours, or a third of all there is
_SHORTEST_REQUEST = 1.0  # seconds; after a login the deadline without a person has long passed


class NoCredential(Exception):
    """No credential, and why: one line for users. this_feed_only: another feed of the organisation may do better."""

    def __init__(self, message: str, this_feed_only: bool = False) -> None:
        super().__init__(message)
        self.this_feed_only = this_feed_only


class _Session(NamedTuple):
    """One look-up: which feed, until when (on time.monotonic()) without a person, and what is declared for it.

    interactive: whether a person may be asked; None: if one can see the prompt.
    """

    feed: Feed
    environ: Mapping[str, str]
    deadline: float
    found: Optional[Finding]
    interactive: Optional[bool] = None

    def aims_at(self, feed: Feed) -> _Session:
        """The same look-up of another feed."""
        return self._replace(feed=feed, found=_found(feed, self.environ))

    @property
    def best(self) -> Optional[Declared]:
        """What is declared for the feed."""
        return self.found.best if self.found is not None else None

    @property
    def commanded(self) -> bool:
        """Whether it is a command of the user's that is asked, and not the provider."""
        given = self.best is not None and self.best.credential is not None
        return not given and bool(in_force(self.environ, (TOKEN_COMMAND,)))

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def obstacle(self, reply: Reply, status: Optional[Status] = None) -> str:
        """Why a sign-in would be in vain, or the empty string."""
        return messages.obstacle(self.feed, self.environ, self.found, reply, status)


def ask(feed: Feed, environ: Mapping[str, str], interactive: Optional[bool]) -> Optional[Credential]:
    """The checked credential for *feed*; None: it is public. Raises NoCredential.

    interactive: whether a person may be asked; None: if one can see the prompt.
    """
    known = Environment(environ)
    if not in_force(environ, (TOKEN_COMMAND,)):  # no provider is started then
        known.update(_changes(feed, environ))
    deadline = time.monotonic() + timeout(environ)
    try:
        return _ask(_Session(feed, known, deadline, _found(feed, environ), interactive))
    except ProviderError as error:
        raise NoCredential(str(error)) from error


def _found(feed: Feed, environ: Mapping[str, str]) -> Optional[Finding]:
    if not declares(environ):
        return None
    from . import declared

    return declared.look(feed, environ)


def _changes(feed: Feed, environ: Mapping[str, str]) -> dict[str, str]:
    """What must change in the provider's environment."""
    if feeds.is_vendors(feed.host) and not declares(environ):
        return {}
    from . import declared

    return declared.for_provider(feed, environ)


def accepted(feed: Feed, candidates: Sequence[Credential], environ: Mapping[str, str]) -> Optional[Credential]:
    """The first of *candidates* that *feed* accepts; None: none of them, or it does not answer in time."""
    session = _Session(feed, environ, time.monotonic() + timeout(environ), None)
    with contextlib.closing(_probe(session)) as probe:
        for credential in candidates:
            status = probe.check(credential, session.left())
            log.write(environ, f"with a declared credential: {status}", [credential.password])
            if status.admitted:
                return credential
            if not _checkable(status):
                break
    return None


def timeout(environ: Mapping[str, str]) -> float:
    """Seconds that a look-up without a person may take in all."""
    return seconds(environ, (TIMEOUT,), DEFAULT_TIMEOUT)


def patience(environ: Mapping[str, str]) -> float:
    """Seconds that one request to the feed may take."""
    return min(_LONGEST_REQUEST, timeout(environ) / 3)


def _ask(session: _Session) -> Optional[Credential]:
    with contextlib.ExitStack() as stack:
        answering = _start(session, stack)
        # httpx loads while the provider starts.
        probe = stack.enter_context(contextlib.closing(_probe(session)))
        status = _anonymous(session, probe)
        if status is not None and status.admitted:
            return _of_public(session, answering)
        _check_ahead(session, probe, answering, status)
        reply = _checked(session, probe, _heard(session, answering, status), status)
        if reply.credential is not None:
            return reply.credential
        entrance = _entrance(session, probe, reply)
        return _ask(session.aims_at(entrance)) if entrance is not None else _login(session, probe, reply, status)


def _probe(session: _Session, page: str = "") -> Probe:
    from .http.probe import Probe

    return Probe(page or session.feed.index_url, session.environ, patience(session.environ))


# --- the provider, or what stands in its place


class _Settled:
    """Stands for a provider that was not started; a public feed does not need one."""

    def __init__(self, outcome: Union[Reply, ProviderError]) -> None:
        self._outcome = outcome

    def first_words(self) -> None:
        """Nothing."""

    def reply(self) -> Reply:
        """What is known, or raises what the failure was."""
        if isinstance(self._outcome, ProviderError):
            raise self._outcome
        return self._outcome


_Answering = Union[Run, _Settled]


def _start(session: _Session, stack: contextlib.ExitStack) -> _Answering:
    best = session.best
    if best is not None and best.credential is not None:
        return _Settled(Reply(best.credential))
    if best is None and unsigned(session.environ) and not session.commanded:
        # It would compare texts, and hand out what is meant for a neighbour, or is no token.
        return _Settled(Reply(None))
    query = Query(session.feed.index_url, timeout=session.left())
    try:
        show = stack.enter_context(provider.screen(session.environ, query))
        if session.commanded:
            from .provider import token_command

            return stack.enter_context(token_command.start(session.feed, query.timeout, session.environ, show))
        program = provider.locate(session.environ)
        return stack.enter_context(provider.start(program, query, session.environ, show))
    except ProviderError as error:
        return _Settled(error)


def _heard(session: _Session, answering: _Answering, status: Optional[Status]) -> Reply:
    try:
        return answering.reply()
    except ProviderError as error:
        # Not to reach a host beyond Azure's own kills the provider (docs/sign-in.md#a-death-without-a-word).
        if error.silent and status is not None and status.unreachable:
            raise NoCredential(messages.cut_off(session.feed.index_url, status.detail)) from error
        raise


# --- what the feed says


def _anonymous(session: _Session, probe: Probe) -> Optional[Status]:
    """What the feed answers without a credential; None: not asked, because uploads always need one."""
    if session.feed.kind == "upload":
        return None
    status = probe.anonymous(session.left())
    log.write(session.environ, f"without a credential: {status}")
    return status


def _check_ahead(session: _Session, probe: Probe, answering: _Answering, status: Optional[Status]) -> None:
    """Check the provider's credential while it ends; the probe remembers the outcome."""
    credential = answering.first_words()
    if credential is not None and _checkable(status):
        _refused(session, probe, credential)


def _checkable(status: Optional[Status]) -> bool:
    return status is None or not (status.unreachable or status.broken)


def _checked(session: _Session, probe: Probe, reply: Reply, status: Optional[Status]) -> Reply:
    """*reply* if its credential works, or that cannot be told; else what a renewal brings."""
    code = _refused(session, probe, reply.credential) if reply.credential and _checkable(status) else 0
    if not code:
        return reply
    url, best = session.feed.index_url, session.best
    if session.commanded:
        raise NoCredential(messages.command_refused(url, reply.reason, code), this_feed_only=True)
    if best is not None:
        raise NoCredential(messages.declared_refused(url, best, code), this_feed_only=True)
    query = Query(url, retry=True, timeout=session.left())
    renewed = provider.run(provider.locate(session.environ), query, session.environ)
    if renewed.credential is not None and _refused(session, probe, renewed.credential):
        raise NoCredential(messages.refused(url, "a credential that was renewed just now"), this_feed_only=True)
    return renewed


def _refused(session: _Session, probe: Probe, credential: Credential) -> int:
    """The HTTP status of the feed's refusal; 0 if it does not refuse *credential*."""
    status = probe.check(credential, max(_SHORTEST_REQUEST, session.left()))
    log.write(session.environ, f"with the credential: {status}", [credential.password])
    return status.code if status.refused else 0


# --- public feeds


def _of_public(session: _Session, answering: _Answering) -> Optional[Credential]:
    """The credential for a feed that lets everybody in; None: none. Raises NoCredential.

    What it has not taken over from an upstream yet is for members (README). Most clients name the index alone, which
    does not tell whether they want that: they get a credential if there is one, and no message if not.
    """
    page = session.feed.page
    with contextlib.closing(_probe(session, page)) as probe:
        refused = bool(page) and probe.anonymous(session.left()).refused
        if not refused and (page or not _may_know(session)):
            return None
        try:
            known = _checked(session, probe, answering.reply(), None).credential
            return known or _of_member(session._replace(interactive=session.interactive is True and refused))
        except (NoCredential, ProviderError) as error:
            log.write(session.environ, f"public, and nothing at hand: {error}")
            if not refused:
                return None
            if session.interactive or isinstance(error, ProviderError) or error.this_feed_only:
                raise
            raise NoCredential(_members_only(session), this_feed_only=True) from error


def _may_know(session: _Session) -> bool:
    """Whether there can be a credential: if not, a public feed costs nothing more."""
    if session.commanded:
        return True
    if session.best is not None or unsigned(session.environ):
        return session.best is not None
    return any(os.path.exists(cache.path) for cache in caches.locate(session.environ))  # noqa: PTH110


def _of_member(session: _Session) -> Optional[Credential]:
    entrance = feeds.of_organisation(session.feed)
    if entrance is None:
        raise NoCredential(_members_only(session))
    return _ask(session.aims_at(entrance))


def _members_only(session: _Session) -> str:
    return session.obstacle(Reply(None)) or messages.members_only(session.feed)


def _entrance(session: _Session, probe: Probe, reply: Reply) -> Optional[Feed]:
    """The feed to ask for instead, for an upload to a public feed: there the provider needs no credential."""
    entrance = feeds.of_organisation(session.feed) if session.feed.kind == "upload" else None
    if entrance is None or session.obstacle(reply):
        return None
    return entrance if probe.anonymous(max(_SHORTEST_REQUEST, session.left())).admitted else None


# --- the person


def _login(session: _Session, probe: Probe, reply: Reply, status: Optional[Status]) -> Credential:
    """Let the person sign in, if there is one and it can help. Raises NoCredential."""
    from . import console

    url, environ = session.feed.index_url, session.environ
    obstacle = session.obstacle(reply, status)
    if obstacle:
        # Another feed may be declared better.
        raise NoCredential(obstacle, this_feed_only=unsigned(environ) is not None)
    if not (console.can_prompt(environ) if session.interactive is None else session.interactive):
        raise NoCredential(messages.no_prompt(url, environ, reply.reason))
    credential = _signed_in(url, environ)
    if _refused(session, probe, credential):
        raise NoCredential(messages.refused(url, "the account that signed in"), this_feed_only=True)
    return credential


def _signed_in(url: str, environ: Mapping[str, str]) -> Credential:
    from .provider import login_lock

    deadline = time.monotonic() + login_timeout(environ)
    program = provider.locate(environ)
    try:
        with login_lock.login_lock(environ, deadline, lambda: _say_waiting(environ)):
            # After a wait for another process, its sign-in is in the cache, and there is no prompt.
            query = Query(url, interactive=True, timeout=max(0.0, deadline - time.monotonic()))
            reply = provider.run(program, query, environ)
    except login_lock.LockTimeout:
        raise NoCredential(
            "another process has been waiting for its sign-in all the time: finish that one, then try again"
        ) from None
    if reply.credential is None:
        raise NoCredential(messages.no_sign_in(url, reply.reason))
    return reply.credential


def _say_waiting(environ: Mapping[str, str]) -> None:
    from . import console

    console.say("waiting for the sign-in that another process has started", environ)


def login_timeout(environ: Mapping[str, str]) -> float:
    """Seconds for a login: the provider may try browser and device code, each with its own time-out."""
    return 3 * device_flow(environ) + timeout(environ)
