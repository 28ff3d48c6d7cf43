"""Ask the provider, beside it the feed itself, and if nothing else helps the person at the screen."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from . import console, declared, feeds, log
from .credential import Credential
from .feeds import Feed
from .provider import caches, diagnostics, login_lock, provider
from .provider.provider import ProviderError, Query, Reply, Run
from .variables import (
    ACCESS_TOKEN,
    DECLARING,
    EXTERNAL_ENDPOINTS,
    TIMEOUT,
    TOKEN_COMMAND,
    Environment,
    device_flow,
    in_force,
    seconds,
)

if TYPE_CHECKING:
    from .http.probe import Probe, Status

COMMAND = "python -m artifacts_keyring"
DEFAULT_TIMEOUT = 30.0  # seconds for everything without a person
_LONGEST_REQUEST = 10.0  # seconds for one request of ours, or a third of all there is
_SHORTEST_REQUEST = 1.0  # seconds; after a login the deadline without a person has long passed


class NoCredential(Exception):
    """No credential, and why: one line for users. this_feed_only: another feed of the organisation may do better."""

    def __init__(self, message: str, this_feed_only: bool = False) -> None:
        super().__init__(message)
        self.this_feed_only = this_feed_only


class _Session(NamedTuple):
    """One look-up: whom to ask, until when (on time.monotonic()) without a person, and what is declared for it.

    page: the package page or download that a client has named, or "".
    """

    feed: Feed
    environ: Mapping[str, str]
    deadline: float
    found: declared.Finding
    page: str = ""

    def aims_at(self, feed: Feed) -> _Session:
        """The same look-up of another feed."""
        return self._replace(feed=feed, found=declared.look(feed, self.environ), page="")

    @property
    def commanded(self) -> bool:
        """Whether it is a command of the user's that is asked, and not the provider."""
        declares = self.found.best is not None and self.found.best.credential is not None
        return not declares and bool(in_force(self.environ, (TOKEN_COMMAND,)))

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def query(self, retry: bool = False) -> Query:
        """The question to the provider, to be answered by the deadline."""
        return Query(self.feed.index_url, retry=retry, timeout=self.left())


def ask(feed: Feed, environ: Mapping[str, str], interactive: Optional[bool], page: str = "") -> Optional[Credential]:
    """The checked credential for *feed*; None: it is public. Raises NoCredential.

    interactive: whether a person may be asked; None: where one would see it. page: see feeds.page.
    """
    known = Environment(environ)
    if not in_force(environ, (TOKEN_COMMAND,)):  # no provider is started then
        known.update(declared.for_provider(feed, environ))
    session = _Session(feed, known, time.monotonic() + timeout(environ), declared.look(feed, environ), page)
    try:
        return _ask(session, interactive)
    except ProviderError as error:
        raise NoCredential(str(error)) from error


def accepted(feed: Feed, candidates: Sequence[Credential], environ: Mapping[str, str]) -> Optional[Credential]:
    """The first of *candidates* that *feed* accepts; None: none of them, or it does not answer in time."""
    session = _Session(feed, environ, time.monotonic() + timeout(environ), declared.Finding(None, ""))
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


def _ask(session: _Session, interactive: Optional[bool]) -> Optional[Credential]:
    with contextlib.ExitStack() as stack:
        answering = _start(session, stack)
        # httpx loads while the provider starts.
        probe = stack.enter_context(contextlib.closing(_probe(session)))
        status = _anonymous(session, probe)
        if status is not None and status.admitted:
            return _of_public(session, answering, interactive)
        _check_ahead(session, probe, answering, status)
        reply = _checked(session, probe, _heard(session, answering, status), status)
        if reply.credential is not None:
            return reply.credential
        entrance = _entrance(session, probe, reply)
        if entrance is not None:
            return _ask(session.aims_at(entrance), interactive)
        return _login(session, probe, reply, status, interactive)


def _probe(session: _Session, page: str = "") -> Probe:
    from .http.probe import Probe

    return Probe(page or session.feed.index_url, session.environ, patience(session.environ))


class _Settled:
    """In place of a provider that could not be started, or that has nothing to say; a public feed needs none."""

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
    best, query = session.found.best, session.query()
    if best is not None and best.credential is not None:
        return _Settled(Reply(best.credential))
    if best is None and declared.by_environ(session.environ) and not session.commanded:
        # It would compare texts, and hand out what is meant for a neighbour, or is no token.
        return _Settled(Reply(None))
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
        # A host beyond Azure's own that cannot be reached kills the provider without a word (docs/sign-in.md, 4 (11)).
        if error.silent and status is not None and status.unreachable:
            raise NoCredential(_cut_off(session, status.detail)) from error
        raise


def _cut_off(session: _Session, reason: str) -> str:
    url = session.feed.index_url
    return f"{url} cannot be reached ({reason}): check network, proxy and certificates with `{COMMAND} doctor {url}`"


def _anonymous(session: _Session, probe: Probe) -> Optional[Status]:
    """What the feed answers without a credential; None: not asked. Whoever uploads needs one anyway."""
    if session.feed.kind == "upload":
        return None
    status = probe.anonymous(session.left())
    log.write(session.environ, f"without a credential: {status}")
    return status


def _of_public(session: _Session, answering: _Answering, interactive: Optional[bool]) -> Optional[Credential]:
    """What to ask a feed with that lets everybody in; None: nothing. Raises NoCredential.

    What it has not taken over from an upstream yet is for members (README). Most clients name the index alone, which
    leaves open whether that is what they want: they get what is at hand, and no word where there is nothing.
    """
    with contextlib.closing(_probe(session, session.page)) as probe:
        refused = bool(session.page) and probe.anonymous(session.left()).refused
        if not refused and (session.page or not _may_know(session)):
            return None
        try:
            known = _checked(session, probe, answering.reply(), None).credential
            return known or _of_member(session, interactive is True and refused)
        except (NoCredential, ProviderError) as error:
            log.write(session.environ, f"public, and nothing at hand: {error}")
            if not refused:
                return None
            if interactive or isinstance(error, ProviderError) or error.this_feed_only:
                raise
            raise NoCredential(_members_only(session), this_feed_only=True) from error


def _may_know(session: _Session) -> bool:
    """Whether anything can be at hand: if not, a public feed costs nothing more."""
    if session.commanded:
        return True
    if session.found.best is not None or declared.by_environ(session.environ):
        return session.found.best is not None
    return any(os.path.exists(cache.path) for cache in caches.locate(session.environ))  # noqa: PTH110


def _of_member(session: _Session, interactive: bool) -> Optional[Credential]:
    entrance = feeds.of_organisation(session.feed)
    if entrance is None:
        raise NoCredential(_members_only(session))
    return _ask(session.aims_at(entrance), interactive)


def _members_only(session: _Session) -> str:
    return _obstacle(session, Reply(None), None) or (
        f"{session.page} is for members, although its feed is public: "
        f"run `{COMMAND} login {session.feed.index_url}` once, or declare a token in {EXTERNAL_ENDPOINTS[0]}"
    )


def _check_ahead(session: _Session, probe: Probe, answering: _Answering, status: Optional[Status]) -> None:
    """Check what the provider has said while it ends; the probe remembers the outcome."""
    credential = answering.first_words()
    if credential is not None and _checkable(status):
        _refused(session, probe, credential)


def _checkable(status: Optional[Status]) -> bool:
    return status is None or not (status.unreachable or status.broken)


def _checked(session: _Session, probe: Probe, reply: Reply, status: Optional[Status]) -> Reply:
    """*reply* if its credential works, or nobody can tell; else what a renewal brings."""
    if reply.credential is None or not _checkable(status):
        return reply
    refusal = _refused(session, probe, reply.credential)
    if not refusal:
        return reply
    if session.commanded:
        raise _commanded_in_vain(session, reply.reason, refusal)
    if session.found.best is not None:
        raise _declared_in_vain(session, session.found.best, refusal)
    renewed = provider.run(provider.locate(session.environ), session.query(retry=True), session.environ)
    if renewed.credential is not None and _refused(session, probe, renewed.credential):
        raise _no_access(session, "a credential that was renewed just now")
    return renewed


def _refused(session: _Session, probe: Probe, credential: Credential) -> int:
    """The HTTP status of the feed's refusal; 0 if it does not refuse *credential*."""
    status = probe.check(credential, max(_SHORTEST_REQUEST, session.left()))
    log.write(session.environ, f"with the credential: {status}", [credential.password])
    return status.code if status.refused else 0


def _declared_in_vain(session: _Session, best: declared.Declared, code: int) -> NoCredential:
    if best.credential is None:
        what, step = "of the identity ", "give the identity access to organisation and feed"
    else:
        what, step = "", "declare one that is valid and may read packages, or ask for access to the feed"
    return NoCredential(
        f"the token {what}declared in {best.name} is refused ({code}) by {session.feed.index_url}: {step}",
        this_feed_only=True,
    )


def _commanded_in_vain(session: _Session, said: str, code: int) -> NoCredential:
    last = f"; its last line: {said}" if said else ""
    return NoCredential(
        f"the token of the command in {TOKEN_COMMAND} is refused ({code}) by {session.feed.index_url}{last}: "
        "have it print one that is valid and may read packages, or ask for access to the feed",
        this_feed_only=True,
    )


def _no_access(session: _Session, what: str) -> NoCredential:
    return NoCredential(
        f"{session.feed.index_url} refuses {what}: {_another_account(session)}",
        this_feed_only=True,
    )


def _another_account(session: _Session) -> str:
    login = f"`{COMMAND} logout`, then `{COMMAND} login {session.feed.index_url}`"
    return f"ask for access to the feed, or sign in with another account ({login})"


def _entrance(session: _Session, probe: Probe, reply: Reply) -> Optional[Feed]:
    """Where to ask instead for an upload to a public feed, of which the provider only sees that it lets it in."""
    entrance = feeds.of_organisation(session.feed) if session.feed.kind == "upload" else None
    if entrance is None or _obstacle(session, reply, None):
        return None
    return entrance if probe.anonymous(max(_SHORTEST_REQUEST, session.left())).admitted else None


def _login(
    session: _Session, probe: Probe, reply: Reply, status: Optional[Status], interactive: Optional[bool]
) -> Credential:
    """Let the person sign in, if there is one and it can help. Raises NoCredential."""
    obstacle = _obstacle(session, reply, status)
    if obstacle:
        # Another feed may be declared better.
        raise NoCredential(obstacle, this_feed_only=declared.by_environ(session.environ) is not None)
    if not (console.can_prompt(session.environ) if interactive is None else interactive):
        raise NoCredential(_unseen(session, reply))
    credential = _signed_in(session)
    if _refused(session, probe, credential):
        raise _no_access(session, "the account that signed in")
    return credential


def _obstacle(session: _Session, reply: Reply, status: Optional[Status]) -> str:
    """Why a sign-in would be in vain, or the empty string."""
    url, best = session.feed.index_url, session.found.best
    if best is None and session.found.fault:
        return session.found.fault
    if status is not None and status.broken:
        return f"{url} answers {status.code} {status.detail}".rstrip() + ": try again later"
    if reply.offline and (status is None or status.unreachable):
        return _cut_off(session, status.detail if status is not None else reply.reason)
    if session.feed.scheme != "https":
        return f"{url} has no sign-in, which goes over https only: declare a token for it in {EXTERNAL_ENDPOINTS[0]}"
    reason = f" ({reply.reason})" if reply.reason else ""
    if best is not None:
        step = "check it, and that it may be used on this machine"
        return f"the identity declared in {best.name} got no token for {url}{reason}: {step}"
    name = declared.by_environ(session.environ)
    if name is not None:
        return f"{name} is set, but gives no credential for {url}: add the feed to it, or unset it to sign in"
    return ""


def _unseen(session: _Session, reply: Reply) -> str:
    url = session.feed.index_url
    names = (*DECLARING, *ACCESS_TOKEN)
    empty = next((name for name in names if not session.environ.get(name, "unset").strip()), None)
    if empty is not None:
        return (
            f"{empty} is empty, and {url} needs a sign-in then, for which nobody would see a prompt here: "
            f"set it (a build of a fork gets no secrets), or run `{COMMAND} login {url}` once"
        )
    if diagnostics.NO_ACCESS in reply.reason:
        return f"no token for {url}: {reply.reason}: {_another_account(session)}"
    reason = f" ({reply.reason})" if reply.reason else ""
    return (
        f"{url} needs a sign-in{reason}, and nobody would see a prompt here: "
        f"run `{COMMAND} login {url}` once, or declare a token in {EXTERNAL_ENDPOINTS[0]}"
    )


def _signed_in(session: _Session) -> Credential:
    deadline = time.monotonic() + login_timeout(session.environ)
    program = provider.locate(session.environ)
    try:
        with login_lock.login_lock(session.environ, deadline, lambda: _say_waiting(session)):
            # If another process had to be waited for, its sign-in is in the cache now, and nobody is asked.
            query = Query(session.feed.index_url, interactive=True, timeout=max(0.0, deadline - time.monotonic()))
            reply = provider.run(program, query, session.environ)
    except login_lock.LockTimeout:
        raise NoCredential(
            "another process has been waiting for its sign-in all the time: finish that one, then try again"
        ) from None
    if reply.credential is None:
        reason = reply.reason or "the provider gave no reason"
        step = f"try again with `{COMMAND} login {session.feed.index_url}`"
        if diagnostics.NO_ACCESS in reason:
            step = _another_account(session)
        raise NoCredential(f"the sign-in for {session.feed.index_url} failed: {reason}; {step}")
    return reply.credential


def _say_waiting(session: _Session) -> None:
    console.say("waiting for the sign-in that another process has started", session.environ)


def login_timeout(environ: Mapping[str, str]) -> float:
    """Seconds for a login: the provider may try browser and device code, each with its own time-out."""
    return 3 * device_flow(environ) + timeout(environ)
